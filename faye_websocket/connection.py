"""Connection: a driver, a stream and a dispatcher at work for one socket, and the rules between them.

Bytes come from the stream and go to the driver; what the driver emits becomes events, which the dispatcher delivers; what the
application sends goes from here to the driver, and from the driver to the stream. Everything here runs in the thread of
one hub; what other OS threads ask for is handed over to it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import gevent
import gevent.event
from gevent.monkey import get_original

from . import interpreter
from .dispatch import Callback, Dispatcher
from .driver.base import CLOSED, CLOSING, CONNECTING, OPEN, Driver, SharedMessage
from .driver.codes import CloseCode
from .errors import HandshakeError
from .events import CloseEvent, ErrorEvent, Event
from .http import HeaderList, replace_headers
from .keepalive import Keepalive
from .limits import Limits
from .owner import Owner
from .reactor import Reactor
from .registry import registry
from .stream import Stream
from .transport import Transport

__all__ = ['Connection', 'Target']

logger = logging.getLogger('faye_websocket')

# How many seconds a handshake may take once it has begun: only hixie-76's waits for more than its request.
_HANDSHAKE_TIMEOUT = 10

_allocate_lock = get_original('_thread', 'allocate_lock')
# Guards the counters of bytes that other OS threads posted; held for an addition.
_posted_lock = _allocate_lock()


class Target(Protocol):
    """The socket that a connection works for."""

    @property
    def url(self) -> str:
        """The URL of the connection."""

    def dispatch_event(self, event: Event) -> object:
        """Runs the handlers of an event."""


class Connection(Owner):
    """One connection: the driver's observer, the stream's and the dispatcher's owner."""

    __slots__ = (
        '_dispatcher',
        '_driver',
        '_early_bytes',
        '_is_closing',
        '_keepalive',
        '_limits',
        '_low_water',
        '_maker',
        '_max_queue',
        '_posted_bytes',
        '_reactor',
        '_stream',
        '_target',
        '_thread',
        '_timer',
        '_waiters',
    )

    def __init__(self, target: Target, limits: Limits, reactor: Reactor) -> None:
        self._target = target
        self._limits = limits
        # Looked at for every message.
        self._low_water = limits.low_water
        self._max_queue = int(min(limits.max_queue, sys.maxsize))
        self._reactor = reactor
        self._thread = interpreter.get_ident()
        self._dispatcher = Dispatcher(target, self, reactor)
        self._driver: Driver
        self._stream: Stream | None = None
        self._keepalive: Keepalive | None = None
        self._timer: Any = None
        self._waiters: list[Callable[[], object]] | None = None
        self._early_bytes = 0
        self._posted_bytes = 0
        self._is_closing = False
        self._maker: Any = gevent.getcurrent()

    # ---- what the socket asks for

    @property
    def is_at_home(self) -> bool:
        """Whether the caller runs in the OS thread that this connection works in."""
        return bool(interpreter.get_ident() == self._thread)

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED; closing before it is open counts as CLOSING."""
        state = self._driver.ready_state
        return CLOSING if self._is_closing and state < CLOSING else state

    @property
    def buffered_amount(self) -> int:
        """Bytes not yet handed to the kernel."""
        return self._early_bytes + self._posted_bytes + (self._stream.buffered if self._stream is not None else 0)

    @property
    def protocol(self) -> str:
        """The subprotocol agreed on."""
        return self._driver.protocol

    @property
    def extensions(self) -> str:
        """The extensions agreed on."""
        return self._driver.extensions

    @property
    def version(self) -> str:
        """The protocol's version."""
        return self._driver.version

    def drive(self, driver: Driver) -> None:
        """Sets the driver that speaks for this connection."""
        self._driver = driver
        driver.observer = self

    def attach(self, transport: Transport, timeout: float) -> None:
        """Starts a handshake of ours on a connected socket; ``timeout`` bounds it."""
        self._open_stream(transport)
        self._driver.start()
        self._set_timer(max(0, timeout), 'handshake timeout')

    def accept(self, transport: Transport, received: bytes, headers: HeaderList) -> None:
        """Accepts the peer's handshake, which was checked, on a socket of which these bytes behind it were read already."""
        if self._driver.ready_state == CLOSED:
            # More was sent than may wait for the handshake, and the close event may have come before anybody registered this.
            transport.close()
            registry.discard(self)
            return
        self._open_stream(transport)
        self._driver.accept(headers)
        if self._driver.ready_state == CONNECTING:
            self._set_timer(_HANDSHAKE_TIMEOUT, 'handshake timeout')
        if received:
            # On the hub like all that comes, and before anything that comes later.
            stream = self._stream
            assert stream is not None
            self._reactor.call_soon(lambda: stream.feed(received))

    def detach(self) -> None:
        """Lets go of the socket, for another attempt."""
        assert self._stream is not None
        self._stop_timers()
        self._stream.close()
        self._stream = None

    def give_up(self, error: Exception) -> None:
        """The connection was never established."""
        if interpreter.get_ident() != self._thread:
            self._reactor.call_soon(self.give_up, error)
            return
        if self._stream is not None:
            self._stream.close()
        self._driver.give_up(error)

    def refuse(self, transport: Transport | None, error: HandshakeError) -> None:
        """Answers the handshake with an HTTP error, through the ``transport`` if there is one."""
        if transport is not None:
            self._open_stream(transport)
        self._driver.refuse(error)

    def relay(self, transport: Transport, head: bytes) -> Callable[[bytes], None]:
        """Passes on somebody else's response; answers what takes its body, piece by piece, and ``b''`` last."""
        self._open_stream(transport)
        self._relay_body(replace_headers(head, {'connection'}, [('Connection', 'close')]) if head else b'')
        return self._relay_body

    def _relay_body(self, piece: bytes) -> None:
        if piece and self._stream is not None:
            self._stream.write(piece)
        elif self._driver.ready_state != CLOSED:
            self._driver.give_up(HandshakeError('', 'the application gave another response'))

    def send(self, data: str | bytes) -> bool:
        """Sends a message; see ``API.send``."""
        if interpreter.get_ident() != self._thread:
            return self._post(data)
        driver, stream = self._driver, self._stream
        if stream is None or driver.ready_state != OPEN or stream.buffered > self._low_water:
            # Not open yet, or not any more, or the peer is behind.
            if self.ready_state > OPEN or not (self._has_room() or self._make_room(data)):
                return False
            if driver.ready_state == CONNECTING:
                return self._send_early(data)
        return driver.text(data) if isinstance(data, str) else driver.binary(data)

    def send_shared(self, message: SharedMessage) -> bool:
        """Sends a message that goes to many; each connection has its own room for it, as in ``send``."""
        driver, stream = self._driver, self._stream
        if (
            stream is None
            or driver.ready_state != OPEN
            or stream.buffered > self._low_water
            or interpreter.get_ident() != self._thread
        ):
            # This class's own: one that counts what is sent counts what is shared, too.
            return Connection.send(self, message.data)
        return driver.send_shared(message)

    def ping(self, message: str | bytes, callback: Callable[[], object] | None) -> bool:
        """Sends a ping, whose ``callback`` will run where handlers do."""
        if callback is not None:
            event = Callback(callback)
            callback = lambda: self._dispatcher.push(event)
        return self.ready_state <= OPEN and self._command(self._driver.ping, message, callback)

    def pong(self, message: str | bytes) -> bool:
        """Sends an unsolicited pong."""
        return self.ready_state <= OPEN and self._command(self._driver.pong, message)

    def close(self, code: int, reason: str) -> None:
        """Begins to close, once."""
        if interpreter.get_ident() != self._thread:
            self._reactor.call_soon(self.close, code, reason)
            return
        # What other threads have sent before goes before.
        self._reactor.catch_up()
        if self.ready_state <= OPEN:
            self._is_closing = True
            self._driver.close(code, reason)
            self._await_close()

    def abort(self, reason: str) -> None:
        """Ends at once, for this ``reason``: the peer is given up."""
        if interpreter.get_ident() != self._thread:
            self._reactor.call_soon(self.abort, reason)
            return
        assert self._stream is not None
        self._stream.close()
        self._driver.end(reason)

    def receive(self, timeout: float | None) -> str | bytes | None:
        """The next message that no handler took; ``None`` when there will be none. Raises TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self._dispatcher.take_message()
            if event is not None:
                self._read_on()
                return event.data
            if self._driver.ready_state == CLOSED:
                return None
            if not self._wait(deadline):
                raise TimeoutError(f'no message within {timeout} seconds')

    def handler_added(self, type: str) -> None:
        """There is a handler for events of this type."""
        self._dispatcher.handler_added(type)

    # ---- where the driver writes until there is a stream, and its observer

    def write(self, data: bytes) -> None:
        """Goes nowhere: without a transport a refusal is left to the WSGI server."""

    def notify(self, type: str, *arguments: Any) -> None:
        """What the driver emits."""
        if type == 'open':
            self._opened()
        elif type == 'ending':
            # Who sends messages and their end in one go shall have answers all the same.
            self._dispatcher.run_now()
        elif type == 'close':
            self._closed(*arguments)
        elif type == 'error':
            self._dispatcher.push(ErrorEvent(str(arguments[0]), arguments[0]))

    def message(self, data: str | bytes) -> None:
        """A message came; after ``close`` it is dropped, as WHATWG has it."""
        if not self._is_closing:
            waiting = self._dispatcher.push_message(data)
            if self._waiters is not None:
                self._wake()
            if waiting > self._max_queue:
                assert self._stream is not None
                self._dispatcher.is_full = True
                self._stream.pause()

    # ---- the stream's owner

    def received(self, chunk: bytes) -> bool:
        """Bytes came. True when the handlers of what they say will run soon."""
        self._dispatcher.hold()
        driver = self._driver
        try:
            driver.parse(chunk)
        except Exception:
            # Neither the peer's fault nor the application's: an extension's, or ours.
            logger.exception('receiving from %s failed', self._target.url)
            driver.fail(CloseCode.INTERNAL_ERROR, 'internal error')
        return self._dispatcher.run(len(chunk))

    def ended(self, reason: str) -> None:
        """The connection is gone."""
        self._driver.end(reason)

    def drained(self) -> None:
        """The peer has caught up."""
        self._dispatcher.push(Event('drain'))
        self._wake()

    # ---- the dispatcher's owner

    def delivered(self, event: Event) -> None:
        """The queue is one event shorter."""
        if event.type == 'close':
            registry.discard(self)
        else:
            self._read_on()

    def rests(self) -> None:
        """What the handlers have sent may leave."""
        stream = self._stream
        if stream is not None:
            stream.uncork()

    def failed(self) -> None:
        """A handler's fault ends the connection (7.4.1: 1011 is "an unexpected condition")."""
        self.close(CloseCode.INTERNAL_ERROR, 'internal error')

    # ---- the rules

    def _open_stream(self, transport: Transport) -> None:
        """Puts a stream between the driver and the transport."""
        self._stream = self._driver.io = Stream(transport, self, self._reactor, self._limits.low_water)
        self._stream.start()

    def _opened(self) -> None:
        """The handshake is complete; what was queued before follows at once."""
        self._early_bytes = 0
        self._maker = None
        self._stop_timers()
        self._wake()
        limits = self._limits
        if self._is_closing:
            # Closed before it was open: the close frame is out, behind what was sent before it.
            self._await_close()
            return
        if limits.ping is not None and self._driver.can_ping and self._stream is not None:
            self._keepalive = Keepalive(
                self._stream,
                self._reactor,
                ping=self._driver.ping,
                give_up=partial(self.abort, 'ping timeout'),
                interval=limits.ping,
                timeout=limits.ping_timeout or limits.ping,
            )
        self._dispatcher.push(Event('open'))

    def _closed(self, code: int, reason: str) -> None:
        """Every path ends here, once."""
        self._is_closing = True
        self._early_bytes = 0
        self._maker = None
        self._stop_timers()
        if self._stream is not None:
            self._stream.finish(self._limits.close_timeout)
        self._dispatcher.push(CloseEvent(code, reason, self._driver.was_clean))
        self._wake()

    def _await_close(self) -> None:
        """Our close frame is out, or waits; what must come from the peer before the end must come within the time."""
        if self._stream is not None and self._driver.ready_state != CLOSED:
            self._stop_timers()
            self._set_timer(self._limits.close_timeout, 'close timeout')
            # A full queue must not keep us from seeing the peer's close frame.
            self._stream.resume()

    def _set_timer(self, seconds: float, reason: str) -> None:
        """Gives the peer up after this time."""
        self._timer = self._reactor.loop.timer(seconds)
        self._timer.start(self.abort, reason, update=True)

    def _stop_timers(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None

    def _read_on(self) -> None:
        """Reads again once half of a full queue is done."""
        if self._dispatcher.is_full and len(self._dispatcher) <= self._limits.max_queue // 2:
            assert self._stream is not None
            self._dispatcher.is_full = False
            self._stream.resume()

    # ---- room for what is sent

    def _has_room(self, size: int | None = None) -> bool:
        """Whether a message of this size may wait; without one, of any size."""
        waiting = self.buffered_amount
        return waiting <= self._limits.low_water or (size is not None and waiting + size <= self._limits.max_buffered)

    def _make_room(self, data: str | bytes) -> bool:
        """Does what ``overflow`` says about a peer that is behind; True when the message may wait."""
        size = _size(data)
        if not self._has_room(size) and self._limits.overflow == 'close':
            self._driver.fail(CloseCode.TRY_AGAIN_LATER, 'slow consumer')
        if self._limits.overflow == 'block' and self._may_wait():
            while not self._has_room(size) and self.ready_state <= OPEN:
                self._wait(None)
        return self.ready_state <= OPEN and self._has_room(size)

    def _may_wait(self) -> bool:
        """Neither may the hub, nor the greenlet of the request whose handshake is yet to be answered."""
        current = gevent.getcurrent()
        return current is not self._reactor.hub and (current is not self._maker or self._driver.is_client)

    def _post(self, data: str | bytes) -> bool:
        """Has the hub send what another OS thread wants sent; room is found, or waited for, here."""
        size = _size(data)
        while not self._reserve(size):
            if self._limits.overflow == 'close':
                self._reactor.call_soon(self._driver.fail, CloseCode.TRY_AGAIN_LATER, 'slow consumer')
            if self._limits.overflow != 'block' or not self._wait_in_thread(size):
                return False
        self._reactor.call_soon(self._send_posted, data, size)
        return self.ready_state <= OPEN

    def _send_early(self, data: str | bytes) -> bool:
        """Sends, and counts what waits for the handshake."""
        driver = self._driver
        was_sent = driver.text(data) if isinstance(data, str) else driver.binary(data)
        if was_sent and driver.ready_state == CONNECTING:
            self._early_bytes += _size(data)
        return was_sent

    def _reserve(self, size: int) -> bool:
        """Counts the bytes of a message that another thread will send, if they may wait."""
        with _posted_lock:
            if not (self._has_room() or self._has_room(size)):
                return False
            self._posted_bytes += size
            return True

    def _send_posted(self, data: str | bytes, size: int) -> None:
        """The hub's part of ``_post``."""
        with _posted_lock:
            self._posted_bytes -= size
        if self.ready_state <= OPEN:
            self._send_early(data)
        if self._has_room():
            self._wake()

    def _command(self, command: Callable[..., bool], *arguments: Any) -> bool:
        """A command of the driver's, from any OS thread."""
        if interpreter.get_ident() == self._thread:
            return command(*arguments)
        self._reactor.call_soon(command, *arguments)
        return self._driver.can_ping

    # ---- waiting: for a message, for room, for the end

    def _wait(self, deadline: float | None) -> bool:
        """Blocks this greenlet until something has changed; False when the deadline passed."""
        event = gevent.event.Event()
        wake = event.set
        self._add_waiter(wake)
        try:
            return bool(event.wait(None if deadline is None else max(0, deadline - time.monotonic())))
        finally:
            self._waiters = [waiter for waiter in self._waiters or () if waiter != wake] or None

    def _wait_in_thread(self, size: int) -> bool:
        """Blocks this OS thread until there may be room; False when the connection is closing."""
        lock = _allocate_lock()
        lock.acquire()
        self._add_waiter(lock.release)
        # Looked at again after the waiter was added, lest the change came in between: a race that no test can hold still.
        if not self._has_room() and self.ready_state <= OPEN:  # pragma: no branch
            lock.acquire()
        return self.ready_state <= OPEN

    def _add_waiter(self, wake: Callable[[], object]) -> None:
        with _posted_lock:
            self._waiters = [*(self._waiters or ()), wake]

    def _wake(self) -> None:
        """Something has changed."""
        if self._waiters is not None:
            with _posted_lock:
                waiters, self._waiters = self._waiters, None
            for wake in waiters or ():
                wake()


def _size(data: str | bytes) -> int:
    """The length of a message in bytes."""
    return len(data) if isinstance(data, bytes) else len(data.encode())
