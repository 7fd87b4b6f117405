"""Stream: the only code that reads, writes and watches the socket of a connection once it is made.

Bytes that come are handed to the owner in ``received``, on the hub. Bytes that go are written at once if they are alone; what
follows within one burst is collected and leaves in one system call; what the kernel refuses waits for a watcher. An idle
stream is one read watcher and nothing else: no greenlet, no timer, no buffer.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ..driver.writer import Writer
from . import syscalls
from .backlog import BURST, Backlog
from .owner import Owner
from .reactor import Reactor
from .syscalls import LARGE_READ, SMALL_READ
from .transport import Transport, find_descriptor, hang_up, is_silent

__all__ = ['Stream']

_READ, _WRITE = 1, 2

# How many reads follow each other while each takes all that it may; then it is the others' turn.
READS = 2
# How many turns of reading a peer gets that takes nothing any more, and may go on
# sending without end: enough for what the kernel holds, by default 6 MiB of TCP.
LAST_TURNS = 64
# How many seconds a peer has to close its side after we have closed ours.
LINGER = 2.0


class Stream(Writer):
    """A connected socket at work. ``buffered`` is the number of bytes not yet handed to the kernel.

    ``was_heard`` becomes true with every byte that comes; whoever watches the peer's life sets it back. ``low_water`` is the
    number of waiting bytes at which a peer that was behind has caught up.
    """

    __slots__ = (
        '_backlog',
        '_burst',
        '_descriptor',
        '_has_peer_ended',
        '_is_behind',
        '_is_bulk',
        '_is_closed',
        '_is_corked',
        '_is_ending',
        '_is_feeding',
        '_low_water',
        '_owner',
        '_reactor',
        '_reader',
        '_timer',
        '_transport',
        '_writer',
        'buffered',
        'is_paused',
        'was_heard',
    )

    def __init__(self, transport: Transport, owner: Owner, reactor: Reactor, low_water: int) -> None:
        self._transport = transport
        self._descriptor = find_descriptor(transport)
        self._owner = owner
        self._reactor = reactor
        self._low_water = low_water
        # What is collected, if anything is: an empty list would be 72 bytes in each idle connection.
        self._burst: list[bytes] | None = None
        # While the kernel refuses.
        self._backlog: Backlog | None = None
        self._has_peer_ended = False
        self._is_behind = False
        self._is_bulk = False
        self._is_corked = False
        self._is_ending = False
        self._is_feeding = False
        self._is_closed = False
        self._timer: Any = None
        self._writer: Any = None
        self._reader: Any = reactor.loop.io(transport.fileno(), _READ)
        self.buffered = 0
        self.is_paused = True
        self.was_heard = False

    def start(self) -> None:
        """Begins to read, and turns off Nagle's algorithm: without that large echoes wait 40 ms for an ACK."""
        try:
            self._transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            # A Unix socket has no such option, and a connection that is gone will tell so when it is read.
            pass
        self.resume()

    # ---- reading

    def pause(self) -> None:
        """Stops reading: TCP slows the peer down."""
        if not self.is_paused and not self._is_ending:
            self.is_paused = True
            self._reader.stop()

    def call_while_paused(self, seconds: float, callback: Callable[[], object]) -> None:
        """Calls ``callback`` once, unless reading goes on within this time."""
        self._set_timer(seconds, callback)

    def resume(self) -> None:
        """Reads on."""
        if self.is_paused and not self._is_closed:
            self.is_paused = False
            self._stop_timer()
            self._reader.start(_read, self)
            if self._descriptor < 0:
                # TLS may hold what no watcher reports: a record of which the server has
                # read a part.
                self._reactor.loop.run_callback(_read_held, self)

    def has_heard(self, seconds: float) -> bool:
        """Whether a byte came, or, while reading pauses, whether the peer's kernel gives any sign of life within this time."""
        return self.was_heard or (self.is_paused and not is_silent(self._transport, seconds))

    def _readable(self, reason: str = '') -> bool:
        """One read, or some, and whatever they lead to; the peer's end is for this ``reason``. False when nothing is left."""
        if self._reactor.is_inherited():
            self._reader.stop()
            return False
        for _ in range(READS):
            size = LARGE_READ if self._is_bulk else SMALL_READ
            try:
                chunk = syscalls.recv(self._transport, self._descriptor, size)
            except BlockingIOError:
                return False
            except OSError as error:
                self._end(str(error))
                return False
            if not chunk:
                self._at_eof(reason)
                return False
            self.was_heard = True
            self._is_bulk = len(chunk) >= SMALL_READ
            if not self._is_ending:
                self.feed(chunk)
            if len(chunk) < size or self.is_paused or self._is_closed:
                break
        return True

    def feed(self, chunk: bytes) -> None:
        """Hands bytes that came to the owner. What it writes meanwhile, and until it calls ``uncork``, is one burst."""
        self._is_corked = self._is_feeding = True
        is_held = False
        try:
            is_held = self._owner.received(chunk)
        finally:
            self._is_feeding = False
            if not is_held:
                self.uncork()

    def _at_eof(self, reason: str) -> None:
        """The peer has closed its side; it may still wait for the rest of what we are sending."""
        if self._is_ending and self._backlog is not None:
            self._has_peer_ended = True
            self._reader.stop()
        else:
            self._end(reason)

    def _end(self, reason: str) -> None:
        """Nothing more will come."""
        was_expected = self._is_ending
        self.close()
        if not was_expected:
            self._owner.ended(reason)

    # ---- writing

    def write(self, data: bytes) -> None:
        """Sends ``data`` in its turn: now if it is alone, with its burst, or when the kernel takes it."""
        if self._is_ending:
            return
        self.buffered += len(data)
        if self._backlog is not None:
            self._backlog.append(data)
            self._is_behind = self._is_behind or self.buffered > self._low_water
            return
        if self._burst is None:
            self._burst = [data]
        else:
            self._burst.append(data)
        if not self._is_corked:
            self._flush()
            # What follows before the hub runs again belongs to one burst.
            self._is_corked = True
            self._reactor.loop.run_callback(self.uncork)
        elif self.buffered >= BURST:
            self._flush()

    def write_parts(self, head: bytes, payload: bytes) -> None:
        """Does what ``write(head + payload)`` does, if it can without a copy of the payload, which is large."""
        if self._is_ending or self._backlog is not None:
            self.write(head + payload)
            return
        self.buffered += len(head) + len(payload)
        burst, self._burst = self._burst, None
        self._keep(self._send(b''.join((*burst, head)) if burst else head, payload))

    def write_urgent(self, data: bytes, tag: str) -> None:
        """Sends ``data`` before all that waits, in place of a waiting one with the same ``tag``."""
        if self._backlog is None or self._is_ending:
            self.write(data)
            return
        self.buffered += self._backlog.put_urgent(data, tag)

    def write_last(self, data: bytes) -> None:
        """Sends ``data`` next, and drops all that waits."""
        if self._backlog is not None:
            self.buffered = self._backlog.drop()
        self.write_urgent(data, 'last')

    def finish(self, timeout: float) -> None:
        """Sends what waits, within ``timeout`` seconds, tells the peer that nothing follows, and closes after the peer.

        Closing at once would answer bytes still on their way with a reset, which can destroy our last frame before the peer
        has read it.
        """
        if self._is_ending:
            return
        self._flush()
        self.resume()
        self._is_ending = True
        if self._backlog is None:
            self._half_close()
        else:
            self._close_after(timeout)

    def close(self) -> None:
        """Lets go of the socket, now. Safe to call again."""
        if self._is_closed or self._reactor.is_inherited():
            return
        self._is_closed = self._is_ending = True
        for watcher in (self._reader, self._writer, self._timer):
            if watcher is not None:
                watcher.close()
        self._burst = self._backlog = None
        self.buffered = 0
        # The number may be another socket's next.
        self._descriptor = -1
        hang_up(self._transport)

    def _half_close(self) -> None:
        """Our side is done; the peer has LINGER seconds for its side."""
        if self._reactor.is_inherited():
            return
        if self._has_peer_ended:
            self.close()
            return
        try:
            self._transport.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._close_after(LINGER)

    def _close_after(self, seconds: float) -> None:
        """Bounds what is left to do; a later bound takes the place of an earlier one."""
        self._set_timer(seconds, self.close)

    def _set_timer(self, seconds: float, callback: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self._reactor.loop.timer(seconds)
        self._timer.start(callback, update=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def uncork(self) -> None:
        """A burst is over."""
        if not self._is_feeding:
            self._is_corked = False
            self._flush()

    def _flush(self) -> None:
        """Hands the burst, if there is one, to the kernel."""
        burst, self._burst = self._burst, None
        if burst is None:
            return
        try:
            self._keep(self._send(burst[0] if len(burst) == 1 else b''.join(burst)))
        except BaseException:
            # A signal's handler raised, and nobody knows how much was sent.
            self._end('interrupted')
            raise

    def _keep(self, rest: memoryview | None) -> None:
        """The kernel has refused this, and whatever follows has to wait."""
        if rest is not None:
            self._backlog = Backlog(rest)
            self._is_behind = True
            self._writer = self._writer or self._reactor.loop.io(self._transport.fileno(), _WRITE)
            self._writer.start(_write_on, self)

    def _send(self, chunk: bytes | memoryview, more: bytes = b'') -> memoryview | None:
        """One system call; answers what the kernel did not take."""
        if self._reactor.is_inherited():
            return None
        try:
            if more:
                sent = syscalls.sendmsg(self._transport, self._descriptor, (chunk, more))
            else:
                sent = syscalls.send(self._transport, self._descriptor, chunk)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._stop_sending(str(error))
            return None
        self.buffered -= sent
        size = len(chunk)
        if sent < size:
            return memoryview(b''.join((chunk, more)) if more else chunk)[sent:]
        return memoryview(more)[sent - size:] if sent < size + len(more) else None

    def _stop_sending(self, reason: str) -> None:
        """The peer takes nothing any more."""
        self._burst = None
        if self._backlog is not None:
            self._backlog.drop()
        self.buffered = 0
        # What has failed is told once: a read that comes before would find an end without a reason.
        self._reader.stop()
        self._reactor.loop.run_callback(self._read_out, reason, LAST_TURNS)

    def _read_out(self, reason: str, turns: int) -> None:
        """Read what the peer has sent before it was gone, which may tell why, and end.

        Other connections are served between two turns.
        """
        if self._is_closed:
            return
        if self.is_paused:
            # It is read when there is room for it, in its order.
            self._owner.stopped()
            return
        has_more = turns > 0 and self._readable(reason)
        if self._is_closed:
            return
        if not has_more:
            self._end(reason)
        elif self.is_paused:
            self._owner.stopped()
        else:
            self._set_timer(0, partial(self._read_out, reason, turns - 1))

    def _writable(self) -> None:
        """The hub's callback while something waits."""
        if self._reactor.is_inherited():
            self._writer.stop()
            return
        backlog = self._backlog
        assert backlog is not None
        while (chunk := backlog.take()) is not None:
            rest = self._send(chunk)
            if rest is not None:
                backlog.give_back(rest)
                break
        else:
            self._caught_up()
        if self._is_behind and self.buffered <= self._low_water and not self._is_ending:
            self._is_behind = False
            self._owner.drained()

    def _caught_up(self) -> None:
        """Nothing waits any more."""
        self._backlog = None
        self._writer.stop()
        if self._is_ending:
            self._half_close()

    def __repr__(self) -> str:
        state = 'closed' if self._is_closed else 'ending' if self._is_ending else 'paused' if self.is_paused else 'open'
        return f'<Stream {state} buffered={self.buffered}>'


def _read(stream: Stream) -> None:
    """The callback of the loop's: a function, and a tuple for its argument, are 32 bytes smaller than a bound method."""
    try:
        stream._readable()
    except BaseException:
        # A signal's handler raised a KeyboardInterrupt, say, which belongs to the main
        # greenlet. gevent would take it there, but stop the watcher, too, and leave a
        # connection that is open and deaf.
        error = sys.exc_info()
        stream._owner.interrupted()
        stream.uncork()
        stream._reactor.hub.handle_error(stream, *error)


def _read_held(stream: Stream) -> None:
    """Reads what the transport holds, unless it is no time to read any more."""
    if not (stream.is_paused or stream._is_closed):
        _read(stream)


def _write_on(stream: Stream) -> None:
    """Call ``_writable``, as ``_read`` does ``_readable``."""
    try:
        stream._writable()
    except BaseException:
        error = sys.exc_info()
        stream._end('interrupted')
        stream._reactor.hub.handle_error(stream, *error)
