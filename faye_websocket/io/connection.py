"""Connection: a driver, a stream and a dispatcher at work for one socket, and the rules between them.

Bytes come from the stream and go to the driver; what the driver emits becomes events, which the dispatcher delivers; what the
application sends goes by ``Sender`` to the driver, and from the driver to the stream. Everything here runs in the thread of
one hub; what other OS threads ask for is handed over to it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent

from ..driver.base import CLOSED, CONNECTING, OPEN, Driver
from ..driver.codes import CloseCode
from ..errors import ConnectionClosed, HandshakeError
from ..events import CloseEvent, ErrorEvent, Event
from ..http.head import HeaderList, replace_headers
from . import interpreter
from .dispatch import Callback, Dispatcher, Target
from .keepalive import Keepalive
from .limits import Limits, bound_time
from .reactor import Reactor
from .scheduler import wait_forever
from .sender import BROKEN, Sender
from .shutdown import registry
from .stream import Stream
from .transport import Transport, hang_up

__all__ = ['Connection', 'Target']

logger = logging.getLogger('faye_websocket')

# Seconds between two looks at what still has to go out when all else is over, which is rare.
_LOOK_EVERY = 0.01
# How many seconds a handshake may take once it has begun: only hixie-76's waits for more than its request.
_HANDSHAKE_TIMEOUT = 10
# How many seconds reading stops at most where nobody has asked for a message, or half of ``close_timeout``: a peer that
# closes meanwhile waits no longer for the answer than we would.
_PATIENCE = 5.0
_TINY = 4
# Stands for any number of messages that is larger, such as infinity, and fits a C int.
_MANY_MESSAGES = 2**31 - 2
_UNWANTED = '%s has neither onmessage nor receive: beyond the first %d its messages are dropped'


class Connection(Sender):
    """One connection: the driver's observer, the stream's and the dispatcher's owner."""

    __slots__ = ('_dispatcher', '_end', '_is_end_known', '_is_over', '_max_queue', '_timer', '_was_open')

    def __init__(self, target: Target, limits: Limits, reactor: Reactor) -> None:
        super().__init__(limits, reactor)
        # Looked at for every message.
        self._max_queue = int(min(limits.max_queue, _MANY_MESSAGES))
        self._dispatcher = Dispatcher(target, self, reactor, self._max_queued)
        # One of the loop's while a handshake or a close lasts, and a Keepalive between them.
        self._timer: Any = None
        # How it ended. Its cause is the reason why it was never open, if it was not.
        self._end: ConnectionClosed | None = None
        # ``receive`` has returned None for it; the close event has been delivered.
        self._is_end_known = False
        self._is_over = False
        self._was_open = False

    # ---- what the socket asks for

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

    @property
    def is_current(self) -> bool:
        """Whether the caller is a handler of this connection."""
        return self._dispatcher.is_current

    @property
    def has_message(self) -> bool:
        """Whether ``receive`` would return a message at once."""
        return self._dispatcher.has_message

    def drive(self, driver: Driver) -> None:
        """Sets the driver that speaks for this connection."""
        self._driver = driver
        driver.observer = self
        if not driver.is_client:
            self._start_handshake()

    def attach(self, transport: Transport, timeout: float) -> None:
        """Starts a handshake of ours on a connected socket; ``timeout`` bounds it."""
        self._open_stream(transport)
        self._driver.start()
        self._set_timer(max(0, timeout), 'handshake timeout')

    def accept(self, transport: Transport, received: bytes, headers: HeaderList) -> None:
        """Accepts the peer's handshake, which was checked, on a socket of which these bytes behind it were read already."""
        if self.ready_state == CLOSED:
            # More was sent than may wait for the handshake, and the close event may have come before anybody registered this.
            self._drop(transport)
            registry.discard(self)
            return
        if received:
            # On the hub like all that comes, and before anything that the stream reads.
            self._reactor.call_soon(self._feed, received)
        self._open_stream(transport)
        self._driver.accept(headers)
        if self._driver.ready_state == CONNECTING:
            self._set_timer(_HANDSHAKE_TIMEOUT, 'handshake timeout')

    def _drop(self, transport: Transport) -> None:
        """End a connection that comes too late; a forked child closes its copy only."""
        transport.close() if self._reactor.is_inherited() else hang_up(transport)

    def _feed(self, received: bytes) -> None:
        """Takes what somebody else has read."""
        assert self._stream is not None
        self._stream.feed(received)

    def detach(self) -> None:
        """Lets go of the socket, for another attempt."""
        assert self._stream is not None
        self._stop_timer()
        self._stream.close()
        self._stream = None

    def give_up(self, error: Exception) -> None:
        """The connection was never established."""
        if self._reactor.is_inherited():
            return
        if interpreter.get_ident() != self._reactor.thread:
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

    def ping(self, message: str | bytes, callback: Callable[[], object] | None) -> bool:
        """Sends a ping, whose ``callback`` will run where handlers do."""
        if callback is not None:
            event = Callback(callback)
            callback = lambda: self._dispatcher.push(event)
        return self.ready_state <= OPEN and self._command(self._driver.ping, message, callback)

    def close(self, code: int, reason: str) -> None:
        """Begins to close, once."""
        if interpreter.get_ident() != self._reactor.thread:
            self._reactor.call_soon(self.close, code, reason)
            return
        # Not ready_state, which says so of a broken connection, too.
        if self._is_closing or self._driver.ready_state > OPEN or self._reactor.is_inherited():
            return
        self._is_closing = True
        self._dispatcher.drop_messages()
        if self._has_posted:
            # What other threads have sent before goes before.
            self._reactor.post(self._send_close, code, reason)
        else:
            self._send_close(code, reason)
        self._await_close()

    def _send_close(self, code: int, reason: str) -> None:
        """Have the driver close; by then it may be another one, of a redirect."""
        self._driver.close(code, reason)

    def abort(self, reason: str) -> None:
        """Ends at once, for this ``reason``: the peer is given up."""
        if interpreter.get_ident() != self._reactor.thread:
            self._reactor.call_soon(self.abort, reason)
            return
        if self._reactor.is_inherited():
            return
        # A client may be given up at the exit before it has one.
        if self._stream is not None:  # pragma: no branch
            self._stream.close()
        self._driver.end(reason)

    def receive(self, timeout: float | None) -> str | bytes | None:
        """Return the next message that no handler took, or ``None``, once, at the end.

        Raises TimeoutError, ConnectionClosed after the end, and the error of a client that
        never became open.
        """
        is_end_known = self._is_end_known
        if self._dispatcher.has_message or self.ready_state == CLOSED:
            # A loop around this call, whatever it does with the result, must not keep
            # other greenlets from running.
            self._let_others_run()
        deadline = None if timeout is None else time.monotonic() + bound_time(timeout)
        while True:
            message = None if self._reactor.is_inherited() else self._dispatcher.take_message()
            if message is not None:
                self._read_on()
                return message
            if self.ready_state == CLOSED:
                if self._driver.is_client:
                    self._check_was_open()
                if is_end_known:
                    # A forked child has not seen it.
                    end = self._end or ConnectionClosed(CloseCode.ABNORMAL_CLOSURE, '')
                    raise ConnectionClosed(end.code, end.reason)
                self._is_end_known = True
                return None
            # It has time to finish when the process exits.
            registry.add_greenlet(gevent.getcurrent(), self)
            if not self._wait(deadline):
                raise TimeoutError(f'no message within {timeout} seconds')

    def _let_others_run(self) -> None:
        """Give others a turn. The copy of a greenlet that a fork makes meanwhile ends here."""
        was_inherited = self._reactor.is_inherited()
        gevent.sleep(0)
        if self._reactor.is_inherited() and not was_inherited:
            wait_forever()

    def wait_open(self) -> None:
        """Return once the socket is open, or was. Raises the reason why it never will be."""
        while self._driver.ready_state == CONNECTING and not self._reactor.is_inherited():
            self._wait(None)
        self._check_was_open()

    def _check_was_open(self) -> None:
        """Raise the reason why a connection that has ended was never open."""
        if self._end is not None and self._end.__cause__ is not None:
            # It may be raised many times, and would keep the frames of all of them.
            raise self._end.__cause__.with_traceback(None)

    def wait_closed(self, timeout: float | None) -> bool:
        """Wait until the close event has been delivered; False if it was not in time.

        Raises RuntimeError in a handler of this socket: the event would wait for its end.
        """
        if self._dispatcher.is_current:
            raise RuntimeError('wait_closed: called in a handler of the socket, which must return before it is closed')
        deadline = None if timeout is None else time.monotonic() + bound_time(timeout)
        while not (self._is_over or self._reactor.is_inherited()):
            if not self._wait(deadline):
                return False
        return True

    def wait_over(self) -> None:
        """Wait for the end of a connection that is closing, ``close_timeout`` seconds at most.

        By then the close event has been delivered, and what was to be sent is out.
        """
        if sys.is_finalizing() or self._dispatcher.is_current:
            # Nobody would run the hub, or the event would wait for the caller.
            return
        end = time.monotonic() + self._limits.close_timeout
        if not self.wait_closed(self._limits.close_timeout):
            # By now the peer has been given up, and the event is on its way.
            self.wait_closed(0)
        while (
            self.buffered_amount
            and time.monotonic() < end
            and not self._reactor.is_inherited()
        ):
            # The reason why a slow peer was given up is still to be told to it.
            gevent.sleep(_LOOK_EVERY)

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
            self._failed_with(arguments[0])

    def message(self, data: str | bytes) -> None:
        """A message came; after ``close`` it is dropped, as WHATWG has it."""
        if not self._is_closing:
            waiting = self._dispatcher.push_message(data)
            if self._waiters is not None:
                self._wake()
            if waiting > self._max_queue:
                self._fill(data)

    # ---- the stream's owner

    def received(self, chunk: bytes) -> bool:
        """Bytes came. True when the handlers of what they say will run soon."""
        self._dispatcher.hold()
        driver = self._driver
        try:
            driver.parse(chunk)
        except Exception:
            # Neither the peer's fault nor the application's: an extension's, or ours.
            logger.exception('receiving from %s failed', self._dispatcher.target.url)
            driver.fail(CloseCode.INTERNAL_ERROR, 'internal error')
        return self._dispatcher.run(len(chunk))

    def ended(self, reason: str) -> None:
        """The connection is gone."""
        self._driver.end(reason)

    def interrupted(self) -> None:
        """Deliver the messages that were complete, and end with 1011."""
        self._driver.fail(CloseCode.INTERNAL_ERROR, 'interrupted')
        self._dispatcher.recover()

    def drained(self) -> None:
        """The peer has caught up."""
        self._dispatcher.push(Event('drain'))
        self._wake()

    def stopped(self) -> None:
        """Nothing can be sent any more: whoever sends learns it now, and handlers behind the messages that have come."""
        self._low_water = BROKEN
        self._wake()

    # ---- the dispatcher's owner

    def relieved(self) -> None:
        """The queue is one event shorter."""
        self._read_on()

    def delivered(self, event: Event) -> None:
        """All is over."""
        self._is_over = True
        registry.discard(self)
        self._wake()

    def rests(self) -> None:
        """What the handlers have sent may leave."""
        stream = self._stream
        if stream is not None:
            stream.uncork()

    def application_failed(self, error: BaseException) -> None:
        """The code around the socket, such as a view in greenlet style, has ended with a fault."""
        if self._driver.ready_state != CLOSED:
            # Nothing comes after the close event.
            self._dispatcher.push(ErrorEvent(str(error) or repr(error), error))
        self.failed()

    def handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain the fault of a handler of this socket."""
        self._dispatcher.handler_raised(event, error)

    def failed(self) -> None:
        """A handler's fault ends the connection (7.4.1: 1011 is "an unexpected condition")."""
        self.close(CloseCode.INTERNAL_ERROR, 'internal error')

    # ---- the rules

    def _open_stream(self, transport: Transport) -> None:
        """Puts a stream between the driver and the transport."""
        self._stream = self._driver.io = Stream(transport, self, self._reactor, self._limits.low_water)
        self._stream.start()

    def _failed_with(self, error: Exception) -> None:
        """The handshake or the peer's messages are wrong; the close event follows."""
        if not self._was_open:
            self._end = ConnectionClosed(CloseCode.ABNORMAL_CLOSURE, '')
            self._end.__cause__ = error
        self._dispatcher.push(ErrorEvent(str(error), error))

    def _opened(self) -> None:
        """The handshake is complete; what was queued before follows at once."""
        self._was_open = True
        self._end_handshake()
        self._stop_timer()
        self._wake()
        limits = self._limits
        if self._is_closing:
            # Closed before it was open: the close frame is out, behind what was sent before it.
            self._await_close()
            return
        if limits.ping is not None and self._driver.can_ping and self._stream is not None:
            self._timer = Keepalive(
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
        self._end_handshake()
        self._set_end(code, reason)
        self._stop_timer()
        if self._stream is not None:
            self._stream.finish(self._limits.close_timeout)
        self._dispatcher.push(CloseEvent(code, reason, self._driver.was_clean))
        self._wake()

    def _set_end(self, code: int, reason: str) -> None:
        """Remember the end for whoever asks for another message."""
        cause = self._end.__cause__ if self._end is not None else None
        self._end = ConnectionClosed(code, reason)
        if not self._was_open:
            # It has not been open, and now never will be.
            self._end.__cause__ = cause or HandshakeError('', reason or 'the connection ended before it was open')

    def _await_close(self) -> None:
        """Our close frame is out, or waits; what must come from the peer before the end must come within the time."""
        if self._stream is not None and self._driver.ready_state != CLOSED:
            self._stop_timer()
            self._set_timer(self._limits.close_timeout, 'close timeout')
            # A full queue must not keep us from seeing the peer's close frame.
            if self._stream.is_paused:
                self._dispatcher.is_full = False
                self._reactor.run_callback(self._go_on)

    def _set_timer(self, seconds: float, reason: str) -> None:
        """Gives the peer up after this time."""
        self._timer = self._reactor.loop.timer(seconds)
        self._timer.start(self.abort, reason, update=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _fill(self, data: str | bytes) -> None:
        """Stops reading if as much waits as may; ``data`` came last."""
        dispatcher, stream = self._dispatcher, self._stream
        assert stream is not None
        if not dispatcher.is_full:
            dispatcher.count_room(self._max_queued)
            if len(dispatcher) <= self._max_queue and dispatcher.room >= 0:
                return
            dispatcher.is_full = True
            stream.pause()
            if not dispatcher.is_wanted:
                stream.call_while_paused(min(_PATIENCE, self._limits.close_timeout / 2), self._let_go)
        # What is left of this read may be inflated to a thousand times its size; and tiny messages
        # take twenty times theirs. Others are rather handled all at once.
        if dispatcher.room < 0 or dispatcher.is_busy or len(data) < _TINY:
            self._driver.is_paused = True

    @property
    def _max_queued(self) -> int:
        """How many bytes may wait. The option takes any number, of which infinity is one."""
        return int(min(self._limits.max_queued, sys.maxsize))

    def _read_on(self) -> None:
        """Reads again once half of a full queue is done."""
        dispatcher = self._dispatcher
        if (
            dispatcher.is_full
            and len(dispatcher) <= self._max_queue // 2
            and dispatcher.room >= self._max_queued // 2
        ):
            dispatcher.is_full = False
            self._reactor.run_callback(self._go_on)

    def _go_on(self) -> None:
        """Takes what is left of the last read, on the hub like all that comes, and reads."""
        driver, stream = self._driver, self._stream
        assert stream is not None
        if self._reactor.is_inherited():
            return
        if driver.is_paused:
            driver.is_paused = False
            stream.feed(b'')
        if not self._dispatcher.is_full:
            stream.resume()

    def _let_go(self) -> None:
        """Nobody has asked for a message, and a peer that has no answer to its pings, or its close, would give us up."""
        dispatcher = self._dispatcher
        if not (dispatcher.is_wanted or self._reactor.is_inherited()):
            logger.warning(_UNWANTED, self._dispatcher.target.url.partition('?')[0], len(dispatcher))
            dispatcher.refuse_messages()
            dispatcher.is_full = False
            self._go_on()
