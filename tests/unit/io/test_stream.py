"""Reads and writes of a stream, which never block."""

from __future__ import annotations

import errno
import os
import signal
import socket as std_socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import gevent
import pytest

from faye_websocket.io.backlog import BURST
from faye_websocket.io.counted import CountedTransport
from faye_websocket.io.owner import Owner
from faye_websocket.io.reactor import current_reactor
from faye_websocket.io.stream import LAST_TURNS, Stream
from faye_websocket.io.syscalls import LARGE_READ, SMALL_READ
from faye_websocket.io.transport import find_descriptor
from faye_websocket.metrics import SocketCounters
from tests.support.local import reset_socket, settle, tcp_pair, wait_until


class Recorder(Owner):
    """A stream's owner that records its calls, and may act when bytes arrive."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.on_received: Any = lambda chunk: None

    def received(self, chunk: bytes) -> bool:
        """Record the bytes, and run the action."""
        self.events.append(chunk)
        return bool(self.on_received(chunk))

    def ended(self, reason: str) -> None:
        """Record the end of the connection."""
        self.events.append(('ended', reason))

    def interrupted(self) -> None:
        """Record the exception that interrupted the work."""
        self.events.append('interrupted')

    def stopped(self) -> None:
        """Record that what was received last waits for its turn."""
        self.events.append('stopped')

    def drained(self) -> None:
        """Record that the backlog is small."""
        self.events.append('drained')


class Transport:
    """One end of a socketpair that counts its calls.

    The attribute `room` is the number of bytes that the kernel accepts, if limited.
    """

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.sock.setblocking(False)
        self.sent: list[bytes] = []
        self.room: int | None = None
        self.error: OSError | None = None
        self.fileno, self.recv = sock.fileno, sock.recv
        self.setsockopt, self.shutdown, self.close = sock.setsockopt, sock.shutdown, sock.close

    def send(self, data: bytes) -> int:
        """Count the call, and send as many bytes as there is room for."""
        if self.error is not None:
            raise self.error
        if self.room is not None:
            data = data[:self.room]
            self.room -= len(data)
            if not data:
                raise BlockingIOError
        self.sent.append(bytes(data))
        return int(self.sock.send(data))

    def sendmsg(self, parts: Sequence[bytes]) -> int:
        """Count the call, and send as many bytes of the pieces as there is room for."""
        sent = 0
        for part in parts:
            try:
                sent += self.send(part)
            except BlockingIOError:
                if not sent:
                    raise
        return sent


@pytest.fixture
def ends() -> Iterator[tuple[Transport, Any]]:
    """A stream's transport, and the peer's socket."""
    ours, theirs = std_socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        yield Transport(ours), theirs


@pytest.fixture
def owner() -> Recorder:
    """The owner of the stream."""
    return Recorder()


@pytest.fixture
def stream(ends: tuple[Any, Any], owner: Recorder) -> Iterator[Stream]:
    """A stream that has begun to read."""
    stream = Stream(ends[0], owner, current_reactor(), 100)
    stream.start()
    yield stream
    stream.close()


@pytest.fixture
def transport(ends: tuple[Transport, Any]) -> Transport:
    """The transport of the stream."""
    return ends[0]


@pytest.fixture
def peer(ends: tuple[Transport, Any]) -> Any:
    """The socket of the peer."""
    return ends[1]


class TestHeld:
    """Bytes that the transport holds decrypted, which no watcher reports."""

    @pytest.fixture
    def held(self, transport: Transport) -> list[bytes]:
        """The bytes that the transport holds."""
        held = [b'held']

        def recv(size: int) -> bytes:
            if not held:
                raise BlockingIOError
            return held.pop(0)

        transport.recv = recv
        return held

    @pytest.mark.proves('H7')
    def test_is_read_when_reading_begins(self, held: list[bytes], stream: Stream, owner: Recorder) -> None:
        settle()
        assert owner.events == [b'held']

    @pytest.mark.proves('H7')
    def test_is_read_when_reading_goes_on(self, held: list[bytes], stream: Stream, owner: Recorder) -> None:
        stream.pause()
        settle()
        assert owner.events == []
        stream.resume()
        settle()
        assert owner.events == [b'held']

    def test_is_not_read_once_the_stream_is_closed(
            self, held: list[bytes], stream: Stream, owner: Recorder) -> None:
        stream.close()
        settle()
        assert owner.events == []
        assert held == [b'held']


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Interrupt a system call that blocks in this block by a TimeoutError."""
    def interrupt(number: int, frame: object) -> None:
        raise TimeoutError('blocked')

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Endless(Transport):
    """A peer that no longer reads, and that sends without end."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.error = BrokenPipeError(errno.EPIPE, 'Broken pipe')
        self.recv = self.give

    def give(self, size: int) -> bytes:
        """Return as many bytes as are asked for."""
        return bytes(size)


class TestBurst:
    """The number of system calls of a burst."""

    @pytest.mark.proves('B5')
    def test_a_lone_message_leaves_at_once(self, stream: Stream, transport: Transport) -> None:
        stream.write(b'alone')
        assert transport.sent == [b'alone']

    @pytest.mark.proves('B5')
    def test_messages_in_a_row_leave_in_few_calls(self, stream: Stream, transport: Transport) -> None:
        for number in range(100):
            stream.write(b'%02d' % number)
        settle()
        assert b''.join(transport.sent) == b''.join(b'%02d' % number for number in range(100))
        assert len(transport.sent) == 2

    @pytest.mark.proves('B5')
    def test_a_long_burst_does_not_wait_for_its_end(self, stream: Stream, transport: Transport) -> None:
        stream.write(b'alone')
        stream.write(bytes(BURST))
        assert len(transport.sent) == 2

    @pytest.mark.proves('B5')
    def test_the_answers_to_one_read_leave_in_one_call(
            self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        owner.on_received = lambda chunk: any(stream.write(b'answer') for _ in range(10))
        peer.send(b'question')
        wait_until(lambda: transport.sent)
        assert transport.sent == [b'answer' * 10]

    @pytest.mark.proves('B5')
    def test_later_answers_to_one_read_leave_in_one_call(
            self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        owner.on_received = lambda chunk: True
        peer.send(b'question')
        wait_until(lambda: owner.events)
        for _ in range(10):
            stream.write(b'answer')
        assert transport.sent == []
        stream.uncork()
        assert transport.sent == [b'answer' * 10]

    @pytest.mark.proves('B5')
    def test_a_large_payload_leaves_uncopied_with_the_bytes_before_it(
            self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        owner.on_received = lambda chunk: True
        peer.send(b'question')
        wait_until(lambda: owner.events)
        stream.write(b'before')
        stream.write_parts(b'head', b'payload')
        assert transport.sent == [b'beforehead', b'payload']
        assert stream.buffered == 0

    @pytest.mark.proves('B5')
    def test_a_later_message_leaves_at_once(self, stream: Stream, transport: Transport) -> None:
        stream.write(b'first')
        settle()
        stream.write(b'second')
        assert transport.sent == [b'first', b'second']


class TestBacklog:
    """Bytes that the kernel does not accept."""

    @pytest.fixture(autouse=True)
    def full(self, stream: Stream, transport: Transport) -> None:
        """A kernel that accepts three bytes, and then none."""
        transport.room = 3
        stream.write(b'123456')

    @pytest.mark.proves('B2')
    def test_waits_and_is_counted(self, stream: Stream, transport: Transport, peer: Any) -> None:
        assert stream.buffered == 3
        stream.write(b'abc')
        assert stream.buffered == 6
        transport.room = None
        wait_until(lambda: stream.buffered == 0)
        assert peer.recv(100) == b'123456abc'

    @pytest.mark.proves('B5')
    def test_leaves_in_bursts(self, stream: Stream, transport: Transport) -> None:
        for _ in range(100):
            stream.write(b'x')
        transport.room = None
        wait_until(lambda: stream.buffered == 0)
        assert transport.sent == [b'123', b'456', b'x' * 100]

    @pytest.mark.proves('B2')
    def test_notifies_its_owner_once_at_the_low_water_mark(
            self, stream: Stream, transport: Transport, owner: Recorder) -> None:
        stream.write(bytes(500))
        transport.room = 50
        wait_until(lambda: stream.buffered == 3 + 500 - 50)
        assert owner.events == []
        transport.room = None
        wait_until(lambda: stream.buffered == 0)
        assert owner.events == ['drained']

    @pytest.mark.proves('L7')
    def test_is_overtaken_by_urgent_items(self, stream: Stream, transport: Transport, peer: Any) -> None:
        stream.write(b'later')
        stream.write_urgent(b'urgent', 'pong')
        transport.room = None
        wait_until(lambda: stream.buffered == 0)
        assert peer.recv(100) == b'123456urgentlater'

    @pytest.mark.proves('S8')
    def test_has_one_urgent_item_of_a_kind(self, stream: Stream, transport: Transport, peer: Any) -> None:
        for number in range(100):
            stream.write_urgent(b'%02d' % number, 'pong')
        stream.write_urgent(b'ping', 'ping')
        assert stream.buffered == 3 + 2 + 4
        transport.room = None
        wait_until(lambda: stream.buffered == 0)
        assert peer.recv(100) == b'12345699ping'

    @pytest.mark.proves('L7')
    def test_is_dropped_for_the_last_write(self, stream: Stream, transport: Transport, peer: Any) -> None:
        stream.write(b'later')
        stream.write_urgent(b'urgent', 'pong')
        stream.write_last(b'last')
        stream.finish(5)
        transport.room = None
        wait_until(lambda: stream.buffered == 0)
        assert peer.recv(100) == b'123456last'

    @pytest.mark.proves('L2')
    def test_is_dropped_when_the_peer_stops_reading_but_its_bytes_are_read(
            self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        stream.write(b'later')
        peer.send(b'last words')
        transport.error = BrokenPipeError(32, 'Broken pipe')
        wait_until(lambda: ('ended', '[Errno 32] Broken pipe') in owner.events)
        assert stream.buffered == 0
        assert b'last words' in owner.events
        assert owner.events[-1] == ('ended', '[Errno 32] Broken pipe')

    @pytest.mark.proves('L3')
    def test_is_dropped_in_time(self, stream: Stream, peer: Any, owner: Recorder) -> None:
        stream.finish(0.02)
        stream.finish(60)
        wait_until(lambda: stream.buffered == 0, 'the end', 1)
        assert peer.recv(100) == b'123'
        assert peer.recv(100) == b''
        assert owner.events == []

    def test_has_a_repr(self, stream: Stream) -> None:
        assert repr(stream) == '<Stream open buffered=3>'


class TestReading:
    """Bytes that arrive."""

    def test_is_handed_to_the_owner(self, stream: Stream, owner: Recorder, peer: Any) -> None:
        peer.send(b'hello')
        wait_until(lambda: owner.events)
        assert owner.events == [b'hello']
        assert stream.was_heard

    @pytest.mark.proves('B4')
    def test_can_be_paused(self, stream: Stream, owner: Recorder, peer: Any) -> None:
        stream.pause()
        stream.pause()
        assert (stream.is_paused, repr(stream)) == (True, '<Stream paused buffered=0>')
        peer.send(b'hello')
        settle()
        assert owner.events == []
        stream.resume()
        stream.resume()
        wait_until(lambda: owner.events)

    @pytest.mark.proves('L2')
    def test_ends_with_the_peers_end(self, stream: Stream, owner: Recorder, peer: Any) -> None:
        peer.close()
        wait_until(lambda: owner.events)
        assert owner.events == [('ended', '')]
        assert repr(stream) == '<Stream closed buffered=0>'

    @pytest.mark.proves('L2')
    def test_ends_with_an_error_that_is_reported(
            self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        def fail(size: int) -> bytes:
            raise ConnectionResetError(104, 'Connection reset by peer')

        transport.recv = fail
        peer.send(b'x')
        wait_until(lambda: owner.events)
        assert owner.events == [('ended', '[Errno 104] Connection reset by peer')]

    @pytest.mark.proves('L2')
    def test_ends_with_the_error_of_a_failed_send(
            self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        def write_to_nobody(chunk: bytes) -> None:
            transport.error = TimeoutError(110, 'Connection timed out')
            peer.close()
            stream.write(b'x')

        owner.on_received = write_to_nobody
        peer.send(b'hello')
        wait_until(lambda: len(owner.events) > 1)
        assert owner.events == [b'hello', ('ended', '[Errno 110] Connection timed out')]

    def test_that_pauses_behind_a_failed_send_goes_on_with_its_owner(
            self, stream: Stream, owner: Recorder, peer: Any) -> None:
        owner.on_received = lambda chunk: stream.pause()
        peer.sendall(b'the last')
        stream._read_out('broken', 1)
        assert owner.events == [b'the last', 'stopped']

    def test_ends_once_when_the_peers_end_is_read_behind_a_failed_send(
            self, stream: Stream, owner: Recorder, peer: Any) -> None:
        peer.close()
        stream._read_out('broken', 1)
        assert owner.events == [('ended', 'broken')]

    def test_continues_after_an_empty_read(self, stream: Stream, transport: Transport, owner: Recorder, peer: Any) -> None:
        receive, calls = transport.recv, []

        def would_block(size: int) -> bytes:
            calls.append(size)
            transport.recv = receive
            raise BlockingIOError

        transport.recv = would_block
        peer.send(b'x')
        wait_until(lambda: owner.events)
        assert (owner.events, len(calls)) == ([b'x'], 1)



class TestPeerThatSendsWithoutEnd:
    """A peer that no longer reads, whose bytes are read within bounds.

    They may explain why it stopped.
    """

    @pytest.fixture
    def ends(self) -> Iterator[tuple[Any, Any]]:
        """A stream's transport, and the peer's socket."""
        ours, theirs = std_socket.socketpair()
        with ours, theirs:
            yield Endless(ours), theirs

    def test_is_read_within_bounds_without_delaying_others(self, stream: Stream, owner: Recorder) -> None:
        sizes: list[int] = []

        def look() -> None:
            while ('ended', '[Errno 32] Broken pipe') not in owner.events:
                sizes.append(sum(map(len, owner.events)))
                gevent.sleep(0)

        stream.write(b'not taken')
        looking = gevent.spawn(look)
        looking.join(10)
        assert owner.events[-1] == ('ended', '[Errno 32] Broken pipe')
        assert 2 * LARGE_READ * (LAST_TURNS - 1) < sum(map(len, owner.events[:-1])) < 10_000_000
        assert max(later - earlier for earlier, later in pairwise(sizes)) <= 2 * LARGE_READ


class TestPlainSockets:
    """Plain sockets, which compiled code reads without a call of their methods."""

    @pytest.fixture
    def ends(self) -> Iterator[tuple[Any, Any]]:
        """A stream's transport, and the peer's socket."""
        ours, theirs = tcp_pair(20000)
        with ours, theirs:
            yield ours._sock, theirs

    def test_are_distinguished_from_others(self, ends: tuple[Any, Any]) -> None:
        class OwnWay(std_socket.socket):
            """A socket with its own way to read."""

            def recv(self, *arguments: Any) -> bytes:
                return b''

        plain, _ = ends
        with std_socket.socket() as inherited, OwnWay() as own:
            assert find_descriptor(plain) == plain.fileno()
            assert find_descriptor(inherited) == inherited.fileno()
            assert find_descriptor(own) == find_descriptor(Transport(plain)) == -1  # type: ignore[arg-type]

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize('counted', [False, True], ids=['', 'counted'])
    def test_never_block_though_made_blocking(
            self, ends: tuple[Any, Any], owner: Recorder, counted: bool) -> None:
        plain, peer = ends
        transport = CountedTransport(plain, SocketCounters()) if counted else plain
        stream = Stream(transport, owner, current_reactor(), 100)
        stream.start()
        copy = os.dup(plain.fileno())
        os.set_blocking(copy, True)
        os.close(copy)
        with interrupted_after(2):
            # A read that is full is followed by another one.
            peer.sendall(bytes(SMALL_READ))
            wait_until(lambda: sum(map(len, owner.events)) == SMALL_READ)
            peer.sendall(bytes(5 * SMALL_READ))
            wait_until(lambda: sum(map(len, owner.events)) == 6 * SMALL_READ)
            for _ in range(100):
                stream.write(bytes(1000))
            stream.write_parts(b'a head', bytes(1_000_000))
            settle()
        assert stream.buffered > 0
        stream.close()

    @pytest.mark.proves('B1')
    def test_never_block_in_a_write_of_two_pieces(self, ends: tuple[Any, Any], owner: Recorder) -> None:
        plain, peer = ends
        stream = Stream(plain, owner, current_reactor(), 100)
        os.set_blocking(plain.fileno(), True)
        with interrupted_after(2):
            stream.write_parts(b'a head', bytes(1_000_000))
        assert stream.buffered > 0
        stream.close()

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize('size', [1, SMALL_READ - 1, SMALL_READ, SMALL_READ + 1, 300_000])
    def test_transfer_every_byte(self, stream: Stream, owner: Recorder, peer: Any, size: int) -> None:
        data = bytes(index % 251 for index in range(size))
        stream.write(data)
        received = b''
        while len(received) < size:
            received += peer.recv(100_000)
        settle()
        owner.events.clear()
        peer.sendall(received)
        wait_until(lambda: sum(map(len, owner.events)) >= size)
        assert received == b''.join(owner.events) == data
        assert stream.buffered == 0

    def test_may_have_nothing_to_read(self, stream: Stream, owner: Recorder) -> None:
        assert stream._readable() is False
        assert owner.events == []

    @pytest.mark.proves('L2')
    def test_end_with_the_error_of_the_kernel(self, stream: Stream, owner: Recorder, peer: Any) -> None:
        reset_socket(peer)
        wait_until(lambda: owner.events)
        assert owner.events == [('ended', f'[Errno {errno.ECONNRESET}] {os.strerror(errno.ECONNRESET)}')]

    @pytest.mark.proves('L2')
    def test_end_when_nothing_can_be_sent(self, stream: Stream, owner: Recorder, peer: Any) -> None:
        reset_socket(peer)
        stream.write(b'x')
        wait_until(lambda: owner.events)
        assert [kind for kind, _ in owner.events] == ['ended']


class TestFinish:
    """The end of a stream."""

    @pytest.mark.proves('H1')
    def test_waits_for_the_peers_end_and_ignores_what_comes_before_it(
            self, stream: Stream, owner: Recorder, transport: Transport, peer: Any) -> None:
        stream.write(b'first')
        stream.write(b'second')
        stream.finish(5)
        assert repr(stream) == '<Stream ending buffered=0>'
        assert peer.recv(100) == b'firstsecond'
        assert peer.recv(100) == b''
        peer.send(b'still talking')
        settle()
        stream.write(b'nothing')
        stream.pause()
        stream.write_urgent(b'nothing', 'pong')
        assert transport.sock.fileno() > 0
        peer.close()
        wait_until(lambda: transport.sock.fileno() < 0)
        assert owner.events == []

    @pytest.mark.proves('L3', 'H9')
    def test_does_not_wait_for_ever(
            self, stream: Stream, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.io.stream.LINGER', 0.02)
        stream.finish(60)
        wait_until(lambda: transport.sock.fileno() < 0, 'the end', 1)

    def test_of_a_connection_that_is_gone_is_the_end(self, stream: Stream, transport: Transport) -> None:
        def fail(how: int) -> None:
            raise OSError

        transport.shutdown = fail
        stream.finish(60)
        assert transport.sock.fileno() < 0

    def test_reads_though_it_was_paused(self, stream: Stream, transport: Transport, peer: Any) -> None:
        stream.pause()
        stream.finish(60)
        peer.close()
        wait_until(lambda: transport.sock.fileno() < 0)

    def test_again_does_nothing(self, stream: Stream) -> None:
        stream.close()
        stream.close()
        stream.finish(1)
        stream.resume()
        stream.write(b'nothing')
        assert stream.buffered == 0
