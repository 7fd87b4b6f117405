"""Stream: the only code that watches, reads and writes a connection's socket.

Bytes that come are passed to the owner's ``received``, on the hub. ``Outflow`` is the
half that writes. An idle stream is one read watcher and nothing else: no greenlet, no
timer, no buffer.

What is left to do on the socket is the phase:

===========  ===================================  ==================================
``_phase``   what is written                      what comes
===========  ===================================  ==================================
``OPEN``     is sent                              is passed to the owner
``ENDING``   is dropped; what waits goes out,     is dropped; the peer's end closes
             then the writing half is closed
``ALONE``    is dropped; what waits goes out,     nothing: the peer has ended before
             then the stream is closed
``CLOSED``   is dropped                           nothing
===========  ===================================  ==================================

A phase is followed by a later one only. ``finish`` ends OPEN, and ``close`` any phase.
ALONE has a backlog; ENDING has one, or a timer that bounds the wait for the peer's end.

What becomes of bytes that are written in OPEN is the cork, or a backlog:

============  ==================================================================
``_cork``     without a backlog
============  ==================================================================
``LOOSE``     they are sent at once, and the stream is corked
``CORKED``    they are collected until ``uncork``, which a callback or the owner calls
``FEEDING``   as CORKED, but ``uncork`` has no effect: the owner handles what came
============  ==================================================================

There is a burst only while corked, and never beside a backlog: the kernel has refused
something then, a write watcher is active, and what is written waits behind it.

These are independent of both:

- ``is_paused``: the read watcher is stopped. A stream begins like this; in ENDING and
  ALONE it is never true.
- ``_is_behind``: the backlog was above ``low_water``, and ``drained`` is still to be
  called.
- ``_is_bulk``: the last read was large, so the next one is given room for more.
- ``was_heard``: a byte came since the keepalive has set it back.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from . import syscalls
from .outflow import Outflow
from .owner import Owner
from .phases import ALONE, CLOSED, CORKED, ENDING, FEEDING, OPEN
from .reactor import Reactor
from .syscalls import LARGE_READ, SMALL_READ
from .transport import Transport, hang_up, is_silent

__all__ = ['Stream']

_READ = 1

# How many reads follow each other while each takes all that it may; then it is the
# others' turn.
READS = 2
# How many turns of reading a peer gets that takes nothing any more, and may go on
# sending without end: enough for what the kernel holds, by default 6 MiB of TCP.
LAST_TURNS = 64
# How many seconds a peer has to close its side after we have closed ours.
LINGER = 2.0


class Stream(Outflow):
    """A connected socket at work.

    ``was_heard`` becomes true with every byte that comes; the keepalive sets it back.
    """

    __slots__ = ('_is_bulk', '_reader', '_timer', 'is_paused', 'was_heard')

    def __init__(
        self, transport: Transport, owner: Owner, reactor: Reactor, low_water: int
    ) -> None:
        super().__init__(transport, owner, reactor, low_water)
        self._is_bulk = False
        self._timer: Any = None
        self._reader: Any = reactor.loop.io(transport.fileno(), _READ)
        self.is_paused = True
        self.was_heard = False

    def start(self) -> None:
        """Begin to read.

        Turns off Nagle's algorithm, without which large echoes wait 40 ms for an ACK.
        """
        try:
            self._transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            # A Unix socket has no such option, and a connection that is gone shows it
            # when it is read.
            pass
        self.resume()

    # ---- reading

    def pause(self) -> None:
        """Stop reading: TCP slows the peer down."""
        if not self.is_paused and self._phase == OPEN:
            self.is_paused = True
            self._reader.stop()

    def call_while_paused(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call ``callback`` once, unless reading goes on within this time."""
        self._set_timer(seconds, callback)

    def resume(self) -> None:
        """Go on reading."""
        if self.is_paused and self._phase != CLOSED:
            self.is_paused = False
            self._stop_timer()
            self._reader.start(_read, self)
            if self._descriptor < 0:
                # TLS may hold what no watcher reports: a record of which the server has
                # read a part.
                self._reactor.loop.run_callback(_read_held, self)

    def has_heard(self, seconds: float) -> bool:
        """Return whether the peer is alive.

        A byte came, or, while reading is paused, the peer's kernel has acknowledged
        what was sent within this time.
        """
        return bool(self.was_heard) or (
            bool(self.is_paused) and not is_silent(self._transport, seconds)
        )

    def _readable(self, reason: str = '') -> bool:
        """Read once or twice, and pass on what came; False when nothing is left.

        ``reason`` is the one for the peer's end, should it come.
        """
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
            if self._phase == OPEN:
                self.feed(chunk)
            if len(chunk) < size or self.is_paused or self._phase == CLOSED:
                break
        return True

    def feed(self, chunk: bytes) -> None:
        """Pass bytes that came to the owner.

        What it writes meanwhile, and until it calls ``uncork``, is one burst.
        """
        self._cork = FEEDING
        is_held = False
        try:
            is_held = self._owner.received(chunk)
        finally:
            self._cork = CORKED
            if not is_held:
                self.uncork()

    def _at_eof(self, reason: str) -> None:
        """End, unless the peer may wait for what we still send: it closed its side."""
        if self._phase != ENDING:
            self._end(reason)
        elif self._backlog is not None:
            self._phase = ALONE
            self._reader.stop()
        else:
            # Both halves have ended, so there is nothing to hang up.
            self._discard()
            self._transport.close()

    # ---- ending

    def finish(self, timeout: float) -> None:
        """Send what waits, within ``timeout`` seconds, and close after the peer.

        Closing at once would answer bytes still on their way with a reset, which can
        destroy our last frame before the peer has read it.
        """
        if self._phase != OPEN:
            return
        self._flush()
        self.resume()
        self._phase = ENDING
        if self._backlog is None:
            self._half_close()
        else:
            self._close_after(timeout)

    def close(self) -> None:
        """Release the socket now. Safe to call again."""
        if self._phase == CLOSED or self._reactor.is_inherited():
            return
        self._discard()
        hang_up(self._transport)

    def _discard(self) -> None:
        """Release everything but the socket."""
        self._phase = CLOSED
        for watcher in (self._reader, self._writer, self._timer):
            if watcher is not None:
                watcher.close()
        self._burst = self._backlog = None
        self.buffered = 0
        # The number may be another socket's next.
        self._descriptor = -1

    def _end(self, reason: str) -> None:
        """Close, and pass the ``reason`` to the owner if it has not finished before."""
        was_open = self._phase == OPEN
        self.close()
        if was_open:
            self._owner.ended(reason)

    def _half_close(self) -> None:
        """End our half; the peer has LINGER seconds for its own."""
        if self._reactor.is_inherited():
            return
        if self._phase == ALONE:
            self.close()
            return
        try:
            self._transport.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._close_after(LINGER)

    def _sending_failed(self, reason: str) -> None:
        """Read what the peer has sent, and end for this ``reason``."""
        # A failure is reported once: a read that comes before would find an end without
        # a reason.
        self._reader.stop()
        self._reactor.loop.run_callback(self._read_out, reason, LAST_TURNS)

    def _read_out(self, reason: str, turns: int) -> None:
        """Read what the peer has sent before it was gone, which may say why, and end.

        Other connections are served between two turns.
        """
        if self._phase == CLOSED:
            return
        if self.is_paused:
            # It is read when there is room for it, in its order.
            self._owner.stopped()
            return
        has_more = turns > 0 and self._readable(reason)
        if self._phase == CLOSED:
            return
        if not has_more:
            self._end(reason)
        elif self.is_paused:
            self._owner.stopped()
        else:
            self._set_timer(0, partial(self._read_out, reason, turns - 1))

    # ---- the timer

    def _close_after(self, seconds: float) -> None:
        """Close after this time. A later bound takes the place of an earlier one."""
        self._set_timer(seconds, self.close)

    def _set_timer(self, seconds: float, callback: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self._reactor.loop.timer(seconds)
        self._timer.start(callback, update=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def __repr__(self) -> str:
        state = ('open', 'ending', 'ending', 'closed')[self._phase]
        if self._phase == OPEN and self.is_paused:
            state = 'paused'
        return f'<Stream {state} buffered={self.buffered}>'


def _read(stream: Stream) -> None:
    """Call ``_readable``; the read watcher's callback.

    A function, and a tuple for its argument, are 32 bytes smaller than a bound method.
    """
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
    """Read what the transport holds, unless reading was paused or ended meanwhile."""
    if not stream.is_paused and stream._phase != CLOSED:
        _read(stream)
