"""Channels in rare conditions: no hub, a fork, a lost history, or a failed backend."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import gevent
import pytest
import redis
from gevent.queue import Queue

from faye_websocket import EventSource
from faye_websocket.channels import Channels
from faye_websocket.channels.channels import _after_fork_in_child
from faye_websocket.channels.follower import Follower
from faye_websocket.channels.message import Entry, Message
from faye_websocket.channels.room import Desk, Room
from faye_websocket.channels.runner import Runner, Signal, find_main_reactor
from faye_websocket.io.reactor import current_reactor
from tests.support.channels import RedisServer, Visitor, Wire, running_redis
from tests.support.eventstream import ACCEPT, EventParser
from tests.support.local import Response, make_environ, run_threads, settle, wait_until

Visit = Callable[..., Visitor]
Make = Callable[..., Channels]

BIG = 'x' * 20_000


class Pulled:
    """An event source whose server pulls its events in a thread without a hub."""

    def __init__(self, **options: Any) -> None:
        environ = make_environ(None, ACCEPT)
        self.es = EventSource(environ, **options)
        self.response: Any = self.es(environ, Response())
        self.received = b''
        self.gate = threading.Event()
        self.thread = threading.Thread(target=self._pull, daemon=True)

    def start(self) -> Pulled:
        self.thread.start()
        return self

    def _pull(self) -> None:
        try:
            for piece in self.response:
                self.gate.wait()
                self.received += piece
        finally:
            self.response.close()

    @property
    def messages(self) -> list[str]:
        return [event.data for event in EventParser().parse(self.received).events]

    def end(self) -> None:
        self.gate.set()
        self.es.close()
        self.thread.join(10)


class TestWithoutHub:
    """Event sources under servers that do not expose their sockets."""

    @pytest.mark.proves('R1', 'E7')
    @pytest.mark.threads
    @pytest.mark.parametrize('overflow', ['close', 'block'])
    def test_receive_missed_and_new_messages(self, make: Make, overflow: str) -> None:
        channels = make()
        ids = [channels.publish('room', f'{number:03}{BIG}') for number in range(150)]
        pulled = Pulled(overflow=overflow, max_buffered=100_000)
        run_threads(lambda: channels.join(pulled.es, 'room', since=ids[9]))
        pulled.start().gate.set()
        wait_until(lambda: len(pulled.messages) == 140)
        for number in range(150, 155):
            channels.publish('room', f'{number:03}')
        wait_until(lambda: len(pulled.messages) == 145)
        assert [message[:3] for message in pulled.messages] == [f'{number:03}' for number in range(10, 155)]
        pulled.end()
        wait_until(lambda: channels.desk_count == 0)

    @pytest.mark.proves('R2', 'E7')
    @pytest.mark.threads
    def test_a_blocking_event_source_delays_no_other_socket(self, make: Make, visit: Visit) -> None:
        channels = make()
        pulled = Pulled(overflow='block', max_buffered=100_000).start()
        wait_until(lambda: pulled.es.ready_state == 1)
        visitor = visit().open()
        channels.join(pulled.es, 'room')
        channels.join(visitor.socket, 'room')
        for number in range(30):
            channels.publish('room', f'{number:03}{BIG}')
        wait_until(lambda: len(visitor.messages) == 30)
        pulled.gate.set()
        wait_until(lambda: len(pulled.messages) == 30)
        pulled.end()

    @pytest.mark.proves('R1')
    def test_an_event_source_without_a_response_is_removed(self, channels: Channels) -> None:
        es = EventSource(make_environ(None, ACCEPT))
        channels.join(es, 'room')
        del es
        wait_until(lambda: gc.collect() is None or channels.desk_count == 0)

    @pytest.mark.proves('R1')
    def test_an_event_source_whose_response_is_never_read_is_removed(self, channels: Channels) -> None:
        pulled = Pulled()
        channels.join(pulled.es, 'room')
        pulled.response.close()
        wait_until(lambda: channels.desk_count == 0)


class TestForked:
    """A simulated child, without a fork, so that coverage can measure it."""

    @pytest.mark.proves('R6')
    def test_a_forked_child_has_a_new_backend(self, channels: Channels, visit: Visit) -> None:
        before = visit().open()
        channels.join(before.socket, 'room', name='anna')
        ids = [channels.publish('room', 'before', key='k')]
        old = channels.backend
        _after_fork_in_child()
        assert channels.desk_count == 0
        assert channels.backend is not old
        assert channels.publish('room', 'again', key='k') == ids[0]
        after = visit().open()
        channels.join(after.socket, 'room', since=ids[0])
        assert channels.publish('room', 'after') not in ids
        after.wait('after')
        # From here on, no socket is in the old backend and the new one.
        before.leave()


    @pytest.mark.proves('R6')
    def test_a_subscription_that_ended_with_the_fork_is_logged_at_the_first_use(
            self, channels: Channels, visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        _after_fork_in_child()
        channels.members('room')
        assert 'subscription' not in caplog.text
        subscription = channels.subscribe('room', print)
        # A child of a child that did not use the channels.
        for _ in range(2):
            _after_fork_in_child()
        for _ in range(2):
            channels.members('room')
        assert caplog.text.count('a subscription ended with the fork') == 1
        subscription.close()


class TestOldProtocols:
    """WebSockets that have no binary messages."""

    @pytest.mark.proves('R4')
    def test_binary_messages_are_skipped(self, channels: Channels, visit: Visit) -> None:
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        visitor = visit(wire=[('Upgrade', 'WebSocket'), ('Connection', 'Upgrade'), ('Origin', 'http://example.com')]).open()
        for message in (b'x', 'one', b'y'):
            channels.publish('room', message)
        channels.join(visitor.socket, 'room', recent=3)
        for message in ('two', b'z', 'three'):
            channels.publish('room', message)
        wait_until(lambda: visitor.received.endswith(b'\0one\xff\0two\xff\0three\xff'))
        assert lost == []


class TestParts:
    """Parts of the implementation, alone."""

    def test_follower_is_abstract(self, channels: Channels) -> None:
        with channels.lock:
            room = Room(channels.desk(None), 'room')
        follower = Follower(room, 0)
        for call in (lambda: follower.target, lambda: follower._send(None), follower._rest):  # type: ignore[arg-type]
            with pytest.raises(NotImplementedError):
                call()

    def test_calls_for_removed_rooms_and_followers_are_ignored(self, channels: Channels, visit: Visit) -> None:
        with channels.lock:
            desk = channels.desk(None)
        message = Message('room', Entry('1-1', '', None, 'x'))
        desk.deliver(message)
        desk.lose('room', '')
        room, socket = Room(desk, 'room'), visit().socket
        room._fall_behind(socket, message)
        assert socket not in room
        channels.changed_members('room', ['anna'])
        channels.onmembers = lambda channel, names: pytest.fail('nobody is here')
        channels.changed_members('room', ['anna'])
        room.discard(Follower(room, 0))
        channels.backend.detach('nowhere', desk)
        channels.drop_desk(Desk(channels, None))
        assert channels.desk_count == 1
        channels.drop_desk(desk)

    def test_a_signal_that_is_set_wakes_later_waiters_at_once(self) -> None:
        signal, woken = Signal(), []
        signal.set()
        signal._add(lambda: woken.append(1))
        assert signal.wait(0)
        assert woken == [1]

    def test_a_loss_is_not_queued_while_the_history_is_read(self, channels: Channels) -> None:
        got: list[Any] = []
        subscription = channels.subscribe('room', lambda *arguments: got.append(arguments[2]))
        follower: Any = subscription._follower
        follower._is_behind = True
        follower.lose('')
        assert not follower._queue
        settle()

    def test_close_removes_sockets_and_subscriptions(self, channels: Channels, visit: Visit) -> None:
        visitor, got = visit().open(), []
        channels.join(visitor.socket, 'room')
        channels.subscribe('room', lambda *arguments: got.append(arguments))
        channels.close()
        assert channels.desk_count == 0
        channels.publish('room', 'x')
        settle()
        assert (visitor.messages, got) == ([], [])


class TestHistory:
    """A history that is lost while it is read."""

    @pytest.mark.proves('R3')
    def test_messages_trimmed_while_it_is_read_are_reported_as_lost(self, make: Make, visit: Visit) -> None:
        channels = make(history=200)
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        ids = [channels.publish('room', f'{number:03}{BIG}') for number in range(200)]
        visitor = visit(buffer_size=4096, reads=False, max_buffered=50_000).open()
        channels.join(visitor.socket, 'room', since=ids[0])
        for number in range(200, 500):
            channels.publish('room', f'{number:03}')
        visitor.read()
        wait_until(lambda: visitor.messages and visitor.messages[-1] == '499', deadline=20)
        assert lost == [(visitor.socket, 'room')]
        numbers = [int(message[:3]) for message in visitor.messages]
        assert numbers == sorted(set(numbers))
        assert numbers[-200:] == list(range(300, 500))

    @pytest.mark.proves('R12')
    def test_a_read_that_times_out_is_repeated(
            self, channels: Channels, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [channels.publish('room', f'{number}') for number in range(250)]
        read, failures = channels.backend.read, [TimeoutError(), TimeoutError()]

        def fail(channel: str, mode: str, *arguments: Any) -> Any:
            if mode == 'on' and failures:
                raise failures.pop()
            return read(channel, mode, *arguments)

        monkeypatch.setattr(channels.backend, 'read', fail)
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=ids[0])
        visitor.wait(*map(str, range(1, 250)))
        assert failures == []

    @pytest.mark.proves('R12')
    @pytest.mark.parametrize('source', [False, True])
    def test_a_read_that_fails_closes_the_socket(
            self, channels: Channels, visit: Visit, monkeypatch: pytest.MonkeyPatch,
            caplog: pytest.LogCaptureFixture, source: bool) -> None:
        ids = [channels.publish('room', f'{number}') for number in range(250)]
        read = channels.backend.read
        first = lambda channel, mode, id, timeout: read(channel, mode, id, timeout) if id == ids[0] else 1 / 0
        monkeypatch.setattr(channels.backend, 'read', first)
        visitor = visit(source=source).open()
        channels.join(visitor.socket, 'room', since=ids[0])
        # The close frame of a WebSocket has 1011.
        wait_until(lambda: visitor.closes if source else visitor.received.endswith(b'\x03\xf3internal error'))
        assert [event.code for event in visitor.closes] == ([1011] if source else [])
        assert 'up to date' in caplog.text

    @pytest.mark.proves('R5')
    def test_a_read_that_fails_ends_a_subscription(
            self, channels: Channels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        ids = [channels.publish('room', f'{number}') for number in range(250)]
        read = channels.backend.read
        first = lambda channel, mode, id, timeout: read(channel, mode, id, timeout) if id == ids[0] else 1 / 0
        monkeypatch.setattr(channels.backend, 'read', first)
        subscription = channels.subscribe('room', lambda *arguments: None, since=ids[0])
        wait_until(lambda: 'up to date' in caplog.text)
        wait_until(lambda: channels.desk_count == 0)
        assert repr(subscription) == "<Subscription 'room'>"

    @pytest.mark.proves('R1')
    def test_a_large_message_is_delivered(self, channels: Channels, visit: Visit) -> None:
        visitors = [visit().open() for _ in range(2)]
        for visitor in visitors:
            channels.join(visitor.socket, 'room')
        channels.publish('room', 'x' * 2**21)
        wait_until(lambda: all(len(visitor.received) > 2**21 for visitor in visitors))

    @pytest.mark.proves('R1')
    def test_a_socket_may_leave_while_it_is_brought_up_to_date(self, channels: Channels, visit: Visit) -> None:
        ids = [channels.publish('room', f'{number:03}{BIG}') for number in range(200)]
        visitor = visit(buffer_size=4096, reads=False, max_buffered=50_000).open()
        channels.join(visitor.socket, 'room', since=ids[0])
        settle()
        channels.leave(visitor.socket, 'room')
        assert channels.desk_count == 0
        other = visit(buffer_size=4096, reads=False, max_buffered=50_000).open()
        channels.join(other.socket, 'room', since=ids[0])
        settle()
        other.leave()
        wait_until(lambda: channels.desk_count == 0)


class TestRaces:
    """Concurrent calls."""

    @pytest.mark.proves('R1')
    def test_concurrent_joins_of_one_socket_have_the_effect_of_one(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        gevent.joinall([
            gevent.spawn(channels.join, visitor.socket, 'room', name=name) for name in ('anna', 'bob')], raise_error=True)
        wait_until(lambda: len(channels.members('room')) == 1)
        channels.publish('room', 'x')
        visitor.wait('x')

    @pytest.mark.proves('R1')
    def test_concurrent_joins_without_a_name_have_the_effect_of_one(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        gevent.joinall([gevent.spawn(channels.join, visitor.socket, 'room') for _ in range(2)], raise_error=True)
        channels.publish('room', 'x')
        visitor.wait('x')

    @pytest.mark.proves('R6')
    def test_a_message_published_during_a_delivery_is_queued(self, visit: Visit) -> None:
        channels = Channels()
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        backend: Any = channels.backend
        backend._is_delivering = True
        channels.publish('room', 'one')
        backend._is_delivering = False
        channels.publish('room', 'two')
        visitor.wait('one', 'two')

    @pytest.mark.proves('R1')
    def test_a_socket_that_closes_while_it_joins_is_removed(
            self, channels: Channels, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        visitor = visit().open()
        read = channels.backend.read

        def close(*arguments: Any) -> Any:
            visitor.leave()
            return read(*arguments)

        monkeypatch.setattr(channels.backend, 'read', close)
        channels.join(visitor.socket, 'room', name='anna')
        wait_until(lambda: channels.desk_count == 0)
        wait_until(lambda: channels.members('room') == [])

    @pytest.mark.proves('R4')
    def test_removing_expired_keys_keeps_current_ones(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.channels.memory._SWEEP', -1)
        channels = make()
        assert channels.publish('room', 'a', key='k') == channels.publish('room', 'b', key='k')


class TestRedis:
    """Faults that only Redis can have."""

    @pytest.fixture(autouse=True)
    def server(self, url: str, request: pytest.FixtureRequest) -> RedisServer:
        if url.startswith('memory'):
            pytest.skip('in memory there is nothing of this')
        server: RedisServer = request.getfixturevalue('redis_server')
        return server

    @pytest.mark.proves('R3')
    def test_a_lost_end_of_the_history_is_reported_and_nothing_is_repeated(
            self, channels: Channels, server: RedisServer, visit: Visit) -> None:
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        ids = [channels.publish('room', text) for text in 'abc']
        visitor.wait('a', 'b', 'c')
        # The state after a restart with the data of one second before.
        server.command('XDEL', 'faye:{room}:log', ids[2])
        server.command('SET', 'faye:{room}:last', ids[1])
        channels.publish('room', 'd')
        visitor.wait('a', 'b', 'c', 'd')
        assert lost == [(visitor.socket, 'room')]

    @pytest.mark.proves('R3')
    @pytest.mark.parametrize('kept', [150, 350])
    @pytest.mark.parametrize('was_disconnected', [False, True])
    def test_the_lost_end_of_a_long_history_is_reported_once_and_nothing_is_repeated(
            self, make: Make, server: RedisServer, visit: Visit, kept: int, was_disconnected: bool) -> None:
        channels, lost = make(), []
        channels.onlost = lambda *arguments: lost.append(arguments)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        sent = [str(number) for number in range(kept + 3)]
        ids = [channels.publish('room', text) for text in sent]
        visitor.wait(*sent)
        roll_back(server, ids[kept:], ids[kept - 1])
        if was_disconnected:
            server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
            wait_until(lambda: lost)
        for text in 'de':
            channels.publish('room', text)
        visitor.wait(*sent, 'd', 'e')
        assert lost == [(visitor.socket, 'room')]

    @pytest.mark.proves('R3')
    @pytest.mark.parametrize('was_sent', [False, True])
    def test_the_lost_end_is_reported_to_a_socket_that_is_behind(
            self, channels: Channels, server: RedisServer, visit: Visit, was_sent: bool) -> None:
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        ids = [channels.publish('room', str(number)) for number in range(20)]
        begun: list[str] = []
        got: list[str] = []
        turns: Any = Queue()
        subscription = channels.subscribe(
            'room', lambda id, channel, text: begun.append(text) or turns.get() or got.append(text), since=ids[9])
        follower: Any = subscription._follower
        # From now on it reads nothing more before it has its turns.
        wait_until(lambda: begun)
        if was_sent:
            for _ in range(10):
                turns.put(None)
            wait_until(lambda: len(got) == 10)
        # As if more had come than may wait for it.
        with channels.lock:
            follower._queue.clear()
            follower._is_behind = True
        ids += [channels.publish('room', str(number)) for number in range(20, 25)]
        last = 22 if not was_sent else 18
        wait_until(lambda: follower.room.last == ids[-1])
        roll_back(server, ids[last:], ids[last - 1])
        server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
        wait_until(lambda: follower.room.last == ids[last - 1])
        channels.publish('room', 'new')
        for _ in range(30):
            turns.put(None)
        wait_until(lambda: got[-1:] == ['new'])
        kept = [str(number) for number in range(10, max(20, last))]
        assert (got, lost) == ([*kept, 'new'], [(subscription, 'room')])
        subscription.close()

    @pytest.mark.proves('R1')
    def test_an_evicted_key_loses_and_repeats_nothing(
            self, channels: Channels, server: RedisServer, visit: Visit) -> None:
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        sent = [str(number) for number in range(150)]
        ids = [channels.publish('room', text) for text in sent]
        # Redis evicts any key when its memory is full, if it is configured to.
        server.command('DEL', 'faye:{room}:last')
        back = visit().open()
        channels.join(back.socket, 'room', since=ids[0])
        back.wait(*sent[1:])
        server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
        server.command('DEL', 'faye:{room}:last')
        channels.publish('room', 'new')
        visitor.wait(*sent, 'new')
        back.wait(*sent[1:], 'new')
        assert lost == []

    @pytest.mark.proves('R3')
    @pytest.mark.parametrize('history', [0, 3])
    def test_messages_trimmed_while_the_listener_is_disconnected_are_reported_as_lost(
            self, server: RedisServer, visit: Visit, history: int) -> None:
        wire = Wire(server.port)
        channels, others = Channels(wire.url, history=history), Channels(server.url, history=history)
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        others.publish('room', 'first')
        visitor.wait('first')
        wire.end()
        for number in range(10):
            others.publish('room', str(number))
        wire.begin()
        wait_until(lambda: lost)
        others.publish('room', 'last')
        wait_until(lambda: visitor.messages[-1] == 'last')
        settle()
        assert visitor.messages == ['first', *map(str, range(10))][:1] + [str(n) for n in range(10 - history, 10)] + ['last']
        assert lost == [(visitor.socket, 'room')]
        for each in (channels, others):
            each.close()
        wire.close()

    @pytest.mark.proves('R12')
    def test_a_join_that_times_out_adds_no_member(self, visit: Visit) -> None:
        with running_redis() as own:
            channels = Channels(own.url, timeout=1)
            first, second = visit().open(), visit().open()
            channels.join(first.socket, 'room', name='anna')
            own.pause()
            with pytest.raises(TimeoutError):
                channels.join(second.socket, 'room', name='bob')
            with pytest.raises(TimeoutError, match=r'^join: Redis is unavailable: timed out after (1|0\.\d) seconds$'):
                channels.join(second.socket, 'another')
            own.go_on()
            wait_until(lambda: channels.members('room') == ['anna'])
            channels.publish('room', 'x', timeout=20)
            first.wait('x')
            second.wait()
            channels.close()

    @pytest.mark.proves('R7')
    def test_members_are_queried_again_when_redis_is_back(self, visit: Visit) -> None:
        with running_redis() as own:
            channels, others = Channels(own.url, timeout=30), Channels(own.url, timeout=30)
            told: list[Any] = []
            channels.onmembers = lambda channel, names: told.append(names)
            channels.join(visit().open().socket, 'room', name='anna')
            wait_until(lambda: told == [['anna']])
            own.end(9)
            gevent.sleep(0.3)
            own.start()
            others.join(visit().open().socket, 'room', name='bob')
            wait_until(lambda: told[-1] == ['anna', 'bob'])
            for each in (channels, others):
                each.close()

    def test_a_listener_continues_after_an_exception(
            self, channels: Channels, visit: Visit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        backend: Any = channels.backend
        told, faults = backend._listener._told, [RuntimeError('here')]

        def fail(*arguments: Any) -> None:
            if faults:
                raise faults.pop()
            told(*arguments)

        monkeypatch.setattr(backend._listener, '_told', fail)
        for text in 'ab':
            channels.publish('room', text)
        visitor.wait('a', 'b')
        assert 'listening to Redis failed' in caplog.text

    @pytest.mark.proves('R7')
    def test_the_end_of_the_process_is_announced(self, channels: Channels, server: RedisServer, visit: Visit) -> None:
        from faye_websocket.channels.redis import _exit

        channels.join(visit().open().socket, 'room', name='anna')
        process = channels.backend.presence._process  # type: ignore[attr-defined]
        assert server.command('ZSCORE', 'faye:workers', process) is not None
        _exit()
        assert server.command('ZSCORE', 'faye:workers', process) is None

    def test_work_during_interpreter_shutdown_is_done_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        errors = [RuntimeError("can't create new thread at interpreter shutdown"), RuntimeError("can't start new thread")]

        def fail(*arguments: Any) -> None:
            raise errors.pop(0)

        monkeypatch.setattr('faye_websocket.channels.runner._start_new_thread', fail)
        done: list[int] = []
        Runner().start(done.append, 1)
        assert done == [1]
        with pytest.raises(RuntimeError, match='start new thread'):
            Runner().start(done.append, 2)

    @pytest.mark.proves('R12')
    def test_a_join_whose_name_cannot_be_written_adds_no_member(
            self, channels: Channels, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        backend: Any = channels.backend
        run_script, faults = backend.store.run_script, [TimeoutError('here'), TimeoutError('here')]

        def fail(deadline: float, what: str, script: Any, *arguments: Any) -> Any:
            if 'SADD' in script.text and faults:
                raise faults.pop()
            return run_script(deadline, what, script, *arguments)

        monkeypatch.setattr(backend.store, 'run_script', fail)
        visitor = visit().open()
        with pytest.raises(TimeoutError):
            channels.join(visitor.socket, 'room', name='anna')
        assert channels.desk_count == 0
        wait_until(lambda: not faults)
        channels.join(visitor.socket, 'room', name='anna')
        assert channels.members('room') == ['anna']

    @pytest.mark.proves('R12')
    def test_a_join_waits_for_other_joins_no_longer_than_its_timeout(self, make: Make, visit: Visit) -> None:
        channels = make(timeout=0.5)
        backend: Any = channels.backend
        with backend.presence._mutex, pytest.raises(TimeoutError):
            channels.join(visit().open().socket, 'room', name='anna')
        assert channels.members('room') == []
        # A connection that is released after all were closed is not kept.
        backend.store._put_back(None, None)
        assert None not in backend.store._idle[None]

    @pytest.mark.proves('R7')
    def test_members_are_rewritten_periodically(
            self, channels: Channels, server: RedisServer, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        channels.join(visit().open().socket, 'room', name='anna')
        monkeypatch.setattr('faye_websocket.channels.presence._AGAIN', -1.0)
        server.command('DEL', 'faye:{room}:here')
        wait_until(lambda: server.command('SCARD', 'faye:{room}:here') == 1)

    @pytest.mark.proves('R7')
    def test_members_returns_no_older_names_than_onmembers_received(
            self, make: Make, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        channels, others = make(), make()
        told: list[Any] = []
        channels.onmembers = lambda channel, names: told.append(names)
        channels.join(visit().open().socket, 'room', name='anna')
        wait_until(lambda: told == [['anna']])
        presence: Any = channels.backend.presence  # type: ignore[attr-defined]
        ask = presence._ask
        slow: list[Any] = []

        def ask_slowly(*arguments: Any) -> list[str]:
            names: list[str] = ask(*arguments)
            if not slow:
                slow.append(names)
                while told[-1] == ['anna']:
                    channels.runner.sleep(0.01)
            return names

        monkeypatch.setattr(presence, '_ask', ask_slowly)
        members = gevent.spawn(channels.members, 'room')
        wait_until(lambda: slow)
        others.join(visit().open().socket, 'room', name='bob')
        assert members.get() == told[-1] == ['anna', 'bob']

    @pytest.mark.proves('R7')
    def test_a_channel_abandoned_while_subscribing_is_not_watched(
            self, make: Make, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        channels = make(timeout=0.3)
        channels.onmembers = lambda channel, names: None
        presence: Any = channels.backend.presence  # type: ignore[attr-defined]
        begin, over, began = presence.begin, threading.Event(), []

        def begin_slowly(channel: str) -> None:
            while not over.is_set():
                channels.runner.sleep(0.01)
            begin(channel)
            began.append(dict(presence._seen))

        monkeypatch.setattr(presence, 'begin', begin_slowly)
        with pytest.raises(TimeoutError):
            channels.join(visit().open().socket, 'room')
        over.set()
        wait_until(lambda: began and not presence._seen)
        assert 'room' in began[0]

    @pytest.mark.proves('R7')
    def test_members_are_rewritten_after_redis_loses_the_last_second(
            self, channels: Channels, server: RedisServer, visit: Visit) -> None:
        channels.join(visit().open().socket, 'room', name='anna')
        # As after a kill: the heartbeat was on the disk, and the name was not yet.
        server.command('DEL', 'faye:{room}:here')
        server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
        wait_until(lambda: channels.members('room') == ['anna'])

    @pytest.mark.proves('R7')
    def test_members_are_rewritten_after_the_reply_to_a_heartbeat_is_lost(
            self, channels: Channels, server: RedisServer, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        channels.join(visit().open().socket, 'room', name='anna')
        presence: Any = channels.backend.presence  # type: ignore[attr-defined]
        store = presence._store
        lost: list[Any] = []
        run_script = store.run_script

        def lose(deadline: float, what: str, script: Any, *arguments: Any) -> Any:
            if not lost and script.text.startswith('\nlocal time') and arguments[2]:
                server.command('FLUSHALL')
                lost.append(run_script(deadline, what, script, *arguments))
            return run_script(deadline, what, script, *arguments)

        monkeypatch.setattr(store, 'run_script', lose)
        wait_until(lambda: lost)
        wait_until(lambda: server.command('SCARD', 'faye:{room}:here') == 1)
        assert channels.members('room') == ['anna']

    @pytest.mark.proves('R12')
    def test_a_heartbeat_that_redis_refuses_keeps_the_connection_and_is_logged_once(
            self, channels: Channels, server: RedisServer, visit: Visit, monkeypatch: pytest.MonkeyPatch,
            caplog: pytest.LogCaptureFixture) -> None:
        # After the first one, all heartbeats are this test's.
        monkeypatch.setattr('faye_websocket.channels.listener.BEAT_SECONDS', 1000)
        visitor = visit().open()
        channels.join(visitor.socket, 'room', name='anna')
        listener: Any = channels.backend._listener  # type: ignore[attr-defined]
        connection = listener._connection
        server.command('CONFIG', 'SET', 'maxmemory', '1')
        try:
            for _ in range(2):
                listener._beat()
            with pytest.raises(redis.ResponseError, match='maxmemory'):
                channels.publish('room', 'x')
        finally:
            server.command('CONFIG', 'SET', 'maxmemory', '0')
        listener._beat()
        with monkeypatch.context() as patch:
            patch.setattr(listener._presence, 'beat', Mock(side_effect=OSError))
            listener._beat()
        assert caplog.text.count('Redis refuses the heartbeat') == 1
        assert listener._connection is connection
        channels.publish('room', 'y')
        visitor.wait('y')

    @pytest.mark.proves('R12')
    def test_a_sender_of_a_lost_connection_takes_no_commands_of_the_next_one(
            self, channels: Channels, server: RedisServer, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        listener: Any = channels.backend._listener  # type: ignore[attr-defined]
        monkeypatch.setattr(listener, '_beat', lambda: None)
        channels.join(visit().open().socket, 'room')
        sent: list[Any] = []

        class Lost:
            @property
            def send_command(self) -> Any:
                # The listener reconnects while this is about to write.
                server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
                wait_until(lambda: listener._connection not in (self, connection, None))
                return lambda *command: sent.append(command)

        connection = listener._connection
        listener._connection = Lost()
        listener._outgoing.append(('PING',))
        listener._flush()
        assert sent == [('PING',)]
        wait_until(lambda: server.command('PUBSUB', 'NUMSUB', 'faye:{room}:bus')[1] == 1)

    @pytest.mark.proves('R7')
    def test_a_failed_query_of_members_is_repeated(
            self, channels: Channels, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        channels.onmembers = lambda channel, names: told.append(names)
        channels.join(visit().open().socket, 'room')
        backend: Any = channels.backend
        find, faults = backend.presence.find, [TimeoutError('here')]
        monkeypatch.setattr(backend.presence, 'find', lambda *arguments: faults.pop() and 1 / 0 if faults else find(*arguments))
        channels.join(visit().open().socket, 'room', name='anna')
        wait_until(lambda: told == [['anna']])

    @pytest.mark.proves('R3', 'R12')
    def test_a_connection_that_is_lost_while_writing_is_replaced_with_its_subscriptions(
            self, channels: Channels, server: RedisServer, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        listener: Any = channels.backend._listener  # type: ignore[attr-defined]
        connection = listener._connection
        failed: list[Any] = []

        def fail(*command: str) -> None:
            # What redis-py does; it would connect again when it reads.
            del connection.send_command
            connection.disconnect()
            failed.append(command)
            raise OSError('broken pipe')

        connection.send_command = fail
        wait_until(lambda: failed)
        wait_until(lambda: listener._connection not in (connection, None))
        # A sender that is late leaves the new one alone.
        listener._give_up(connection)
        assert listener._connection is not None
        wait_until(lambda: server.command('PUBSUB', 'NUMSUB', 'faye:{room}:bus')[1] == 1)
        channels.publish('room', 'one')
        visitor.wait('one')

    @pytest.mark.proves('R3')
    def test_a_message_that_was_read_before_is_not_delivered_again(
            self, channels: Channels, server: RedisServer, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        channels.publish('room', 'one')
        visitor.wait('one')
        listener: Any = channels.backend._listener  # type: ignore[attr-defined]
        listener._told('room', listener._feeds['room'], Entry('1-1', '1-0', None, 'old'))
        settle()
        assert visitor.messages == ['one']

    @pytest.mark.proves('R7')
    def test_names_of_processes_that_died_long_ago_are_removed(self, channels: Channels, server: RedisServer) -> None:
        server.command('SADD', 'faye:{room}:here', 'process bob')
        presence: Any = channels.backend.presence  # type: ignore[attr-defined]
        assert presence._ask('room', time.monotonic() + 5) == []
        assert server.command('SCARD', 'faye:{room}:here') == 0

    @pytest.mark.proves('R3')
    def test_a_gap_without_a_history_is_reported(self, make: Make, visit: Visit) -> None:
        channels = make(history=0)
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        channels.publish('room', 'one')
        visitor.wait('one')
        backend: Any = channels.backend
        feed = backend._listener._feeds['room']
        feed.last = '1-1'
        channels.publish('room', 'two')
        visitor.wait('one', 'two')
        assert lost == [(visitor.socket, 'room')]

    @pytest.mark.proves('R12')
    def test_many_missed_messages_are_read_in_parts(self, server: RedisServer, visit: Visit) -> None:
        wire = Wire(server.port)
        channels, others = Channels(wire.url), Channels(server.url)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        wire.end()
        for number in range(250):
            others.publish('room', str(number))
        wire.begin()
        visitor.wait(*map(str, range(250)))
        for each in (channels, others):
            each.close()
        wire.close()

    @pytest.mark.proves('R12')
    def test_a_call_times_out_while_all_connections_are_in_use(self, channels: Channels) -> None:
        backend: Any = channels.backend
        for _ in range(4):
            backend.store._slots.acquire()
        with pytest.raises(TimeoutError):
            channels.publish('room', 'x', timeout=0.2)
        for _ in range(4):
            backend.store._slots.release()
        assert channels.publish('room', 'x')

    @pytest.mark.proves('R12')
    def test_idle_connections_are_dropped_when_redis_restarts(self) -> None:
        with running_redis() as own:
            channels = Channels(own.url, timeout=20)
            gevent.joinall([gevent.spawn(channels.publish, 'room', str(number)) for number in range(8)], raise_error=True)
            own.end()
            own.start()
            assert channels.publish('room', 'x')
            channels.close()

    def test_a_runner_finds_the_hub_of_a_patched_process(self, url: str) -> None:
        assert Runner.find(None).pid

    @pytest.mark.proves('R6')
    def test_the_first_use_may_be_in_a_native_thread(self, url: str) -> None:
        def first() -> Channels:
            channels = Channels(url, timeout=10)
            channels.publish('room', 'first')
            return channels

        pool = gevent.get_hub().threadpool
        channels = pool.apply(first)
        assert channels.publish('room', 'second')
        assert channels.runner.is_threaded or channels.runner._reactor is current_reactor()
        channels.close()

    @pytest.mark.proves('R6')
    def test_two_threads_that_begin_at_once_have_one_backend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        channels, find, backends = Channels(), Runner.find, []

        def find_late(reactor: Any) -> Runner:
            monkeypatch.setattr(Runner, 'find', find)
            backends.append(channels.backend)
            return find(reactor)

        monkeypatch.setattr(Runner, 'find', find_late)
        assert channels.backend is backends[0]

    @pytest.mark.proves('R6')
    def test_another_thread_finds_the_main_hub_if_there_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.channels.runner.MAIN_THREAD_IDENT', 0)
        assert find_main_reactor() is current_reactor()
        monkeypatch.setattr('gevent.hub.MAIN_THREAD_IDENT', 0)
        assert find_main_reactor() is None
        monkeypatch.setattr('faye_websocket.channels.runner.is_module_patched', lambda name: True)
        assert not Runner.find(None).is_threaded

    def test_a_missing_redis_py_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from faye_websocket.channels import routes

        monkeypatch.setitem(sys.modules, 'redis', None)
        with pytest.raises(ImportError, match='pip install'):
            importlib.reload(routes)

    @pytest.mark.proves('R11')
    def test_there_may_be_more_callers_than_connections(self, channels: Channels) -> None:
        greenlets = [gevent.spawn(channels.publish, 'room', str(number)) for number in range(50)]
        gevent.joinall(greenlets, raise_error=True)
        assert len({greenlet.value for greenlet in greenlets}) == 50


def roll_back(server: RedisServer, lost: list[str], last: str) -> None:
    """Remove messages, as a restart does that has lost the end of the file."""
    server.command('XDEL', 'faye:{room}:log', *lost)
    server.command('SET', 'faye:{room}:last', last)


@pytest.mark.proves('R12')
def test_the_timeout_applies_to_the_whole_call() -> None:
    channels = Channels('redis://127.0.0.1:1', timeout=0.2)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        channels.publish('room', 'x')
    assert time.monotonic() - began < 2
