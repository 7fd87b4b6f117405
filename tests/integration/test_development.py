"""Development servers, which give each request a thread: patched or not, for real."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.development import (
    COMMANDS,
    TRACEBACK,
    DevelopmentServer,
    develop,
    wait_for_reload,
)
from tests.support.waiting import until_in_time, wait_until
from tests.support.wire import CLOSE, TEXT, Frame, RawClient, http_get

RELOADING = ['flask debug', 'runserver reload']
VARIANTS = [(kind, patched) for kind in COMMANDS for patched in (False, True)]
pytestmark = pytest.mark.proves('V1')
variants = pytest.mark.parametrize(
    ('kind', 'patched'), VARIANTS, ids=[f'{kind}{" patched" * patched}' for kind, patched in VARIANTS])


def opened(server: DevelopmentServer, path: str) -> RawClient:
    """Return a client after its handshake."""
    client = RawClient(server, path)
    head = client.handshake()
    assert head.status == 101, server.log()
    return client


def echo(client: RawClient, payload: bytes = b'hello') -> None:
    """Send a message, and receive it."""
    client.send_frame(TEXT, payload)
    assert client.receive_frame() == Frame(TEXT, payload)


def finish(client: RawClient) -> None:
    """Close, and read to the end."""
    client.send_close()
    assert client.receive_frame().code == 1000
    assert client.read_to_eof() == b''
    client.close()


@variants
def test_serves_sockets_pages_and_event_sources_side_by_side(kind: str, patched: bool, tmp_path: Path) -> None:
    with develop(kind, tmp_path, patched=patched) as server, ExitStack() as stack:
        clients = [stack.enter_context(opened(server, path)) for path in ['/echo', '/greenlet', '/handled'] * 7]
        for number, client in enumerate(clients):
            echo(client, str(number).encode())
        assert http_get(server)[1] == b'a page'
        with RawClient(server, '/events', [('Accept', 'text/event-stream')]) as events:
            assert events.handshake().status == 200
            wait_until(lambda: b'data: hello' in events.receive(1) + events._unread, 'an event')
        # The threads of others send, and close.
        wait_until(lambda: http_get(server, '/broadcast')[1] == b'7', 'seven sockets')
        for client in clients[::3]:
            assert client.receive_frame() == Frame(TEXT, b'news')
        finish(clients[0])
        finish(clients[1])
        finish(clients[2])
        wait_until(lambda: '/handled' in server.ends(), 'the end of a handler')
        for client in clients[3:]:
            client.send_close()
        assert http_get(server, '/close-all')[1] == b'closed'
        for client in clients[3:]:
            assert client.receive_frame().code in (1000, 1001)
            assert client.read_to_eof() == b''
        assert not TRACEBACK.search(server.log()), server.log()


@variants
def test_contains_the_fault_of_a_view(kind: str, patched: bool, tmp_path: Path) -> None:
    with develop(kind, tmp_path, patched=patched) as server:
        with RawClient(server, '/fault') as client:
            assert client.handshake().status == 500
        with opened(server, '/late-fault') as client:
            echo(client)
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            assert client.read_to_eof() == b''
        with opened(server, '/handler-fault') as client:
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            assert client.read_to_eof() == b''
        with RawClient(server, '/replaced') as client:
            head = client.handshake()
            assert head.status == 200
            wait_until(lambda: b'another answer' in client.receive(1) + client._unread, 'the answer')
        assert server.wait_for_event('/replaced', 'close')['code'] == 1006
        assert server.log().count('RuntimeError: a fault') >= 2


@variants
def test_has_its_descriptors_back_after_200_sockets(kind: str, patched: bool, tmp_path: Path) -> None:
    with develop(kind, tmp_path, patched=patched) as server:
        run_sockets(server, 20)
        before = server.count_descriptors()
        run_sockets(server, 200)
        # Of the threads that have only raised, the last one has left its hub behind,
        # and so has each of those that gunicorn keeps.
        left_behind = 32 if kind == 'gthread' else 1
        wait_until(lambda: server.count_descriptors() <= before + 3 * left_behind + 2, 'descriptors')


def run_sockets(server: DevelopmentServer, count: int) -> None:
    """Open and close sockets, twenty at a time."""
    for _ in range(count // 20):
        clients = [RawClient(server, path) for path in ['/echo', '/greenlet', '/handled', '/fault', '/replaced'] * 4]
        for client in clients:
            client.handshake()
        for client in clients:
            if client.path in ('/fault', '/replaced'):
                client.close()
            else:
                finish(client)


@pytest.mark.parametrize(('kind', 'patched'), [*[('flask', each) for each in (False, True)],
                                               *[('runserver', each) for each in (False, True)], ('gthread', True)])
def test_closes_with_1001_when_it_is_stopped(kind: str, patched: bool, tmp_path: Path) -> None:
    with develop(kind, tmp_path, patched=patched) as server, ExitStack() as stack:
        # In greenlet style gunicorn waits for the view until it kills the worker.
        paths = ['/echo'] if kind == 'gthread' else ['/echo', '/greenlet']
        clients = [stack.enter_context(opened(server, path)) for path in paths]
        for client in clients:
            echo(client)
        server.interrupt()
        for client in clients:
            frame = client.receive_frame()
            assert (frame.opcode, frame.code) == (CLOSE, 1001)
            client.send_close(1001)
            assert client.read_to_eof() == b''
        server.process.wait()
        assert not TRACEBACK.search(server.log()), server.log()
        assert server.ends() == paths[1:]


@pytest.mark.parametrize(('patched', 'options'), [(True, []), (False, ['--without-threads'])], ids=['patched', 'alone'])
def test_a_handler_that_ctrl_c_hits_is_no_traceback(patched: bool, options: list[str], tmp_path: Path) -> None:
    with develop('flask', tmp_path, patched=patched, options=options) as server, ExitStack() as stack:
        others = [stack.enter_context(opened(server, '/echo'))] if patched else []
        with opened(server, '/busy') as client:
            client.send_frame(TEXT, b'begin')
            wait_until(lambda: '/busy' in server.ends(), 'the handler')
            server.process.popen.send_signal(signal.SIGINT)
            for each, code in [(client, 1011), *[(other, 1001) for other in others]]:
                assert each.receive_frame().code == code
                each.send_close(code)
        server.process.wait()
        assert not re.search('Traceback|KeyboardInterrupt', server.log()), server.log()


@pytest.mark.parametrize(('kind', 'patched'), [
    *[(kind, patched) for kind in RELOADING for patched in (False, True)], ('gthread', False)])
def test_ends_where_the_parent_gives_it_no_time(kind: str, patched: bool, tmp_path: Path) -> None:
    with develop(kind, tmp_path, patched=patched) as server, opened(server, '/echo') as client:
        echo(client)
        server.interrupt()
        client.read_to_eof()
        server.process.wait()
        assert not TRACEBACK.search(server.log()), server.log()


def change_and_receive(server: DevelopmentServer, client: RawClient) -> Frame | None:
    """Change a file, and return the frame that a socket gets, or None if it is late."""
    server.change()
    with suppress(AssertionError):
        return client.receive_frame()
    return None


@pytest.mark.parametrize('patched', [False, True], ids=['', 'patched'])
@pytest.mark.parametrize('kind', RELOADING)
def test_closes_with_1001_and_goes_on_when_a_file_changes(kind: str, patched: bool, tmp_path: Path) -> None:
    with develop(kind, tmp_path, patched=patched) as server, opened(server, '/echo') as client:
        echo(client)
        pid = http_get(server, '/pid')[1]
        # Django's reloader takes a change before its first look for how the file was.
        frame = until_in_time(lambda: change_and_receive(server, client), bool)
        assert frame is not None
        assert frame.code == 1001
        client.send_close(1001)
        assert client.read_to_eof() == b''
        wait_for_reload(server, pid)
        with opened(server, '/echo') as another:
            echo(another)
        assert not TRACEBACK.search(server.log()), server.log()


@pytest.mark.parametrize(('kind', 'option'), [('flask', '--without-threads'), ('runserver', '--nothreading')])
def test_warns_where_there_is_one_thread(kind: str, option: str, tmp_path: Path) -> None:
    with develop(kind, tmp_path, options=[option]) as server, opened(server, '/echo') as client:
        echo(client)
        with pytest.raises((AssertionError, EOFError)), RawClient(server, deadline=0.5) as other:
            other.handshake()
        finish(client)
        assert http_get(server)[1] == b'a page'
        assert 'faye_websocket.server WARNING this server has one thread' in server.log()
