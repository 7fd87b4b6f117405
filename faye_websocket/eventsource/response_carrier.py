"""ResponseCarrier: an event stream that is the iterable of a WSGI response.

It carries the stream under a server that gives no access to its sockets. The server
pulls the next piece in a thread of its own, and blocks here until there is one.
Handlers run in that thread, too. Other threads only add events to a buffer, which has
the bounds and policies of a socket's. A client that is gone is noticed when the server
cannot write, at the next event or ping; the server then calls ``close()``, as PEP 3333
demands.

gevent is only used where this is called in one of its greenlets, which must not block
their thread.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent.event
from gevent.hub import Hub
from gevent.monkey import get_original
from greenlet import getcurrent

from ..driver.base import CLOSED, CLOSING, CONNECTING, OPEN, SharedMessage
from ..driver.codes import CloseCode
from ..driver.eventstream import PING, serialize_comment
from ..events import CloseEvent, Event
from ..io.backlog import BURST
from ..io.connection import Target
from ..io.dispatch import Dispatcher
from ..io.faults import SLOW, name_url
from ..io.limits import Limits
from ..io.overflow import Overflow
from ..io.owner import Owner
from ..io.scheduler import Job, Scheduler, wait_forever
from ..io.shutdown import open_sockets
from ..servers.gevent_server import register

__all__ = ['ResponseCarrier', 'ResponseBody']

_allocate_lock = get_original('_thread', 'allocate_lock')


class ResponseCarrier(Owner):
    """An event stream, which begins with ``preamble``: the owner of a dispatcher."""

    __slots__ = (
        '_chunks',
        '_dispatcher',
        '_is_behind',
        '_is_ping_due',
        '_limits',
        '_lock',
        '_overflow',
        '_preamble',
        '_scheduler',
        '_state',
        '_waiters',
        'buffered_amount',
        'close_event',
    )

    def __init__(self, target: Target, limits: Limits, preamble: bytes) -> None:
        self._limits = limits
        self._preamble = preamble
        self._scheduler = _PulledScheduler(self._wake)
        self._dispatcher = Dispatcher(target, self, self._scheduler)
        # Guards what follows; held for the time it takes to look and to change. In a
        # forked child the thread that held it may be missing, so no child acquires it.
        self._lock = _allocate_lock()
        self._chunks: deque[bytes] = deque()
        self.close_event = CloseEvent(CloseCode.ABNORMAL_CLOSURE, '', False)
        self._is_behind = False
        self._is_ping_due = False
        self._waiters: list[Any] = []
        # Nobody but the greenlet that pulls makes room.
        self._overflow = Overflow(self, limits, getcurrent())
        self.buffered_amount = 0
        self._state = CONNECTING

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED; a forked child sees it as CLOSED."""
        return CLOSED if self._scheduler.is_inherited() else self._state

    # ---- what the event source asks for, in any thread

    def send(self, data: bytes) -> bool:
        """Send an event; see ``EventSource.send``."""
        if self._scheduler.is_inherited():
            return False
        while not self._append(data):
            if self.ready_state > OPEN or not self._overflow.make_room(len(data)):
                return False
        self._wake()
        return True

    def send_shared(self, message: SharedMessage) -> bool:
        """Send an event that goes to many."""
        return self.send(message.payload)

    def offer(self, message: SharedMessage) -> bool | None:
        """Send a shared event, unless that would block; None if it would."""
        if self._overflow.would_block(len(message.payload)):
            return None
        return self.send(message.payload)

    def wait_until_caught_up(self) -> bool:
        """Block until so little waits that any event is taken; False once closing."""
        while self.ready_state <= OPEN:
            with self._lock:
                waiter = None if self._overflow.has_room(sys.maxsize) else self._add_waiter()
            if waiter is None:
                return True
            waiter.wait()
            if self._scheduler.is_inherited():
                wait_forever()
        return False

    def ping(self, message: str | bytes, callback: object) -> bool:
        """Send a comment, ahead of the events that wait."""
        if self._scheduler.is_inherited():
            return False
        with self._lock:
            is_open = self._is_ping_due = self.ready_state <= OPEN
        self._wake()
        return is_open

    def close(self, code: int, reason: str) -> None:
        """Begin to close, once, behind the events that were sent."""
        self._begin_close(CloseEvent(code, reason, True))

    def stop(self) -> None:
        """Begin to close: the server stops, or the process ends."""
        self.close(CloseCode.GOING_AWAY, '')

    def abort(self, reason: str) -> None:
        """Give the client up."""
        self._begin_close(CloseEvent(CloseCode.ABNORMAL_CLOSURE, reason, False), [])

    def handler_added(self, type: str) -> None:
        """Deliver the events of this type that were kept for a handler."""
        self._scheduler.run_callback(self._dispatcher.handler_added, type)
        if self.ready_state == CLOSED:
            # The server pulls no more.
            self._scheduler.run_callbacks()

    def respond(self) -> ResponseBody:
        """Return the body of the response."""
        return ResponseBody(self)

    # ---- what the server asks for, in one thread at a time

    @property
    def is_current(self) -> bool:
        """Whether the caller is a handler of this stream."""
        return getcurrent() is self._scheduler.runner

    def next_piece(self) -> bytes:
        """Return the next piece, once there is one; ``b''`` at the end."""
        self._overflow.room_maker = getcurrent()
        self._open()
        while True:
            self._scheduler.run_callbacks()
            if self._scheduler.is_inherited():
                return b''
            with self._lock:
                piece = self._take()
                is_over = not piece and self.ready_state > OPEN
                waiter = (
                    None
                    if piece or is_over or self._scheduler.has_callbacks
                    else self._add_waiter()
                )
            if piece:
                self._caught_up()
                return piece
            if is_over:
                self.end()
                return b''
            # There was something to run in between: a race that no test can hold still.
            if waiter is not None:  # pragma: no branch
                self._sleep(waiter)

    def end(self) -> None:
        """End the stream: the response is over, or the client is gone."""
        if self._scheduler.is_inherited():
            return
        with self._lock:
            if self._state == CLOSED:
                return
            self._state = CLOSED
            self._drop_waiting([])
            self._overflow.room_maker = None
        self._wake()
        self._dispatcher.push(self.close_event)
        self._scheduler.run_callbacks()

    # ---- the dispatcher's owner

    def delivered(self, event: Event) -> None:
        """Forget this stream, whose close event has been delivered."""
        open_sockets.discard(self)

    def handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain the fault of a handler of this stream."""
        self._dispatcher.handler_raised(event, error)

    def failed(self) -> None:
        """End the stream after a handler's fault."""
        self.close(CloseCode.INTERNAL_ERROR, 'internal error')

    # ---- the rules

    def _open(self) -> None:
        """Open the stream, whose response has begun, once."""
        if self._scheduler.is_inherited():
            return
        with self._lock:
            if self.ready_state != CONNECTING:
                return
            self._state = OPEN
        is_late = register(self)
        self._dispatcher.push(Event('open'))
        if is_late:
            self.stop()

    def _begin_close(self, event: CloseEvent, last: list[bytes] | None = None) -> None:
        """End the stream behind the events that wait, or behind ``last`` instead."""
        if self._scheduler.is_inherited():
            return
        with self._lock:
            if self.ready_state <= OPEN:
                self._state = CLOSING
                self.close_event = event
            if last is not None:
                self._drop_waiting(last)
        self._wake()

    def _take(self) -> bytes:
        """Return the bytes that wait, or as many as make a burst."""
        pieces = [self._preamble, PING if self._is_ping_due else b'']
        self._preamble, self._is_ping_due = b'', False
        size = 0
        while self._chunks and size < BURST:
            pieces.append(self._chunks.popleft())
            size += len(pieces[-1])
        self.buffered_amount -= size
        return b''.join(pieces)

    def _caught_up(self) -> None:
        """Announce that events which waited are on their way."""
        if self._is_behind and self.buffered_amount <= self._limits.low_water:
            self._is_behind = False
            if self.ready_state == OPEN:
                self._dispatcher.push(Event('drain'))
        self._wake()

    def _sleep(self, waiter: Any) -> None:
        """Block until something happens, at most until a ping is due."""
        has_happened = waiter.wait(self._limits.ping)
        if self._scheduler.is_inherited():
            # The next piece would go to the parent's client.
            wait_forever()
        if not has_happened:
            with self._lock:
                self._waiters = [other for other in self._waiters if other is not waiter]
                self._is_ping_due = True

    # ---- room for what is sent

    def _append(self, data: bytes) -> bool:
        """Add an event to those that wait; False if there is no room."""
        with self._lock:
            if self.ready_state > OPEN or not self._overflow.has_room(len(data)):
                return False
            self._chunks.append(data)
            self.buffered_amount += len(data)
            self._is_behind = self._is_behind or self.buffered_amount > self._limits.low_water
            return True

    def give_up_slow_peer(self) -> None:
        """Close with 1013."""
        target = self._dispatcher.target
        target._own_logger.warning(SLOW, name_url(target.url), self.buffered_amount)
        event = CloseEvent(CloseCode.TRY_AGAIN_LATER, 'slow consumer', False)
        self._begin_close(event, [serialize_comment(event.reason)])

    def message_dropped(self) -> None:
        """Do nothing. A connection that counts overrides this."""

    def wait_for_room(self, size: int) -> bool:
        """Block the caller until there may be room."""
        with self._lock:
            is_over = self.ready_state > OPEN or self._overflow.has_room(size)
            waiter = None if is_over else self._add_waiter()
        # Room was made in between: another such race.
        if waiter is not None:  # pragma: no branch
            waiter.wait()
        if self._scheduler.is_inherited():
            wait_forever()
        return True

    def _drop_waiting(self, last: list[bytes]) -> None:
        """Replace the events that wait by ``last``."""
        self._chunks = deque(last)
        self.buffered_amount = sum(map(len, last))

    # ---- waiting

    def _add_waiter(self) -> Any:
        """Return an event that is set at the next change. The lock is held."""
        in_greenlet = isinstance(getcurrent().parent, Hub)
        waiter = gevent.event.Event() if in_greenlet else threading.Event()
        self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        """Wake all that wait for a change."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set()

    def __repr__(self) -> str:
        state = ('CONNECTING', 'OPEN', 'CLOSING', 'CLOSED')[self.ready_state]
        return f'<ResponseCarrier {state} buffered={self.buffered_amount}>'


class ResponseBody:
    """The WSGI iterable of a stream.

    It is no generator, because closing one that has not begun runs none of its code.
    """

    __slots__ = ('_connection',)

    def __init__(self, connection: ResponseCarrier) -> None:
        self._connection = connection

    def __iter__(self) -> ResponseBody:
        return self

    def __next__(self) -> bytes:
        piece = self._connection.next_piece()
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """End the stream. PEP 3333: called "upon completion of the current request"."""
        self._connection.end()


class _PulledScheduler(Scheduler):
    """The scheduler of a response, which runs callbacks when the server pulls."""

    __slots__ = ('_callbacks', '_wake', 'runner')

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._callbacks: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._wake = wake
        # The greenlet in which handlers run, while they do.
        self.runner: Any = None

    @property
    def has_callbacks(self) -> bool:
        """Whether there is something to run."""
        return bool(self._callbacks)

    def run_callback(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call ``callback`` at the next pull. Safe in any thread."""
        if self.is_inherited():
            return
        self._callbacks.append((callback, arguments))
        self._wake()

    def run_callbacks(self) -> None:
        """Call the callbacks that wait."""
        while self._callbacks and not self.is_inherited():
            callback, arguments = self._callbacks.popleft()
            callback(*arguments)

    def run(self, job: Job, size: int) -> bool:
        """Run ``job`` at once."""
        self.runner = getcurrent()
        try:
            job.drain()
        finally:
            self.runner = None
        return False

    def run_jobs(self) -> None:
        """Do nothing: no job is left."""

    def cancel(self, job: Job) -> None:
        """Do nothing: every job has begun."""
