"""The queue of events for a handler, bounded in messages and in bytes.

The bounds hold for server and client, whatever delays the handler.
"""

from __future__ import annotations

import logging
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.event
import pytest

from faye_websocket import Client, PermessageDeflate, WebSocket
from faye_websocket.driver.codec import apply_mask
from tests.support.inside import connection_of, dispatcher_of, messages_waiting, stream_of
from tests.support.local import Record, joined, reset_socket, settle, tcp_pair, wait_until
from tests.support.scripted import acceptance, read_head
from tests.support.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HIXIE_76,
    HIXIE_76_BODY,
    PING,
    PONG,
    RFC_6455,
    TEXT,
    Frame,
    close_payload,
    serialize_frame,
)

MIB = 2**20
DEFLATE = ('Sec-WebSocket-Extensions', 'permessage-deflate')
#: More messages than the default limit, which compressed fit into one read.
MANY = 66
MESSAGES = [f'{number:02d}'.ljust(MIB, 'x') for number in range(MANY)]


class Peer:
    """The peer of a socket `ws` of ours: a raw client, or a raw server."""

    def __init__(self, ws: Any, sock: Any, is_client: bool, rest: bytes) -> None:
        self.ws = ws
        self.sock = sock
        self.is_client = is_client
        self.rest = rest

    def frame(self, opcode: int, payload: bytes = b'', **bits: Any) -> bytes:
        """Return a frame from this side."""
        return serialize_frame(opcode, payload, masked=self.is_client, **bits)

    def send(self, *frames: bytes) -> None:
        """Send the frames in one write."""
        self.sock.sendall(b''.join(frames))

    def texts(self, count: int, length: int = 1) -> list[bytes]:
        """Return this many messages, numbered."""
        return [self.frame(TEXT, b'%0*d' % (length, number)) for number in range(count)]

    def receive_frame(self) -> Frame:
        """Return the next frame, which is a short one."""
        start = 2 if self.is_client else 6
        while len(self.rest) < 2 or len(self.rest) < start + (self.rest[1] & 0x7F):
            chunk = self.sock.recv(65536)
            assert chunk, 'the connection ended'
            self.rest += chunk
        end = start + (self.rest[1] & 0x7F)
        data, self.rest = self.rest[:end], self.rest[end:]
        payload = data[start:] if self.is_client else apply_mask(data[start:], data[2:6])
        return Frame(data[0] & 0x0F, payload)

    def ask(self) -> None:
        """Send a ping, and receive its pong."""
        self.send(self.frame(PING, b'alive?'))
        assert self.receive_frame() == Frame(PONG, b'alive?')

    @property
    def waiting(self) -> int:
        """The number of queued messages."""
        return len(dispatcher_of(self.ws))

    @property
    def queued(self) -> int:
        """The sum of the sizes of all queued messages."""
        return sum(map(sys.getsizeof, messages_waiting(self.ws)))


@contextmanager
def served(buffer_size: int = 0, *, compresses: bool = False, **options: Any) -> Iterator[Peer]:
    """Return a server's socket, and its raw client."""
    extensions = [PermessageDeflate()] if compresses else []
    headers = (*RFC_6455, DEFLATE) if compresses else RFC_6455
    with joined(headers, buffer_size=buffer_size, extensions=extensions, **options) as pair:
        ws, client = pair.open()
        yield Peer(ws, client.socket, True, client._unread)


@contextmanager
def connected(buffer_size: int = 0, *, compresses: bool = False, **options: Any) -> Iterator[Peer]:
    """Return a client's socket, and its raw server."""
    sock, mine = tcp_pair(buffer_size)
    extensions = [PermessageDeflate()] if compresses else []
    with sock, mine:
        ws = Client('ws://example.com/', socket=mine, extensions=extensions, **options)
        head, _, rest = read_head(sock).partition(b'\r\n\r\n')
        sock.sendall(acceptance(head + b'\r\n\r\n', *([': '.join(DEFLATE)] if compresses else [])))
        wait_until(lambda: ws.ready_state == Client.OPEN)
        yield Peer(ws, sock, False, rest)
        connection_of(ws).abort('the test is over')
        settle()


both_ends = pytest.mark.parametrize('end', [served, connected], ids=['server', 'client'])
End = Callable[..., Any]


def deflated(messages: list[str]) -> list[bytes]:
    """Return the messages as compressed in turn by a peer with context takeover."""
    deflater = zlib.compressobj(wbits=-15)
    return [(deflater.compress(text.encode()) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4] for text in messages]


class Blocked:
    """A handler that blocks until it is released, and records its messages."""

    def __init__(self, ws: Any) -> None:
        self.messages: list[Any] = []
        self.gate = gevent.event.Event()
        ws.onmessage = self

    def __call__(self, event: Any) -> None:
        self.messages.append(event.data)
        self.gate.wait()


@pytest.mark.proves('O7')
def test_a_message_is_as_large_as_python_keeps_it() -> None:
    with served() as peer:
        handler, dispatcher = Blocked(peer.ws), dispatcher_of(peer.ws)
        assert dispatcher.room == 2**24
        peer.send(peer.frame(TEXT, b'hello'))
        wait_until(lambda: handler.messages)
        whole = dispatcher.room
        assert whole == 2**24 - sys.getsizeof('hello')
        texts = ['', 'a', 'abc' * 50, 'éé', 'é' * 100, 'Ā' * 100, '€uro', '\U0001f600' * 7]
        datas = [b'', b'a', bytes(100)]
        for text in texts:
            peer.send(peer.frame(TEXT, text.encode()))
        for data in datas:
            peer.send(peer.frame(BINARY, data))
        wait_until(lambda: peer.waiting == len(texts + datas))
        assert whole - dispatcher.room == sum(map(sys.getsizeof, texts)) + sum(map(sys.getsizeof, datas))
        handler.gate.set()
        wait_until(lambda: len(handler.messages) == 1 + len(texts + datas))
        assert handler.messages[1:] == texts + datas
        # Those that leave are not counted before the limit may be exceeded.
        dispatcher.count_room(2**24)
        assert dispatcher.room == 2**24


@both_ends
class TestBytes:
    """The limit ``max_queued``."""

    @pytest.mark.proves('O7', 'D1')
    def test_compressed_messages_to_a_handler_that_blocks_stop_within_one_read(self, end: End) -> None:
        with end(compresses=True) as peer:
            handler = Blocked(peer.ws)
            frames = [peer.frame(TEXT, data, rsv=4) for data in deflated(MESSAGES)]
            assert len(b''.join(frames)) < 80_000
            peer.send(*frames)
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            # The first one may have been delivered after the last one arrived.
            assert 2**24 - MIB < peer.queued <= 2**24 + sys.getsizeof(MESSAGES[0])
            handler.gate.set()
            wait_until(lambda: len(handler.messages) == MANY)
            assert handler.messages == MESSAGES
            peer.ask()

    @pytest.mark.proves('O7', 'D1')
    def test_compressed_messages_wait_for_receive(self, end: End) -> None:
        with end(compresses=True) as peer:
            peer.send(*[peer.frame(TEXT, data, rsv=4) for data in deflated(MESSAGES)])
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            assert 2**24 < peer.queued <= 2**24 + sys.getsizeof(MESSAGES[0])
            assert [peer.ws.receive(timeout=5) for _ in range(MANY)] == MESSAGES
            peer.ask()

    @pytest.mark.proves('O7', 'D1')
    def test_compressed_messages_to_a_slow_handler_stay_within_it(self, end: End) -> None:
        with end(compresses=True) as peer:
            messages, most = [], [0]

            def handle(event: Any) -> None:
                messages.append(event.data)
                most[0] = max(most[0], peer.queued)
                gevent.sleep(0)

            peer.ws.onmessage = handle
            peer.send(*[peer.frame(TEXT, data, rsv=4) for data in deflated(MESSAGES)])
            wait_until(lambda: len(messages) == MANY)
            assert messages == MESSAGES
            assert most[0] <= 2**24 + sys.getsizeof(MESSAGES[0])

    @pytest.mark.proves('O7')
    def test_wide_characters_count_by_the_memory_they_take(self, end: End) -> None:
        # One character outside of Latin-1 makes each of the others take four bytes.
        message = '\U0001f600'.ljust(MIB, 'x')
        with end(compresses=True) as peer:
            handler = Blocked(peer.ws)
            peer.send(*[peer.frame(TEXT, data, rsv=4) for data in deflated([message] * 20)])
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            # Three of them are less than 16 MiB, and the fourth exceeds it.
            assert (len(handler.messages), peer.waiting) in ((0, 4), (1, 3), (1, 4))
            handler.gate.set()
            wait_until(lambda: handler.messages == [message] * 20)

    @pytest.mark.proves('O7')
    def test_fragments_count_when_their_message_is_whole(self, end: End) -> None:
        with end(max_queued=5000) as peer:
            handler = Blocked(peer.ws)
            part = bytes(500)
            message = [peer.frame(BINARY, part, fin=False), peer.frame(CONTINUATION, part, fin=False),
                       peer.frame(CONTINUATION, part)]
            peer.send(*message)
            wait_until(lambda: handler.messages)
            peer.send(*message * 9)
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            assert (len(handler.messages), peer.waiting) == (1, 4)
            handler.gate.set()
            wait_until(lambda: handler.messages == [part * 3] * 10)

    @pytest.mark.proves('O7')
    @pytest.mark.parametrize('excess', [-1, 0, 1])
    def test_is_exact_to_the_byte(self, end: End, excess: int) -> None:
        sizes = [sys.getsizeof(bytes(100)), sys.getsizeof(bytes(200))]
        with end(max_queued=sum(sizes) - excess) as peer:
            handler = Blocked(peer.ws)
            peer.send(peer.frame(BINARY))
            wait_until(lambda: handler.messages)
            peer.send(peer.frame(BINARY, bytes(100)), peer.frame(BINARY, bytes(200)), peer.frame(PING))
            wait_until(lambda: peer.waiting == 2)
            settle()
            assert stream_of(peer.ws).is_paused == (excess > 0)
            handler.gate.set()
            wait_until(lambda: len(handler.messages) == 3)
            assert peer.receive_frame().opcode == PONG

    @pytest.mark.proves('O7')
    def test_reading_continues_at_half_the_limit(self, end: End) -> None:
        size = sys.getsizeof(bytes(1000))
        with end(max_queued=4 * size) as peer:
            taken = [peer.ws.receive] if not peer.send(*[peer.frame(BINARY, bytes(1000))] * 10) else []
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            assert peer.waiting == 5
            for left in (4, 3):
                taken[0](timeout=5)
                settle()
                assert peer.waiting == left
            taken[0](timeout=5)
            # Two remain, which is half, and as many may arrive.
            wait_until(lambda: peer.waiting == 5)
            # Otherwise the end, behind a full queue, would never be read.
            peer.ws.close()

    @pytest.mark.proves('O7', 'C3')
    def test_one_message_may_always_wait_and_be_handled(self, end: End) -> None:
        with end(max_queued=0) as peer:
            handler = Blocked(peer.ws)
            peer.send(peer.frame(BINARY, bytes(100_000)))
            wait_until(lambda: handler.messages)
            # It is no longer queued, and the next one may be.
            peer.ask()
            peer.send(peer.frame(BINARY, bytes(200)), peer.frame(BINARY, bytes(300)))
            wait_until(lambda: peer.waiting == 1)
            settle()
            assert peer.waiting == 1
            handler.gate.set()
            wait_until(lambda: handler.messages == [bytes(100_000), bytes(200), bytes(300)])
            peer.ask()

    @pytest.mark.proves('O7')
    @pytest.mark.parametrize('options', [
        {'max_queued': float('inf')}, {'max_queue': float('inf')}, {'max_queue': float('inf'), 'max_queued': 1000.5}],
        ids=['bytes', 'messages', 'a fraction'])
    def test_accepts_any_number(self, end: End, options: dict[str, Any]) -> None:
        with end(**options) as peer:
            handler = Blocked(peer.ws)
            sender = gevent.spawn(peer.send, *peer.texts(300, 100))
            settle()
            handler.gate.set()
            wait_until(lambda: len(handler.messages) == 300)
            sender.get(timeout=5)
            peer.ask()

    @pytest.mark.proves('O7', 'L3')
    def test_closing_drops_queued_messages_and_sees_the_peers_close(self, end: End) -> None:
        with end(compresses=True) as peer:
            handler, record = Blocked(peer.ws), Record(peer.ws, ('close',))
            peer.send(*[peer.frame(TEXT, data, rsv=4) for data in deflated(MESSAGES)], peer.frame(CLOSE, close_payload(3001)))
            wait_until(lambda: stream_of(peer.ws).is_paused)
            peer.ws.close(3000)
            wait_until(lambda: peer.ws.ready_state == WebSocket.CLOSED)
            assert peer.receive_frame().opcode == CLOSE
            handler.gate.set()
            event = record.the_close()
            assert (event.code, event.was_clean) == (3001, True)
            # The messages that arrived before close() was called.
            assert handler.messages == MESSAGES[:len(handler.messages)]
            assert len(handler.messages) < 20

    @pytest.mark.proves('O7', 'L2')
    def test_the_rest_of_a_read_comes_before_the_end(self, end: End) -> None:
        with end(max_queued=1000) as peer:
            handler, record = Blocked(peer.ws), Record(peer.ws, ('close',))
            peer.send(*peer.texts(30, 100), peer.frame(CLOSE, close_payload(3001)))
            peer.sock.shutdown(1)
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            assert record.events == []
            handler.gate.set()
            event = record.the_close()
            assert (event.code, event.was_clean, len(handler.messages)) == (3001, True, 30)


@pytest.mark.proves('O7')
def test_the_hixie_drafts_stop_within_one_read() -> None:
    with joined(HIXIE_76, max_queued=1000) as pair:
        handler = Blocked(pair.ws)
        ws, client = pair.open()
        client.send(HIXIE_76_BODY)
        assert len(client.receive(16)) == 16
        client.send(b''.join(b'\x00%0100d\xff' % number for number in range(100)) + b'\xff\x00')
        record = Record(ws, ('close',))
        wait_until(lambda: stream_of(ws).is_paused)
        settle()
        assert len(dispatcher_of(ws)) + len(handler.messages) == 1000 // sys.getsizeof('0' * 100) + 1
        handler.gate.set()
        assert record.the_close().was_clean
        assert [int(text) for text in handler.messages] == list(range(100))


@both_ends
class TestBusyHandler:
    """A handler that blocks, and a peer that keeps sending."""

    @pytest.mark.proves('B4')
    def test_exactly_one_message_more_than_max_queue_waits(self, end: End) -> None:
        with end(max_queue=4) as peer:
            handler = Blocked(peer.ws)
            peer.send(peer.frame(TEXT, b'first'))
            wait_until(lambda: handler.messages)
            peer.send(*peer.texts(100))
            wait_until(lambda: stream_of(peer.ws).is_paused)
            settle()
            assert peer.waiting == 5
            handler.gate.set()
            wait_until(lambda: len(handler.messages) == 101)

    @pytest.mark.proves('O7')
    @pytest.mark.parametrize(('text', 'waiting'), [('Ā', 5), ('ĀĀĀ', 5), ('ĀĀĀĀ', 99)])
    def test_only_tiny_messages_of_a_read_are_kept_as_they_arrived(
            self, end: End, text: str, waiting: int) -> None:
        with end(max_queue=4) as peer:
            handler = Blocked(peer.ws)
            peer.send(*[peer.frame(TEXT, text.encode())] * 100)
            wait_until(lambda: handler.messages)
            settle()
            assert peer.waiting in (waiting, waiting - 1)
            handler.gate.set()
            wait_until(lambda: len(handler.messages) == 100)

    @pytest.mark.proves('C3', 'O7')
    def test_delays_no_pong_within_the_limits(self, end: End) -> None:
        with end() as peer:
            handler = Blocked(peer.ws)
            peer.send(*[peer.frame(BINARY, bytes(250_000))] * 64)
            wait_until(lambda: peer.waiting == 63)
            peer.ask()
            handler.gate.set()

    @pytest.mark.proves('L6', 'O7')
    def test_notices_on_send_that_the_peer_is_gone_and_keeps_all_its_messages(
            self, end: End) -> None:
        with end(max_queue=4) as peer:
            messages: list[str] = []
            answers: list[bool] = []

            def handle(event: Any) -> None:
                messages.append(event.data)
                while not answers or answers[-1]:
                    answers.append(peer.ws.send('tick'))
                    gevent.sleep(0.001)

            peer.ws.onmessage = handle
            record = Record(peer.ws, ('close',))
            peer.send(*peer.texts(20))
            wait_until(lambda: stream_of(peer.ws).is_paused)
            reset_socket(peer.sock)
            event = record.the_close()
            assert (event.code, event.was_clean) == (1006, False)
            assert answers[-1] is False
            assert messages == [str(number) for number in range(20)]

    @pytest.mark.proves('L2', 'O7')
    def test_that_waits_for_room_is_woken_when_the_peer_is_gone(self, end: End) -> None:
        with end(4096, max_queue=4, overflow='block', max_buffered=100_000) as peer:
            answers: list[bool] = []
            peer.ws.onmessage = lambda event: answers.append(all(peer.ws.send(bytes(50_000)) for _ in range(100)))
            record = Record(peer.ws, ('close',))
            peer.send(*peer.texts(20))
            wait_until(lambda: stream_of(peer.ws).is_paused)
            assert answers == []
            reset_socket(peer.sock)
            assert record.the_close().code == 1006
            assert answers == [False] * 20

    @pytest.mark.proves('L3', 'O7')
    def test_closing_after_that_waits_for_no_message(self, end: End) -> None:
        with end(max_queue=4) as peer:
            handler, record = Blocked(peer.ws), Record(peer.ws, ('close',))
            peer.send(*peer.texts(20))
            wait_until(lambda: stream_of(peer.ws).is_paused)
            reset_socket(peer.sock)
            wait_until(lambda: peer.ws.send('tick') is False)
            assert peer.ws.ready_state == WebSocket.CLOSING
            assert peer.ws.ping() is False
            peer.ws.close()
            wait_until(lambda: peer.ws.ready_state == WebSocket.CLOSED)
            handler.gate.set()
            assert record.the_close().code == 1006


@both_ends
class TestNobodyAsks:
    """A socket without onmessage, on which receive is not called."""

    @pytest.mark.proves('O7')
    def test_pings_are_answered_and_the_peers_close_too(self, end: End, caplog: pytest.LogCaptureFixture) -> None:
        with end(close_timeout=0.1) as peer:
            record = Record(peer.ws, ('close',))
            peer.send(*peer.texts(1000))
            peer.ask()
            peer.send(*peer.texts(1000))
            peer.ask()
            peer.send(peer.frame(CLOSE, close_payload(3001)))
            assert peer.receive_frame().opcode == CLOSE
            assert record.the_close().code == 3001
            [entry] = caplog.records
            kind = 'client' if isinstance(peer.ws, Client) else 'server'
            assert (entry.name, entry.levelno) == (f'faye_websocket.{kind}', logging.WARNING)
            assert entry.getMessage() == (
                'ws://example.com/ has neither onmessage nor receive: beyond the first 65 its messages are dropped')

    @pytest.mark.proves('O7', 'L2')
    def test_the_peers_end_is_noticed(self, end: End) -> None:
        with end(close_timeout=0.1) as peer:
            record = Record(peer.ws, ('close',))
            peer.send(*peer.texts(1000))
            peer.sock.shutdown(1)
            assert record.the_close().code == 1006

    @pytest.mark.proves('O7', 'D1')
    def test_compressed_messages_are_bounded_in_bytes(self, end: End) -> None:
        with end(compresses=True, close_timeout=0.1) as peer:
            peer.send(*[peer.frame(TEXT, data, rsv=4) for data in deflated(MESSAGES)])
            peer.ask()
            assert peer.queued <= 2**24 + sys.getsizeof(MESSAGES[0])

    @pytest.mark.proves('L8', 'O7')
    def test_the_first_messages_are_kept_for_a_late_handler(self, end: End) -> None:
        with end(close_timeout=0.1, max_queue=4) as peer:
            peer.send(*peer.texts(100))
            peer.ask()
            messages: list[str] = []
            peer.ws.onmessage = lambda event: messages.append(event.data)
            wait_until(lambda: len(messages) == 5)
            # From now on no message is dropped.
            peer.send(*peer.texts(20))
            wait_until(lambda: len(messages) == 25)
            assert [int(text) for text in messages] == [*range(5), *range(20)]

    @pytest.mark.proves('L8', 'O7')
    def test_the_first_messages_are_kept_for_a_late_receive(self, end: End) -> None:
        with end(close_timeout=0.1, max_queue=4) as peer:
            peer.send(*peer.texts(100))
            peer.ask()
            assert [peer.ws.receive(timeout=5) for _ in range(5)] == list('01234')
            peer.send(*peer.texts(20))
            assert [int(peer.ws.receive(timeout=5)) for _ in range(20)] == list(range(20))

    @pytest.mark.proves('L8', 'B4')
    @pytest.mark.parametrize('style', ['receive', 'onmessage'])
    def test_a_receive_in_time_misses_no_message(self, end: End, style: str, caplog: pytest.LogCaptureFixture) -> None:
        with end(close_timeout=0.1, max_queue=4) as peer:
            peer.send(*peer.texts(100))
            wait_until(lambda: stream_of(peer.ws).is_paused)
            messages: list[str] = []
            if style == 'receive':
                messages.append(peer.ws.receive(timeout=5))
            else:
                handler = Blocked(peer.ws)
                wait_until(lambda: handler.messages)
            # A second call, which is late.
            gevent.sleep(0.1)
            assert peer.waiting <= 5
            if style == 'receive':
                messages += [peer.ws.receive(timeout=5) for _ in range(99)]
            else:
                handler.gate.set()
                wait_until(lambda: len(handler.messages) == 100)
                messages = handler.messages
            assert [int(text) for text in messages] == list(range(100))
            assert caplog.records == []

    @pytest.mark.proves('O7')
    def test_reading_stops_no_longer_than_the_close_timeout(self, end: End) -> None:
        with end(close_timeout=0) as peer:
            began = time.monotonic()
            peer.send(*peer.texts(1000))
            peer.ask()
            assert time.monotonic() - began < 2
