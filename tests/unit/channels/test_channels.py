"""Channels as API.md specifies them, in memory and on Redis."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from faye_websocket.channels import Channels, envelope
from tests.support.channels import Visitor
from tests.support.local import run_threads, settle, wait_until

Make = Callable[..., Channels]
Visit = Callable[..., Visitor]


class TestJoin:
    """A socket in a channel."""

    @pytest.mark.proves('R1')
    @pytest.mark.parametrize('source', [False, True])
    def test_receives_messages_published_after_it_has_joined(self, channels: Channels, visit: Visit, source: bool) -> None:
        channels.publish('room', 'before')
        visitor = visit(source=source).open()
        channels.join(visitor.socket, 'room')
        channels.publish('room', 'one')
        channels.publish('room', 'two')
        channels.publish('elsewhere', 'other')
        visitor.wait('one', 'two')

    @pytest.mark.proves('R1')
    @pytest.mark.parametrize('source', [False, True])
    def test_may_join_before_it_is_open(self, channels: Channels, visit: Visit, source: bool) -> None:
        visitor = visit(source=source)
        channels.join(visitor.socket, 'room')
        channels.publish('room', 'early')
        visitor.open()
        channels.publish('room', 'late')
        visitor.wait('early', 'late')

    @pytest.mark.proves('R2')
    def test_receives_messages_missed_since_an_id(self, channels: Channels, visit: Visit) -> None:
        ids = [channels.publish('room', str(number)) for number in range(250)]
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=ids[4])
        channels.publish('room', 'new')
        visitor.wait(*map(str, range(5, 250)), 'new')

    @pytest.mark.proves('R2')
    def test_receives_no_old_messages_with_the_latest_id(self, channels: Channels, visit: Visit) -> None:
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        id = channels.publish('room', 'old')
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=id)
        channels.publish('room', 'new')
        visitor.wait('new')
        assert lost == []

    @pytest.mark.proves('R2')
    def test_receives_the_most_recent_messages(self, channels: Channels, visit: Visit) -> None:
        for number in range(150):
            channels.publish('room', str(number))
        few, many, all_of_them = visit().open(), visit().open(), visit()
        channels.join(few.socket, 'room', recent=2)
        channels.join(many.socket, 'room', recent=120)
        channels.join(all_of_them.socket, 'room', recent=1000)
        all_of_them.open()
        few.wait('148', '149')
        many.wait(*map(str, range(30, 150)))
        all_of_them.wait(*map(str, range(150)))

    @pytest.mark.proves('R2')
    def test_since_takes_precedence_over_recent(self, channels: Channels, visit: Visit) -> None:
        ids = [channels.publish('room', str(number)) for number in range(3)]
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=ids[1], recent=3)
        visitor.wait('2')

    @pytest.mark.proves('R2')
    @pytest.mark.parametrize('since', [None, ''])
    def test_an_empty_since_counts_as_none(self, channels: Channels, visit: Visit, since: Any) -> None:
        lost: list[Any] = []
        channels.onlost = lambda *arguments: lost.append(arguments)
        for number in range(3):
            channels.publish('room', str(number))
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=since, recent=1)
        visitor.wait('2')
        assert lost == []

    @pytest.mark.proves('R2')
    def test_since_defaults_to_the_last_event_id_of_an_event_source(self, channels: Channels, visit: Visit) -> None:
        ids = [channels.publish('room', str(number)) for number in range(3)]
        visitor = visit(ids[0], source=True).open()
        channels.join(visitor.socket, 'room')
        visitor.wait('1', '2')
        assert [event.last_event_id for event in visitor.events] == ids[1:]
        other = visit(ids[0], source=True).open()
        channels.join(other.socket, 'room', since=ids[1])
        other.wait('2')

    @pytest.mark.proves('R1')
    def test_joining_twice_has_no_further_effect(self, channels: Channels, visit: Visit) -> None:
        visitor, early = visit().open(), visit()
        for socket in (visitor.socket, early.socket):
            channels.join(socket, 'room')
            channels.join(socket, 'room', recent=10)
        early.open()
        channels.publish('room', 'once')
        visitor.wait('once')
        early.wait('once')

    @pytest.mark.proves('R1')
    def test_does_nothing_for_a_closed_socket(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        visitor.socket.close()
        visitor.leave()
        wait_until(lambda: visitor.socket.ready_state == 3)
        channels.join(visitor.socket, 'room', name='anna')
        assert channels.members('room') == []
        assert channels.desk_count == 0

    @pytest.mark.proves('R1')
    def test_leaves_when_it_closes(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room', name='anna')
        assert channels.members('room') == ['anna']
        visitor.leave()
        wait_until(lambda: channels.members('room') == [])
        assert channels.desk_count == 0

    @pytest.mark.proves('R1')
    def test_leaves_when_it_is_freed_without_being_opened(self, channels: Channels) -> None:
        visitor = Visitor(reads=False)
        channels.join(visitor.socket, 'room', name='anna')
        visitor.client.close()
        visitor._sock.close()
        del visitor
        wait_until(lambda: collect() or channels.members('room') == [])
        assert channels.desk_count == 0

    @pytest.mark.proves('R1')
    def test_may_be_in_many_channels(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        for number in range(20):
            channels.join(visitor.socket, f'room/{number}')
        for number in range(20):
            channels.publish(f'room/{number}', str(number))
        wait_until(lambda: len(visitor.messages) == 20)
        assert sorted(map(int, visitor.messages)) == list(range(20))

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize('socket', [None, 5, 'socket', object()])
    def test_accepts_only_sockets(self, channels: Channels, socket: Any) -> None:
        with pytest.raises(TypeError, match='socket: expected a WebSocket or an EventSource'):
            channels.join(socket, 'room')

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize(('recent', 'error'), [(-1, ValueError), (1.5, TypeError), ('1', TypeError), (True, TypeError)])
    def test_recent_must_be_a_non_negative_integer(self, channels: Channels, visit: Visit, recent: Any, error: Any) -> None:
        with pytest.raises(error, match='recent'):
            channels.join(visit().socket, 'room', recent=recent)

    @pytest.mark.proves('R1')
    def test_all_sockets_receive_messages_in_the_same_order(self, make: Make, visit: Visit) -> None:
        mine, others = make(), make()
        if mine.url.startswith('memory'):
            others = mine
        visitors = [visit(source=number % 2 == 1) for number in range(6)]
        for number, visitor in enumerate(visitors):
            (mine if number < 3 else others).join(visitor.socket, 'room')
            visitor.open()
        speak = lambda who: [(mine if who % 2 else others).publish('room', f'{who}.{n}') for n in range(50)]
        gevent.joinall([gevent.spawn(speak, who) for who in range(4)])
        wait_until(lambda: all(len(visitor.messages) == 200 for visitor in visitors))
        assert all(visitor.messages == visitors[0].messages for visitor in visitors)
        for who in range(4):
            assert [text for text in visitors[0].messages if text.startswith(f'{who}.')] == [f'{who}.{n}' for n in range(50)]


class TestLeave:
    """A socket that leaves a channel."""

    @pytest.mark.proves('R1')
    def test_receives_no_further_messages(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room', name='anna')
        channels.join(visitor.socket, 'other')
        channels.publish('room', 'one')
        visitor.wait('one')
        channels.leave(visitor.socket, 'room')
        channels.publish('room', 'two')
        channels.publish('other', 'three')
        visitor.wait('one', 'three')
        wait_until(lambda: channels.members('room') == [])

    @pytest.mark.proves('R1')
    def test_may_join_again(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        for number in range(5):
            channels.join(visitor.socket, 'room', name='anna')
            channels.publish('room', str(number))
            visitor.wait(*map(str, range(number + 1)))
            channels.leave(visitor.socket, 'room')
        channels.join(visitor.socket, 'room', name='anna')
        settle()
        assert channels.members('room') == ['anna']

    @pytest.mark.proves('R1')
    @pytest.mark.parametrize('channel', ['room', '', None, 5, [], 'x' * 256, '\0'])
    def test_never_raises(self, channels: Channels, visit: Visit, channel: Any) -> None:
        channels.leave(visit().socket, channel)
        channels.leave(None, channel)
        channels.leave([], channel)

    @pytest.mark.proves('R1')
    def test_may_leave_before_it_is_open(self, channels: Channels, visit: Visit) -> None:
        visitor = visit()
        channels.join(visitor.socket, 'room')
        channels.leave(visitor.socket, 'room')
        visitor.open()
        channels.publish('room', 'one')
        settle()
        visitor.wait()


class TestOnlost:
    """Messages that are no longer in the history."""

    @pytest.fixture
    def lost(self) -> list[Any]:
        return []

    def prepare(self, channels: Channels, lost: list[Any]) -> None:
        channels.onlost = lambda socket, channel: lost.append((socket, channel))

    @pytest.mark.proves('R3')
    def test_is_called_once_before_the_kept_messages_are_sent(self, make: Make, visit: Visit, lost: list[Any]) -> None:
        channels = make(history=5)
        channels.onlost = lambda socket, channel: lost.append((socket, channel)) or socket.send('lost')
        ids = [channels.publish('room', str(number)) for number in range(12)]
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=ids[2])
        assert lost == [(visitor.socket, 'room')]
        visitor.wait('lost', '7', '8', '9', '10', '11')

    @pytest.mark.proves('R3')
    def test_is_not_called_for_the_id_of_the_last_trimmed_message(self, make: Make, visit: Visit, lost: list[Any]) -> None:
        channels = make(history=5)
        self.prepare(channels, lost)
        ids = [channels.publish('room', str(number)) for number in range(12)]
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=ids[6])
        visitor.wait('7', '8', '9', '10', '11')
        assert lost == []

    @pytest.mark.proves('R3')
    @pytest.mark.parametrize('since', [
        '0-0', '1-1', '99999999999999-0', '18446744073709551615-18446744073709551615', '99999999999999999999-1',
        '$', '+', '-', '*', '(1-1', 'x', ' ', '0', '-1', '1-', '1-1-1', '1-1\r\nFLUSHALL', '\0', '\ud800', '１-１',
        'x' * 10_000, '1--1', '00-0', b'1-1', 5, 0, False, [], {}, ['1-1'], {'$gt': ''}, math.nan])
    def test_is_called_for_an_id_that_is_not_ours(
            self, channels: Channels, visit: Visit, lost: list[Any], since: Any) -> None:
        self.prepare(channels, lost)
        channels.publish('room', 'kept')
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since=since)
        channels.publish('room', 'new')
        visitor.wait('kept', 'new')
        assert lost == [(visitor.socket, 'room')]

    @pytest.mark.proves('R3')
    @pytest.mark.parametrize('since', ['0-0', '1-1', 'x'])
    def test_is_called_for_an_unknown_id_in_an_empty_channel(
            self, channels: Channels, visit: Visit, lost: list[Any], since: str) -> None:
        self.prepare(channels, lost)
        visitor = visit(since, source=True).open()
        channels.join(visitor.socket, 'room')
        assert lost == [(visitor.socket, 'room')]
        channels.publish('room', 'new')
        visitor.wait('new')

    @pytest.mark.proves('R3')
    def test_is_called_for_an_id_of_another_channel(self, channels: Channels, visit: Visit, lost: list[Any]) -> None:
        self.prepare(channels, lost)
        other = channels.publish('other', 'x')
        channels.publish('room', '1')
        channels.join(visit().open().socket, 'room', since=other)
        assert len(lost) == 1

    @pytest.mark.proves('R3')
    def test_an_exception_in_onlost_is_logged(
            self, channels: Channels, visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
        def fail(socket: Any, channel: str) -> None:
            raise RuntimeError('here')

        channels.onlost = fail
        visitor = visit().open()
        channels.join(visitor.socket, 'room', since='1-1')
        channels.publish('room', 'new')
        visitor.wait('new')
        assert [(record.name, record.message, record.levelno) for record in caplog.records] == [
            ('faye_websocket.channels', 'onlost raised', logging.ERROR)]

    @pytest.mark.proves('R3')
    def test_is_called_for_a_subscription(self, channels: Channels, lost: list[Any]) -> None:
        self.prepare(channels, lost)
        channels.publish('room', 'kept')
        got: list[Any] = []
        subscription = channels.subscribe('room', lambda *arguments: got.append(arguments[2]), since='1-1')
        wait_until(lambda: got == ['kept'])
        assert lost == [(subscription, 'room')]
        subscription.close()

    @pytest.mark.proves('R3')
    def test_expired_messages_are_never_sent(self, make: Make, visit: Visit, lost: list[Any]) -> None:
        channels = make(max_age=0.5)
        self.prepare(channels, lost)
        ids = [channels.publish('room', text) for text in ('a', 'b')]
        gevent.sleep(0.7)
        visitors = [visit().open() for _ in range(4)]
        ways: Any = ({'recent': 9}, {'since': ids[0]}, {'since': ids[1]}, {'since': 'x'})
        for visitor, options in zip(visitors, ways, strict=True):
            channels.join(visitor.socket, 'room', **options)
        channels.publish('room', 'new')
        for visitor in visitors:
            visitor.wait('new')
        assert [socket for socket, _ in lost] == [visitors[1].socket, visitors[3].socket]

    @pytest.mark.proves('R3')
    def test_is_called_for_every_id_but_the_latest_without_a_history(self, make: Make, visit: Visit, lost: list[Any]) -> None:
        channels = make(history=0)
        self.prepare(channels, lost)
        ids = [channels.publish('room', str(number)) for number in range(3)]
        first, last, recent = visit().open(), visit(), visit().open()
        channels.join(first.socket, 'room', since=ids[1])
        channels.join(last.socket, 'room', since=ids[2])
        channels.join(recent.socket, 'room', recent=5)
        for number in range(3, 6):
            channels.publish('room', str(number))
        last.open()
        for visitor in (first, last, recent):
            visitor.wait('3', '4', '5')
        assert [socket for socket, _ in lost] == [first.socket]


class TestPublish:
    """Publications on a channel."""

    @pytest.mark.proves('R4')
    def test_accepts_any_message_that_a_socket_can_receive(self, channels: Channels, visit: Visit) -> None:
        visitor, source = visit().open(), visit(source=True).open()
        channels.join(visitor.socket, 'room')
        channels.join(source.socket, 'room')
        for message in [
                'text', '', 'Grüße €😀', 5, 1.5, b'\x00\xff', bytearray(b'x'), memoryview(b'y'), [1, 2],
                '\ud800a', '\ud83d\ude00', 'a\0b']:
            channels.publish('room', message)  # type: ignore[arg-type]
        visitor.wait('text', '', 'Grüße €😀', '5', '1.5', b'\x00\xff', b'x', b'y', b'\1\2', '\ufffda', '😀', 'a\0b')
        source.wait('text', '', 'Grüße €😀', '5', '1.5', '\ufffda', '😀', 'a\0b')

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize('message', [None, object(), {}, True, [256], ['a'], 1j])
    def test_raises_for_a_message_that_no_socket_could_receive(self, channels: Channels, message: Any) -> None:
        with pytest.raises(TypeError, match='message: expected'):
            channels.publish('room', message)  # type: ignore[arg-type]

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize(('event', 'error'), [
        ('a\nb', ValueError), ('a\r', ValueError), ('\0', ValueError), (b'x', TypeError), ([], TypeError)])
    def test_raises_for_an_invalid_event(self, channels: Channels, event: Any, error: Any) -> None:
        with pytest.raises(error, match='event: expected'):
            channels.publish('room', 'x', event=event)

    @pytest.mark.proves('R4')
    def test_an_event_source_receives_the_event_and_the_id(self, channels: Channels, visit: Visit) -> None:
        source = visit(source=True).open()
        channels.join(source.socket, 'room')
        id = channels.publish('room', 'x', event='news')
        other = channels.publish('room', 'y', event=5)
        source.wait('x', 'y')
        assert [tuple(event) for event in source.events] == [('x', 'news', id), ('y', '5', other)]

    @pytest.mark.proves('R4')
    def test_the_event_is_in_the_history(self, channels: Channels, visit: Visit) -> None:
        channels.publish('room', 'x', event='news')
        source = visit(source=True).open()
        channels.join(source.socket, 'room', recent=1)
        source.wait('x')
        assert source.events[0].type == 'news'

    @pytest.mark.proves('R4')
    def test_ids_are_distinct_strings(self, channels: Channels) -> None:
        ids = [channels.publish('room', 'x') for _ in range(100)]
        assert len(set(ids)) == 100
        assert all(type(id) is str for id in ids)

    @pytest.mark.proves('R4')
    def test_messages_with_the_same_key_are_published_once(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        ids = [channels.publish('room', text, key='k') for text in 'abc']
        channels.publish('room', 'other', key='j')
        assert ids[0] == ids[1] == ids[2]
        assert channels.publish('elsewhere', 'x', key='k') != ids[0]
        visitor.wait('a', 'other')

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize('name', ['', 'x' * 256, 'a\nb', '\0', '\x7f', '\x85', 'a\ud800', '\udc00\ud800'])
    def test_names_must_be_short_and_free_of_control_characters(
            self, channels: Channels, visit: Visit, name: str) -> None:
        socket = visit().socket
        for call in (
                lambda: channels.publish(name, 'x'), lambda: channels.publish('room', 'x', key=name),
                lambda: channels.join(socket, name), lambda: channels.join(socket, 'room', name=name),
                lambda: channels.members(name), lambda: channels.subscribe(name, print)):
            with pytest.raises(ValueError, match='expected'):
                call()

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize('name', [None, 5, b'x', []])
    def test_names_must_be_strings(self, channels: Channels, visit: Visit, name: Any) -> None:
        socket = visit().socket
        for call in (lambda: channels.publish(name, 'x'), lambda: channels.join(socket, name),
                     lambda: channels.members(name), lambda: channels.subscribe(name, print)):
            with pytest.raises(TypeError, match='channel: expected a str'):
                call()

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize('name', [
        'x', 'x' * 255, '😀' * 255, ' ', '*', '{', '}', '{}', '%7D', 'a}b{c}', 'ünï/c:ö?dé', '\ufffd',
        '\ud83d\ude00', '\u2028'])
    def test_any_other_name_is_accepted(self, channels: Channels, visit: Visit, name: str) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, name, name=name)
        assert channels.publish(name, 'x', key=name) == channels.publish(name, 'x', key=name)
        visitor.wait('x')
        assert len(channels.members(name)) == 1

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize('timeout', ['1', [], -1, math.nan])
    def test_the_timeout_must_be_a_valid_number_of_seconds(self, channels: Channels, timeout: Any) -> None:
        with pytest.raises((TypeError, ValueError), match='timeout: expected'):
            channels.publish('room', 'x', timeout=timeout)

    @pytest.mark.proves('R6')
    def test_may_be_called_from_any_thread(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        publish = lambda who: [channels.publish('room', f'{who}.{number}') for number in range(30)]
        run_threads(*(lambda who=who: publish(who) for who in range(4)))  # type: ignore[misc]
        wait_until(lambda: len(visitor.messages) == 120)
        for who in range(4):
            assert [text for text in visitor.messages if text.startswith(f'{who}.')] == [f'{who}.{n}' for n in range(30)]

    @pytest.mark.proves('R6')
    def test_may_be_called_while_the_hub_is_blocked(self, channels: Channels, request: pytest.FixtureRequest) -> None:
        if request.node.callspec.params['url'] == 'patched':
            pytest.skip('there a thread that waits blocks no hub')
        ids: list[str] = []
        thread = threading.Thread(target=lambda: ids.append(channels.publish('room', 'x')))
        thread.start()
        thread.join(5)
        assert len(ids) == 1

    @pytest.mark.proves('R6')
    def test_join_leave_and_members_may_be_called_from_any_thread(self, channels: Channels, visit: Visit) -> None:
        visitor, seen = visit().open(), []
        run_threads(lambda: channels.join(visitor.socket, 'room', name='anna'))
        channels.publish('room', 'x')
        visitor.wait('x')
        run_threads(lambda: seen.append(channels.members('room')))
        assert seen == [['anna']]
        run_threads(lambda: channels.leave(visitor.socket, 'room'))
        channels.publish('room', 'y')
        settle()
        visitor.wait('x')


class TestSubscribe:
    """A callback that subscribes without a socket."""

    @pytest.mark.proves('R5')
    def test_the_callback_is_called_for_one_message_at_a_time(self, channels: Channels) -> None:
        got: list[Any] = []
        running: list[int] = []

        def callback(id: str, channel: str, message: Any) -> None:
            assert running == []
            running.append(1)
            gevent.sleep(0.001)
            running.clear()
            got.append((id, channel, message))

        subscription = channels.subscribe('room', callback)
        sent: list[Any] = ['one', b'two', '3']
        ids = [channels.publish('room', message) for message in sent]
        wait_until(lambda: len(got) == 3)
        assert got == [(id, 'room', message) for id, message in zip(ids, sent, strict=True)]
        subscription.close()
        subscription.close()
        channels.publish('room', 'four')
        settle()
        assert len(got) == 3
        assert channels.desk_count == 0

    @pytest.mark.proves('R5')
    def test_the_callback_receives_missed_messages(self, channels: Channels) -> None:
        ids = [channels.publish('room', str(number)) for number in range(5)]
        since: list[Any] = []
        recent: list[Any] = []
        one = channels.subscribe('room', lambda *arguments: since.append(arguments[2]), since=ids[2])
        two = channels.subscribe('room', lambda *arguments: recent.append(arguments[2]), recent=1)
        channels.publish('room', '5')
        wait_until(lambda: (since, recent) == (['3', '4', '5'], ['4', '5']))
        one.close()
        two.close()

    @pytest.mark.proves('R5')
    def test_continues_after_an_exception(self, channels: Channels, caplog: pytest.LogCaptureFixture) -> None:
        got: list[Any] = []

        def callback(id: str, channel: str, message: Any) -> None:
            got.append(message)
            raise RuntimeError('here')

        subscription = channels.subscribe('room', callback)
        for text in 'ab':
            channels.publish('room', text)
        wait_until(lambda: got == ['a', 'b'])
        assert len(caplog.records) == 2
        subscription.close()

    @pytest.mark.proves('R5')
    def test_a_slow_callback_misses_nothing(self, channels: Channels, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.channels.follower._MOST_WAITING', 2000)
        gate = gevent.event.Event()
        got: list[Any] = []

        def callback(id: str, channel: str, message: Any) -> None:
            gate.wait()
            got.append(message)

        subscription = channels.subscribe('room', callback)
        for number in range(300):
            channels.publish('room', str(number))
        gate.set()
        wait_until(lambda: len(got) == 300)
        assert got == list(map(str, range(300)))
        subscription.close()

    @pytest.mark.proves('R3')
    def test_a_slow_callback_loses_messages_without_a_history(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.channels.follower._MOST_WITHOUT_HISTORY', 2000)
        channels = make(history=0)
        lost: list[Any] = []
        channels.onlost = lambda target, channel: lost.append(target)
        gate = gevent.event.Event()
        got: list[Any] = []
        subscription = channels.subscribe('room', lambda id, channel, message: (gate.wait(), got.append(message)))
        for number in range(300):
            channels.publish('room', str(number))
        settle()
        gate.set()
        wait_until(lambda: got and got[-1] == '299' or len(lost))
        channels.publish('room', 'end')
        wait_until(lambda: got and got[-1] == 'end')
        assert lost
        assert set(lost) == {subscription}
        subscription.close()

    @pytest.mark.proves('R9')
    def test_needs_a_callable(self, channels: Channels) -> None:
        with pytest.raises(TypeError, match='callback: expected a callable'):
            channels.subscribe('room', None)  # type: ignore[arg-type]

    def test_needs_one_that_is_not_async(self, channels: Channels) -> None:
        async def receive(id: str, channel: str, message: Any) -> None: ...

        with pytest.raises(TypeError, match='callback: expected a function that is not async'):
            channels.subscribe('room', receive)


class TestMembers:
    """The members of a channel."""

    @pytest.mark.proves('R7')
    def test_are_sorted_and_not_repeated(self, make: Make, visit: Visit) -> None:
        mine, others = make(), make()
        if mine.url.startswith('memory'):
            others = mine
        visitors = [visit().open() for _ in range(5)]
        names = ['zoe', 'anna', 'zoe', 'anna', None]
        for visitor, name, channels in zip(visitors, names, [mine, others] * 2 + [mine], strict=True):
            channels.join(visitor.socket, 'room', name=name)
        assert mine.members('room') == others.members('room') == ['anna', 'zoe']
        assert mine.members('elsewhere') == []
        mine.leave(visitors[0].socket, 'room')
        settle()
        assert others.members('room') == ['anna', 'zoe']
        visitors[2].leave()
        wait_until(lambda: mine.members('room') == ['anna'])

    @pytest.mark.proves('R7')
    def test_changes_are_reported_in_processes_with_a_socket_in_the_channel(self, make: Make, visit: Visit) -> None:
        mine, others = make(), make()
        if mine.url.startswith('memory'):
            others = mine
        told: list[Any] = []
        mine.onmembers = lambda channel, names: channel == 'room' and told.append((channel, names))
        watcher = visit().open()
        mine.join(watcher.socket, 'room')
        anna, twin, elsewhere = (visit().open() for _ in range(3))
        others.join(elsewhere.socket, 'elsewhere', name='bob')
        others.join(anna.socket, 'room', name='anna')
        wait_until(lambda: told == [('room', ['anna'])])
        others.join(twin.socket, 'room', name='anna')
        others.leave(anna.socket, 'room')
        settle()
        others.join(anna.socket, 'room', name='zoe')
        wait_until(lambda: len(told) == 2)
        twin.leave()
        wait_until(lambda: len(told) == 3)
        assert told == [('room', ['anna']), ('room', ['anna', 'zoe']), ('room', ['zoe'])]
        mine.leave(watcher.socket, 'room')
        if mine is not others:
            anna.leave()
            wait_until(lambda: others.members('room') == [])
            assert len(told) == 3

    @pytest.mark.proves('R7')
    def test_an_exception_in_onmembers_is_logged(
            self, channels: Channels, visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
        channels.onmembers = lambda channel, names: 1 / 0
        channels.join(visit().open().socket, 'room', name='anna')
        wait_until(lambda: [record.message for record in caplog.records] == ['onmembers raised'])

    @pytest.mark.proves('R7')
    def test_the_last_of_many_changes_is_reported(self, channels: Channels, visit: Visit) -> None:
        told: list[Any] = []
        channels.onmembers = lambda channel, names: (gevent.sleep(0.01), told.append(names))
        visitors = [visit().open() for _ in range(10)]
        for number, visitor in enumerate(visitors):
            channels.join(visitor.socket, 'room', name=f'{number}')
        wait_until(lambda: told and told[-1] == sorted(map(str, range(10))))


class TestEncode:
    """A function that encodes the messages of WebSockets."""

    @pytest.mark.proves('R8')
    def test_is_called_once_for_each_message(self, make: Make, visit: Visit) -> None:
        calls: list[Any] = []
        channels = make(encode=lambda *arguments: calls.append(arguments) or f'<{arguments[2]}>')
        visitors = [visit().open() for _ in range(5)]
        for visitor in visitors:
            channels.join(visitor.socket, 'room')
        ids = [channels.publish('room', text) for text in 'ab']
        late = visit().open()
        channels.join(late.socket, 'room', recent=2)
        for visitor in (*visitors, late):
            visitor.wait('<a>', '<b>')
        assert calls == [(ids[0], 'room', 'a'), (ids[1], 'room', 'b')]

    @pytest.mark.proves('R8')
    @pytest.mark.parametrize('bad', [None, 1 / 3, object()])
    def test_a_message_that_cannot_be_encoded_is_skipped(
            self, make: Make, visit: Visit, caplog: pytest.LogCaptureFixture, bad: Any) -> None:
        def encode(id: str, channel: str, message: Any) -> Any:
            if message == 'b':
                if bad == 1 / 3:
                    raise RuntimeError('here')
                return bad
            return message

        channels = make(encode=encode)
        visitor, source = visit().open(), visit(source=True).open()
        channels.join(visitor.socket, 'room')
        channels.join(source.socket, 'room')
        for text in 'abc':
            channels.publish('room', text)
        visitor.wait('a', 'c')
        source.wait('a', 'b', 'c')
        assert len(caplog.records) == 1

    @pytest.mark.proves('R8')
    def test_the_envelope_contains_the_id(self, make: Make, visit: Visit) -> None:
        channels = make(encode=envelope)
        visitor = visit().open()
        channels.join(visitor.socket, 'room')
        ids = [channels.publish('room', message) for message in ('text "', b'\x00\xff')]
        wait_until(lambda: len(visitor.messages) == 2)
        assert [json.loads(message) for message in visitor.messages] == [
            {'id': ids[0], 'channel': 'room', 'data': 'text "'}, {'id': ids[1], 'channel': 'room', 'base64': 'AP8='}]


class TestSlowSockets:
    """Sockets whose peers read more slowly than others write."""

    BIG = 'x' * 20_000

    @pytest.mark.proves('R2')
    @pytest.mark.parametrize('source', [False, True])
    def test_missed_messages_are_sent_as_slowly_as_the_socket_reads(
            self, channels: Channels, visit: Visit, source: bool) -> None:
        ids = [channels.publish('room', f'{number:03}{self.BIG}') for number in range(100)]
        visitor = visit(source=source, buffer_size=4096, reads=False, max_buffered=50_000).open()
        channels.join(visitor.socket, 'room', since=ids[0])
        settle()
        visitor.read()
        wait_until(lambda: len(visitor.received) > 99 * 20_000 and len(visitor.messages) == 99)
        assert [message[:3] for message in visitor.messages] == [f'{number:03}' for number in range(1, 100)]
        assert visitor.closes == []

    @pytest.mark.proves('R2')
    @pytest.mark.parametrize('source', [False, True])
    def test_overflow_close_closes_with_1013_and_the_client_can_rejoin(
            self, channels: Channels, visit: Visit, source: bool) -> None:
        slow = visit(source=source, buffer_size=4096, reads=False, max_buffered=50_000).open()
        fast = visit().open()
        channels.join(slow.socket, 'room')
        channels.join(fast.socket, 'room')
        ids = [channels.publish('room', f'{number:03}{self.BIG}') for number in range(100)]
        wait_until(lambda: slow.closes)
        assert (slow.closes[0].code, slow.closes[0].reason) == (1013, 'slow consumer')
        wait_until(lambda: len(fast.messages) == 100)
        back = visit(source=source).open()
        channels.join(back.socket, 'room', since=ids[10])
        wait_until(lambda: len(back.messages) == 89)
        assert [message[:3] for message in back.messages] == [f'{number:03}' for number in range(11, 100)]

    @pytest.mark.proves('R3')
    @pytest.mark.parametrize('source', [False, True])
    def test_overflow_drop_calls_onlost_once_for_each_gap(self, channels: Channels, visit: Visit, source: bool) -> None:
        lost: list[Any] = []
        channels.onlost = lambda socket, channel: lost.append((socket, channel))
        slow = visit(source=source, buffer_size=4096, reads=False, max_buffered=50_000, overflow='drop').open()
        channels.join(slow.socket, 'room')
        for number in range(100):
            channels.publish('room', f'{number:03}{self.BIG}')
        wait_until(lambda: lost)
        slow.read()
        wait_until(lambda: slow.socket.buffered_amount == 0)
        channels.publish('room', '100')
        wait_until(lambda: slow.messages[-1] == '100')
        numbers = [int(message[:3]) for message in slow.messages]
        gaps = sum(after != before + 1 for before, after in zip([-1, *numbers], numbers, strict=False))
        assert lost == [(slow.socket, 'room')] * gaps
        assert slow.closes == []

    @pytest.mark.proves('R2')
    @pytest.mark.parametrize('source', [False, True])
    @pytest.mark.parametrize('history', [1000, 0])
    def test_overflow_block_delays_no_other_socket_and_loses_nothing(
            self, make: Make, visit: Visit, source: bool, history: int) -> None:
        channels = make(history=history)
        lost: list[Any] = []
        channels.onlost = lambda socket, channel: lost.append((socket, channel))
        slow = visit(source=source, buffer_size=4096, reads=False, max_buffered=50_000, overflow='block').open()
        fast = visit().open()
        channels.join(slow.socket, 'room')
        channels.join(fast.socket, 'room')
        for number in range(200):
            channels.publish('room', f'{number:03}{self.BIG}')
        wait_until(lambda: len(fast.received) > 200 * 20_000)
        assert slow.socket.buffered_amount < 100_000
        slow.read()
        wait_until(lambda: len(slow.received) > 200 * 20_000 and len(slow.messages) == 200)
        assert [message[:3] for message in slow.messages] == [f'{number:03}' for number in range(200)]
        channels.publish('room', 'more')
        wait_until(lambda: slow.messages[-1] == 'more')
        assert lost == []


class TestOptions:
    """The options of Channels."""

    @pytest.mark.proves('R9')
    @pytest.mark.parametrize(('options', 'error'), [
        ({'history': -1}, ValueError), ({'history': 1.5}, TypeError), ({'history': True}, TypeError),
        ({'max_age': '1'}, TypeError), ({'max_age': -1}, ValueError), ({'max_age': math.nan}, ValueError),
        ({'prefix': 5}, TypeError), ({'prefix': 'a\n'}, ValueError), ({'encode': 5}, TypeError),
        ({'timeout': -1}, ValueError), ({'timeout': None}, TypeError), ({'url': 5}, TypeError),
        ({'url': 'http://localhost'}, ValueError), ({'url': ''}, ValueError)])
    def test_invalid_options_raise(self, options: Any, error: Any) -> None:
        with pytest.raises(error, match=next(iter(options))):
            Channels(**options)

    def test_have_defaults(self) -> None:
        channels = Channels()
        assert channels.publish('a', 'b')
        assert repr(channels) == '<Channels memory>'
        assert channels.onlost is None
        assert channels.onmembers is None


class TestFork:
    """Channels in a forked process."""

    @pytest.mark.proves('R6')
    def test_channels_work_in_the_child_and_in_the_parent(self, channels: Channels, visit: Visit) -> None:
        visitor = visit().open()
        channels.join(visitor.socket, 'room', name='anna')
        channels.publish('room', 'before')
        visitor.wait('before')
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                assert channels.publish('room', 'child')
                got: list[Any] = []
                channels.subscribe('room', lambda *arguments: got.append(arguments[2]), recent=1)
                wait_until(lambda: got == ['child'])
                os.write(writer, b'done')
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, 'rb') as file:
            assert file.read() == b'done'
        # An earlier test may have made the loop reap all children.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        channels.publish('room', 'after')
        expected = ['before', 'after'] if channels.url.startswith('memory') else ['before', 'child', 'after']
        visitor.wait(*expected)


def collect() -> None:
    import gc

    gc.collect()
    settle()
