"""Pings that detect whether a peer is alive."""

from __future__ import annotations

import time

import gevent
import pytest

from faye_websocket import WebSocket
from tests.support.local import Record, joined, settle
from tests.support.wire import HIXIE_76, HIXIE_76_BODY, PING, PONG, TEXT, Frame, serialize_frame


@pytest.mark.proves('L1', 'L5')
def test_a_silent_peer_is_dropped_after_interval_and_timeout() -> None:
    with joined(ping=0.05, ping_timeout=0.1) as pair:
        record = Record(pair.ws)
        began = time.monotonic()
        _, client = pair.open()
        assert client.receive_frame() == Frame(PING, b'')
        assert time.monotonic() - began >= 0.04
        event = record.the_close()
        assert (event.code, event.reason, event.was_clean) == (1006, 'ping timeout', False)
        assert 0.14 <= time.monotonic() - began < 1.15


@pytest.mark.proves('L1')
@pytest.mark.parametrize('life', [
    [serialize_frame(PONG)] * 3, [serialize_frame(TEXT, b'hello')] * 3, [b'\x81', b'\x85', b'\x00']],
    ids=['pongs', 'messages', 'parts of a frame'])
def test_any_byte_counts_as_life(life: list[bytes]) -> None:
    with joined(ping=0.02, ping_timeout=0.2) as pair:
        ws, client = pair.open()
        record = Record(ws, ('close',))
        for sign in life:
            assert client.receive_frame() == Frame(PING, b'')
            client.send(sign)
        assert client.receive_frame() == Frame(PING, b'')
        assert record.events == []
        assert ws.ready_state == WebSocket.OPEN


@pytest.mark.proves('L1')
def test_a_ping_timeout_shorter_than_the_interval_does_not_hasten_the_next_ping() -> None:
    with joined(ping=0.15, ping_timeout=0.05) as pair:
        _, client = pair.open()
        client.receive_frame()
        began = time.monotonic()
        client.send_frame(PONG)
        client.receive_frame()
        assert 0.14 <= time.monotonic() - began < 1


@pytest.mark.proves('L1', 'B4')
def test_a_pause_in_reading_is_not_the_peers_silence() -> None:
    with joined(ping=0.02, max_queue=1) as pair:
        ws, client = pair.open()
        client.send(serialize_frame(TEXT, b'hello') * 5)
        settle()
        gevent.sleep(0.1)
        assert ws.ready_state == WebSocket.OPEN
        record = Record(ws)
        record.wait('message', 5)
        assert record.the_close().reason == 'ping timeout'


def test_ends_with_the_connection() -> None:
    with joined(ping=0.02) as pair:
        record = Record(pair.ws)
        ws, client = pair.open()
        ws.close()
        client.send_close()
        record.the_close()
        gevent.sleep(0.05)
        assert [frame.opcode for frame in client.receive_frames()] == [8]


@pytest.mark.proves('L1')
def test_a_version_without_pings_is_not_pinged() -> None:
    with joined(HIXIE_76, ping=0.01) as pair:
        ws, client = pair.open()
        client.send(HIXIE_76_BODY)
        client.receive(16)
        gevent.sleep(0.05)
        assert ws.ready_state == WebSocket.OPEN
