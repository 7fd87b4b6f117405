"""The command line, and its command ``serve``."""

from __future__ import annotations

import os
import signal
import socket as std_socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket

from faye_websocket.__main__ import main
from faye_websocket.cli.version import describe_versions
from tests.support.certificates import session_certificate
from tests.support.local import Client, Connected, settle, wait_until
from tests.support.processes import ROOT
from tests.support.wire import TEXT, Frame

APP = 'tests.support.apps:echo'


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], object]]:
    """The signal handlers that the command sets. They are not installed."""
    handlers: dict[int, Callable[[], object]] = {}
    monkeypatch.setattr('gevent.signal_handler', handlers.__setitem__)
    monkeypatch.setattr(sys, 'path', sys.path.copy())
    return handlers


class Command:
    """The command in a greenlet."""

    def __init__(self, handlers: dict[int, Callable[[], object]], capsys: pytest.CaptureFixture[str]) -> None:
        self.handlers = handlers
        self.capsys = capsys
        self.greenlet: Any = None

    def start(self, *arguments: str) -> str:
        """Start the command, and return the address that it prints."""
        self.greenlet = gevent.spawn(main, ['serve', *arguments])
        wait_until(lambda: len(self.handlers) == 2 or self.greenlet.dead)
        text = self.capsys.readouterr().err
        address, versions = text.splitlines()
        assert address.startswith('Listening on ')
        assert versions == describe_versions()
        return address.removeprefix('Listening on ')

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the command a signal, and return its exit status."""
        self.handlers[number]()
        return int(self.greenlet.get(timeout=5))


@pytest.fixture
def command(handlers: dict[int, Callable[[], object]], capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command, ended after the test."""
    command = Command(handlers, capsys)
    yield command
    if command.greenlet is not None:
        command.greenlet.kill()


def echoes(sock: Any) -> bool:
    """Return whether a WebSocket at the other end echoes a message."""
    client = Client(Connected(sock)).open()  # type: ignore[arg-type]
    client.send_frame(TEXT, b'hello')
    frame = client.receive_frame()
    client.send_close()
    client.read_to_eof()
    client.close()
    settle()
    return frame == Frame(TEXT, b'hello')


def connect(url: str) -> Any:
    """Return a socket connected to an address that the command has printed."""
    host, port = url.partition('://')[2].rsplit(':', 1)
    return socket.create_connection((host.strip('[]'), int(port)), timeout=5)


class TestServe:
    """The command ``serve``."""

    @pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
    def test_serves_until_a_signal_arrives(self, command: Command, number: int) -> None:
        url = command.start(APP, '--bind', '127.0.0.1:0')
        assert url.startswith('http://127.0.0.1:')
        assert echoes(connect(url))
        assert command.stop(number) == 0
        with pytest.raises(ConnectionRefusedError):
            connect(url)

    def test_logs_requests(self, command: Command) -> None:
        echoes(connect(command.start(APP, '--bind', '127.0.0.1:0')))
        assert '"GET / HTTP/1.1" 101' in command.capsys.readouterr().out

    def test_serves_on_ipv6(self, command: Command) -> None:
        if not std_socket.has_ipv6:
            pytest.skip('this machine has no IPv6')
        url = command.start(APP, '--bind', '[::1]:0')
        assert url.startswith('http://[::1]:')
        assert echoes(connect(url))

    def test_serves_tls(self, command: Command) -> None:
        certificate = session_certificate()
        url = command.start(APP, '--bind', '127.0.0.1:0', '--certfile', certificate.certfile, '--keyfile', certificate.keyfile)
        assert url.startswith('https://')
        context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificate.authority)
        assert echoes(context.wrap_socket(connect(url), server_hostname='127.0.0.1'))

    @pytest.mark.proves('H8')
    @pytest.mark.parametrize('is_left_behind', [False, True], ids=['fresh', 'left behind'])
    def test_serves_on_a_unix_socket(self, command: Command, tmp_path: Path, is_left_behind: bool) -> None:
        path = str(tmp_path / 'socket')
        if is_left_behind:
            with std_socket.socket(std_socket.AF_UNIX) as old:
                old.bind(path)
        assert command.start(APP, '--bind', f'unix:{path}') == f'unix:{path}'
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        assert echoes(sock)

    def test_the_default_name_is_app(self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / 'an_application.py').write_text('from tests.support.apps import echo as app\n')
        monkeypatch.chdir(tmp_path)
        assert echoes(connect(command.start('an_application', '--bind', '127.0.0.1:0')))


class TestUsageError:
    """Invalid arguments end the command with status 2 and a reason."""

    def message(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        """Return the last line that is printed."""
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        return capsys.readouterr().err.splitlines()[-1].removeprefix('faye-websocket: error: ')

    @pytest.mark.parametrize(('arguments', 'message'), [
        ((), 'the following arguments are required: COMMAND'),
        (('serve', APP, '--keyfile', 'x'), '--keyfile needs --certfile'),
        (('serve', 'no_such_module:app'), "cannot import no_such_module:app: No module named 'no_such_module'"),
        (('serve', 'os:nothing'), "cannot import os:nothing: module 'os' has no attribute 'nothing'"),
        (('serve', ':app'), 'cannot import :app: Empty module name'),
        (('serve', 'os:sep'), 'os:sep is not a WSGI application'),
    ])
    def test_is_reported(
        self, handlers: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
    ) -> None:
        assert self.message(capsys, *arguments) == message

    @pytest.mark.parametrize('bind', ['127.0.0.1:99999999', 'localhost:x', 'unix:/nowhere/at/all'])
    def test_of_an_address_is_reported(self, handlers: Any, capsys: pytest.CaptureFixture[str], bind: str) -> None:
        assert self.message(capsys, 'serve', APP, '--bind', bind).startswith(f'cannot serve on {bind}: ')

    def test_of_an_address_in_use_is_reported(self, handlers: Any, capsys: pytest.CaptureFixture[str]) -> None:
        with std_socket.create_server(('127.0.0.1', 0)) as other:
            bind = f'127.0.0.1:{other.getsockname()[1]}'
            assert 'Address already in use' in self.message(capsys, 'serve', APP, '--bind', bind)

    def test_of_a_missing_certificate_is_reported(
            self, handlers: dict[int, Callable[[], object]], capsys: pytest.CaptureFixture[str]) -> None:
        message = self.message(capsys, 'serve', APP, '--bind', '127.0.0.1:0', '--certfile', '/nowhere/at/all')
        assert 'No such file or directory' in message

    def test_does_not_delete_a_file_that_is_not_a_socket(
            self, handlers: dict[int, Callable[[], object]], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        path = tmp_path / 'precious'
        path.write_text('data')
        message = self.message(capsys, 'serve', APP, '--bind', f'unix:{path}')
        assert message.startswith('cannot serve on unix:')
        assert path.read_text() == 'data'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_real_signal_ends_the_process_with_status_0(number: int) -> None:
    command = [sys.executable, '-W', 'error', '-m', 'faye_websocket', 'serve', APP, '--bind', '127.0.0.1:0']
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith('Listening on http://127.0.0.1:')
        os.kill(process.pid, number)
        assert process.wait(10) == 0
        assert process.stderr.read() == describe_versions() + '\n'
