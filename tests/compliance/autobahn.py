"""The Autobahn test suite, as a client for our server or as a server for our client.

    python -m tests.compliance.autobahn ws://127.0.0.1:9292/ --cases '1.*'

The suite is a Python 2.7 program. It is installed once, into a virtual environment in
the cache. Python 2.7 itself is found by the variable PYTHON27, in PATH, or by pyenv.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.support.processes import Process, own_directory
from tests.support.programs import cache_directory, find_program

SUITE = 'autobahntestsuite==25.10.1'

#: The last virtualenv that can make an environment for Python 2.7.
VIRTUALENV = 'virtualenv<20.22'

#: The environment variable that names the Python 2.7 to use.
PYTHON27 = 'PYTHON27'

INSTALL = 'install Python 2.7, for example with `pyenv install 2.7.18`, or set PYTHON27 to one'

#: All groups except for compression (12 and 13). There is no group 8, and 11 was never
#: written.
UNCOMPRESSED = ('1.*', '2.*', '3.*', '4.*', '5.*', '6.*', '7.*', '9.*', '10.*')
COMPRESSION = ('12.*', '13.*')

#: One case of each part, with small messages or with larger ones in fragments, in turn:
#: 1,000 messages in each case.
COMPRESSION_SAMPLE = tuple(
    f'{group}.{part}.{13 if part % 2 else 1}' for group, parts in ((12, range(1, 6)), (13, range(1, 8))) for part in parts)

#: The results of a strict pass. All others are none: FAILED, NON-STRICT, UNCLEAN, WRONG
#: CODE, UNIMPLEMENTED and so on.
PASSES = frozenset({'OK', 'INFORMATIONAL'})

#: The seconds for a whole run. Groups 1 to 10 take about one minute, 12 and 13 several.
DEADLINE = 900.0


class MissingProgram(Exception):
    """A program that the suite needs is missing; the text says how to install it."""


class Row(NamedTuple):
    """The result of one case."""

    agent: str
    case: str
    behavior: str
    behavior_close: str
    close_code: int | None
    duration: int
    report: str

    @property
    def passed(self) -> bool:
        """Whether the behaviour and the closing were correct."""
        return self.behavior in PASSES and self.behavior_close in PASSES

    def __str__(self) -> str:
        return f'{self.case:10} {self.behavior:14} close: {self.behavior_close:14} code: {self.close_code}'


# ---- Installation

def wstest() -> str:
    """Return the program of the suite, which is installed by the first call."""
    directory = cache_directory(SUITE.replace('==', '-'))
    complete = directory / 'complete'
    if not complete.exists():
        install_suite(directory, find_python27())
        complete.touch()
    return str(directory / 'env' / 'bin' / 'wstest')


def install_suite(directory: Path, python27: str) -> None:
    """Make a virtual environment for Python 2.7, and install the suite.

    The virtualenv for it runs on this Python.
    """
    tools, env = directory / 'virtualenv', directory / 'env'
    for leftover in (tools, env):
        shutil.rmtree(leftover, ignore_errors=True)
    run([sys.executable, '-m', 'pip', 'install', '--quiet', VIRTUALENV, '--target', str(tools)])
    run([sys.executable, '-m', 'virtualenv', '--quiet', '-p', python27, str(env)], PYTHONPATH=str(tools))
    run([str(env / 'bin' / 'pip'), 'install', '--quiet', SUITE])


def find_python27() -> str:
    """Return a Python 2.7 that runs."""
    for candidate in filter(None, [os.environ.get(PYTHON27), find_program('python2.7'), *pyenv_pythons()]):
        if is_python27(candidate):
            return candidate
    raise MissingProgram(f'Python 2.7 is missing: {INSTALL}')


def pyenv_pythons() -> list[str]:
    """Return the 2.7 interpreters that pyenv has installed."""
    root = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv')
    return [str(path) for path in sorted(root.glob('versions/2.7*/bin/python2.7'))]


def is_python27(program: str) -> bool:
    """Return whether this program is a Python 2.7. pyenv's shim runs only if 2.7 is
    selected.
    """
    command = [program, '-c', 'import sys; assert sys.version_info[:2] == (2, 7)']
    with suppress(OSError):
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    return False


def run(command: Sequence[str], **env: str) -> None:
    """Run an installation command. If it fails, the error has its output."""
    result = subprocess.run(command, env={**os.environ, 'PYTHONPATH': '', **env}, capture_output=True, text=True,
                            timeout=600)
    if result.returncode:
        raise MissingProgram(f'{" ".join(command)} failed:\n{result.stdout}{result.stderr}')


# ---- The server under test

def fuzz_server(url: str, cases: Sequence[str], directory: Path, *, exclude: Sequence[str] = (),
                agent: str = 'faye_websocket', deadline: float = DEADLINE) -> list[Row]:
    """Run cases against the server at `url`; the reports are left in `directory`."""
    server = {'agent': agent, 'url': url}
    command = suite_command('fuzzingclient', directory, cases, exclude, servers=[server])
    subprocess.run(command, cwd=directory, env={**os.environ, 'PYTHONPATH': ''}, timeout=deadline, check=True,
                   stdout=subprocess.DEVNULL)
    return read_rows(directory)


def suite_command(mode: str, directory: Path, cases: Sequence[str], exclude: Sequence[str], **more: Any) -> list[str]:
    """Write a specification, and return the command that runs it."""
    spec = {'outdir': str(directory / 'reports'), 'cases': list(cases), 'exclude-cases': list(exclude),
            'exclude-agent-cases': {}, **more}
    path = directory / 'spec.json'
    path.write_text(json.dumps(spec))
    return [wstest(), '-m', mode, '-s', str(path), '--webport', '0']


# ---- The client under test

class FuzzingServer:
    """The suite as a server.

    A client gets the number of cases from ``case_count_url``, runs ``case_url(1)`` and
    so on, and makes the server write the reports by ``reports_url``. Then ``rows()``
    returns the results.
    """

    def __init__(self, url: str, agent: str, directory: Path) -> None:
        self.url = url
        self.agent = agent
        self.directory = directory
        self.case_count_url = f'{url}/getCaseCount'
        self.reports_url = f'{url}/updateReports?agent={agent}'

    def case_url(self, number: int) -> str:
        """Return the URL of one case, counted from 1."""
        return f'{self.url}/runCase?case={number}&agent={self.agent}'

    def rows(self) -> list[Row]:
        """Return the results in the reports."""
        return read_rows(self.directory)


@contextmanager
def fuzzing_server(cases: Sequence[str], directory: Path, *, exclude: Sequence[str] = (),
                   agent: str = 'faye_websocket') -> Iterator[FuzzingServer]:
    """Run the suite as a server for these cases, until the block ends."""
    port = free_port()
    url = f'ws://127.0.0.1:{port}'
    command = suite_command('fuzzingserver', directory, cases, exclude, url=url)
    process = Process(command, own_directory(directory, 'wstest'), {'PYTHONPATH': ''})
    try:
        process.wait_for_start(lambda: is_listening(port))
        yield FuzzingServer(url, agent, directory)
    finally:
        if process.is_running():
            process.stop()


def free_port() -> int:
    """Return a port that was free a moment ago: the suite cannot report the port it
    got.
    """
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether a connection is accepted."""
    with suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
        return True
    return False


# ---- Results

def read_rows(directory: Path) -> list[Row]:
    """Return the rows of the reports in ``directory``, in the order of the cases."""
    reports = directory / 'reports'
    index = json.loads((reports / 'index.json').read_text())
    rows = [make_row(agent, case, result, reports) for agent, cases in index.items() for case, result in cases.items()]
    return sorted(rows, key=lambda row: (row.agent, [int(part) for part in row.case.split('.')]))


def make_row(agent: str, case: str, result: dict[str, Any], reports: Path) -> Row:
    """Return one entry of index.json as a row."""
    return Row(agent, case, result['behavior'], result['behaviorClose'], result['remoteCloseCode'], result['duration'],
               str(reports / result['reportfile']))


def groups(rows: Sequence[Row]) -> set[str]:
    """Return the groups of the cases, as the patterns that select them: {'1.*', '2.*'}.
    """
    return {row.case.split('.')[0] + '.*' for row in rows}


def summary(rows: Sequence[Row]) -> str:
    """Return the number of cases with each result, and those that did not pass."""
    counts = Counter((row.behavior, row.behavior_close) for row in rows)
    lines = [f'{number:4}  {behavior} (closing {close})' for (behavior, close), number in counts.most_common()]
    return '\n'.join([f'{len(rows):4}  cases', *lines, *(f'{row}\n{"":10} {row.report}' for row in failures(rows))])


def failures(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are not a strict pass."""
    return [row for row in rows if not row.passed]


# ---- Command line

def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog='python -m tests.compliance.autobahn', description='Fuzz a WebSocket server.')
    parser.add_argument('url', help='the server, which must echo every message')
    parser.add_argument('--cases', nargs='+', default=UNCOMPRESSED, metavar='PATTERN', help='default: groups 1 to 10')
    parser.add_argument('--exclude', nargs='+', default=(), metavar='PATTERN', help='cases to leave out')
    parser.add_argument('--agent', default='faye_websocket', help="the server's name in the reports")
    parser.add_argument('--reports', type=Path, metavar='DIRECTORY', help='keep the reports (HTML and JSON) here')
    parser.add_argument('--deadline', type=float, default=DEADLINE, metavar='SECONDS', help='default: %(default)s')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cases against a server, and print the results."""
    options = parse_arguments(arguments)
    with TemporaryDirectory(prefix='autobahn-') as temporary:
        directory = (options.reports or Path(temporary)).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            rows = fuzz_server(options.url, options.cases, directory, exclude=options.exclude, agent=options.agent,
                               deadline=options.deadline)
        except MissingProgram as error:
            sys.exit(str(error))
        print(summary(rows))
    return 0 if rows and not failures(rows) else 1


if __name__ == '__main__':
    sys.exit(main())
