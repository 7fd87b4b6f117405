"""Stopping a server gracefully: its sockets are closed with 1001, and it is gone soon."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import CLOSE, TEXT, Frame, RawClient, http_get, parse_frames

SOCKETS = 100

#: H10: "the worker is gone within 2 s".
GONE_WITHIN = 2.0

transports = pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers for this test alone."""
    with ExitStack() as stack:
        yield lambda kind, tls, *options: stack.enter_context(
            serve(kind, 'tests.support.apps:control', tls=tls, options=options, tmp_path=tmp_path))


@pytest.fixture
def connected() -> Iterator[Callable[[Server], list[RawClient]]]:
    """Opens sockets on a server, all at paths of their own."""
    with ExitStack() as stack:
        def connect(server: Server, number: int = SOCKETS) -> list[RawClient]:
            clients = [stack.enter_context(RawClient(server, f'/idle-{index}')) for index in range(number)]
            assert {client.handshake().status for client in clients} == {101}
            return clients

        yield connect


def assert_all_closed_with_1001(clients: list[RawClient]) -> None:
    """Each client gets one close frame with 1001, and then the end of the stream."""
    for client in clients:
        frames, rest = parse_frames(client.read_to_eof())
        assert [(frame.opcode, frame.code) for frame in frames] == [(CLOSE, 1001)]
        assert rest == b''


def assert_each_onclose_once(server: Server, clients: list[RawClient]) -> None:
    """The application has seen each of these sockets close once."""
    closed = sorted(event['path'] for event in server.events(type='close'))
    assert closed == sorted(client.path for client in clients)


def assert_nothing_reported(server: Server) -> None:
    """No traceback and no error in the error log."""
    log = server.error_log()
    assert not [word for word in ('Traceback', 'ERROR', 'WARNING', 'Exception') if word in log], log


def is_gone(pid: int) -> bool:
    """Whether a process that is not our child has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@transports
@pytest.mark.parametrize('kind', SERVERS)
class TestSigterm:
    """SIGTERM with a hundred idle sockets."""

    def test_closes_every_socket_with_1001_and_is_gone_within_2_s(
            self, kind: str, tls: bool, started: Callable[..., Server],
            connected: Callable[..., list[RawClient]]) -> None:  # H10
        server = started(kind, tls)
        clients = connected(server)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < GONE_WITHIN
        assert_all_closed_with_1001(clients)
        assert_each_onclose_once(server, clients)
        assert_nothing_reported(server)

    def test_the_access_log_has_a_line_with_101_for_each_socket(
            self, kind: str, tls: bool, started: Callable[..., Server],
            connected: Callable[..., list[RawClient]]) -> None:  # H3, H10
        server = started(kind, tls)
        clients = connected(server)
        server.stop()
        lines = [request for request in server.requests() if request[0] != '/-/ready']
        assert sorted(lines) == sorted((client.path, '101') for client in clients)

    def test_answers_a_client_that_answers(
            self, kind: str, tls: bool, started: Callable[..., Server],
            connected: Callable[..., list[RawClient]]) -> None:  # H10
        server = started(kind, tls)
        [client] = connected(server, 1)
        os.kill(server.pid, signal.SIGTERM)
        assert client.receive_frame().code == 1001
        client.send_close(1001)
        assert client.read_to_eof() == b''
        assert server.process.wait() == 0
        assert server.events(client.path, 'close')[0]['was_clean'] is True


@transports
class TestReload:
    """A worker that is replaced by another while the server stays."""

    @pytest.mark.parametrize('kind', ['gevent', 'gevent_pywsgi'])
    def test_sighup_closes_the_old_workers_sockets_with_1001(
            self, kind: str, tls: bool, started: Callable[..., Server],
            connected: Callable[..., list[RawClient]]) -> None:  # H10
        server = started(kind, tls)
        clients = connected(server)
        old = server.worker_pid()
        os.kill(server.pid, signal.SIGHUP)
        self.assert_replaced(server, old, clients)

    @pytest.mark.parametrize('kind', ['gevent'])  # gunicorn's gevent_pywsgi worker counts no requests
    def test_max_requests_closes_the_old_workers_sockets_with_1001(
            self, kind: str, tls: bool, started: Callable[..., Server],
            connected: Callable[..., list[RawClient]]) -> None:  # H10
        server = started(kind, tls, '--max-requests', '12')
        old = server.worker_pid()
        clients = connected(server, 9)
        assert not is_gone(old)
        wait_until(lambda: is_next_worker_up(server, old), 'the next worker')
        self.assert_replaced(server, old, clients)

    def assert_replaced(self, server: Server, old: int, clients: list[RawClient]) -> None:
        """The old worker has closed its sockets and is gone; the new one takes sockets."""
        assert_all_closed_with_1001(clients)
        wait_until(lambda: is_gone(old), 'the old worker gone', GONE_WITHIN)
        assert_each_onclose_once(server, clients)
        assert server.worker_pid() != old
        with RawClient(server, '/after') as client:
            client.handshake()
            client.send_frame(TEXT, b'new')
            assert client.receive_frame() == Frame(TEXT, b'new')
        assert_nothing_reported(server)


def is_next_worker_up(server: Server, old: int) -> bool:
    """Send one more request, and see whether gunicorn has booted another worker."""
    http_get(server)
    return server.worker_pid() != old
