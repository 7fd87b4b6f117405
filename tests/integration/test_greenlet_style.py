"""The greenlet style under every server: faults, endless loops and interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.programs import require_module
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import TEXT, Frame, RawClient, http_get

FORMS = {'compiled': '', 'pure': '1'}
SETTINGS = [(kind, app, form) for kind in SERVERS for app in ('plain', 'flask', 'django_app', 'handlers')
            for form in FORMS if form == 'compiled' or (kind == 'pywsgi' and app in ('plain', 'handlers'))]


class Servers:
    """The servers of this module, each started at its first use."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.running: dict[tuple[str, str, str], Server] = {}

    def get(self, kind: str, app: str, form: str) -> Server:
        """Return the server of a setting."""
        key = (kind, app, form)
        if key not in self.running:
            for module in ('flask', 'django'):
                require_module(module, 'pip install faye-websocket[test]')
            module = 'greenlet_frameworks' if app in ('flask', 'django_app') else 'greenlet_app'
            running = serve(kind, f'tests.support.{module}:{app}', tmp_path=self.directory,
                            env={'FAYE_WEBSOCKET_PURE': FORMS[form]})
            self.running[key] = self.stack.enter_context(running)
        return self.running[key]


@pytest.fixture(scope='module')
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp('greenlets'), stack)


def settings(*apps: str) -> pytest.MarkDecorator:
    """Return all settings of these applications."""
    return pytest.mark.parametrize(
        'setting', [pytest.param(each, id='-'.join(each)) for each in SETTINGS if each[1] in apps])


@settings('plain', 'flask', 'django_app')
class TestView:
    """A view that has performed the handshake and echoed a message."""

    @pytest.mark.proves('G4')
    def test_that_raises_closes_with_1011(
            self, servers: Servers, setting: tuple[str, str, str], path: str) -> None:
        server, path = servers.get(*setting), f'/raise{path}'
        http_get(server)
        descriptors, log_end = server.descriptors(), len(server.error_log())
        with RawClient(server, path) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            client.read_to_eof()
        close = server.wait_for_event(path, 'close')
        assert (close['code'], close['was_clean']) == (1011, True)
        assert [event['type'] for event in server.events(path)] == ['open', 'error', 'close']
        log = server.error_log()[log_end:]
        assert log.count('Traceback') == 1
        assert 'RuntimeError: on purpose' in log
        assert path in log
        wait_until(lambda: server.descriptors() <= descriptors, 'the descriptor is given back')

    @pytest.mark.proves('G4')
    def test_that_returns_another_response_closes_with_1011(
            self, servers: Servers, setting: tuple[str, str, str], path: str) -> None:
        server, path = servers.get(*setting), f'/answer{path}'
        http_get(server)
        descriptors, log_end = server.descriptors(), len(server.error_log())
        with RawClient(server, path) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            assert client.read_to_eof() == b''
        errors = [event for event in server.events(path) if event['type'] == 'error']
        assert [error['message'] for error in errors] == [
            'the view gave another response once the handshake was made: 200 OK']
        log = server.error_log()[log_end:]
        assert path in log
        assert 'Traceback' not in log
        wait_until(lambda: server.descriptors() <= descriptors, 'the descriptor is given back')

    def test_that_returns_the_socket_leaves_it_open(
            self, servers: Servers, setting: tuple[str, str, str], path: str) -> None:
        server = servers.get(*setting)
        log_end = len(server.error_log())
        with RawClient(server, path) as client:
            assert client.handshake().status == 101
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            wait_until(lambda: server.requests(path), 'the request is over')
            client.send_close(1000)
            assert client.receive_frame().code == 1000
        assert server.requests(path) == [(path, '101')]
        assert server.error_log()[log_end:] == ''


@pytest.mark.proves('G3')
@pytest.mark.parametrize('path', ['/never-leave', '/never-raise'])
@pytest.mark.parametrize(('kind', 'form'), [*((kind, 'compiled') for kind in SERVERS), ('pywsgi', 'pure')])
def test_a_loop_that_never_ends_stops_nothing_else(kind: str, path: str, form: str, tmp_path: Path) -> None:
    with serve(kind, 'tests.support.greenlet_app:handlers', tmp_path=tmp_path,
               env={'FAYE_WEBSOCKET_PURE': FORMS[form]}) as server:
        with RawClient(server, path) as client:
            assert client.handshake().status == 101
        server.wait_for_event(path, 'end')
        assert http_get(server)[1] == b'Hello'
        assert server.stop() == 0


@pytest.mark.proves('G6')
@settings('handlers')
@pytest.mark.parametrize('cause', ['time-out', 'be-killed'])
def test_an_interrupted_block_closes_with_1011(
        servers: Servers, setting: tuple[str, str, str], cause: str) -> None:
    server, log_end = servers.get(*setting), len(servers.get(*setting).error_log())
    with RawClient(server, f'/{cause}') as client:
        assert client.handshake().status == 101
        assert client.receive_frame().code == 1011
        client.send_close(1011)
        client.read_to_eof()
    assert server.wait_for_event(f'/{cause}', 'close')['code'] == 1011
    is_logged = cause == 'time-out'
    log = wait_until(lambda: server.error_log()[log_end:] if is_logged else 'nothing', 'the log')
    assert log.count('Traceback') == is_logged
    assert ('Timeout: 0.05 seconds' in log) == (cause == 'time-out')
