"""Sender: the half of a connection that sends, and bounds how much waits.

Messages go to the driver, and from there to the stream, as long as the peer keeps up.
For a peer that is behind ``overflow`` says what becomes of them. Other OS threads may
send: their messages are counted here and handed over to the hub. Greenlets and threads
that wait, for room, for a message or for the end, are kept here too, and go on at the
connection's end at the latest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import gevent.event
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original

from ..driver.base import CLOSED, CLOSING, CONNECTING, OPEN, Driver, SharedMessage
from ..driver.codes import CloseCode
from ..driver.text import encode_text
from . import interpreter
from .limits import Limits
from .overflow import Overflow
from .owner import Owner
from .reactor import Reactor, current_reactor
from .scheduler import wait_forever
from .stream import Stream

__all__ = ['BROKEN', 'Sender']

# In place of a connection's low-water mark: every message takes the slow path of
# ``send``.
BROKEN = -1

_allocate_lock = get_original('_thread', 'allocate_lock')
_sleep = get_original('time', 'sleep')
# Guards the counters of bytes that other OS threads posted; held for an addition.
_posted_lock = _allocate_lock()
# In a forked child the thread that held it may be missing.
os.register_at_fork(after_in_child=_posted_lock._at_fork_reinit)
# The least that a frame has beside its payload: counted, it shows that something was
# posted, be it an empty message.
_HEADER = 2
# Seconds after which a greenlet that waits in another OS thread looks again. What it
# waits for may have come just before it waited; and without a timer a hub that has
# nothing else to wait for would raise LoopExit.
_LOOK_AGAIN = 0.5


class Sender(Owner):
    """The sending half of a connection.

    Its driver is set before anything else happens, its stream once there is a socket.
    """

    __slots__ = (
        '_driver',
        '_is_closing',
        '_limits',
        '_low_water',
        '_overflow',
        '_reactor',
        '_stream',
        '_waiters',
    )

    def __init__(self, limits: Limits, reactor: Reactor) -> None:
        self._limits = limits
        # Looked at for every message.
        self._low_water = limits.low_water
        self._reactor = reactor
        self._driver: Driver
        self._stream: Stream | None = None
        self._waiters: list[Callable[[], object]] | None = None
        # Made by a server's handshake, and by what another OS thread sends.
        self._overflow: Overflow | None = None
        self._is_closing = False

    @property
    def reactor(self) -> Reactor:
        """The reactor of the hub that this connection works on."""
        return self._reactor

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED.

        Closing before it is open counts as CLOSING, and so does a broken connection. A
        forked child sees the connections of its parent as CLOSED.
        """
        if self._reactor.is_inherited():
            return CLOSED
        state = self._driver.ready_state
        return CLOSING if (self._is_closing or self._is_broken) and state < CLOSING else state

    @property
    def is_closing(self) -> bool:
        """Whether this end has begun to close; messages are dropped from then on."""
        return bool(self._is_closing)

    @property
    def was_clean(self) -> bool:
        """Whether the closing handshake was completed."""
        return bool(self._driver.was_clean)

    @property
    def _is_broken(self) -> bool:
        """Whether nothing can be sent any more, though data is yet to be received."""
        return self._low_water == BROKEN

    @property
    def buffered_amount(self) -> int:
        """Bytes not yet handed to the kernel."""
        buffered = self._stream.buffered if self._stream is not None else 0
        overflow = self._overflow
        return buffered if overflow is None else buffered + overflow.early + overflow.posted

    def send(self, data: str | bytes) -> bool:
        """Send a message; see ``API.send``."""
        if interpreter.get_ident() != self._reactor.thread:
            return self._post(data)
        driver, stream = self._driver, self._stream
        if (
            stream is None
            or driver.ready_state != OPEN
            or stream.buffered > self._low_water
            or self._reactor.is_inherited()
        ):
            # Not open yet, or not any more, or the peer is behind.
            if self.ready_state > OPEN or not (self._is_caught_up or self._make_room(data)):
                return False
            if driver.ready_state == CONNECTING:
                return self._send_early(data)
        return driver.text(data) if isinstance(data, str) else driver.binary(data)

    def send_shared(self, message: SharedMessage) -> bool:
        """Send a message that goes to many connections, each with its own room."""
        driver, stream = self._driver, self._stream
        if (
            stream is None
            or driver.ready_state != OPEN
            or stream.buffered > self._low_water
            or interpreter.get_ident() != self._reactor.thread
            or self._reactor.is_inherited()
        ):
            # This class's own: one that counts what is sent counts what is shared, too.
            return Sender.send(self, message.data)
        return driver.send_shared(message)

    def offer(self, message: SharedMessage) -> bool | None:
        """Send a shared message, unless that would block; None if it would."""
        if self._find_overflow().would_block(len(message.payload)):
            return None
        return self.send_shared(message)

    def pong(self, message: str | bytes) -> bool:
        """Send an unsolicited pong."""
        return self.ready_state <= OPEN and self._command(self._driver.pong, message)

    def wait_until_caught_up(self) -> bool:
        """Block until so little waits that any message is taken; False once closing.

        Returns at once where the caller must not block.
        """
        current, overflow = gevent.getcurrent(), self._overflow
        is_room_maker = overflow is not None and overflow.room_maker is current
        if self._reactor.is_current and current is not self._reactor.hub and not is_room_maker:
            while not self._is_caught_up and self.ready_state <= OPEN:
                self._wait(None)
        return self.ready_state <= OPEN

    # ---- room for what is sent

    @property
    def _is_caught_up(self) -> bool:
        """Whether so little waits that a message of any size may."""
        return self.buffered_amount <= self._limits.low_water

    def _make_room(self, data: str | bytes) -> bool:
        """Return whether a message may wait, after what ``overflow`` does about it."""
        return self._find_overflow().make_room(_size(data)) and self.ready_state <= OPEN

    def _find_overflow(self) -> Overflow:
        """Return the connection's ``Overflow``, or a new one that it may keep."""
        return self._overflow or Overflow(self, self._limits)

    def _start_handshake(self) -> None:
        """Refuse to block the calling greenlet, which the handshake waits for."""
        self._overflow = Overflow(self, self._limits, gevent.getcurrent())

    def _end_handshake(self) -> None:
        """Count no more what was sent before the handshake was over."""
        with _posted_lock:
            overflow = self._overflow
            if overflow is not None:
                overflow.early, overflow.room_maker = 0, None
                self._keep_overflow(overflow)

    def _keep_overflow(self, overflow: Overflow) -> None:
        """Keep the ``Overflow`` for as long as it holds anything. The lock is held."""
        self._overflow = overflow if overflow.is_needed else None

    def give_up_slow_peer(self) -> None:
        """Close with 1013; in any OS thread."""
        if self._reactor.is_current:
            self._driver.fail(CloseCode.TRY_AGAIN_LATER, 'slow consumer')
        else:
            # Now, lest each further message posts another failure.
            self._is_closing = True
            self._reactor.post(self._driver.fail, CloseCode.TRY_AGAIN_LATER, 'slow consumer')

    def message_dropped(self) -> None:
        """Do nothing. A connection that counts overrides this."""

    def wait_for_room(self, size: int) -> bool:
        """Block the caller until there may be room; False on a hub.

        A thread with a hub runs it meanwhile. Otherwise two sockets of such threads
        could wait for each other.
        """
        hub = get_hub_if_exists()
        if hub is None:
            self._wait_in_thread(size)
        elif gevent.getcurrent() is hub:
            return False
        else:
            self._wait(None)
        return True

    # ---- what other OS threads send

    def _post(self, data: str | bytes) -> bool:
        """Post a message to the hub, once there is room for it.

        Called in another OS thread.
        """
        if self.ready_state > OPEN:
            # A loop that goes on sending must not keep the hub from the interpreter.
            _sleep(0)
            return False
        size = _size(data) + _HEADER
        while not self._reserve(size):
            if not self._find_overflow().make_room(size):
                return False
        self._reactor.post(self._run_posted, size, self._send_early, data)
        return self.ready_state <= OPEN

    def _send_early(self, data: str | bytes) -> bool:
        """Send a message, and count it while it waits for the handshake."""
        driver = self._driver
        was_sent = driver.text(data) if isinstance(data, str) else driver.binary(data)
        if was_sent and driver.ready_state == CONNECTING:
            with _posted_lock:
                overflow = self._overflow = self._find_overflow()
                overflow.early += _size(data)
        return was_sent

    def _reserve(self, size: int) -> bool:
        """Count the bytes of a message that is about to be posted, if they may wait."""
        with _posted_lock:
            overflow = self._find_overflow()
            if not overflow.has_room(size):
                return False
            overflow.posted += size
            self._overflow = overflow
            return True

    @property
    def _has_posted(self) -> bool:
        """Whether something is posted that the hub has not done yet."""
        return self._overflow is not None and self._overflow.posted > 0

    def _run_posted(self, size: int, command: Callable[..., object], *arguments: Any) -> None:
        """Run a command that another thread posted and counted as ``size`` bytes."""
        with _posted_lock:
            overflow = self._find_overflow()
            overflow.posted -= size
            self._keep_overflow(overflow)
        # After ``close`` was called the close frame still goes behind this.
        if self._driver.ready_state <= OPEN:
            command(*arguments)
        if self._is_caught_up:
            self._wake()

    def _command(self, command: Callable[..., bool], *arguments: Any) -> bool:
        """Give the driver a command, from any OS thread."""
        if interpreter.get_ident() == self._reactor.thread:
            return command(*arguments)
        with _posted_lock:
            overflow = self._overflow = self._find_overflow()
            overflow.posted += _HEADER
        self._reactor.post(self._run_posted, _HEADER, command, *arguments)
        return self._driver.can_ping

    # ---- waiting: for a message, for room, for the end

    def _wait(self, deadline: float | None) -> bool:
        """Block this greenlet until something may have changed; False if it is late."""
        event = gevent.event.Event()
        end = deadline
        wake: Callable[[], object] = event.set
        if not self._reactor.is_current:
            end = time.monotonic() + _LOOK_AGAIN if deadline is None else deadline
            wake = partial(current_reactor().call_soon, event.set)
        self._add_waiter(wake)
        try:
            was_set = event.wait(None if end is None else max(0, end - time.monotonic()))
        finally:
            self._remove_waiter(wake)
        if self._reactor.is_inherited():
            wait_forever()
        return bool(was_set or deadline is None)

    def _wait_in_thread(self, size: int) -> None:
        """Block this OS thread until there may be room for ``size`` bytes."""
        lock = _allocate_lock()
        lock.acquire()
        self._add_waiter(lock.release)
        # Look again: room may have been made before the waiter was added. No test can
        # hold this race still.
        has_room = self._find_overflow().has_room(size)
        if not has_room and self.ready_state <= OPEN:  # pragma: no branch
            lock.acquire()

    def _add_waiter(self, wake: Callable[[], object]) -> None:
        with _posted_lock:
            self._waiters = [*(self._waiters or ()), wake]

    def _remove_waiter(self, wake: Callable[[], object]) -> None:
        # Under the lock: another OS thread may be adding one.
        with _posted_lock:
            self._waiters = [waiter for waiter in self._waiters or () if waiter != wake] or None

    def _wake(self) -> None:
        """Wake all that wait: something has changed."""
        if self._waiters is not None:
            with _posted_lock:
                waiters, self._waiters = self._waiters, None
            for wake in waiters or ():
                wake()


def _size(data: str | bytes) -> int:
    """Return the length of a message in bytes."""
    return len(data) if isinstance(data, bytes) else len(encode_text(data))
