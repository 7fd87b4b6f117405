"""All open sockets of a process, and closing them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import gevent
import pytest

from faye_websocket import WebSocket, close_all
from faye_websocket.registry import Registry
from faye_websocket.registry import registry as the_registry
from tests.support.local import Record, joined, run_threads, serve, wait_until
from tests.support.processes import ROOT


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry without the sockets of earlier tests."""
    for name, value in vars(Registry()).items():
        monkeypatch.setattr(the_registry, name, value)
    return the_registry


class TestRegistry:
    """Which sockets are in it."""

    def test_holds_a_socket_from_its_handshake_until_its_onclose_is_done(self, registry: Registry) -> None:
        with joined() as pair:
            sizes: list[int] = []
            pair.ws.onclose = lambda event: sizes.append(len(registry))
            assert len(registry) == 0
            _, client = pair.open()
            assert len(registry) == 1
            client.close()
            wait_until(lambda: len(registry) == 0)
            assert sizes == [1]

    def test_holds_no_socket_that_was_refused(self, registry: Registry) -> None:
        with joined([]) as pair:
            pair.start_refused()
            assert len(registry) == 0

    def test_holds_no_socket_whose_onclose_was_killed(self, registry: Registry) -> None:  # L2
        def handle(event: object) -> None:
            raise gevent.GreenletExit

        with joined() as pair:
            pair.ws.onclose = handle
            _, client = pair.open()
            client.close()
            wait_until(lambda: len(registry) == 0, 'the socket gone', 1)


class TestCloseAll:
    """close_all."""

    def test_closes_every_socket_with_1001_and_returns_when_they_are_gone(self) -> None:
        with serve() as server:
            clients = [server.open() for _ in range(3)]
            closing = gevent.spawn(close_all, reason='restart')
            for client in clients:
                frame = client.receive_frame()
                assert (frame.code, frame.reason) == (1001, 'restart')
                assert not closing.dead
                client.send_close(1001)
            closing.get(timeout=5)
            assert all(record.ws.ready_state == WebSocket.CLOSED for record in server.records)
            assert all(record.the_close().was_clean for record in server.records)

    def test_refuses_newcomers_with_503_meanwhile(self) -> None:  # S2
        with serve() as server:
            client = server.open()
            closing = gevent.spawn(close_all, 3000)
            assert client.receive_frame().code == 3000
            newcomer = server.client()
            head = newcomer.handshake()
            assert (head.status, head.get('Connection')) == (503, 'close')
            assert newcomer.read_to_eof() == b'the server is shutting down\n'
            client.send_close(3000)
            closing.get(timeout=5)
            server.open()

    def test_closes_those_whose_handshake_it_overtook(self) -> None:
        with joined() as early, joined() as late:
            _, client = early.open()
            record = Record(late.ws)
            closing = gevent.spawn(close_all)
            client.send_close(client.receive_frame().code or 0)
            late.start()
            late.client.close()
            closing.get(timeout=5)
            assert record.the_close()

    def test_returns_after_its_timeout(self, registry: Registry) -> None:
        with joined() as pair:
            pair.open()
            began = time.monotonic()
            close_all(timeout=0.05)
            assert 0.04 < time.monotonic() - began < 1
            assert not registry.is_closing

    def test_returns_at_once_when_there_is_nothing_to_close(self) -> None:
        close_all()

    def test_gives_up_sockets_of_other_threads_too(self, registry: Registry) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.open()
            run_threads(lambda: close_all(timeout=0.05))
            event = record.the_close()
            assert (event.code, event.reason) == (1006, 'close timeout')

    def test_may_be_called_by_two_at_once(self, registry: Registry) -> None:
        with joined() as pair:
            _, client = pair.open()
            closing = [gevent.spawn(close_all) for _ in range(2)]
            client.receive_frame()
            client.send_close(1001)
            gevent.joinall(closing, timeout=5, raise_error=True)
            assert not registry.is_closing

    def test_waits_for_the_sockets_of_other_threads(self, registry: Registry) -> None:
        frames = []

        def run() -> None:
            with joined() as pair:
                _, client = pair.open()
                frames.append(client.receive_frame())
                client.send_close(1001)
                client.read_to_eof()
                wait_until(lambda: len(registry) == 0)
            gevent.get_hub().destroy()

        def stop() -> None:
            wait_until(lambda: len(registry) == 1)
            close_all(timeout=5)

        stopping = gevent.spawn(stop)
        run_threads(run)
        stopping.get(timeout=5)
        assert frames[0].code == 1001

    def test_refuses_a_code_that_cannot_be_sent(self, registry: Registry) -> None:
        with joined() as pair:
            pair.open()
            with pytest.raises(ValueError, match='code: 1005 cannot be sent'):
                close_all(1005)
            assert not registry.is_closing


PROGRAM = """
import os, sys
from tests.support.local import *
pair = Pair(*tcp_pair(), RFC_6455, {{}})
ws, client = pair.open()
parent = os.getpid()
ws.onclose = lambda event: print('closed', event.code, os.getpid() == parent, flush=True)
{action}
"""


def run_program(action: str) -> str:
    """What a program prints that has an open socket, whose client answers, and does this."""
    program = PROGRAM.format(action=action)
    result = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert result.stderr == ''
    return result.stdout


class TestProcess:
    """The end of a process, and of its children."""

    def test_that_exits_closes_its_sockets(self) -> None:  # H10
        assert run_program('gevent.spawn(lambda: client.send_close(client.receive_frame().code)); sys.exit()') == (
            'closed 1001 True\n')

    def test_that_was_forked_closes_nothing(self) -> None:  # H11
        action = """
pid = os.fork()
if not pid:
    from faye_websocket import close_all
    close_all()
    sys.exit()
os.waitpid(pid, 0)
settle()
print(ws.ready_state, flush=True)
os._exit(0)
"""
        assert run_program(action) == '1\n'

    def test_that_was_forked_has_its_own_sockets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sockets = Registry()

        class Socket:
            closed = 0

            def close(self, code: int = 0, reason: str = '') -> None:
                self.closed += 1
                sockets.discard(self)

        parents, childs = Socket(), Socket()
        sockets.add(parents)
        monkeypatch.setattr(os, 'getpid', lambda: -1)
        sockets.close_all()
        sockets.add(childs)
        sockets.close_all(timeout=1)
        assert (parents.closed, childs.closed) == (0, 1)
