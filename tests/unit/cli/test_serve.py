"""The command ``serve``."""

from __future__ import annotations

import logging
import os
import re
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
from gevent.event import AsyncResult

from faye_websocket.__main__ import main
from faye_websocket.cli.application import import_application
from faye_websocket.cli.listener import describe_peer
from faye_websocket.cli.version import describe_versions
from tests.support.certificates import session_certificate
from tests.support.local import (
    Client,
    Connected,
    hub_errors,
    settle,
    wait_until,
)
from tests.support.processes import ROOT
from tests.support.wire import TEXT, Frame

APP = 'tests.support.apps:echo'


@pytest.fixture(autouse=True)
def patched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """The calls of ``patch_all``, which does nothing here.

    All else that the command changes in the process is restored.
    """
    calls: list[bool] = []
    monkeypatch.setattr('gevent.monkey.patch_all', lambda: calls.append(True))
    monkeypatch.setattr(sys, 'path', sys.path.copy())
    monkeypatch.setenv('FLASK_DEBUG', '0')
    monkeypatch.delenv('FLASK_DEBUG')
    logger = logging.getLogger('faye_websocket')
    level = logger.level
    yield calls
    logger.setLevel(level)


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], object]]:
    """The signal handlers that the command sets. They are not installed."""
    handlers: dict[int, Callable[[], object]] = {}
    monkeypatch.setattr('signal.signal', handlers.__setitem__)
    return handlers


def distrust(sock: Any) -> None:
    """Do as a browser does that does not trust the certificate."""
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(gevent.ssl.SSLError):
        context.wrap_socket(sock, server_hostname='127.0.0.1')


#: What a client does that fails its TLS handshake, and the reason in the log.
FAILING: dict[Callable[[Any], object], str] = {
    lambda sock: None: 'EOF', lambda sock: sock.sendall(b'GET / HTTP/1.1'): 'http request', distrust: 'unknown ca'}


class Command:
    """The command in a greenlet."""

    def __init__(self, handlers: dict[int, Callable[[], object]], capsys: pytest.CaptureFixture[str]) -> None:
        self.handlers = handlers
        self.capsys = capsys
        self.greenlet: Any = None
        self.err = ''

    def start(self, *arguments: str) -> str:
        """Start the command, and return the address that it prints."""
        self.greenlet = gevent.spawn(main, ['serve', *arguments])
        wait_until(lambda: self.has_printed(describe_versions()) or self.greenlet.dead)
        address, versions = self.err.splitlines()[-2:]
        assert address.startswith('Listening on ')
        assert versions == describe_versions()
        return address.removeprefix('Listening on ')

    def has_printed(self, text: str) -> bool:
        """Return whether standard error has this text."""
        self.err += self.capsys.readouterr().err
        return text in self.err

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

    @pytest.mark.parametrize('app', ['an_application', 'an_application:Names.app', 'an_application:make()'])
    def test_the_application_has_a_name_or_is_made(
            self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str) -> None:
        (tmp_path / 'an_application.py').write_text(
            'from tests.support.apps import echo as app\nclass Names:\n    app = app\ndef make():\n    return app\n')
        monkeypatch.chdir(tmp_path)
        assert echoes(connect(command.start(app, '--bind', '127.0.0.1:0')))

    @pytest.mark.proves('V2')
    @pytest.mark.parametrize('option', [(), ('--no-patch',)])
    def test_patches_before_the_import_unless_told_not_to(
            self, command: Command, patched: list[bool], module: Callable[[str], None], option: tuple[str, ...]) -> None:
        module('from gevent import monkey\nmonkey.patch_all()\nfrom tests.support.apps import echo as app\n')
        command.start('a_module', '--bind', '127.0.0.1:0', *option)
        assert len(patched) == (1 if option else 2)

    @pytest.mark.proves('V2')
    def test_a_tls_handshake_that_fails_is_one_line_of_the_log(
            self, command: Command, caplog: pytest.LogCaptureFixture) -> None:
        mine = session_certificate()
        url = command.start(APP, '--bind', '127.0.0.1:0', '--certfile', mine.certfile, '--keyfile', mine.keyfile)
        caplog.set_level(logging.INFO, 'faye_websocket')
        seen: list[str] = []
        with hub_errors() as errors:
            for act, reason in FAILING.items():
                with connect(url) as sock:
                    peer = '%s:%d' % sock.getsockname()
                    act(sock)
                wait_until(lambda seen=seen: len(caplog.messages) > len(seen))
                seen.append(caplog.messages[-1])
                assert re.fullmatch(f'failed TLS handshake from {peer}: .*{reason}.*', seen[-1])
        assert (errors.getvalue(), caplog.messages) == ('', seen)

    def test_a_port_alone_is_of_this_machine_only(self, command: Command) -> None:
        with std_socket.create_server(('127.0.0.1', 0)) as other:
            port = other.getsockname()[1]
        assert command.start(APP, '--bind', str(port), '--backlog', '5') == f'http://127.0.0.1:{port}'

    def test_logs_no_requests_if_told_not_to(self, command: Command) -> None:
        echoes(connect(command.start(APP, '--bind', '127.0.0.1:0', '--no-access-log')))
        assert command.capsys.readouterr().out == ''

    @pytest.mark.parametrize(('options', 'level'), [
        ((), logging.INFO), (('--debug',), logging.DEBUG), (('--debug', '--log-level', 'error'), logging.ERROR)])
    def test_sets_the_level_of_the_log(self, command: Command, options: tuple[str, ...], level: int) -> None:
        command.start(APP, '--bind', '127.0.0.1:0', *options)
        assert logging.getLogger('faye_websocket').level == level

    def test_looks_for_a_signal_again_and_again(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        looks: list[None] = []

        class Result(AsyncResult):
            def wait(self, timeout: float | None = None) -> Any:
                looks.append(None)
                return super().wait(0.01 if timeout == 0.5 else None)

        monkeypatch.setattr('faye_websocket.cli.serve.AsyncResult', Result)
        command.start(APP, '--bind', '127.0.0.1:0')
        wait_until(lambda: looks[2:])
        assert command.stop() == 0

    def test_a_second_signal_ends_the_process_at_once(
            self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        command.start(APP, '--bind', '127.0.0.1:0')
        ends: list[int] = []
        monkeypatch.setattr(os, '_exit', ends.append)
        command.handlers[signal.SIGINT]()
        command.handlers[signal.SIGINT]()
        assert ends == [1]

    def test_a_signal_during_the_import_ends_the_command_with_status_0(
            self, command: Command, module: Callable[[str], None]) -> None:
        module('import signal\nsignal.HANDLERS[signal.SIGTERM]()\n')
        command.handlers.clear()
        signal.HANDLERS = command.handlers  # type: ignore[attr-defined]
        with pytest.raises(SystemExit) as ended:
            main(['serve', 'a_module'])
        del signal.HANDLERS  # type: ignore[attr-defined]
        assert ended.value.code == 0


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A function that writes `a_module`, which is imported once more by each test."""
    monkeypatch.chdir(tmp_path)
    yield lambda text: void((tmp_path / 'a_module.py').write_text(text))
    sys.modules.pop('a_module', None)


def void(value: object) -> None:
    """Return nothing."""


def get(url: str) -> str:
    """Return the response to a request for a page."""
    with connect(url) as sock:
        sock.sendall(b'GET / HTTP/1.0\r\n\r\n')
        return ''.join(iter(lambda: sock.recv(65536).decode(), ''))


@pytest.mark.parametrize(('address', 'name'), [
    (('127.0.0.1', 80), '127.0.0.1:80'), (('::1', 80, 0, 0), '[::1]:80'), ('', 'unix')])
def test_a_peer_has_a_name_in_the_log(address: Any, name: str) -> None:
    assert describe_peer(address) == name


class TestFault:
    """A module that cannot be imported."""

    @pytest.mark.proves('V2')
    def test_is_shown_whole_and_ends_the_command(
            self, capsys: pytest.CaptureFixture[str], handlers: Any, module: Callable[[str], None]) -> None:
        module('def fail():\n    import there_is_none\n\nfail()\n')
        with pytest.raises(SystemExit) as ended:
            main(['serve', 'a_module'])
        assert ended.value.code == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == 'Traceback (most recent call last):'
        assert 'a_module.py", line 4, in <module>' in lines[1]
        # From Python 3.13 on there is a line of marks between the two.
        assert any('a_module.py", line 2, in fail' in line for line in lines[3:5])
        assert lines[-1] == "ModuleNotFoundError: No module named 'there_is_none'"

    @pytest.mark.proves('V2')
    def test_waits_for_a_change_and_is_shown_to_clients(
            self, command: Command, module: Callable[[str], None], starts: list[tuple[str, int]]) -> None:
        module('1 / 0\n')
        url = command.start('a_module', '--bind', '127.0.0.1:0', '--reload')
        assert 'ZeroDivisionError: division by zero\nThe application cannot be imported: waiting for a change\n' in command.err
        assert '500 Internal Server Error' in get(url)
        assert get(url).endswith('ZeroDivisionError: division by zero\n')
        module('from tests.support.apps import echo as app\n')
        wait_until(lambda: starts)

    @pytest.mark.parametrize('error', ['ValueError', 'TypeError'])
    def test_is_no_wrong_name_whatever_is_raised(
            self, capsys: pytest.CaptureFixture[str], handlers: Any, module: Callable[[str], None], error: str) -> None:
        module(f'raise {error}("mine")\n')
        with pytest.raises(SystemExit) as ended:
            main(['serve', 'a_module'])
        assert ended.value.code == 1
        assert capsys.readouterr().err.endswith(f'{error}: mine\n')

    def test_in_a_factory_has_its_traceback(
            self, capsys: pytest.CaptureFixture[str], handlers: Any, module: Callable[[str], None]) -> None:
        module('def make():\n    raise TypeError("mine")\n')
        with pytest.raises(SystemExit) as ended:
            main(['serve', 'a_module:make()'])
        assert ended.value.code == 1
        err = capsys.readouterr().err
        assert 'line 2, in make\n' in err and err.endswith('TypeError: mine\n')

    @pytest.mark.parametrize('options', [[], ['--reload']], ids=['', 'reload'])
    def test_by_an_exit_at_the_start_ends_the_command(
            self, handlers: Any, module: Callable[[str], None], options: list[str]) -> None:
        module('raise SystemExit("missing DATABASE_URL")\n')
        with pytest.raises(SystemExit, match='missing DATABASE_URL'):
            main(['serve', 'a_module', *options])

    def test_by_an_exit_waits_for_a_change_in_a_successor(
            self, command: Command, module: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
        module('raise SystemExit("missing DATABASE_URL")\n')
        listener = std_socket.create_server(('127.0.0.1', 0))
        monkeypatch.setenv('FAYE_WEBSOCKET_LISTENER', str(os.dup(listener.fileno())))
        with listener:
            url = command.start('a_module', '--reload')
        assert 'SystemExit: missing DATABASE_URL\nThe application cannot be imported: waiting' in command.err
        assert get(url).endswith('SystemExit: missing DATABASE_URL\n')

    def test_of_a_name_waits_in_a_successor(
            self, command: Command, module: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
        listener = std_socket.create_server(('127.0.0.1', 0))
        monkeypatch.setenv('FAYE_WEBSOCKET_LISTENER', str(os.dup(listener.fileno())))
        with listener:
            assert command.start('a_module', '--reload') == f'http://127.0.0.1:{listener.getsockname()[1]}'
        assert command.err.startswith("cannot import a_module: No module named 'a_module'\n")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that successors would have, which are not started."""
    found: list[tuple[str, int]] = []
    monkeypatch.setattr(
        'faye_websocket.cli.reload.Successor.start', lambda self, listener: found.append(listener.getsockname()))
    return found


@pytest.mark.proves('V2')
def test_a_change_closes_sockets_with_1012_and_starts_a_successor(
        command: Command, module: Callable[[str], None], starts: list[tuple[str, int]]) -> None:
    module('from tests.support.apps import echo as app\n')
    url = command.start('a_module', '--bind', '127.0.0.1:0', '--reload')
    client = Client(Connected(connect(url))).open()  # type: ignore[arg-type]
    module('from tests.support.apps import echo as app  # changed\n')
    assert client.receive_frame().payload == b'\x03\xf4'
    client.send_close(1012)
    client.read_to_eof()
    client.close()
    assert command.greenlet.get(timeout=5) == 0
    assert [f'http://127.0.0.1:{port}' for _, port in starts] == [url]
    assert 'a_module.py has changed: restarting\n' in command.capsys.readouterr().err


class TestDebug:
    """The option ``--debug``."""

    def test_shows_a_fault_in_the_debugger_of_werkzeug(
            self, command: Command, module: Callable[[str], None]) -> None:
        module('def app(environ, start_response):\n    raise ValueError("a fault")\n')
        url = command.start('a_module', '--bind', '127.0.0.1:0', '--debug')
        assert "Werkzeug's debugger has the PIN " in command.err
        assert 'ValueError: a fault\n // Werkzeug Debugger' in get(url)

    @pytest.mark.proves('V2')
    def test_websockets_pass_the_debugger(self, command: Command) -> None:
        assert echoes(connect(command.start(APP, '--bind', '127.0.0.1:0', '--debug')))

    def test_works_without_werkzeug(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, 'werkzeug.debug', None)
        assert echoes(connect(command.start(APP, '--bind', '127.0.0.1:0', '--debug')))
        assert command.err.startswith('No debugger: Werkzeug is not installed\n')

    def test_is_for_flask_too(self, command: Command) -> None:
        command.start(APP, '--bind', '127.0.0.1:0', '--debug')
        assert os.environ['FLASK_DEBUG'] == '1'


def a_factory() -> Any:
    """Return an application."""


def a_factory_of(config: str) -> Any:
    """Return an application."""


def a_factory_with_options(config: str = '', debug: bool = False) -> Any:
    """Return an application."""


HINT = (f'{__name__}:a_factory is not a WSGI application, which is called with environ and start_response.'
        f" If it returns one, write '{__name__}:a_factory()'")


@pytest.mark.parametrize('app', [
    lambda environ, start_response: [], lambda *arguments: [], lambda environ, start_response, log=None: [],
    # Its signature is not known.
    type('', (), {'__signature__': 'unknown', '__call__': lambda *arguments: []})()])
def test_whatever_a_server_can_call_is_an_application(monkeypatch: pytest.MonkeyPatch, app: Any) -> None:
    monkeypatch.setattr(sys.modules[__name__], 'an_app', app, raising=False)
    assert import_application(f'{__name__}:an_app') is app


class TestUsageError:
    """Invalid arguments end the command with status 2 and a reason."""

    def message(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        """Return the last line that is printed."""
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        return capsys.readouterr().err.splitlines()[-1].partition(': error: ')[2]

    @pytest.mark.parametrize(('arguments', 'message'), [
        ((), 'the following arguments are required: COMMAND'),
        (('serve', APP, '--keyfile', 'x'), '--keyfile needs --certfile'),
        (('serve', 'no_such_module:app'), "cannot import no_such_module:app: No module named 'no_such_module'"),
        (('serve', 'os:nothing'), "cannot import os:nothing: module 'os' has no attribute 'nothing'"),
        *[(('serve', name), f'cannot import {name or repr(name)}: expected MODULE:APP, such as hello:app')
          for name in (':app', '.app', '')],
        (('serve', f'{__name__}:a_factory_of()'), f"cannot call {__name__}:a_factory_of(): TypeError: a_factory_of() missing 1"
         " required positional argument: 'config'"),
        (('serve', f'{APP}()'), f"cannot call {APP}(): TypeError: echo_with.<locals>.app() missing 2 required positional"
         f" arguments: 'environ' and 'start_response'. If {APP} is the application, write '{APP}'"),
        (('serve', APP, '--bind', '::1:9393'), 'cannot serve on ::1:9393: expected HOST:PORT, PORT or unix:PATH, with an IPv6'
         ' address in brackets, such as [::1]:9393'),
        (('serve', APP, '--bind', 'http://127.0.0.1:80'),
         'cannot serve on http://127.0.0.1:80: expected HOST:PORT, PORT or unix:PATH, not a URL'),
        (('serve', APP, '--bind', 'unix:/'), 'cannot serve on unix:/: the path is that of a directory or file, and no socket'),
        *[(('serve', APP, '--backlog', number),
           f'argument --backlog: expected a whole number from 1 to 2147483647, got {number!r}')
          for number in ('0', '-1', '2147483648', '9' * 20)],
        *[(('serve', name), f'cannot import {name}: expected the name of a module, such as a.b, not that of a file')
          for name in ('a/b:app', './a/b.py', 'a.b.py:app')],
        (('serve', APP, '--bind', 'localhost'), 'cannot serve on localhost: expected HOST:PORT, PORT or unix:PATH'),
        (('serve', 'os:sep'), 'os:sep is not a WSGI application'),
        (('serve', 'os:sep()'), 'os:sep() is not a WSGI application'),
        (('serve', f'{__name__}:a_factory'), HINT),
        (('serve', f'{__name__}:a_factory_with_options'), HINT.replace('a_factory', 'a_factory_with_options')),
        (('serve', APP, '--unknown'), 'unrecognized arguments: --unknown'),
    ])
    def test_is_reported(
        self, handlers: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
    ) -> None:
        assert self.message(capsys, *arguments) == message

    def test_shows_the_usage_of_its_command(self, handlers: Any, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (['serve', 'os:sep'], ['serve', APP, '--unknown'], ['connect', 'http://x/']):
            with pytest.raises(SystemExit):
                main(arguments)
            lines = capsys.readouterr().err.splitlines()
            assert lines[0].startswith(f'usage: faye-websocket {arguments[0]} [-h] ')
            assert lines[-1].startswith(f'faye-websocket {arguments[0]}: error: ')

    @pytest.mark.parametrize('bind', ['127.0.0.1:99999999', 'localhost:x', 'unix:/nowhere/at/all', 'unix:'])
    def test_of_an_address_is_reported(self, handlers: Any, capsys: pytest.CaptureFixture[str], bind: str) -> None:
        assert self.message(capsys, 'serve', APP, '--bind', bind).startswith(f'cannot serve on {bind}: ')

    def test_of_an_address_in_use_is_reported(self, handlers: Any, capsys: pytest.CaptureFixture[str]) -> None:
        with std_socket.create_server(('127.0.0.1', 0)) as other:
            bind = f'127.0.0.1:{other.getsockname()[1]}'
            assert 'Address already in use' in self.message(capsys, 'serve', APP, '--bind', bind)

    def test_of_a_path_in_use_is_reported(
            self, handlers: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        path = str(tmp_path / 'socket')
        with std_socket.socket(std_socket.AF_UNIX) as other:
            other.bind(path)
            other.listen()
            assert 'Address already in use' in self.message(capsys, 'serve', APP, '--bind', f'unix:{path}')
            with std_socket.socket(std_socket.AF_UNIX) as client:
                client.connect(path)

    def test_of_a_missing_certificate_is_reported(
            self, handlers: dict[int, Callable[[], object]], capsys: pytest.CaptureFixture[str]) -> None:
        message = self.message(capsys, 'serve', APP, '--bind', '127.0.0.1:0', '--certfile', '/nowhere/at/all')
        assert message == "cannot serve TLS: [Errno 2] No such file or directory: '/nowhere/at/all'"

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
