"""TLS with the methods of a socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from typing import Any, NamedTuple

import pytest

from faye_websocket.io.tls import NestedTLSTransport, TLSTransport
from tests.support.certificates import session_certificate
from tests.support.local import serve
from tests.support.wire import BINARY, TEXT, Frame, serialize_frame


class FakeTLS:
    """A scripted OpenSSL: each read returns or raises the next item of a list.

    The items of `held` are the rest of a record.
    """

    def __init__(self, *reads: bytes | Exception, write: int | Exception = 0, shutdown: Exception | None = None,
                 held: tuple[bytes, ...] = ()) -> None:
        self.reads = list(reads)
        self.held = list(held)
        self.result = write
        self.error = shutdown

    def read(self, size: int) -> bytes:
        """Return or raise the next item."""
        if not self.reads:
            return self.held.pop(0)
        data = self.reads.pop(0)
        if isinstance(data, Exception):
            raise data
        return data

    def pending(self) -> int:
        """Return the number of bytes held."""
        return len(self.held[0]) if self.held else 0

    def write(self, data: bytes) -> int:
        """Return the scripted result."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        """Raise the scripted error, if any."""
        if self.error is not None:
            raise self.error


@pytest.fixture
def raw() -> Any:
    """A socket below TLS, and the peer's socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class TestReceiving:
    """The method recv."""

    def read(self, tls: FakeTLS, raw: Any, size: int = 100) -> bytes:
        """Return all bytes that one read takes."""
        return TLSTransport(tls, raw[0]).recv(size)

    def test_reads_a_record(self, raw: Any) -> None:
        assert self.read(FakeTLS(b'one'), raw) == b'one'

    @pytest.mark.proves('H7')
    def test_reads_all_that_is_held_though_it_is_more_than_was_asked_for(self, raw: Any) -> None:
        assert self.read(FakeTLS(b'one', held=(b'two', b'three')), raw, 3) == b'onetwothree'

    @pytest.mark.parametrize('error', [ssl.SSLEOFError, ssl.SSLZeroReturnError])
    def test_ends_with_or_without_close_notify(self, error: type[ssl.SSLError], raw: Any) -> None:
        assert self.read(FakeTLS(error()), raw) == b''

    @pytest.mark.parametrize('error', [ssl.SSLWantReadError, ssl.SSLWantWriteError])
    def test_would_block_while_a_record_is_not_whole(self, error: type[ssl.SSLError], raw: Any) -> None:
        with pytest.raises(BlockingIOError):
            self.read(FakeTLS(error()), raw)

    def test_raises_other_errors(self, raw: Any) -> None:
        with pytest.raises(OSError, match='bad record'):
            self.read(FakeTLS(ssl.SSLError('bad record')), raw)


class TestSending:
    """The methods send and shutdown."""

    def test_returns_the_number_of_bytes_sent(self, raw: Any) -> None:
        assert TLSTransport(FakeTLS(write=3), raw[0]).send(b'12345') == 3

    @pytest.mark.parametrize('error', [ssl.SSLWantReadError, ssl.SSLWantWriteError])
    def test_would_block_while_the_kernel_is_full(self, error: type[ssl.SSLError], raw: Any) -> None:
        with pytest.raises(BlockingIOError):
            TLSTransport(FakeTLS(write=error()), raw[0]).send(b'12345')

    @pytest.mark.parametrize('error', [None, ssl.SSLWantReadError(), ConnectionResetError()],
                             ids=lambda error: type(error).__name__)
    def test_sends_close_notify_once_and_reads_raw_bytes_after_it(self, error: Exception | None, raw: Any) -> None:
        transport = TLSTransport(FakeTLS(shutdown=error), raw[0])
        transport.shutdown(socket.SHUT_WR)
        assert raw[1].recv(10) == b''
        raw[1].send(b'whatever')
        assert transport.recv(100) == b'whatever'

    @pytest.mark.proves('O2')
    def test_sends_no_close_notify_to_a_peer_that_is_dropped(self, raw: Any) -> None:
        tls = FakeTLS(shutdown=AssertionError('goodbye'))  # type: ignore[arg-type]
        TLSTransport(tls, raw[0]).shutdown(socket.SHUT_RDWR)
        assert raw[1].recv(1) == b''

    def test_has_the_other_methods_of_a_socket(self, raw: Any) -> None:
        transport = TLSTransport(FakeTLS(), raw[0])
        assert transport.fileno() == raw[0].fileno()
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.close()
        assert transport.fileno() == -1


class TestConversation:
    """A conversation over real TLS."""

    @pytest.mark.proves('H4', 'H7')
    @pytest.mark.parametrize('sizes', [(300,) * 40, (9000,), (8000, 1), (16384 * 3,)], ids=str)
    def test_bytes_in_the_write_of_the_handshake_arrive(self, sizes: tuple[int, ...]) -> None:
        messages = [b'%d' % number * size for number, size in enumerate(sizes)]
        with serve(tls=True) as server:
            server.open(extra_bytes=b''.join(serialize_frame(BINARY, message) for message in messages))
            server.record.wait('message', len(messages))
            assert server.record.messages == messages

    @pytest.mark.proves('H7')
    def test_many_messages_in_one_write_are_delivered_at_once(self) -> None:
        with serve(tls=True) as server:
            client = server.open()
            client.send(b''.join(serialize_frame(TEXT, b'%d' % number) for number in range(64)))
            server.record.wait('message', 64)
            assert server.record.messages == [str(number) for number in range(64)]

    @pytest.mark.proves('H7')
    def test_large_messages_go_through_both_ways(self) -> None:
        with serve(lambda ws: ws.on('message', lambda event: ws.send(event.data)), tls=True) as server:
            client = server.open()
            client.send_frame(BINARY, bytes(300_000))
            assert client.receive_frame() == Frame(BINARY, bytes(300_000))

    @pytest.mark.proves('B1')
    def test_a_slow_reader_gets_everything(self) -> None:
        with serve(tls=True) as server:
            client = server.open()
            for number in range(50):
                server.ws.send(b'%02d' % number * 50_000)
            assert server.ws.buffered_amount > 0
            assert client.receive_messages(50) == [b'%02d' % number * 50_000 for number in range(50)]


class Blocking:
    """A blocking end of a TLS conversation, in memory."""

    def __init__(self, context: ssl.SSLContext, **options: Any) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **options)

    def handshake(self) -> None:
        """Perform a step of the handshake."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()


class OuterFake:
    """The transport to the proxy.

    Bytes that were sent are in ``sent``, of which ``room`` are accepted at a time.
    """

    def __init__(self) -> None:
        self.sent = b''
        self.room = 2**20
        self.chunks: list[bytes] = []
        self.is_shut = False

    def fileno(self) -> int:
        """Return no descriptor."""
        return -1

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Do nothing."""

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Return the arguments."""
        return f'{level} {name} {size}'.encode()

    def close(self) -> None:
        """Do nothing."""

    def shutdown(self, how: int) -> None:
        """Record the call."""
        self.is_shut = True

    def recv(self, size: int) -> bytes:
        """Return the next chunk, of which an empty one is the end."""
        if not self.chunks:
            raise BlockingIOError
        return self.chunks.pop(0)

    def send(self, data: bytes) -> int:
        """Accept as many bytes as there is room for."""
        if not self.room:
            raise BlockingIOError
        taken = min(self.room, len(data))
        self.sent += data[:taken]
        self.room -= taken
        return taken


class Nested(NamedTuple):
    """A nested transport, its outer transport, and the server's end."""

    transport: NestedTLSTransport
    outer: OuterFake
    server: Blocking

    def receive(self, size: int = 65536) -> bytes:
        """Return all bytes that one read takes."""
        return self.transport.recv(size)

    def server_reads(self) -> bytes:
        """Return all bytes that the server reads."""
        self.server.incoming.write(self.outer.sent)
        self.outer.sent = b''
        return self.server.tls.read(2**20)


@pytest.fixture
def nested() -> Nested:
    """TLS with a server, inside of a transport."""
    certificate = session_certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certfile, certificate.keyfile)
    server = Blocking(context, server_side=True)
    client = Blocking(certificate.client_context(), server_hostname='127.0.0.1')
    for _ in range(4):
        client.handshake()
        server.incoming.write(client.outgoing.read())
        server.handshake()
        client.incoming.write(server.outgoing.read())
    outer = OuterFake()
    transport = NestedTLSTransport(client.tls, client.incoming, client.outgoing, outer)  # type: ignore[arg-type]
    return Nested(transport, outer, server)


class TestNested:
    """TLS inside of TLS, as through an https proxy."""

    def test_reads_all_that_came_at_once(self, nested: Nested) -> None:
        for text in (b'one', b'two'):
            nested.server.tls.write(text)
        nested.outer.chunks = [nested.server.outgoing.read()]
        assert nested.receive() == b'onetwo'

    def test_reads_all_that_came_though_it_is_more_than_was_asked_for(self, nested: Nested) -> None:
        for text in (b'one' * 10_000, b'two'):
            nested.server.tls.write(text)
        nested.outer.chunks = [nested.server.outgoing.read()]
        assert nested.receive(100) == b'one' * 10_000 + b'two'

    def test_sends_several_pieces_at_once(self, nested: Nested) -> None:
        assert nested.transport.sendmsg((b'one', b'two')) == 6
        assert nested.server_reads() == b'onetwo'

    def test_waits_for_a_record_that_comes_in_parts(self, nested: Nested) -> None:
        nested.server.tls.write(b'hello')
        record = nested.server.outgoing.read()
        nested.outer.chunks = [record[:9]]
        with pytest.raises(BlockingIOError):
            nested.receive()
        nested.outer.chunks = [record[9:]]
        assert nested.receive() == b'hello'

    def test_ends_with_the_outer_transport(self, nested: Nested) -> None:
        nested.outer.chunks = [b'']
        assert nested.receive() == b''

    def test_ends_with_close_notify(self, nested: Nested) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            nested.server.tls.unwrap()
        nested.outer.chunks = [nested.server.outgoing.read()]
        assert nested.receive() == b''

    def test_sends(self, nested: Nested) -> None:
        assert nested.transport.send(b'hello') == 5
        assert nested.server_reads() == b'hello'

    def test_finishes_a_write_that_had_to_wait_when_it_is_repeated(self, nested: Nested) -> None:
        nested.outer.room = 7
        with pytest.raises(BlockingIOError):
            nested.transport.send(b'hello')
        nested.outer.room = 1000
        assert nested.transport.send(b'hello, too') == 5
        assert nested.server_reads() == b'hello'

    def test_sends_close_notify_and_then_reads_raw_bytes(self, nested: Nested) -> None:
        nested.transport.shutdown(socket.SHUT_WR)
        assert nested.outer.is_shut
        nested.server.incoming.write(nested.outer.sent)
        assert nested.server.tls.read(10) == b''
        nested.outer.chunks = [b'raw']
        assert nested.receive() == b'raw'

    @pytest.mark.proves('O2')
    def test_sends_no_close_notify_to_a_peer_that_is_dropped(self, nested: Nested) -> None:
        before = nested.outer.sent
        nested.transport.shutdown(socket.SHUT_RDWR)
        assert (nested.outer.is_shut, nested.outer.sent) == (True, before)

    def test_sends_close_notify_though_there_is_no_room(self, nested: Nested) -> None:
        nested.outer.room = 0
        nested.transport.shutdown(socket.SHUT_WR)
        assert nested.outer.is_shut


class TestOptions:
    """Options of the socket below."""

    @pytest.mark.proves('L1')
    def test_are_those_of_the_socket_below(self, raw: Any, nested: Nested) -> None:
        ours = TLSTransport(FakeTLS(), raw[0])
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE, 4) == struct.pack('i', socket.SOCK_STREAM)
        assert nested.transport.getsockopt(1, 2, 3) == b'1 2 3'
