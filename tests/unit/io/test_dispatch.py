"""The order and the greenlets in which the handlers of a socket run."""

from __future__ import annotations

from typing import Any

import gevent
import gevent.event
import pytest

from tests.support.local import Record, joined, settle, wait_until
from tests.support.wire import PONG, TEXT, Frame, serialize_frame

MESSAGE = serialize_frame(TEXT, b'hello')


class TestOrder:
    """Events in their order."""

    def test_handlers_never_run_two_at_once(self) -> None:
        with joined() as pair:
            trace: list[str] = []

            def handle(event: Any) -> None:
                trace.append(f'begin {event.data}')
                gevent.sleep(0.005)
                trace.append(f'end {event.data}')

            pair.ws.onmessage = handle
            _, client = pair.open()
            client.send(serialize_frame(TEXT, b'1'))
            wait_until(lambda: trace)
            client.send(serialize_frame(TEXT, b'2'))
            wait_until(lambda: len(trace) == 4)
            assert trace == ['begin 1', 'end 1', 'begin 2', 'end 2']

    def test_a_pings_callback_runs_in_order_with_the_events(self) -> None:
        with joined() as pair:
            trace: list[Any] = []
            pair.ws.onmessage = lambda event: trace.append(event.data)
            ws, client = pair.open()
            assert ws.ping('1', lambda: trace.append('pong'))
            payload = client.receive_frame().payload
            client.send(MESSAGE + serialize_frame(PONG, payload) + MESSAGE)
            wait_until(lambda: len(trace) == 3)
            assert trace == ['hello', 'pong', 'hello']

    @pytest.mark.proves('L2')
    def test_the_other_events_follow_a_handler_that_was_killed(self) -> None:
        with joined() as pair:
            messages: list[str] = []

            def handle(event: Any) -> None:
                messages.append(event.data)
                if event.data == '1':
                    raise gevent.GreenletExit

            pair.ws.onmessage = handle
            _, client = pair.open()
            record = Record(pair.ws, ('close',))
            client.send(serialize_frame(TEXT, b'1') + serialize_frame(TEXT, b'2'))
            assert client.receive_frame().code == 1011
            client.send_close(1011)
            assert record.the_close().code == 1011
            # It closes the socket, so no message is delivered after that.
            assert messages == ['1']

    def test_one_connections_handler_does_not_wait_for_anothers(self) -> None:
        release = gevent.event.Event()
        with joined() as busy, joined() as other:
            busy.ws.onmessage = lambda event: release.wait()
            _, client = busy.open()
            client.send(MESSAGE)
            other.ws.onmessage = lambda event: other.ws.send(event.data)
            _, client = other.open()
            client.send(MESSAGE)
            assert client.receive_frame() == Frame(TEXT, b'hello')
            release.set()


class TestEarlyEvents:
    """Events that arrive before their handlers."""

    @pytest.mark.proves('L8')
    @pytest.mark.parametrize('type', ['open', 'message', 'error', 'close'])
    def test_wait_for_a_handler_of_their_type(self, type: str) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE + b'\x83\x80abcd')
            settle()
            events: list[Any] = []
            setattr(ws, f'on{type}', events.append)
            wait_until(lambda: events)
            assert [event.type for event in events] == [type]

    @pytest.mark.proves('L8')
    def test_are_delivered_in_their_order_whenever_the_handlers_come(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE + b'\x83\x80abcd')
            client.receive_frames()
            record = Record(ws)
            record.the_close()
            assert record.types == ['open', 'message', 'error', 'close']

    @pytest.mark.proves('L8')
    def test_come_before_the_later_ones(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(serialize_frame(TEXT, b'1') + serialize_frame(TEXT, b'2'))
            settle()
            messages: list[str] = []
            ws.onmessage = lambda event: messages.append(event.data)
            client.send(serialize_frame(TEXT, b'3'))
            wait_until(lambda: len(messages) == 3)
            assert messages == ['1', '2', '3']

    def test_are_not_kept_once_there_was_a_handler(self) -> None:
        with joined() as pair:
            pair.ws.onmessage = print
            pair.ws.onmessage = None
            ws, client = pair.open()
            client.send(MESSAGE)
            settle()
            messages: list[Any] = []
            ws.onmessage = messages.append
            settle()
            assert messages == []
