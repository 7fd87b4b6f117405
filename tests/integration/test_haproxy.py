"""WebSockets through a real HAProxy, with the configuration of the examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import ServerPool, Setting
from tests.support.processes import Endpoint
from tests.support.proxies import haproxy, old_haproxy
from tests.support.servers import SERVERS, Server
from tests.support.waiting import wait_until
from tests.support.wire import (
    BINARY,
    CLOSE,
    HIXIE_76,
    HIXIE_76_BODY,
    HIXIE_76_CLOSE,
    HIXIE_76_PROOF,
    TEXT,
    Frame,
    RawClient,
    parse_frames,
    serialize_frame,
)


@pytest.fixture(params=SERVERS)
def server(server_pool: ServerPool, request: pytest.FixtureRequest) -> Server:
    """Each server on a TCP port."""
    return server_pool.get(Setting(request.param))


class TestRfc6455:
    """A client of RFC 6455 behind the installed HAProxy."""

    @pytest.fixture
    def proxy(self, server: Server, tmp_path: Path) -> Iterator[Endpoint]:
        """The installed HAProxy."""
        with haproxy(server, tmp_path) as proxy:
            yield proxy

    def test_echoes_text_and_binary(self, proxy: Endpoint, path: str) -> None:
        with RawClient(proxy, path) as client:
            assert client.handshake().status == 101
            for frame in Frame(TEXT, 'häproxy'.encode()), Frame(BINARY, bytes(100_000)):
                client.send_frame(frame.opcode, frame.payload)
                assert client.receive_frame() == frame

    @pytest.mark.proves('H1')
    def test_passes_the_closing_handshake_and_the_end_of_the_stream(
            self, proxy: Endpoint, server: Server, path: str) -> None:
        with RawClient(proxy, path) as client:
            client.handshake()
            client.send_close(3001, 'enough')
            frames, rest = parse_frames(client.read_to_eof())
        assert [(frame.opcode, frame.code) for frame in frames] == [(CLOSE, 3001)]
        assert rest == b''
        assert server.wait_for_event(path, 'close')['code'] == 3001

    @pytest.mark.proves('H4')
    def test_a_frame_in_the_segment_of_the_handshake_arrives(self, proxy: Endpoint, path: str) -> None:
        with RawClient(proxy, path) as client:
            client.handshake(serialize_frame(TEXT, b'early'))
            assert client.receive_frame() == Frame(TEXT, b'early')


class TestHixie76:
    """A client of hixie-76, whose eight bytes HAProxy delays until the 101."""

    @pytest.fixture
    def proxy(self, server: Server, tmp_path: Path) -> Iterator[Endpoint]:
        """The last HAProxy that supports hixie-76."""
        with haproxy(server, tmp_path, old_haproxy()) as proxy:
            yield proxy

    @pytest.mark.proves('H4')
    def test_completes_the_handshake_and_echoes(self, proxy: Endpoint, path: str) -> None:
        with RawClient(proxy, path, HIXIE_76) as client:
            assert client.handshake(HIXIE_76_BODY).status == 101
            assert client.receive(16) == HIXIE_76_PROOF
            client.send(b'\x00hello\xff')
            assert client.receive(7) == b'\x00hello\xff'

    @pytest.mark.proves('H4')
    def test_passes_a_message_sent_together_with_the_handshake(self, proxy: Endpoint, path: str) -> None:
        with RawClient(proxy, path, HIXIE_76) as client:
            client.handshake(HIXIE_76_BODY + b'\x00early\xff')
            assert client.receive(16 + 7) == HIXIE_76_PROOF + b'\x00early\xff'

    @pytest.mark.proves('H1', 'H3')
    def test_passes_the_closing_handshake(self, proxy: Endpoint, server: Server, path: str) -> None:
        with RawClient(proxy, path, HIXIE_76) as client:
            client.handshake(HIXIE_76_BODY)
            client.send(HIXIE_76_CLOSE)
            client.read_to_eof()
        assert client.transcript == HIXIE_76_PROOF + HIXIE_76_CLOSE
        wait_until(lambda: server.requests(path), 'a line')
        assert server.requests(path) == [(path, '101')]
