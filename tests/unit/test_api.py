"""The interface of WebSockets that browsers have, and the methods of greenlet style."""

from __future__ import annotations

import array
import gc
import weakref
from typing import Any

import gevent
import gevent.event
import pytest

from faye_websocket import WebSocket
from faye_websocket.api import API
from tests.support.local import Record, joined, make_environ, run_threads, settle, wait_until
from tests.support.wire import BINARY, PING, PONG, TEXT, Frame, serialize_frame

MESSAGE = serialize_frame(TEXT, b'hello')


def test_has_a_dict_and_can_be_referenced_weakly() -> None:
    ws: Any = WebSocket(make_environ())
    ws.user = 'bob'
    room = weakref.WeakSet([ws])
    assert [ws.user for ws in room] == ['bob']


class SafeText(str):
    """A str whose str() returns an instance of the subclass.

    Django's SafeString and Flask's Markup are such classes.
    """

    def __str__(self) -> str:
        return self


class MoreBytes(bytes):
    """A subclass of bytes."""


class TestSend:
    """``send``, with messages of all types."""

    @pytest.mark.parametrize(('message', 'frame'), [
        ('h\xe9', Frame(TEXT, 'h\xe9'.encode())), ('', Frame(TEXT, b'')), (42, Frame(TEXT, b'42')), (1.5, Frame(TEXT, b'1.5')),
        (b'\x00', Frame(BINARY, b'\x00')), (bytearray(b'a'), Frame(BINARY, b'a')),
        (memoryview(b'abc')[::2], Frame(BINARY, b'ac')),
        (array.array('H', [1]), Frame(BINARY, array.array('H', [1]).tobytes())), ([1, 255], Frame(BINARY, b'\x01\xff')),
        ((), Frame(BINARY, b'')), (range(3), Frame(BINARY, b'\x00\x01\x02')),
        (SafeText('<b>'), Frame(TEXT, b'<b>')), (SafeText('\ud800'), Frame(TEXT, '\ufffd'.encode())),
        ('a\ud800b', Frame(TEXT, 'a\ufffdb'.encode())), ('\ud83d\ude00', Frame(TEXT, '\U0001f600'.encode())),
        (MoreBytes(b'\x00'), Frame(BINARY, b'\x00'))], ids=lambda value: type(value).__name__)
    def test_accepts_text_bytes_numbers_and_sequences(self, message: Any, frame: Frame) -> None:
        with joined() as pair:
            ws, client = pair.open()
            assert ws.send(message) is True
            assert client.receive_frame() == frame

    def test_replaces_lone_surrogates_in_every_state(self) -> None:
        with joined() as pair:
            results = [pair.ws.send('early \udfff')]
            ws, client = pair.open()
            run_threads(lambda: results.append(ws.send('thread \udfff')))
            results.append(ws.send('greenlet \udfff'))
            received = [client.receive_frame().payload.decode() for _ in range(3)]
            assert sorted(received) == [
                'early \ufffd',
                'greenlet \ufffd',
                'thread \ufffd',
            ]
            assert results == [True] * 3
            assert ws.buffered_amount == 0

    @pytest.mark.proves('B2')
    @pytest.mark.parametrize('overflow', ['close', 'drop', 'block'])
    def test_counts_lone_surrogates_as_they_are_sent(self, overflow: str) -> None:
        with joined(max_buffered=1000, overflow=overflow) as pair:
            assert pair.ws.send('\udfff' * 300) is True
            assert pair.ws.buffered_amount == 900
            assert pair.ws.send('\udfff' * 50) is False

    @pytest.mark.parametrize('message', [None, True, object(), {}, ['a'], [1.5], 1j, [256], (-1,), range(257)])
    def test_refuses_anything_else(self, message: Any) -> None:
        text = 'message: expected str, bytes, a sequence of ints from 0 to 255 or a number, got '
        with pytest.raises(TypeError, match=text):
            WebSocket(make_environ()).send(message)

    def test_copies_a_buffer_that_the_caller_may_change(self) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            ws.send(bytes(500_000))
            message = bytearray(b'before')
            ws.send(message)
            message[:] = b'after!'
            assert client.receive_messages(2)[1] == b'before'


class TestPing:
    """``ping`` and ``pong``."""

    def test_are_sent_with_their_payload(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            assert [ws.ping('a'), ws.ping(b'b'), ws.pong(), ws.pong('c')] == [True] * 4
            assert [client.receive_frame() for _ in range(4)] == [
                Frame(PING, b'a'), Frame(PING, b'b'), Frame(PONG, b''), Frame(PONG, b'c')]

    def test_calls_the_callback_at_the_matching_pong_only(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            pongs: list[str] = []
            ws.ping('1', lambda: pongs.append('1'))
            ws.ping('2', lambda: pongs.append('2'))
            client.send_frame(PONG, b'3')
            client.send_frame(PONG, b'2')
            wait_until(lambda: pongs)
            settle()
            assert pongs == ['2']

    @pytest.mark.parametrize('command', ['ping', 'pong'])
    def test_hold_125_bytes_at_most(self, command: str) -> None:
        with joined() as pair:
            ws, client = pair.open()
            assert getattr(ws, command)('x' * 125)
            with pytest.raises(ValueError, match='message: a control frame holds at most 125 bytes, not 126'):
                getattr(ws, command)('x' * 126)


class TestClose:
    """``close``."""

    @pytest.mark.parametrize('code', [1000, 1001, 1003, 1007, 1014, 3000, 4999])
    def test_accepts_the_codes_that_a_server_may_send(self, code: int) -> None:
        with joined() as pair:
            ws, client = pair.open()
            ws.close(code)
            assert client.receive_frame().code == code

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize('code', [0, 999, 1002, 1004, 1005, 1006, 1015, 2999, 5000, -1, '1000', None, 1000.0])
    def test_refuses_other_codes(self, code: Any) -> None:
        with pytest.raises(ValueError, match=f'code: {code!r} cannot be sent by an application'):
            WebSocket(make_environ()).close(code)

    def test_refuses_a_reason_that_is_not_text(self) -> None:
        with pytest.raises(TypeError, match=r"reason: expected a str, got b'x'"):
            WebSocket(make_environ()).close(1000, b'x')  # type: ignore[arg-type]

    def test_refuses_a_reason_that_is_too_long(self) -> None:
        WebSocket(make_environ()).close(1000, 'x' * 123)
        with pytest.raises(ValueError, match='reason: a close frame holds at most 123 bytes, not 124'):
            WebSocket(make_environ()).close(1000, '\xe9' * 62)


class TestState:
    """The attributes that show the state of a socket."""

    def test_goes_from_connecting_to_closed(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            states = [pair.ws.ready_state]
            ws, client = pair.open()
            states.append(ws.ready_state)
            ws.close()
            states.append(ws.ready_state)
            client.send_close()
            record.the_close()
            states.append(ws.ready_state)
            assert states == [ws.CONNECTING, ws.OPEN, ws.CLOSING, ws.CLOSED] == [0, 1, 2, 3]

    def test_is_closing_when_it_was_closed_before_it_opened(self) -> None:
        ws = WebSocket(make_environ())
        ws.close()
        assert ws.ready_state == ws.CLOSING
        assert not ws.send('x')

    def test_is_in_the_repr(self) -> None:
        with joined() as pair:
            ws, _ = pair.open()
            assert repr(ws) == '<WebSocket hybi-13 OPEN ws://example.com/>'
            assert (ws.protocol, ws.extensions, ws.version) == ('', '', 'hybi-13')


class TestReceive:
    """``receive``, iteration and ``with``."""

    def test_starts_the_handshake_and_returns_messages_in_order(self) -> None:
        with joined() as pair:
            pair.client.send(MESSAGE + serialize_frame(BINARY, b'\x00'))
            assert pair.ws.receive() == 'hello'
            assert pair.ws.receive(timeout=1) == b'\x00'
            assert pair.client.receive_head().status == 101

    def test_waits_for_a_message(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            receiver = gevent.spawn(ws.receive)
            settle()
            assert not receiver.dead
            client.send(MESSAGE)
            assert receiver.get(timeout=5) == 'hello'

    def test_returns_the_messages_before_the_end_and_then_none(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE * 2)
            client.send_close()
            settle()
            assert [ws.receive() for _ in range(3)] == ['hello', 'hello', None]

    def test_returns_none_if_the_end_comes_while_it_waits(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            receiver = gevent.spawn(ws.receive)
            settle()
            client.close()
            assert receiver.get(timeout=5) is None

    def test_raises_after_its_timeout(self) -> None:
        with joined() as pair:
            ws, _ = pair.open()
            with pytest.raises(TimeoutError, match='no message within 0.01 seconds'):
                ws.receive(timeout=0.01)

    def test_leaves_nothing_behind_when_it_times_out(self) -> None:
        def count() -> int:
            gc.collect()
            return sum(issubclass(type(thing), gevent.event.Event) for thing in gc.get_objects())

        with joined() as pair:
            ws, _ = pair.open()
            before = count()
            for _ in range(100):
                with pytest.raises(TimeoutError):
                    ws.receive(timeout=0)
            assert count() <= before + 1

    def test_delivers_each_message_to_one_of_several_greenlets(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            receivers = [gevent.spawn(ws.receive) for _ in range(3)]
            settle()
            client.send(b''.join(serialize_frame(TEXT, b'%d' % number) for number in range(3)))
            assert sorted(receiver.get(timeout=5) for receiver in receivers) == ['0', '1', '2']

    def test_may_be_called_in_a_handler(self) -> None:
        with joined() as pair:
            messages: list[Any] = []
            pair.ws.onopen = lambda event: messages.append(pair.ws.receive())
            _, client = pair.open()
            client.send(MESSAGE)
            wait_until(lambda: messages)
            assert messages == ['hello']

    @pytest.mark.proves('B4')
    def test_stops_reading_while_no_greenlet_receives(self) -> None:
        with joined(buffer_size=4096, max_queue=4) as pair:
            ws, client = pair.open()
            sender = gevent.spawn(client.send, serialize_frame(TEXT, b'x' * 10_000) * 50)
            settle()
            assert not sender.dead
            assert [ws.receive(timeout=5) for _ in range(50)] == ['x' * 10_000] * 50

    def test_a_loop_over_the_socket_ends_with_it(self) -> None:
        with joined() as pair:
            pair.client.send(MESSAGE * 3)
            pair.client.send_close()
            assert list(pair.ws) == ['hello'] * 3

    def test_with_closes_at_its_end(self) -> None:
        with joined(close_timeout=0.1) as pair:
            with pair.ws as ws:
                assert ws is pair.ws
                ws.send('in it')
            assert pair.client.receive_head().status == 101
            assert pair.client.receive_frame() == Frame(TEXT, b'in it')
            assert pair.client.receive_frame().code == 1000

    @pytest.mark.parametrize(('error', 'code'), [(ValueError, 1011), (gevent.GreenletExit, 1011), (gevent.Timeout, 1011)])
    def test_with_closes_after_an_exception(self, error: type[BaseException], code: int) -> None:
        with joined(close_timeout=0.1) as pair:
            with pytest.raises(error), pair.ws:
                raise error
            pair.client.receive_head()
            assert pair.client.receive_frame().code == code


class TestAbstract:
    """The methods that the two ends must implement."""

    def test_an_end_has_a_url_and_a_way_to_start(self) -> None:
        end = API()
        with pytest.raises(NotImplementedError):
            str(end.url)
        with pytest.raises(NotImplementedError):
            end.receive()
