"""The option ``overflow``: the rule alone, and in a connection."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from faye_websocket import WebSocket
from faye_websocket.io.limits import make_limits
from faye_websocket.io.overflow import POLICIES, Overflow
from faye_websocket.io.shutdown import open_sockets
from tests.support.inside import connection_of
from tests.support.local import Record, joined, run_threads, settle


class Sender:
    """A connection with 900 queued bytes, of which each wait sends 100."""

    def __init__(self, may_block: bool = True) -> None:
        self.ready_state = WebSocket.OPEN
        self.buffered_amount = 900
        self.calls: list[str] = []
        self.may_block = may_block

    def give_up_slow_peer(self) -> None:
        self.calls.append('closed')

    def message_dropped(self) -> None:
        self.calls.append('dropped')

    def wait_for_room(self, size: int) -> bool:
        self.calls.append('waited')
        self.buffered_amount -= 100
        if self.buffered_amount == 500:
            self.ready_state = WebSocket.CLOSING
        return self.may_block


def make_overflow(policy: str, sender: Any, room_maker: Any = None) -> Overflow:
    """Return an ``Overflow`` with a limit of 1,000 bytes and a low water of 250."""
    return Overflow(sender, make_limits(max_buffered=1000, overflow=policy), room_maker)


class TestMakeRoom:
    """The rule, without a connection."""

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize('policy', POLICIES)
    def test_does_nothing_where_there_is_room(self, policy: str) -> None:
        sender = Sender()
        assert make_overflow(policy, sender).make_room(100)
        assert sender.calls == []

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize('policy', POLICIES)
    def test_a_message_of_any_size_has_room_while_little_waits(self, policy: str) -> None:
        sender = Sender()
        sender.buffered_amount = 250
        assert make_overflow(policy, sender).make_room(10_000)
        assert sender.calls == []

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize(
        ('policy', 'answer', 'calls'),
        [('close', False, ['closed']), ('drop', False, ['dropped']), ('block', True, ['waited'])])
    def test_follows_the_policy_otherwise(self, policy: str, answer: bool, calls: list[str]) -> None:
        sender = Sender()
        assert make_overflow(policy, sender).make_room(101) is answer
        assert sender.calls == calls

    @pytest.mark.proves('B1')
    def test_blocks_until_there_is_room(self) -> None:
        sender = Sender()
        assert make_overflow('block', sender).make_room(400)
        assert sender.calls == ['waited'] * 3

    @pytest.mark.proves('B1')
    def test_blocks_no_longer_than_the_connection_lives(self) -> None:
        sender = Sender()
        assert not make_overflow('block', sender).make_room(600)
        assert sender.calls == ['waited'] * 4

    def test_does_not_block_the_greenlet_that_makes_room(self) -> None:
        sender = Sender()
        assert not make_overflow('block', sender, gevent.getcurrent()).make_room(101)
        assert sender.calls == []

    def test_does_not_block_where_the_sender_must_not(self) -> None:
        sender = Sender(may_block=False)
        assert not make_overflow('block', sender).make_room(201)
        assert sender.calls == ['waited']


class TestConnection:
    """A connection has an ``Overflow`` only while it holds something."""

    def test_has_one_during_its_handshake(self) -> None:
        with joined() as pair:
            pair.ws.send('four')
            overflow = connection_of(pair.ws)._overflow
            assert overflow.early == 4
            pair.open()
            assert connection_of(pair.ws)._overflow is None

    def test_has_one_while_something_is_posted(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            run_threads(lambda: ws.send('x'))
            assert client.receive_messages(1) == [b'x']
            assert connection_of(ws)._overflow is None
            assert ws.buffered_amount == 0

    def test_has_none_for_a_peer_that_was_behind(self) -> None:
        with joined(buffer_size=4096, overflow='drop', max_buffered=400_000) as pair:
            ws, _ = pair.open()
            assert [ws.send(bytes(300_000)), ws.send(bytes(300_000))] == [True, False]
            assert connection_of(ws)._overflow is None


@pytest.mark.proves('B3')
@pytest.mark.parametrize('threaded', [False, True], ids=['greenlet', 'thread'])
@pytest.mark.parametrize('overflow', ['close', 'drop', 'block'])
def test_an_empty_message_finds_room_though_the_peer_is_behind(overflow: str, threaded: bool) -> None:
    with joined(buffer_size=4096, overflow=overflow) as pair:
        ws, client = pair.open()
        ws.send(bytes(300_000))
        assert ws.buffered_amount > 65536
        results: list[bool] = []
        send = lambda: results.append(ws.send(''))
        run_threads(send) if threaded else send()
        assert results == [True]
        assert ws.ready_state == WebSocket.OPEN
        assert client.receive_messages(2) == [bytes(300_000), b'']


@pytest.mark.proves('L2', 'H10')
def test_a_socket_that_overflowed_before_its_handshake_is_not_waited_for_at_exit() -> None:
    before = len(open_sockets)
    with joined(max_buffered=100) as pair:
        record = Record(pair.ws)
        pair.ws.send('x' * 200)
        assert not pair.ws.send('x' * 200)
        assert record.the_close().code == 1013
        pair.start()
        settle()
        assert len(open_sockets) == before
