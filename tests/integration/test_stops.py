"""Graceful stops with sockets in greenlet style, and beside unfinished requests.

`test_shutdown` has the sockets in callback style with no other connections.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.test_shutdown import GONE_WITHIN, max_requests, sighup, sigterm
from tests.support.servers import READY_PATH, SERVERS, Server, serve
from tests.support.waiting import until_in_time, wait_until
from tests.support.wire import CLOSE, TEXT, Frame, RawClient, http_get, request_head

APP = 'tests.support.stop_app:app'
STYLES = ['/view', '/handler']
FORMS = pytest.mark.parametrize('pure', ['', '1'], ids=['compiled', 'pure'])
PLAIN = [('Host', 'example.com')]

#: Seconds until a socket receives 1001: gunicorn checks once a second whether to stop.
TOLD_WITHIN = 2.0


def in_worker(end: Callable[[Server], None]) -> list[str]:
    """Return the servers that end in this way."""
    return ['gevent'] if end is max_requests else ['gevent', 'gevent_pywsgi']


def options_for(end: Callable[[Server], None], kind: str) -> tuple[str, ...]:
    """Return the command line options."""
    if kind not in ('gevent', 'gevent_pywsgi'):
        return ('10',) if kind == 'pool' else ()
    return ('--keep-alive', '30', '--graceful-timeout', '5', *(('--max-requests', '8') if end is max_requests else ()))


# ---- connections beside a socket

def idle(server: Server, stack: ExitStack, path: str = '/kept') -> RawClient:
    """Return a kept-alive connection."""
    client = stack.enter_context(RawClient(server, path))
    client.send(request_head('/idle', PLAIN))
    assert client.receive_head().status == 200
    assert client.receive(5) == b'Hello'
    return client


def silent(server: Server, stack: ExitStack) -> RawClient:
    """Return a connection on which nothing was sent yet."""
    return stack.enter_context(RawClient(server, '/silent'))


def slow(server: Server, stack: ExitStack) -> RawClient:
    """Return a connection whose request is in progress."""
    client = stack.enter_context(RawClient(server))
    client.send(request_head('/slow', [*PLAIN, ('Connection', 'close')]))
    server.wait_for_event('/slow', 'begun')
    return client


ENDS = [*[(sigterm, kind) for kind in ('gevent', 'gevent_pywsgi', 'pool')],
        *[(end, kind) for end in (sighup, max_requests) for kind in in_worker(end)]]

each_end = pytest.mark.parametrize('end, kind', [pytest.param(*each, id=f'{each[0].__name__}-{each[1]}') for each in ENDS])


class TestBeside:
    """A socket in callback style, beside a connection that delays the stop."""

    @pytest.mark.proves('H10', 'G5')
    @each_end
    @pytest.mark.parametrize('beside', [idle, silent, slow])
    def test_the_socket_is_closed_when_the_stop_begins(
            self, end: Callable[[Server], None], kind: str, beside: Callable[[Server, ExitStack], RawClient],
            tmp_path: Path) -> None:
        def measure() -> float:
            with serve(kind, APP, options=options_for(end, kind), tmp_path=tmp_path) as server, ExitStack() as stack:
                socket = stack.enter_context(RawClient(server, '/socket'))
                assert socket.handshake().status == 101
                other = beside(server, stack)
                began = time.monotonic()
                end(server)
                assert socket.receive_frame().code == 1001
                seconds = time.monotonic() - began
                socket.send_close(1001)
                assert socket.read_to_eof() == b''
                assert server.wait_for_event('/socket', 'close')['was_clean']
                if beside is slow:
                    assert other.receive_head().status == 200
                    assert other.receive(5) == b'Hello'
                return seconds

        assert until_in_time(measure, lambda seconds: seconds < TOLD_WITHIN) < TOLD_WITHIN

    @pytest.mark.proves('H10', 'S2')
    @pytest.mark.parametrize('path', ['/kept', *STYLES])
    @pytest.mark.parametrize('kind', ['gevent', 'gevent_pywsgi', 'pool'])
    def test_a_handshake_after_that_is_refused(self, kind: str, path: str, tmp_path: Path) -> None:
        with serve(kind, APP, options=options_for(sigterm, kind), tmp_path=tmp_path) as server, ExitStack() as stack:
            socket = stack.enter_context(RawClient(server, '/socket'))
            socket.handshake()
            kept = idle(server, stack, path)
            slow(server, stack)
            os.kill(server.pid, 15)
            assert socket.receive_frame().code == 1001
            head = kept.handshake()
            assert (head.status, head.get('Connection')) == (503, 'close')
            assert kept.read_to_eof() == b'the server is shutting down\n'


@pytest.mark.proves('O3')
@pytest.mark.parametrize('kind', SERVERS)
@FORMS
def test_the_server_continues_after_close_all_in_a_handler(kind: str, pure: str, tmp_path: Path) -> None:
    with serve(kind, APP, env={'FAYE_WEBSOCKET_PURE': pure}, tmp_path=tmp_path) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server, path)) for path in ('/close_all', '/socket', '/view', '/handler')]
        for client in clients:
            assert client.handshake().status == 101
        clients[0].send_frame(TEXT, b'hello')
        for client in clients:
            assert client.receive_frame().code == 1001
            client.send_close(1001)
        server.wait_for_event('/close_all', 'returned')
        server.wait_for_event('/close_all', 'close')
        with RawClient(server, '/later') as client:
            assert client.handshake().status == 101


class TestGreenletStyle:
    """Sockets whose greenlet is in `receive` when their server stops."""

    @pytest.mark.proves('G5')
    @pytest.mark.parametrize('answering', [True, False], ids=['answering', 'silent'])
    @pytest.mark.parametrize('path', STYLES)
    @pytest.mark.parametrize('kind', [*SERVERS, 'pool'])
    @FORMS
    def test_sigterm_closes_with_1001_and_lets_their_greenlets_end(
            self, pure: str, kind: str, path: str, answering: bool, tmp_path: Path) -> None:
        def measure() -> float:
            with serve(kind, APP, options=('10',) if kind == 'pool' else (), env={'FAYE_WEBSOCKET_PURE': pure},
                       tmp_path=tmp_path) as server:
                worker = server.worker_pid()
                with RawClient(server, path) as client:
                    assert client.handshake().status == 101
                    client.send_frame(TEXT, b'hello')
                    assert client.receive_frame() == Frame(TEXT, b'hello')
                    began = time.monotonic()
                    os.kill(server.pid, 15)
                    assert client.receive_frame().code == 1001
                    if answering:
                        client.send_close(1001)
                    wait_until(lambda: server.is_gone(worker), 'the worker gone')
                    seconds = time.monotonic() - began
                    assert [event['pid'] for event in server.events(path, 'done')] == [worker]
                    assert server.process.wait() == 0
                assert server.requests(path) == [(path, '101')]
                assert not [word for word in ('Traceback', 'ERROR', 'WARNING') if word in server.error_log()]
                return seconds

        assert until_in_time(measure, lambda seconds: seconds < GONE_WITHIN) < GONE_WITHIN

    @pytest.mark.proves('G5')
    @pytest.mark.parametrize('path', STYLES)
    @pytest.mark.parametrize('end, kind', [(end, kind) for end in (sighup, max_requests) for kind in in_worker(end)])
    def test_pages_are_served_while_the_worker_is_replaced(
            self, end: Callable[[Server], None], kind: str, path: str, tmp_path: Path) -> None:
        def measure() -> float:
            with serve(kind, APP, options=options_for(end, kind), tmp_path=tmp_path) as server:
                old = server.worker_pid()
                with RawClient(server, path) as client:
                    assert client.handshake().status == 101
                    began = time.monotonic()
                    end(server)
                    assert client.receive_frame().code == 1001
                    seconds = 0.0
                    while not seconds:
                        assert http_get(server, READY_PATH)[0].status == 200
                        seconds = time.monotonic() - began if server.is_gone(old) else 0.0
                assert [event['pid'] for event in server.events(path, 'done')] == [old]
                return seconds

        assert until_in_time(measure, lambda seconds: seconds < GONE_WITHIN) < GONE_WITHIN

    @pytest.mark.proves('G5')
    @pytest.mark.parametrize('path', STYLES)
    @pytest.mark.parametrize('kind', ['gevent', 'gevent_pywsgi', 'pool'])
    def test_they_do_not_count_as_requests(self, kind: str, path: str, tmp_path: Path) -> None:
        options = ('2',) if kind == 'pool' else ('--worker-connections', '2')
        with serve(kind, APP, options=options, tmp_path=tmp_path) as server, ExitStack() as stack:
            clients = [stack.enter_context(RawClient(server, f'{path}' if path == '/handler' else f'{path}/{number}'))
                       for number in range(5)]
            for client in clients:
                assert client.handshake().status == 101
            for client in clients:
                client.send_frame(TEXT, b'hello')
                assert client.receive_frame() == Frame(TEXT, b'hello')
            for _ in range(3):
                assert http_get(server)[0].status == 200
            # There are exactly two places: a place is not given back twice.
            for client in clients:
                client.send_close()
                assert client.receive_frame().opcode == CLOSE
            wait_until(lambda: len(server.events(type='done')) == 5, 'the greenlets at their end')
            requests = [slow(server, stack) for _ in range(2)]
            began = time.monotonic()
            assert http_get(server)[0].status == 200
            assert time.monotonic() - began > 0.5
            assert [request.receive_head().status for request in requests] == [200, 200]
