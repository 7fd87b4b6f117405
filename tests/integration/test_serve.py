"""The command ``serve`` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.support.certificates import session_certificate
from tests.support.processes import Endpoint, Process, own_directory, read_text
from tests.support.waiting import until_in_time, wait_until
from tests.support.wire import CLOSE, RFC_6455, Frame, RawClient, close_payload, http_get

#: An application whose views sleep, and whose WebSocket does nothing.
APP = '''
import time
from faye_websocket import WebSocket

TEXT = b'first'

def app(environ, start_response):
    if WebSocket.is_websocket(environ):
        return WebSocket(environ)(environ, start_response)
    if environ['PATH_INFO'] == '/slow':
        time.sleep(1)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [TEXT]

def create_app():
    return app
'''
LISTENING = re.compile(r'Listening on (?:https?://127\.0\.0\.1:(\d+)|unix:(\S+))\n')


class Project:
    """A directory with an application that can be edited."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write('shop.py', APP)

    def write(self, name: str, text: str) -> None:
        """Write a file of the application."""
        (self.directory / name).write_text(text)

    @contextmanager
    def serve(self, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
        """Run the command in the project's directory until the block ends."""
        command = [sys.executable, '-c', CHANGING_DIRECTORY, str(self.directory), 'serve', *arguments]
        process = Process(command, own_directory(self.directory, 'run'), env)
        try:
            yield Served(process, '--certfile' in arguments)
        finally:
            if process.is_running():
                process.stop()


#: The command line, in the directory that its first argument names.
CHANGING_DIRECTORY = (
    'import os, sys; os.chdir(sys.argv.pop(1)); sys.orig_argv[1:] = ["-m", "faye_websocket", *sys.argv[1:]];'
    ' os.execv(sys.executable, [sys.executable, "-m", "faye_websocket", *sys.argv[1:]])')


class Served:
    """The command, which listens or has failed."""

    def __init__(self, process: Process, has_tls: bool = False) -> None:
        self.process = process
        self.has_tls = has_tls

    @property
    def log(self) -> str:
        """The text on standard error."""
        return read_text(self.process.stderr)

    @property
    def endpoint(self) -> Endpoint:
        """The address, once it listens."""
        self.process.wait_for_start(lambda: LISTENING.search(self.log))
        found = LISTENING.search(self.log)
        assert found is not None
        return Endpoint(found[2] or ('127.0.0.1', int(found[1])), session_certificate() if self.has_tls else None)

    def page(self, path: str = '/') -> bytes:
        """Return the body of a page."""
        return http_get(self.endpoint, path)[1]

    def wait_for_page(self, text: bytes) -> None:
        """Wait until the page has this text."""
        wait_until(lambda: self._has_page(text), f'{text!r}\n{self.log}', 30)

    def _has_page(self, text: bytes) -> bool:
        try:
            return text in self.page()
        except (ConnectionError, EOFError):
            # A reload cuts a request that is being served.
            return False


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the application in `shop.py`."""
    return Project(tmp_path)


ANY_PORT = ('--bind', '127.0.0.1:0')


@pytest.mark.proves('V2')
def test_a_view_that_sleeps_delays_nobody(project: Project) -> None:
    with project.serve('shop:app', *ANY_PORT) as served:
        endpoint = served.endpoint

        def measure() -> float:
            began = time.monotonic()
            sleeping = [Thread(target=http_get, args=(endpoint, '/slow')) for _ in range(3)]
            for thread in sleeping:
                thread.start()
            for thread in sleeping:
                thread.join()
            return time.monotonic() - began

        assert 1 <= until_in_time(measure, lambda seconds: seconds < 2) < 2


@pytest.mark.proves('V2')
def test_no_patch_leaves_the_standard_library_as_it_is(project: Project) -> None:
    project.write('shop.py', APP + '\nfrom gevent.monkey import is_module_patched\n'
                                   'TEXT = b"%d" % is_module_patched("time")\n')
    with project.serve('shop:app', *ANY_PORT, '--no-patch') as served:
        assert served.page() == b'0'
    with project.serve('shop:app', *ANY_PORT) as served:
        assert served.page() == b'1'


@pytest.mark.proves('V2')
@pytest.mark.parametrize('means', ['polling', 'watchfiles'])
def test_reload_follows_a_change_a_fault_and_its_mend(project: Project, means: str) -> None:
    if means == 'polling':
        # What cannot be imported is not installed.
        project.write('watchfiles.py', 'raise ModuleNotFoundError("not here")')
    with project.serve('shop:create_app()', *ANY_PORT, '--reload') as served, \
            RawClient(served.endpoint, '/', RFC_6455) as client:
        assert client.handshake().status == 101
        pid, descriptors = served.process.pid, count_descriptors(served)
        project.write('shop.py', APP.replace('first', 'second'))
        assert client.receive_frame() == Frame(CLOSE, close_payload(1012))
        client.send_close(1012)
        assert client.read_to_eof() == b''
        served.wait_for_page(b'second')
        project.write('shop.py', APP + '\nimport basket\n')
        served.wait_for_page(b"ModuleNotFoundError: No module named 'basket'")
        assert served.log.count('Traceback (most recent call last):') == 1
        assert 'line 18, in <module>\n    import basket\n' in served.log
        project.write('basket.py', 'def (\n')
        served.wait_for_page(b'SyntaxError')
        project.write('basket.py', 'import shop\nshop.TEXT = b"third"\n')
        served.wait_for_page(b'third')
        assert served.process.pid == pid
        assert served.log.count(' has changed: restarting\n') == 4
        wait_until(lambda: count_descriptors(served) <= descriptors, 'no descriptor is left')
        assert served.process.stop() == 0


def count_descriptors(served: Served) -> int:
    """Count the files and sockets that the process has open; the loop has others."""
    links = Path(f'/proc/{served.process.pid}/fd').iterdir()
    return sum('anon_inode' not in os.readlink(link) for link in links)


def test_a_request_waits_while_the_application_is_restarted(project: Project) -> None:
    with project.serve('shop:app', *ANY_PORT, '--reload') as served:
        endpoint = served.endpoint
        project.write('shop.py', 'import time\ntime.sleep(1)\n' + APP.replace('first', 'second'))
        seen = set()
        while b'second' not in seen:
            # No connection is refused.
            seen.add(http_get(endpoint)[1])
        assert seen <= {b'first', b'second'}


def test_a_successor_has_the_environment_and_the_directory_of_the_beginning(project: Project) -> None:
    (project.directory / 'elsewhere').mkdir()
    text = ('import os\nos.environ["COUNT"] = os.environ.get("COUNT", "") + "x"\nos.chdir("elsewhere")\n' + APP
            + '\nTEXT = os.environ["COUNT"].encode()\n')
    project.write('shop.py', text)
    with project.serve('shop', *ANY_PORT, '--reload') as served:
        assert served.page() == b'x'
        project.write('shop.py', text.replace('"x"', '"y"'))
        served.wait_for_page(b'y')
        assert served.page() == b'y'


@pytest.mark.proves('V2')
def test_the_traceback_of_an_import_error_is_whole(project: Project) -> None:
    project.write('shop.py', 'import basket\n')
    project.write('basket.py', 'def fill():\n    import no_such_thing\nfill()\n')
    with project.serve('shop:app', *ANY_PORT) as served:
        assert served.process.wait() == 1
        lines = served.log.splitlines()
    assert lines[0] == 'Traceback (most recent call last):'
    assert [line for line in lines if 'File ' in line] == [
        f'  File "{project.directory}/{name}", line {number}, in {function}' for name, number, function in [
            ('shop.py', 1, '<module>'), ('basket.py', 3, '<module>'), ('basket.py', 2, 'fill')]]
    assert lines[-1] == "ModuleNotFoundError: No module named 'no_such_thing'"


@pytest.mark.proves('V2')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('options', [(), ('--reload',), ('--no-patch',)], ids=' '.join)
def test_signals_end_it_with_status_0_and_sockets_with_1001(
        project: Project, number: int, options: tuple[str, ...]) -> None:
    with project.serve('shop:app', *ANY_PORT, *options) as served, RawClient(served.endpoint, '/', RFC_6455) as client:
        assert client.handshake().status == 101
        os.kill(served.process.pid, number)
        assert client.receive_frame() == Frame(CLOSE, close_payload(1001))
        client.send_close(1001)
        assert served.process.wait() == 0
        assert 'Traceback' not in served.process.output()


def test_a_signal_during_the_import_ends_it_with_status_0(project: Project) -> None:
    project.write('shop.py', 'import pathlib, time\npathlib.Path("began").touch()\nwhile True:\n    time.sleep(.01)\n')
    with project.serve('shop:app', *ANY_PORT) as served:
        wait_until(lambda: (project.directory / 'began').exists(), 'the import', 30)
        os.kill(served.process.pid, signal.SIGINT)
        assert served.process.wait() == 0
        assert served.log == ''


def test_a_second_signal_ends_a_handler_without_end(project: Project) -> None:
    project.write('shop.py', 'def app(*arguments):\n    print("stuck", flush=True)\n    while True:\n        pass\n')
    with project.serve('shop:app', *ANY_PORT) as served, served.endpoint.connect() as sock:
        sock.sendall(b'GET / HTTP/1.0\r\n\r\n')
        wait_until(lambda: 'stuck' in read_text(served.process.stdout), 'the request')
        wait_until(lambda: os.kill(served.process.pid, signal.SIGINT) or not served.process.is_running(), 'the end')
        assert served.process.wait() == 1


@pytest.mark.proves('V2')
def test_serves_tls_with_the_same_options(project: Project) -> None:
    certificate = session_certificate()
    with project.serve('shop:app', *ANY_PORT, '--certfile', certificate.certfile, '--keyfile', certificate.keyfile) as served:
        assert served.page() == b'first'
        with RawClient(served.endpoint, '/', RFC_6455) as client:
            assert client.handshake().status == 101


def test_serves_at_a_port_alone_and_at_a_path(project: Project) -> None:
    with project.serve('shop:app', '--bind', '0') as served:
        assert served.page() == b'first'
    with project.serve('shop:app', '--bind', f'unix:{project.directory}/socket', '--no-access-log') as served:
        assert served.page() == b'first'
        assert read_text(served.process.stdout) == ''


@pytest.mark.proves('V2')
@pytest.mark.parametrize('server', [('--no-patch',), ()], ids=['plain', 'patched'])
def test_a_page_on_a_connection_that_is_kept_is_not_delayed(project: Project, server: tuple[str, ...]) -> None:
    with project.serve('shop:app', *ANY_PORT, *server) as served, served.endpoint.connect() as sock, \
            sock.makefile('rb') as stream:

        def measure() -> float:
            began = time.monotonic()
            for _ in range(10):
                sock.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
                while stream.readline() != b'\r\n':
                    pass
                assert stream.read(5) == b'first'
            return (time.monotonic() - began) / 10

        # It was 44 ms, when the body waited for the acknowledgement of the head.
        assert until_in_time(measure, lambda seconds: seconds < 0.02) < 0.02


def test_says_at_the_start_where_it_listens_and_which_form_runs(project: Project) -> None:
    for pure, form in (('', 'compiled'), ('1', 'pure Python')):
        with project.serve('shop:app', *ANY_PORT, env={'FAYE_WEBSOCKET_PURE': pure}) as served:
            port = served.endpoint.port
            lines = wait_until(lambda served=served: served.log.splitlines()[1:] and served.log.splitlines(), 'two lines')
            assert lines[0] == f'Listening on http://127.0.0.1:{port}'
            assert f'({form})' in lines[1] or not pure
