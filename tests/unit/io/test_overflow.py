"""Sending more than may wait, in cases that were found by driving whole connections: see tests/integration/test_networks.py."""

from __future__ import annotations

import pytest

from faye_websocket import WebSocket
from faye_websocket.io.shutdown import registry
from tests.support.local import Record, joined, run_threads, settle


@pytest.mark.parametrize('threaded', [False, True], ids=['greenlet', 'thread'])
@pytest.mark.parametrize('overflow', ['close', 'drop', 'block'])
def test_an_empty_message_finds_room_though_the_peer_is_behind(overflow: str, threaded: bool) -> None:  # B3
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


def test_a_socket_that_overflowed_before_its_handshake_is_not_waited_for_at_exit() -> None:  # L2, H10
    before = len(registry)
    with joined(max_buffered=100) as pair:
        record = Record(pair.ws)
        pair.ws.send('x' * 200)
        assert not pair.ws.send('x' * 200)
        assert record.the_close().code == 1013
        pair.start()
        settle()
        assert len(registry) == before
