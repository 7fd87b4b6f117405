"""The server of a greenlet, and the pool in which the greenlet has a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import pytest
from gevent import socket
from gevent.lock import Semaphore
from gevent.pool import Group, Pool
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer

from faye_websocket.servers import gevent_server
from faye_websocket.servers.gevent_server import find_server, is_stopping, leave_pool
from tests.support.local import settle, wait_until


@contextmanager
def serving(handle: Callable[[], object], **options: Any) -> Iterator[StreamServer]:
    """Run a server that calls ``handle`` for each connection."""
    server = StreamServer(('127.0.0.1', 0), lambda sock, address: handle(), **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(timeout=0)


def request(server: StreamServer) -> None:
    """Connect, and wait until the server is done."""
    with socket.create_connection(server.address) as sock:
        sock.settimeout(5)
        assert sock.recv(1) == b''


class TestFindServer:
    """``find_server``."""

    @pytest.mark.parametrize('spawn', ['default', Pool(), 3, lambda *arguments: gevent.spawn(*arguments)],
                             ids=['default', 'pool', 'number', 'function'])
    def test_returns_that_of_the_request(self, spawn: Any) -> None:
        found: list[Any] = []
        with serving(lambda: found.append(find_server()), spawn=spawn) as server:
            request(server)
            assert found == [server]

    def test_returns_it_in_a_greenlet_of_the_requests_too(self) -> None:
        found: list[Any] = []
        spawn = lambda: gevent.spawn(lambda: gevent.spawn(lambda: found.append(find_server())).join()).join()
        with serving(spawn) as server:
            request(server)
            assert found == [server]

    def test_returns_none_where_there_is_none(self) -> None:
        other = lambda *arguments: find_server()
        assert find_server() is None
        arguments: tuple[Any, ...]
        for arguments in ((), (1,), (1, 2, 3), (1, [].append, 3), (1, self.test_returns_none_where_there_is_none, 3)):
            assert gevent.spawn(other, *arguments).get() is None

    def test_returns_none_where_the_ancestor_is_gone(self) -> None:
        found: list[Any] = []
        gevent.spawn(lambda: gevent.spawn_later(0.01, lambda: found.append(find_server()))).join()
        wait_until(lambda: found)
        assert found == [None]

    def test_returns_none_where_greenlets_are_not_tracked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gevent.config, 'track_greenlet_tree', False)
        assert gevent.spawn(find_server).get() is None

    def test_returns_none_in_a_greenlet_that_is_not_of_gevents(self) -> None:
        found: list[Any] = []
        with serving(lambda: found.append(find_server()), spawn=gevent.spawn_raw) as server:
            request(server)
            assert found == [None]


class TestIsStopping:
    """``is_stopping``."""

    def test_is_false_without_a_server(self) -> None:
        assert not is_stopping()

    def test_is_true_from_stop_to_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = WSGIServer(('127.0.0.1', 0), lambda *arguments: None)
        monkeypatch.setattr(gevent_server, 'find_server', lambda: server)
        seen = []
        for change in (lambda: None, server.start, server.stop, server.start, server.stop):
            change()
            seen.append(is_stopping())
        assert seen == [False, False, True, False, True]

    def test_is_true_of_a_server_of_gunicorns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(lambda: None) as server:
            monkeypatch.setattr(gevent_server, 'find_server', lambda: server)
            assert not is_stopping()
            server.close()
            assert is_stopping()


class TestLeavePool:
    """``leave_pool``."""

    def test_gives_the_place_back_once(self) -> None:
        pool, counts = Pool(2), []

        def handle() -> None:
            leave_pool()
            counts.append(pool.free_count())
            leave_pool()
            counts.append(pool.free_count())

        with serving(handle, spawn=pool) as server:
            request(server)
            settle()
            assert counts == [2, 2]
            assert (pool.free_count(), pool._semaphore.counter) == (2, 2)

    def test_lets_a_full_server_accept_again(self) -> None:
        proceed = gevent.event.Event()
        served: list[int] = []

        def handle() -> None:
            served.append(1)
            if len(served) <= 3:
                leave_pool()
                proceed.wait()

        with serving(handle, spawn=1) as server:
            clients = [gevent.spawn(request, server) for _ in range(5)]
            wait_until(lambda: len(served) == 5)
            proceed.set()
            gevent.joinall(clients, timeout=5, raise_error=True)

    def test_lets_others_who_wait_for_a_place_have_it(self) -> None:
        pool = Pool(1)
        proceed = gevent.event.Event()
        with serving(lambda: [proceed.wait(), leave_pool(), proceed.clear(), proceed.wait()], spawn=pool) as server:
            client = gevent.spawn(request, server)
            wait_until(pool.full)
            waiting = gevent.spawn(pool.spawn, lambda: None)
            settle()
            assert not waiting.dead
            proceed.set()
            waiting.get(timeout=5).get(timeout=5)
            proceed.set()
            client.get(timeout=5)

    def test_keeps_a_stop_from_waiting_and_killing(self) -> None:
        log: list[str] = []
        handle = lambda: [leave_pool(), log.append('left'), gevent.sleep(0.05), log.append('ended')]
        with serving(handle, spawn=Pool()) as server:
            client = gevent.spawn(request, server)
            wait_until(lambda: log)
            server.stop(timeout=0)
            assert log == ['left']
            client.get(timeout=5)
            assert log == ['left', 'ended']

    @pytest.mark.parametrize('spawn', ['default', gevent.spawn_raw], ids=['default', 'raw'])
    def test_does_nothing_without_a_pool(self, spawn: Any) -> None:
        with serving(leave_pool, spawn=spawn) as server:
            request(server)

    def test_does_nothing_in_another_greenlet(self) -> None:
        pool, counts = Pool(2), []
        with serving(lambda: [gevent.spawn(leave_pool).join(), counts.append(pool.free_count())], spawn=pool) as server:
            request(server)
            assert counts == [1]

    def test_leaves_other_groups_alone(self) -> None:
        group, sizes = Group(), []
        with serving(lambda: [group.add(gevent.getcurrent()), leave_pool(), sizes.append(len(group))], spawn=2) as server:
            request(server)
            assert sizes == [1]
            settle()
            assert len(group) == 0

    def test_does_nothing_to_what_is_no_group(self) -> None:
        pool = SimpleNamespace(spawn=gevent.spawn, full=lambda: False, _semaphore=Semaphore())
        done: list[int] = []
        with serving(lambda: [leave_pool(), done.append(1)], spawn=pool) as server:
            request(server)
            assert done == [1]
            server.pool = None
