"""``broadcast``: one message to many sockets of every kind, in every state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import gevent
import pytest

from faye_websocket import Client, PermessageDeflate, WebSocket, broadcast
from tests.support.local import Pair, Record, joined, run_threads, serve, settle, wait_until
from tests.support.wire import BINARY, CLOSE, HIXIE_76, HIXIE_76_BODY, RFC_6455, TEXT, Frame

NO_CONTEXT = 'permessage-deflate; server_no_context_takeover'
#: A text that is worth compressing.
LONG = 'all the same ' * 40


@contextmanager
def pairs(count: int, offer: str = '', **options: Any) -> Iterator[list[Pair]]:
    """Yield this many open sockets, whose clients offer these extensions."""
    headers = [*RFC_6455, ('Sec-WebSocket-Extensions', offer)] if offer else RFC_6455
    with ExitStack() as stack:
        made = [stack.enter_context(joined(headers, **options)) for _ in range(count)]
        for pair in made:
            pair.open()
        yield made


def sockets(made: list[Pair]) -> list[WebSocket]:
    """Return the sockets of some pairs."""
    return [pair.ws for pair in made]


class TestMessage:
    @pytest.mark.parametrize(('message', 'frame'), [
        ('h\u00e9', Frame(TEXT, 'h\u00e9'.encode())), (b'\xff', Frame(BINARY, b'\xff')), (bytearray(b'a'), Frame(BINARY, b'a')),
        ('a\ud800b', Frame(TEXT, 'a\ufffdb'.encode())),
        ([1, 2], Frame(BINARY, b'\1\2')), (7, Frame(TEXT, b'7'))])
    def test_reaches_every_socket(self, message: Any, frame: Frame) -> None:
        with pairs(3) as made:
            assert broadcast(sockets(made), message) == 3
            assert [pair.client.receive_frame() for pair in made] == [frame] * 3

    @pytest.mark.parametrize('message', [None, object(), [256], True])
    def test_is_checked_before_anything_is_sent(self, message: Any) -> None:
        with pytest.raises(TypeError, match='^message: expected str, bytes'):
            broadcast([], message)

    def test_may_have_no_sockets(self) -> None:
        assert broadcast(iter(()), 'hi') == 0

    @pytest.mark.proves('B1')
    def test_keeps_its_place_among_other_messages(self) -> None:
        with pairs(2) as made:
            for pair in made:
                pair.ws.send('before')
            broadcast(sockets(made), 'it')
            for pair in made:
                pair.ws.send('after')
                assert [frame.payload for frame in (pair.client.receive_frame() for _ in range(3))] == [
                    b'before', b'it', b'after']


class TestSockets:
    def test_may_be_of_every_kind(self) -> None:
        deflate = [PermessageDeflate()]
        with (pairs(2) as plain, pairs(2, NO_CONTEXT, extensions=deflate) as alone,
              pairs(2, 'permessage-deflate', extensions=deflate) as context, joined(HIXIE_76) as old):
            old.start()
            old.client.send(HIXIE_76_BODY)
            old.client.receive_head()
            old.client.receive(16)
            for number in range(2):
                assert broadcast([*sockets(plain + alone + context), old.ws], LONG) == 7
                assert [pair.client.receive_frame() for pair in plain] == [Frame(TEXT, LONG.encode())] * 2
                frames = [pair.client.receive_frame() for pair in alone + context]
                assert frames[0] == frames[1] and frames[2] == frames[3] and (frames[0] == frames[2]) is (number == 0)
                assert zlib.decompressobj(-15).decompress(frames[0].payload + b'\0\0\xff\xff') == LONG.encode()
                assert old.client.receive(len(LONG) + 2) == b'\0' + LONG.encode() + b'\xff'
            # hixie-75 has no binary messages.
            assert broadcast([old.ws, *sockets(plain)], b'binary') == 2

    def test_may_be_clients(self) -> None:
        with serve() as server:
            clients = [Record(Client(f'ws://127.0.0.1:{server.wsgi.server_port}/')) for _ in range(2)]  # type: ignore[arg-type]
            for record in clients:
                record.wait('open')
            assert broadcast([record.ws for record in clients], 'hi') == 2
            wait_until(lambda: [record.messages for record in server.records] == [['hi'], ['hi']])
            for record in clients:
                record.ws.close()
                record.the_close()

    def test_that_are_not_open_yet_get_it_later(self) -> None:
        with joined() as pair:
            assert broadcast([pair.ws], 'early') == 1
            assert pair.ws.buffered_amount == 5
            pair.open()
            assert pair.client.receive_frame() == Frame(TEXT, b'early')

    def test_that_are_closed_are_not_counted(self) -> None:
        with pairs(3) as made:
            closing, dead, alive = made
            closing.ws.close()
            record = Record(dead.ws)
            dead.client.close()
            record.the_close()
            assert broadcast(sockets(made), 'hi') == 1
            assert alive.client.receive_frame() == Frame(TEXT, b'hi')
            assert closing.client.receive_frame().opcode == CLOSE

    def test_that_fail_meanwhile_do_not_affect_others(self) -> None:
        with pairs(3) as made:
            record = Record(made[0].ws)
            made[0].client.reset()
            assert broadcast(sockets(made), 'hi') in (2, 3)
            assert [pair.client.receive_frame() for pair in made[1:]] == [Frame(TEXT, b'hi')] * 2
            record.the_close()

    @pytest.mark.proves('B3')
    def test_that_are_slow_are_handled_by_their_own_option(self) -> None:
        big = bytes(1_000_000)
        with (pairs(1, buffer_size=4096, max_buffered=1_500_000) as close,
              pairs(1, buffer_size=4096, max_buffered=1_500_000, overflow='drop') as drop, pairs(1) as fast):
            every, record = sockets(close + drop + fast), Record(close[0].ws)
            reader = gevent.spawn(fast[0].client.receive_messages, 3)
            counts = []
            for _ in range(3):
                counts.append(broadcast(every, big))
                wait_until(lambda: fast[0].ws.buffered_amount == 0)
            assert counts == [3, 1, 1]
            assert (record.the_close().code, record.the_close().reason) == (1013, 'slow consumer')
            assert drop[0].ws.ready_state == WebSocket.OPEN
            assert reader.get(timeout=10) == [big] * 3

    def test_may_change_meanwhile(self) -> None:
        with pairs(2, buffer_size=4096, max_buffered=1_000_000, overflow='block') as made:
            living = set(sockets(made))
            for pair in made:
                pair.ws.send(bytes(1_000_000))
            task = gevent.spawn(broadcast, living, 'hi')
            settle()
            living.clear()
            for pair in made:
                assert pair.client.receive_messages(2)[1:] == [b'hi']
            assert task.get(timeout=10) == 2


class TestThreads:
    @pytest.mark.proves('C1')
    @pytest.mark.threads
    def test_may_all_send(self) -> None:
        with pairs(3) as made:
            counts: list[int] = []
            run_threads(*[lambda: counts.append(broadcast(sockets(made), 'hi'))] * 4)
            assert counts == [3] * 4
            for pair in made:
                assert [pair.client.receive_frame() for _ in range(4)] == [Frame(TEXT, b'hi')] * 4

    def test_get_the_number_of_sockets_that_are_not_closing(self) -> None:
        with pairs(2) as made:
            made[0].ws.close()
            counts: list[int] = []
            run_threads(lambda: counts.append(broadcast(sockets(made), 'hi')))
            assert counts == [1]


class TestEventSources:
    """Event sources among the sockets."""

    def test_get_an_event_that_is_serialized_once(self) -> None:
        from tests.support.channels import Visitor

        visitors = [Visitor(source=number > 0).open() for number in range(3)]
        sockets = [visitor.socket for visitor in visitors]
        assert broadcast(sockets, 'x', event='news', id='7') == 3
        assert broadcast(sockets[:1], b'x') == 1
        with pytest.raises(TypeError, match='data'):
            broadcast(sockets, b'x')
        visitors[0].wait('x', b'x')
        for visitor in visitors[1:]:
            visitor.wait('x')
            assert [tuple(event) for event in visitor.events] == [('x', 'news', '7')]
        for visitor in visitors:
            visitor.leave()
        assert broadcast(sockets, 'x') == 0
