"""Run the tests of flask-sock and simple-websocket on the modules of ``compat``.

    python -m tools.old_suites

The source distributions are fetched by pip, and nothing of them is kept. Their imports
are replaced, and the names of the modules that they patch. The exit status is 0 if each
test passes, or fails and has a reason here. (gevent-websocket and flask-sockets have no
tests but a run of the Autobahn suite, of which tests/compliance has a part.)
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.support.old import HOMES, ported
from tests.support.processes import ROOT, environment

#: The distributions, and the files of their tests. Those of AioServer and AioClient are
#: left out, as these classes are.
SUITES = {
    'flask-sock==0.7.0': ['test_flask_sock.py'],
    'simple-websocket==1.1.0': ['test_server.py', 'test_client.py'],
}

_SERVER = 'tests/unit/compat/test_simple_websocket.py::TestServer::test_'
_CLIENT = 'tests/unit/compat/test_simple_websocket.py::TestClient::test_'
_DRIVER = 'tests/unit/driver/test_hybi_messages.py::Test'
_WAITING = 'receive_returns_all_queued_messages_before_it_raises'
_FRAGMENTS = 'are_joined_with_control_frames_between_their_fragments'

#: The tests that fail, and the test of their subject on a connection. They all patch
#: wsproto in ``simple_websocket.ws``, where there is none, and most of them set
#: ``connected`` on a closed socket.
ON_A_CONNECTION = {
    'server.test_werkzeug': _SERVER + 'accepts_options_without_an_effect',
    'server.test_gunicorn': _SERVER + 'accepts_options_without_an_effect',
    'server.test_send': _SERVER + 'sends_bytes_as_they_are_and_anything_else_as_text',
    'server.test_receive': _SERVER + _WAITING,
    'server.test_receive_after_close': _SERVER + _WAITING,
    'server.test_receive_split_messages': f'{_DRIVER}Messages::test_{_FRAGMENTS}',
    'server.test_receive_ping': f'{_DRIVER}Pings::test_are_answered',
    'server.test_receive_empty': _SERVER + 'a_lost_connection_is_reported_as_1005',
    'server.test_receive_large': _SERVER + 'a_message_beyond_the_limit_closes_with_1009',
    'server.test_close': _SERVER + 'every_call_raises_after_close',
    'server.test_ping_pong': _SERVER + 'a_client_that_answers_no_ping_is_given_up',
    'server.test_subprotocols': _SERVER + 'chooses_the_clients_first_known_subprotocol',
    'client.test_make_client': _CLIENT + 'exchanges_messages_with_a_server',
    'client.test_make_client_subprotocol': _CLIENT + 'has_the_negotiated_subprotocol',
    'client.test_make_client_subprotocols': _CLIENT + 'has_the_negotiated_subprotocol',
    'client.test_make_client_headers': _CLIENT + 'exchanges_messages_with_a_server',
    'client.test_make_client_headers2': _CLIENT + 'exchanges_messages_with_a_server',
    'client.test_send': _CLIENT + 'exchanges_messages_with_a_server',
    'client.test_receive': _CLIENT + 'receives_what_came_before_the_close',
    'client.test_receive_after_close': _CLIENT + 'receives_what_came_before_the_close',
    'client.test_receive_ping': _CLIENT + 'receives_what_came_before_the_close',
    'client.test_receive_empty': _CLIENT + 'a_lost_connection_is_reported_as_1005',
    'client.test_close': _CLIENT + 'exchanges_messages_with_a_server',
}


def main() -> int:
    """Run all suites, and those tests in place of which others are here."""
    with TemporaryDirectory() as directory:
        results = {
            test: has_passed
            for name, files in SUITES.items()
            for test, has_passed in run_suite(name, files, Path(directory)).items()
        }
        here = run_tests(sorted(set(ON_A_CONNECTION.values())), ROOT, Path(directory))
    ends = [describe(test, has_passed, here) for test, has_passed in results.items()]
    for test, end in zip(results, ends, strict=True):
        print(f'{test:40} {end}')
    print(sum(results.values()), 'of', len(results), 'pass as they are')
    return int('FAILS' in ends)


def describe(test: str, has_passed: bool, here: dict[str, bool]) -> str:
    """Return the result of a test, or of the one in place of it."""
    if has_passed:
        return 'passes'
    path = ON_A_CONNECTION.get(test, '')
    name = f'{Path(path.partition("::")[0]).stem[5:]}.{path.rpartition("::")[2]}'
    return f'patches wsproto; {name} passes' if here.get(name) else 'FAILS'


def run_suite(name: str, files: list[str], directory: Path) -> dict[str, bool]:
    """Return the tests of a suite, and whether each has passed."""
    tests = fetch(name, directory) / 'tests'
    for file in files:
        (tests / file).write_text(replace_names((tests / file).read_text()))
    return run_tests([f'--rootdir={tests}', *files], tests, directory)


def run_tests(arguments: list[str], where: Path, directory: Path) -> dict[str, bool]:
    """Run pytest, and return each test with whether it has passed."""
    report = directory / 'report.xml'
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
    command += [f'--junitxml={report}', *arguments]
    subprocess.run(command, cwd=where, env=environment(), stdout=subprocess.DEVNULL, check=False)
    return read_report(report)


def fetch(name: str, directory: Path) -> Path:
    """Download a source distribution, and return where it was unpacked."""
    target = directory / name
    command = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--no-binary', ':all:']
    subprocess.run([*command, '-d', str(target), name], cwd=ROOT, check=True)
    with tarfile.open(next(target.glob('*.tar.gz'))) as archive:
        archive.extractall(target, filter='data')
    return next(path for path in target.iterdir() if path.is_dir())


def replace_names(source: str) -> str:
    """Replace the imports of a test, and the modules that it patches."""
    source = ported(source)
    for name, home in HOMES.items():
        source = source.replace(f"'{name}.", f"'faye_websocket.compat.{home}.")
    return source


def read_report(path: Path) -> dict[str, bool]:
    """Return the tests of a report, as ``module.test``: whether each has passed."""
    results: dict[str, bool] = {}
    for case in ElementTree.parse(path).iter('testcase'):
        module = next(
            part[5:] for part in str(case.get('classname')).split('.') if part.startswith('test_')
        )
        name = f'{module}.{str(case.get("name")).partition("[")[0]}'
        has_passed = not any(case.find(tag) is not None for tag in ('failure', 'error', 'skipped'))
        results[name] = results.get(name, True) and has_passed
    return results


if __name__ == '__main__':
    sys.exit(main())
