"""The life of a connection: its ends, its keepalive, and slow peers and handlers."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gevent
import gevent.event
import pytest

from faye_websocket import WebSocket
from faye_websocket.io.connection import Connection
from faye_websocket.io.reactor import run_out
from tests.support.inside import connection_of
from tests.support.local import (
    Client,
    LocalServer,
    Record,
    hub_errors,
    joined,
    reset,
    run_threads,
    serve,
    settle,
    wait_until,
)
from tests.support.waiting import DEADLINE
from tests.support.wire import (
    BINARY,
    CLOSE,
    HIXIE_76,
    HIXIE_76_BODY,
    HIXIE_76_CLOSE,
    HIXIE_76_PROOF,
    PING,
    PONG,
    RFC_6455,
    TEXT,
    Frame,
    serialize_frame,
)


class Ending(NamedTuple):
    """One way for a connection to end, and the expected close event."""

    name: str
    setup: Callable[[WebSocket], object]
    act: Callable[[LocalServer, Client], object]
    code: int
    reason: str | None = ''
    was_clean: bool = False
    options: dict[str, Any] = {}


def no_setup(ws: WebSocket) -> None:
    """Leave the socket as it is."""


def no_act(server: LocalServer, client: Client) -> None:
    """Leave everything to the server."""


def answer(server: LocalServer, client: Client) -> None:
    """Reply to the server's close frame."""
    frame = client.receive_frame()
    assert frame.opcode == CLOSE
    client.send_frame(CLOSE, frame.payload)


def on(type: str, handler: Callable[[WebSocket, Any], object]) -> Callable[[WebSocket], object]:
    """Return a setup that adds a listener."""
    return lambda ws: ws.on(type, lambda event: handler(ws, event))


def raise_error(ws: WebSocket, event: Any) -> None:
    """Raise an error, as a handler with a fault does."""
    raise ValueError('a fault')


def kill_handler(ws: WebSocket, event: Any) -> None:
    """Block until killed, as the handler of a greenlet that is killed."""
    gevent.spawn(gevent.kill, gevent.getcurrent())
    gevent.sleep(60)


def then_answer(*frames: bytes) -> Callable[[LocalServer, Client], None]:
    """Return an action that sends frames, and replies to the next close frame."""
    def act(server: LocalServer, client: Client) -> None:
        client.send(b''.join(frames))
        answer(server, client)
    return act


def close_twice(ws: WebSocket, event: Any) -> None:
    """Close again with another code."""
    ws.close(3000, 'first')
    ws.close(3001, 'second')


MESSAGE = serialize_frame(TEXT, b'hello')

ENDINGS = [
    Ending('the client closes', no_setup, lambda server, client: client.send_close(3333, 'bye'), 3333, 'bye', True),
    Ending('the client closes without a code', no_setup, lambda server, client: client.send_frame(CLOSE), 1005, '', True),
    Ending('the server closes', on('open', lambda ws, event: gevent.spawn(ws.close, 3000, 'x')), answer, 3000, 'x', True),
    Ending('close() in onopen', on('open', lambda ws, event: ws.close()), answer, 1000, '', True),
    Ending('close() in onmessage', on('message', lambda ws, event: ws.close()), then_answer(MESSAGE), 1000, '', True),
    Ending('close() in onmessage, in a burst', on('message', lambda ws, event: ws.close()),
           then_answer(MESSAGE * 3), 1000, '', True),
    Ending('close() twice', on('open', close_twice), answer, 3000, 'first', True),
    Ending('close() twice, before open', lambda ws: close_twice(ws, None), answer, 3000, 'first', True),
    Ending('close() before open', lambda ws: ws.close(4000, 'no'), answer, 4000, 'no', True),
    Ending('close() in onclose', on('close', lambda ws, event: ws.close()),
           lambda server, client: client.send_close(3333), 3333, '', True),
    Ending('EOF', no_setup, lambda server, client: client.close(), 1006, ''),
    Ending('half-close', no_setup, lambda server, client: client.finish_sending(), 1006, None),
    Ending('RST', no_setup, lambda server, client: reset(client), 1006, None),
    Ending('EOF instead of an answer', on('open', lambda ws, event: ws.close()),
           lambda server, client: (client.receive_frame(), client.close()), 1006, ''),
    Ending('ping timeout', no_setup, no_act, 1006, 'ping timeout', options={'ping': 0.03}),
    Ending('close timeout', on('open', lambda ws, event: ws.close()), no_act, 1006, 'close timeout',
           options={'close_timeout': 0.05}),
    Ending('protocol error', no_setup, lambda server, client: client.send(b'\x83\x80abcd'), 1002, None),
    Ending('unmasked frame', no_setup, lambda server, client: client.send(b'\x81\x01a'), 1002, None),
    Ending('message too big', no_setup, lambda server, client: client.send_frame(TEXT, b'x' * 11), 1009,
           'message too big: 11 > 10', options={'max_length': 10}),
    Ending('text that is not UTF-8', no_setup, lambda server, client: client.send_frame(TEXT, b'\xff'), 1007, None),
    Ending('handler exception', on('message', raise_error), then_answer(MESSAGE), 1011, 'internal error', True),
    Ending('killed greenlet', on('message', kill_handler), then_answer(MESSAGE), 1011, 'internal error', True),
]


@pytest.mark.proves('L2', 'L4', 'L5')
@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
@pytest.mark.parametrize('ending', [pytest.param(ending, id=ending.name) for ending in ENDINGS])
def test_every_ending_is_one_close_event_and_nothing_after_it(ending: Ending, tls: bool) -> None:
    with serve(ending.setup, tls=tls, **ending.options) as server:
        client = server.open()
        ending.act(server, client)
        event = server.record.the_close()
        assert (event.code, event.was_clean) == (ending.code, ending.was_clean)
        assert event.reason == ending.reason or ending.reason is None
        assert server.ws.ready_state == WebSocket.CLOSED


class TestEnding:
    """Endings beyond the matrix above."""

    @pytest.mark.proves('L2')
    def test_a_failing_write_ends_the_connection(self) -> None:
        with joined(family=socket.AF_UNIX) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            client.socket.shutdown(socket.SHUT_RD)
            ws.send('nobody reads this')
            assert record.the_close().code == 1006

    @pytest.mark.proves('L2')
    def test_a_failing_write_loses_nothing_that_came_before(self) -> None:
        with joined(family=socket.AF_UNIX) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            client.send(MESSAGE)
            client.socket.shutdown(socket.SHUT_RD)
            ws.send('nobody reads this')
            assert record.the_close().code == 1006
            assert record.types == ['open', 'message', 'close']

    @pytest.mark.proves('L4')
    def test_a_failing_write_does_not_hide_why_the_peer_has_left(self) -> None:
        with joined(family=socket.AF_UNIX) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            client.send_close(3000, 'enough')
            client.close()
            ws.send('nobody reads this')
            event = record.the_close()
            assert (event.code, event.reason, event.was_clean) == (3000, 'enough', True)

    @pytest.mark.proves('L2')
    def test_a_fault_of_the_librarys_own_ends_one_connection(
            self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        class Faulty(Connection):
            def message(self, data: str | bytes) -> None:
                raise ZeroDivisionError

        monkeypatch.setattr(WebSocket, '_connection_class', Faulty)
        with joined() as pair:
            record = Record(pair.ws)
            _, client = pair.open()
            client.send_frame(TEXT, b'anything')
            event = record.the_close()
            assert (event.code, event.reason) == (1011, 'internal error')
            assert [entry.message for entry in caplog.records] == ['receiving from ws://example.com/ failed']

    @pytest.mark.proves('L2')
    def test_overflowing_before_the_handshake_is_the_end(self) -> None:
        with joined(max_buffered=100) as pair:
            record = Record(pair.ws)
            assert pair.ws.send('x' * 200)
            assert not pair.ws.send('x' * 200)
            assert record.the_close().code == 1013
            pair.start()
            assert pair.client.read_to_eof() == b''
            assert pair.ws.ready_state == WebSocket.CLOSED
            assert record.types == ['close']

    @pytest.mark.proves('L2')
    def test_a_handshake_that_is_refused_ends_with_an_error_and_a_close_event(self) -> None:
        with joined(allowed_origins='same-origin', headers=[*RFC_6455, ('Origin', 'http://evil.example')]) as pair:
            record = Record(pair.ws)
            pair.start_refused()
            assert record.the_close().code == 1006
            assert record.types == ['error', 'close']

    @pytest.mark.proves('L2')
    def test_a_fault_of_an_extension_ends_its_connection_only(self) -> None:
        headers = [*RFC_6455, ('Sec-WebSocket-Extensions', 'x-broken')]
        with joined(headers, extensions=[BrokenExtension()]) as pair:
            record = Record(pair.ws)
            with hub_errors():
                _, client = pair.open()
                client.send_frame(TEXT, b'hello')
                settle()
                client.close()
                assert record.the_close().code in (1006, 1011)

    @pytest.mark.proves('L7')
    def test_the_peer_gets_the_rest_of_a_frame_and_our_close_frame_after_it_has_half_closed(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            ws.send(bytes(300_000))
            client.send_close(3000)
            client.finish_sending()
            settle()
            assert [frame.opcode for frame in client.receive_frames()] == [BINARY, CLOSE]

    def test_nothing_follows_our_close_frame_but_the_end(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            ws.close(3000)
            client.send(b'\x83\x80abcd')
            assert [frame.code for frame in client.receive_frames()] == [3000]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize(('act', 'payload'), [
        (lambda client: client.send_close(3456, 'why'), b'\x0d\x80'),
        (lambda client: client.send_frame(CLOSE), b'')], ids=['a code', 'none'])
    def test_the_code_of_the_peer_is_echoed(self, act: Callable[[Client], object], payload: bytes) -> None:
        with joined() as pair:
            _, client = pair.open()
            act(client)
            assert client.receive_frames() == [Frame(CLOSE, payload)]

    @pytest.mark.proves('L4')
    def test_a_reason_of_ours_is_cut_on_a_character_border(self) -> None:
        with joined(max_length=10) as pair:
            ws, client = pair.open()
            ws.close(3000, '\N{SNOWMAN}' * 41)
            assert client.receive_frame().reason == '\N{SNOWMAN}' * 41
            with pytest.raises(ValueError, match='123 bytes'):
                ws.close(3000, '\N{SNOWMAN}' * 42)

    def test_messages_behind_close_are_dropped(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.close()
            client.send_frame(TEXT, b'too late')
            client.send_close()
            record.the_close()
            assert record.messages == []


class BrokenExtension:
    """An extension and its session, which fail at a message."""

    name = 'x-broken'
    rsv1 = rsv2 = rsv3 = False

    def create_server_session(self, offers: list[Any]) -> BrokenExtension:
        """Return the session."""
        return self

    def generate_response(self) -> dict[str, Any]:
        """Return no parameters."""
        return {}

    def process_incoming_message(self, message: Any) -> Any:
        """Raise an error."""
        raise RuntimeError('a fault of the extension')

    process_outgoing_message = process_incoming_message

    def close(self) -> None:
        """Do nothing."""


class TestCloseTimeout:
    """The method close(), which ends in time whatever the peer does."""

    @pytest.mark.proves('L3', 'L5')
    def test_a_dead_peer_with_a_full_buffer_is_dropped(self) -> None:
        with joined(buffer_size=4096, close_timeout=0.05) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.send(bytes(1_000_000))
            ws.close()
            began = time.monotonic()
            assert record.the_close().reason == 'close timeout'
            assert time.monotonic() - began < 1
            assert ws.buffered_amount == 0

    @pytest.mark.proves('L3')
    def test_a_peer_that_closes_but_does_not_read_is_dropped(self) -> None:
        with joined(buffer_size=4096, close_timeout=0.05) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.send(bytes(1_000_000))
            client.send_close()
            assert record.the_close().was_clean
            wait_until(lambda: ws.buffered_amount == 0, 'nothing is kept for it', 1)

    @pytest.mark.proves('L3')
    def test_a_handshake_that_never_completes_does_not_keep_close_waiting(self) -> None:
        with joined(HIXIE_76, close_timeout=0.05) as pair:
            record = Record(pair.ws)
            ws, _ = pair.open()
            ws.close()
            began = time.monotonic()
            record.the_close()
            assert time.monotonic() - began < 1

    @pytest.mark.proves('L3', 'C3')
    def test_close_with_a_full_queue_sees_the_answer_of_the_peer(self) -> None:
        with joined(max_queue=1) as pair:
            ws, client = pair.open()
            closed = Record(ws, ('close',))
            client.send(MESSAGE * 10)
            settle()
            ws.close(3000)
            client.send_close(3000)
            assert closed.the_close().was_clean


class TestSend:
    """Messages to a peer that reads slowly, or not at all."""

    @pytest.mark.proves('B1')
    def test_never_blocks_and_keeps_the_order(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            switches: list[int] = []
            gevent.spawn(switches.append, 1)
            assert all(ws.send(b'%04d' % number * 1000) for number in range(100))
            assert switches == []
            assert client.receive_messages(100) == [b'%04d' % number * 1000 for number in range(100)]

    @pytest.mark.proves('B2')
    def test_buffered_amount_rises_and_falls_to_zero_and_drain_fires_at_the_low_water_mark(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            at_drain: list[int] = []
            ws.ondrain = lambda event: at_drain.append(ws.buffered_amount)
            amounts = [(ws.send(bytes(10_000)), ws.buffered_amount)[1] for _ in range(50)]
            assert amounts == sorted(amounts)
            assert 400_000 < amounts[-1] <= 50 * 10_004
            settle()
            assert at_drain == []
            client.receive_messages(50)
            wait_until(lambda: ws.buffered_amount == 0)
            assert len(at_drain) == 1
            assert at_drain[0] <= 65536

    @pytest.mark.proves('B2')
    def test_buffered_amount_counts_messages_before_the_handshake(self) -> None:
        with joined() as pair:
            assert pair.ws.send('12345')
            assert pair.ws.buffered_amount >= 5
            ws, client = pair.open()
            assert client.receive_frame() == Frame(TEXT, b'12345')
            assert ws.buffered_amount == 0

    @pytest.mark.proves('B2')
    def test_messages_that_fail_before_the_handshake_are_not_counted(self) -> None:
        with joined(HIXIE_76) as pair:
            assert not pair.ws.send(b'binary')
            assert pair.ws.buffered_amount == 0

    @pytest.mark.proves('L6')
    @pytest.mark.parametrize('state', ['closing', 'closed'])
    def test_after_close_it_returns_false_and_neither_raises_nor_logs(
            self, state: str, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.close()
            if state == 'closed':
                client.send_close()
                record.the_close()
            results: list[bool] = []
            run_threads(lambda: results.append(ws.send('from a thread')))
            assert results == [False]
            assert [ws.send('a'), ws.send(b'a'), ws.ping(), ws.pong()] == [False] * 4
            ws.close(3000)
            settle()
            assert ws.buffered_amount == 0
            assert caplog.records == []

    def test_a_ping_behind_our_close_is_answered(self) -> None:  # RFC 6455, 5.5.2
        with joined() as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.close(1001, 'a\ud800b')
            client.send_frame(PING, b'still here?')
            frames = [client.receive_frame(), client.receive_frame()]
            assert [(frame.opcode, frame.payload) for frame in frames] == [
                (CLOSE, b'\x03\xe9a\xef\xbf\xbdb'),
                (PONG, b'still here?'),
            ]
            client.send_close(1001)
            event = record.the_close()
            assert (event.code, event.reason, event.was_clean) == (1001, 'a\ufffdb', True)

    @pytest.mark.proves('S8', 'L3')
    def test_pings_behind_our_close_keep_no_more_than_one_pong_waiting(
        self,
    ) -> None:
        with joined(buffer_size=4096, close_timeout=0.3) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.send(bytes(300_000))
            ws.close()
            before = ws.buffered_amount
            for _ in range(100):
                client.send_frame(PING, bytes(125))
            settle()
            assert ws.buffered_amount <= before + 127
            assert record.the_close().reason == 'close timeout'

    @pytest.mark.proves('L7')
    def test_a_pong_overtakes_queued_frames(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            for _ in range(30):
                ws.send(bytes(30_000))
            for number in range(10):
                client.send_frame(PING, b'%d' % number)
            settle()
            ws.close()
            client.send_close()
            frames = client.receive_frames()
            opcodes = [frame.opcode for frame in frames]
            assert opcodes.index(PONG) <= 5
            assert opcodes.count(BINARY) == 30
            assert opcodes[-1] == CLOSE

    @pytest.mark.proves('S8')
    def test_of_many_waiting_pongs_only_the_last_is_sent(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            ws.send(bytes(300_000))
            for number in range(1000):
                client.send_frame(PING, b'%d' % number)
            wait_until(lambda: ws.buffered_amount <= 300_010)
            settle()
            ws.send('end')
            frames = [client.receive_frame() for _ in range(3)]
            assert frames[1:] == [Frame(PONG, b'999'), Frame(TEXT, b'end')]

    @pytest.mark.proves('L7')
    def test_the_reply_to_a_close_frame_overtakes_queued_frames(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            for _ in range(64):
                ws.send(bytes(60_000))
            client.send_close(3000)
            settle()
            frames = client.receive_frames()
            assert len(frames) < 5
            assert frames[-1].code == 3000


class TestOverflow:
    """A peer that reads nothing, and a socket that has reached `max_buffered`."""

    LIMIT = 100_000
    MESSAGE = bytes(10_000)

    def fill(self, ws: WebSocket) -> int:
        """Send until a message is refused, and return how many were accepted."""
        count = 0
        while ws.send(self.MESSAGE):
            count += 1
        return count

    @pytest.mark.proves('L5', 'B3')
    @pytest.mark.parametrize('threaded', [False, True], ids=['greenlet', 'thread'])
    def test_close_ends_the_connection_with_1013(self, threaded: bool) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            run_threads(lambda: self.fill(ws)) if threaded else self.fill(ws)
            event = record.the_close()
            assert (event.code, event.reason) == (1013, 'slow consumer')
            frames = client.receive_frames()
            assert (frames[-1].code, frames[-1].reason) == (1013, 'slow consumer')

    @pytest.mark.parametrize('threaded', [False, True], ids=['greenlet', 'thread'])
    def test_drop_returns_false_and_continues_later(self, threaded: bool) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='drop') as pair:
            ws, client = pair.open()
            counts: list[int] = []
            fill = lambda: counts.append(self.fill(ws))
            run_threads(fill) if threaded else fill()
            assert ws.buffered_amount <= self.LIMIT
            assert client.receive_messages(counts[0]) == [self.MESSAGE] * counts[0]
            wait_until(lambda: ws.buffered_amount == 0)
            assert ws.send('again')
            assert client.receive_frame() == Frame(TEXT, b'again')

    def test_block_makes_a_greenlet_wait(self) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='block') as pair:
            ws, client = pair.open()
            sender = gevent.spawn(lambda: [ws.send(b'%02d' % number * 5000) for number in range(50)])
            settle()
            assert not sender.dead
            assert ws.buffered_amount <= self.LIMIT
            assert client.receive_messages(50) == [b'%02d' % number * 5000 for number in range(50)]
            assert sender.get(timeout=5) == [True] * 50

    def test_block_cannot_wait_for_a_handshake_that_waits_for_it(self) -> None:
        with joined(max_buffered=self.LIMIT, overflow='block') as pair:
            assert pair.ws.send('x' * self.LIMIT)
            assert not pair.ws.send('y')
            ws, client = pair.open()
            assert len(client.receive_frame().payload) == self.LIMIT
            assert ws.send('z')

    def test_block_makes_a_thread_wait(self) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='block') as pair:
            ws, client = pair.open()
            reader = gevent.spawn(client.receive_messages, 50)
            results: list[bool] = []
            run_threads(lambda: results.extend(ws.send(b'%02d' % number * 5000) for number in range(50)))
            assert results == [True] * 50
            assert reader.get(timeout=5) == [b'%02d' % number * 5000 for number in range(50)]

    @pytest.mark.proves('V1')
    def test_block_lets_a_thread_run_its_hub(self) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='block') as pair:
            ws, client = pair.open()
            counts: list[int] = []
            ticks: list[int] = []
            results: list[bool] = []

            def send() -> None:
                # A callback of the hub does not block.
                gevent.get_hub().loop.run_callback(lambda: counts.append(self.fill(ws)))
                ticking = gevent.spawn(tick)
                gevent.sleep(0.01)
                results.extend(ws.send(b'%02d' % number * 5000) for number in range(50))
                ticking.join()
                run_out()

            def tick() -> None:
                while len(results) < 50:
                    ticks.append(len(results))
                    gevent.sleep(0.001)

            def read() -> list[bytes]:
                wait_until(lambda: len(ticks) > 20 and ticks[-1] == ticks[-10])
                return client.receive_messages(counts[0] + 50)[-50:]

            reading = gevent.spawn(read)
            run_threads(send)
            assert reading.get(timeout=5) == [b'%02d' % number * 5000 for number in range(50)]
            assert results == [True] * 50

    @pytest.mark.parametrize('end', [lambda ws, client: client.close(), lambda ws, client: ws.close()],
                             ids=['EOF', 'close()'])
    def test_block_returns_false_once_the_connection_ends(self, end: Callable[[WebSocket, Client], object]) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='block', close_timeout=0.05) as pair:
            ws, client = pair.open()
            sender = gevent.spawn(self.fill, ws)
            settle()
            end(ws, client)
            assert sender.get(timeout=5) > 0

    def test_block_returns_false_to_a_thread_once_the_connection_ends(self) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='block') as pair:
            ws, client = pair.open()
            results: list[bool] = []

            def fill() -> None:
                while not results or results[-1]:
                    results.append(ws.send(self.MESSAGE))

            def hang_up() -> None:
                # What the kernel takes meanwhile makes no room: the thread waits until
                # little is left.
                wait_until(lambda: len(results) * len(self.MESSAGE) >= self.LIMIT / 2)
                sent = -1
                while sent != len(results):
                    sent = len(results)
                    gevent.sleep(0.05)
                assert results[-1]
                client.close()

            gevent.spawn(hang_up)
            run_threads(fill)
            assert results[-2:] == [True, False]

    def test_block_before_the_handshake_ends_with_the_handshake(self) -> None:
        with joined(max_buffered=1000, overflow='block') as pair:
            sender = gevent.spawn(lambda: [pair.ws.send('x' * 800) for _ in range(3)])
            settle()
            _, client = pair.open()
            assert client.receive_messages(3) == [b'x' * 800] * 3
            assert sender.get(timeout=5) == [True] * 3

    def test_block_never_blocks_the_hub(self) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT, overflow='block') as pair:
            ws, _ = pair.open()
            counts: list[int] = []
            gevent.get_hub().loop.run_callback(lambda: counts.append(self.fill(ws)))
            wait_until(lambda: counts)
            assert counts[0] > 0

    @pytest.mark.parametrize('overflow', ['close', 'drop', 'block'])
    def test_a_message_over_the_limit_is_accepted_when_nothing_is_queued(self, overflow: str) -> None:
        with joined(max_buffered=100, overflow=overflow) as pair:
            ws, client = pair.open()
            assert ws.send(bytes(5000))
            assert client.receive_messages(1) == [bytes(5000)]

    @pytest.mark.proves('L6')
    def test_close_sends_queued_messages_though_a_thread_overflows(self) -> None:
        with joined(buffer_size=4096, max_buffered=self.LIMIT) as pair:
            ws, client = pair.open()
            ws.send(bytes(300_000))
            ws.close(3000)
            results: list[bool] = []
            run_threads(lambda: results.append(ws.send(bytes(200_000))))
            assert results == [False]
            settle()
            assert client.receive_frame().payload == bytes(300_000)
            assert client.receive_frame().code == 3000

    @pytest.mark.proves('B3')
    def test_one_stalled_reader_delays_no_other(self) -> None:
        with serve(max_buffered=2**20) as server:
            stalled = server.open('/stalled')
            readers = [server.open(f'/{number}') for number in range(10)]
            received = [gevent.spawn(client.receive_messages, 100) for client in readers]
            message = bytes(100_000)
            for _ in range(100):
                for record in server.records:
                    record.ws.send(message)
                gevent.sleep(0)
                wait_until(lambda: max(record.ws.buffered_amount for record in server.records[1:]) < 2**19)
            assert [greenlet.get(timeout=10) for greenlet in received] == [[message] * 100] * 10
            assert server.records[0].the_close().code == 1013
            assert all(record.of('close') == [] for record in server.records[1:])
            stalled.close()


class TestBusyHandler:
    """A handler that blocks on a connection that goes on."""

    @pytest.mark.proves('B4')
    def test_reading_stops_at_max_queue_and_goes_on_later(self) -> None:
        with joined(buffer_size=4096, max_queue=4) as pair:
            release, messages = gevent.event.Event(), []

            def handle(event: Any) -> None:
                release.wait()
                messages.append(event.data)

            pair.ws.onmessage = handle
            ws, client = pair.open()
            frames = [serialize_frame(TEXT, b'%03d' % number * 3000) for number in range(50)]
            sender = gevent.spawn(client.send, b''.join(frames))
            settle()
            assert not sender.dead
            release.set()
            wait_until(lambda: len(messages) == 50)
            assert messages == ['%03d' % number * 3000 for number in range(50)]

    @pytest.mark.proves('C3')
    def test_pings_are_answered_closing_works_and_others_can_send(self) -> None:
        release = gevent.event.Event()
        with serve(lambda ws: ws.on('message', lambda event: release.wait())) as server:
            client = server.open()
            client.send(MESSAGE + serialize_frame(PING, b'alive?'))
            assert client.receive_frame() == Frame(PONG, b'alive?')
            server.ws.send('from elsewhere')
            assert client.receive_frame() == Frame(TEXT, b'from elsewhere')
            client.send_close(3000)
            assert client.receive_frame().code == 3000
            assert server.record.of('close') == []
            release.set()
            assert server.record.the_close().was_clean

    @pytest.mark.proves('L2')
    def test_a_killed_handler_with_a_full_queue_does_not_stop_the_reading(self) -> None:
        with joined(max_queue=1) as pair:
            pair.ws.onmessage = lambda event: kill_handler(pair.ws, event)
            record = Record(pair.ws, ('close',))
            _, client = pair.open()
            client.send(MESSAGE * 10)
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            assert record.the_close().code == 1011


class TestHandlerFault:
    """A handler that raises an exception."""

    @pytest.mark.proves('C2')
    @pytest.mark.parametrize('type', ['open', 'message'])
    def test_is_logged_once_passed_to_onerror_and_closes_with_1011(
            self, type: str, caplog: pytest.LogCaptureFixture) -> None:
        fault = ValueError('a fault')

        def handle(event: Any) -> None:
            raise fault

        with serve(lambda ws: None) as server:
            other = server.open('/other')
            server.setup = lambda ws: setattr(ws, f'on{type}', handle)
            client = server.open('/chat?room=1')
            if type == 'message':
                client.send(MESSAGE)
            frame = client.receive_frame()
            assert (frame.code, frame.reason) == (1011, 'internal error')
            client.send_close(1011)
            server.record.the_close()
            [error] = server.record.of('error')
            assert error.error is fault
            [entry] = caplog.records
            assert entry.exc_info is not None
            assert (entry.name, entry.levelno, entry.exc_info[1]) == ('faye_websocket.server', logging.ERROR, fault)
            assert 'ws://example.com/chat ' in entry.getMessage()
            other.send_frame(PING, b'well?')
            assert other.receive_frame() == Frame(PONG, b'well?')
            assert server.records[0].types == ['open']

    @pytest.mark.proves('C2')
    def test_of_onerror_is_not_passed_to_onerror(self, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            errors: list[Any] = []

            def handle(event: Any) -> None:
                errors.append(event)
                raise ValueError('a second fault')

            pair.ws.onerror = handle
            record = Record(pair.ws, ('close',))
            ws, client = pair.open()
            client.send(b'\x83\x80abcd')
            assert record.the_close().code == 1002
            assert len(errors) == len(caplog.records) == 1

    @pytest.mark.proves('C2')
    def test_of_onclose_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.ws.onclose = lambda event: raise_error(pair.ws, event)
            _, client = pair.open()
            client.close()
            wait_until(lambda: caplog.records)
            settle()
            assert len(caplog.records) == 1
            # As in the DOM, each listener is run, even if another one raises.
            assert record.types == ['open', 'error', 'close']

    @pytest.mark.proves('C2')
    def test_of_a_pings_callback_closes_with_1011(self, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            ws.ping('x', lambda: raise_error(ws, None))
            client.send_frame(PONG, client.receive_frame().payload)
            assert client.receive_frame().code == 1011
            assert record.of('error')[0].message == "callback handler raised ValueError('a fault')"

    @pytest.mark.proves('C2')
    @pytest.mark.parametrize('error', [SystemExit, KeyboardInterrupt])
    def test_that_ends_programs_reaches_the_main_greenlet(self, error: type[BaseException]) -> None:
        with joined() as pair, hub_errors():
            def handle(event: Any) -> None:
                raise error

            pair.ws.onmessage = handle
            record = Record(pair.ws, ('close',))
            _, client = pair.open()
            client.send(MESSAGE)
            with pytest.raises(error):
                gevent.sleep(5)
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            assert record.the_close().code == 1011

    @pytest.mark.proves('C2')
    @pytest.mark.parametrize('type', ['open', 'message', 'close'])
    def test_that_ends_its_greenlet_is_not_logged(self, type: str, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            greenlets: list[Any] = []

            def handle(event: Any) -> None:
                greenlets.append(gevent.getcurrent())
                raise gevent.GreenletExit

            pair.ws.on(type, handle)
            _, client = pair.open()
            client.send(MESSAGE)
            client.send_close()
            wait_until(lambda: greenlets and greenlets[0].dead)
            settle()
            assert caplog.records == []


class TestConcurrency:
    """Commands from many greenlets and threads."""

    @pytest.mark.proves('C1')
    @pytest.mark.threads
    def test_messages_of_greenlets_and_threads_arrive_whole_and_in_order(self) -> None:
        count, greenlets, threads = 1000, 50, 8
        with serve() as server:
            client = server.open()
            ws = server.ws
            reader = gevent.spawn(client.receive_messages, count * (greenlets + threads))

            def send(sender: int) -> None:
                for number in range(count):
                    assert ws.send(f'{sender} {number}')

            def send_and_yield(sender: int) -> None:
                for number in range(count):
                    assert ws.send(f'{sender} {number}')
                    if number % 50 == sender:
                        gevent.sleep(0)

            spawned = [gevent.spawn(send_and_yield, sender) for sender in range(greenlets)]
            run_threads(*(lambda sender=sender: send(sender) for sender in range(greenlets, greenlets + threads)))
            gevent.joinall(spawned, timeout=10, raise_error=True)
            by_sender: dict[bytes, list[int]] = {}
            for message in reader.get(timeout=10):
                sender, number = message.split()
                by_sender.setdefault(sender, []).append(int(number))
            assert len(by_sender) == greenlets + threads
            assert all(numbers == list(range(count)) for numbers in by_sender.values())

    def test_commands_work_in_other_threads(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            pongs: list[int] = []
            results: list[bool] = []
            run_threads(lambda: results.extend([ws.ping('a', lambda: pongs.append(1)), ws.pong('b'), ws.send(b'c')]))
            assert results == [True] * 3
            assert {client.receive_frame() for _ in range(3)} == {Frame(PING, b'a'), Frame(PONG, b'b'), Frame(BINARY, b'c')}
            client.send_frame(PONG, b'a')
            wait_until(lambda: pongs)
            run_threads(lambda: ws.close(3000))
            assert client.receive_frame().code == 3000

    @pytest.mark.parametrize('command, frame', [
        (lambda ws: ws.send('text'), Frame(TEXT, b'text')), (lambda ws: ws.send(''), Frame(TEXT, b'')),
        (lambda ws: ws.ping('a'), Frame(PING, b'a'))], ids=['text', 'empty', 'ping'])
    def test_close_follows_earlier_messages_of_a_thread(self, command: Callable[[WebSocket], bool], frame: Frame) -> None:
        with joined() as pair:
            ws, client = pair.open()
            results: list[bool] = []

            def run_without_hub(function: Callable[[], object]) -> None:
                thread = threading.Thread(target=function)
                thread.start()
                thread.join(DEADLINE)

            run_without_hub(lambda: results.append(command(ws)))
            ws.close(3000)
            assert ws.ready_state == WebSocket.CLOSING
            run_without_hub(lambda: results.append(ws.send('late')))
            assert results == [True, False]
            assert client.receive_frame() == frame
            assert client.receive_frame().code == 3000
            assert ws.buffered_amount == 0

    def test_messages_of_a_thread_are_dropped_once_the_connection_is_gone(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            thread = threading.Thread(target=ws.send, args=('late',))
            thread.start()
            thread.join(DEADLINE)
            connection_of(ws).abort('gone')
            assert client.read_to_eof() == b''
            wait_until(lambda: ws.buffered_amount == 0)

    def test_messages_of_a_thread_before_the_handshake_follow_it(self) -> None:
        with joined() as pair:
            run_threads(lambda: pair.ws.send('early'), lambda: pair.ws.ping('early'))
            settle()
            assert pair.ws.buffered_amount == 5
            _, client = pair.open()
            assert {client.receive_frame() for _ in range(2)} == {Frame(TEXT, b'early'), Frame(PING, b'early')}


class TestEarly:
    """Handlers that are set after the first events."""

    @pytest.mark.proves('L8')
    def test_handlers_set_later_miss_nothing(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE * 3)
            settle()
            record = Record(ws)
            record.wait('message', 3)
            assert record.types == ['open'] + ['message'] * 3

    @pytest.mark.proves('L2', 'L8')
    def test_the_close_event_comes_after_the_messages_in_whatever_order_handlers_are_set(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE)
            client.send_close()
            settle()
            events: list[Any] = []
            ws.onclose = events.append
            ws.onmessage = events.append
            wait_until(lambda: len(events) == 2)
            assert [event.type for event in events] == ['message', 'close']


class TestHandshakeTimeout:
    """The time limit for hixie-76's eight bytes, which may never arrive."""

    @pytest.mark.proves('S9')
    def test_gives_up_a_client_that_never_sends_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.io.connection._HANDSHAKE_TIMEOUT', 0.05)
        with joined(HIXIE_76) as pair:
            record = Record(pair.ws)
            _, client = pair.open()
            client.send(HIXIE_76_BODY[:7])
            assert record.the_close().reason == 'handshake timeout'
            assert record.types == ['close']
            assert client.read_to_eof() == b''

    @pytest.mark.proves('S9', 'H4')
    def test_keeps_a_client_that_sends_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.io.connection._HANDSHAKE_TIMEOUT', 0.05)
        with joined(HIXIE_76) as pair:
            record = Record(pair.ws)
            ws, client = pair.open()
            client.send(HIXIE_76_BODY[:3])
            settle()
            client.send(HIXIE_76_BODY[3:] + b'\x00hello\xff')
            assert client.receive(16) == HIXIE_76_PROOF
            assert record.wait('message').data == 'hello'
            gevent.sleep(0.06)
            assert ws.ready_state == WebSocket.OPEN
            client.send(HIXIE_76_CLOSE)
            assert record.the_close().code == 1005


@pytest.mark.parametrize('endless', [math.inf, 1e300])
def test_times_may_be_infinite(endless: float) -> None:
    with joined(ping=0.01, ping_timeout=endless, close_timeout=endless) as pair:
        ws, client = pair.open()
        assert [client.receive_frame().opcode for _ in range(2)] == [PING, PING]
        client.send(MESSAGE)
        assert ws.receive(timeout=endless) == 'hello'
        ws.close()
        client.receive_frame()
        assert ws.ready_state == WebSocket.CLOSING
    with joined(ping=endless) as pair:
        pair.open()
