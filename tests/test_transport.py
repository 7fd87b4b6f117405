"""TLS with a socket's face."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from faye_websocket.transport import TLSTransport
from tests.support.local import serve
from tests.support.wire import BINARY, TEXT, Frame, serialize_frame


class FakeTLS:
    """OpenSSL with a script: each read answers the next thing, or raises it."""

    def __init__(self, *reads: bytes | Exception, write: int | Exception = 0, shutdown: Exception | None = None) -> None:
        self.reads = list(reads)
        self.result = write
        self.error = shutdown

    def read(self, size: int, buffer: memoryview) -> int:
        """The next thing."""
        data = self.reads.pop(0)
        if isinstance(data, Exception):
            raise data
        buffer[:len(data)] = data
        return len(data)

    def write(self, data: bytes) -> int:
        """Its result."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        """Its error."""
        if self.error is not None:
            raise self.error


@pytest.fixture
def raw() -> Any:
    """A socket below TLS, and the peer's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class TestReceiving:
    """recv_into."""

    def read(self, tls: FakeTLS, raw: Any, size: int = 100) -> bytes:
        """What is read at once."""
        buffer = memoryview(bytearray(size))
        return bytes(buffer[:TLSTransport(tls, raw[0]).recv_into(buffer)])

    def test_takes_a_record(self, raw: Any) -> None:
        assert self.read(FakeTLS(b'one'), raw) == b'one'

    @pytest.mark.parametrize('error', [ssl.SSLEOFError, ssl.SSLZeroReturnError])
    def test_finds_an_end_with_or_without_a_goodbye(self, error: type[ssl.SSLError], raw: Any) -> None:
        assert self.read(FakeTLS(error()), raw) == b''

    @pytest.mark.parametrize('error', [ssl.SSLWantReadError, ssl.SSLWantWriteError])
    def test_would_block_while_a_record_is_not_whole(self, error: type[ssl.SSLError], raw: Any) -> None:
        with pytest.raises(BlockingIOError):
            self.read(FakeTLS(error()), raw)

    def test_passes_other_errors_on(self, raw: Any) -> None:
        with pytest.raises(OSError, match='bad record'):
            self.read(FakeTLS(ssl.SSLError('bad record')), raw)


class TestSending:
    """send and shutdown."""

    def test_tells_how_much_was_taken(self, raw: Any) -> None:
        assert TLSTransport(FakeTLS(write=3), raw[0]).send(b'12345') == 3

    @pytest.mark.parametrize('error', [ssl.SSLWantReadError, ssl.SSLWantWriteError])
    def test_would_block_while_the_kernel_is_full(self, error: type[ssl.SSLError], raw: Any) -> None:
        with pytest.raises(BlockingIOError):
            TLSTransport(FakeTLS(write=error()), raw[0]).send(b'12345')

    @pytest.mark.parametrize('error', [None, ssl.SSLWantReadError(), ConnectionResetError()],
                             ids=lambda error: type(error).__name__)
    def test_says_goodbye_once_and_reads_raw_bytes_after_it(self, error: Exception | None, raw: Any) -> None:
        transport = TLSTransport(FakeTLS(shutdown=error), raw[0])
        transport.shutdown(socket.SHUT_WR)
        assert raw[1].recv(10) == b''
        raw[1].send(b'whatever')
        assert transport.recv_into(memoryview(bytearray(100))) == 8

    def test_has_the_rest_of_the_sockets_face(self, raw: Any) -> None:
        transport = TLSTransport(FakeTLS(), raw[0])
        assert transport.fileno() == raw[0].fileno()
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.close()
        assert transport.fileno() == -1


class TestConversation:
    """A real one."""

    def test_many_messages_in_one_write_are_delivered_at_once(self) -> None:  # H7
        with serve(tls=True) as server:
            client = server.open()
            client.send(b''.join(serialize_frame(TEXT, b'%d' % number) for number in range(64)))
            server.record.wait('message', 64)
            assert server.record.messages == [str(number) for number in range(64)]

    def test_large_messages_go_through_both_ways(self) -> None:  # H7
        with serve(lambda ws: ws.on('message', lambda event: ws.send(event.data)), tls=True) as server:
            client = server.open()
            client.send_frame(BINARY, bytes(300_000))
            assert client.receive_frame() == Frame(BINARY, bytes(300_000))

    def test_a_slow_reader_gets_everything(self) -> None:  # B1
        with serve(tls=True) as server:
            client = server.open()
            for number in range(50):
                server.ws.send(b'%02d' % number * 50_000)
            assert server.ws.buffered_amount > 0
            assert client.receive_messages(50) == [b'%02d' % number * 50_000 for number in range(50)]
