"""Connection: a driver, a stream and a dispatcher at work for one socket.

Bytes come from the stream and go to the driver; what the driver emits becomes events,
which the dispatcher delivers; what the application sends goes to the driver, and from
the driver to the stream. ``Sender`` is the half that sends, ``Receiver`` the half that
receives; here are the handshake, the driver's events, and the end, which every
connection comes to exactly once. All of it runs in the thread of one hub. What other OS
threads ask for is posted to it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..driver.base import CLOSED, CONNECTING, OPEN, Driver
from ..driver.codes import CloseCode
from ..errors import ConnectionClosed, HandshakeError
from ..events import CloseEvent, ErrorEvent, Event
from ..http.head import HeaderList, replace_headers
from . import interpreter
from .dispatch import Callback, Target
from .keepalive import Keepalive
from .limits import Limits
from .reactor import Reactor
from .receiver import Receiver
from .sender import BROKEN
from .shutdown import open_sockets
from .stream import Stream
from .transport import Transport, hang_up

__all__ = ['Connection', 'Target']

# How many seconds a handshake may take once it has begun: only hixie-76's waits for
# more than its request.
_HANDSHAKE_TIMEOUT = 10


class Connection(Receiver):
    """One connection: the observer of the driver, and the owner of the other parts."""

    __slots__ = ('_timer',)

    def __init__(self, target: Target, limits: Limits, reactor: Reactor) -> None:
        super().__init__(target, limits, reactor)
        # The loop's while a handshake or a close lasts, and a Keepalive between them.
        self._timer: Any = None

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

    # ---- the handshake

    def drive(self, driver: Driver) -> None:
        """Set the driver that speaks for this connection."""
        self._driver = driver
        driver.observer = self
        if not driver.is_client:
            self._start_handshake()

    def attach(self, transport: Transport, timeout: float) -> None:
        """Start a client's handshake on a connected socket, with a ``timeout``."""
        self.open_stream(transport)
        self._driver.start()
        self._set_timer(max(0, timeout), 'handshake timeout')

    def accept(self, transport: Transport, received: bytes, headers: HeaderList) -> None:
        """Accept the peer's handshake, which was checked.

        ``received`` are the bytes behind it that were read from the socket before.
        """
        if self.ready_state == CLOSED:
            # More was sent than may wait for the handshake, and the close event may
            # have come before this was registered.
            self._drop(transport)
            open_sockets.discard(self)
            return
        if received:
            # On the hub like all that comes, and before anything that the stream reads.
            self._reactor.call_soon(self._feed, received)
        self.open_stream(transport)
        self._driver.accept(headers)
        if self._driver.ready_state == CONNECTING:
            self._set_timer(_HANDSHAKE_TIMEOUT, 'handshake timeout')

    def _drop(self, transport: Transport) -> None:
        """End a connection that comes too late; a forked child closes its copy only."""
        transport.close() if self._reactor.is_inherited() else hang_up(transport)

    def _feed(self, received: bytes) -> None:
        """Parse bytes that the server has read."""
        assert self._stream is not None
        self._stream.feed(received)

    def detach(self) -> None:
        """Close the socket, for another attempt."""
        assert self._stream is not None
        self._stop_timer()
        self._stream.close()
        self._stream = None

    def give_up(self, error: Exception) -> None:
        """End a connection that was never established, for this reason."""
        if self._reactor.is_inherited():
            return
        if interpreter.get_ident() != self._reactor.thread:
            self._reactor.call_soon(self.give_up, error)
            return
        if self._stream is not None:
            self._stream.close()
        self._driver.give_up(error)

    def refuse(self, transport: Transport | None, error: HandshakeError) -> None:
        """Answer the handshake with an HTTP error, through ``transport`` if given."""
        if transport is not None:
            self.open_stream(transport)
        self._driver.refuse(error)

    def relay(
        self, transport: Transport, head: bytes, error: Exception | None = None
    ) -> Callable[[bytes], object]:
        """Send a response of the application's instead.

        Returns a function to be called with its body, piece by piece, and ``b''`` last.
        ``error`` is what it means: that the handshake was refused, unless it is None. A
        transport that can be given back to its server is.
        """
        error = error or HandshakeError('', 'the application gave another response')
        if head:
            head = replace_headers(head, {'connection'}, [('Connection', 'close')])
        give_back = getattr(transport, 'give_back', None)
        if give_back is not None:
            self._relay_body(error, b'')
            send: Callable[[bytes], object] = give_back(head)
            return send
        self.open_stream(transport)
        if head:
            self._relay_body(error, head)
        return partial(self._relay_body, error)

    def _relay_body(self, error: Exception, piece: bytes) -> None:
        if piece and self._stream is not None:
            self._stream.write(piece)
        elif self._driver.ready_state != CLOSED:
            self._driver.give_up(error)

    def open_stream(self, transport: Transport) -> None:
        """Put a stream between the driver and the transport.

        A connection that counts bytes overrides this.
        """
        self._stream = self._driver.io = Stream(
            transport, self, self._reactor, self._limits.low_water
        )
        self._stream.start()

    # ---- commands

    def ping(self, message: str | bytes, callback: Callable[[], object] | None) -> bool:
        """Send a ping, whose ``callback`` will run where handlers do."""
        if callback is not None:
            event = Callback(callback)
            callback = lambda: self._dispatcher.push(event)
        return self.ready_state <= OPEN and self._command(self._driver.ping, message, callback)

    def close(self, code: int, reason: str) -> None:
        """Begin to close, once."""
        if interpreter.get_ident() != self._reactor.thread:
            self._reactor.call_soon(self.close, code, reason)
            return
        # Not ``ready_state``, by which a broken connection is closing, too.
        if self._is_closing or self._driver.ready_state > OPEN or self._reactor.is_inherited():
            return
        self._is_closing = True
        self._dispatcher.drop_messages()
        if self._has_posted:
            # What other threads have sent before goes before.
            self._reactor.post(self._driver.close, code, reason)
        else:
            self._driver.close(code, reason)
        self._await_close()

    def stop(self) -> None:
        """Begin to close: the server stops, or the process ends."""
        self.close(CloseCode.GOING_AWAY, '')

    def abort(self, reason: str) -> None:
        """End at once, for this ``reason``: the peer is given up."""
        if interpreter.get_ident() != self._reactor.thread:
            self._reactor.call_soon(self.abort, reason)
            return
        if self._reactor.is_inherited():
            return
        # A client may be given up at the exit before it has one.
        if self._stream is not None:  # pragma: no branch
            self._stream.close()
        self._driver.end(reason)

    # ---- what the driver writes to until there is a stream, and its events

    def write(self, data: bytes) -> None:
        """Drop ``data``: without a transport a refusal is left to the WSGI server."""

    def notify(self, type: str, *arguments: Any) -> None:
        """Handle an event of the driver's."""
        if type == 'open':
            self._opened()
        elif type == 'ending':
            # The peer may have sent messages and its close frame together. Run the
            # handlers first, or the greenlet in ``receive``, so that their answers
            # still go out.
            self._dispatcher.run_now()
            if self._dispatcher.has_message and self.ready_state == OPEN:
                self._hold_end()
        elif type == 'close':
            self._closed(*arguments)
        elif type == 'error':
            self._failed_with(arguments[0])

    def _opened(self) -> None:
        """Go on from the handshake, which is complete. Events that were kept follow."""
        self._was_open = True
        self._end_handshake()
        self._stop_timer()
        self._wake()
        if self._is_closing:
            # Closed before it was open: the close frame is out, behind what was sent
            # before.
            self._await_close()
            return
        self._keep_alive()
        self._dispatcher.push(Event('open'))

    def _keep_alive(self) -> None:
        """Start to ping the peer, if that is wanted."""
        limits, stream = self._limits, self._stream
        if limits.ping is not None and self._driver.can_ping and stream is not None:
            self._timer = Keepalive(
                stream,
                self._reactor,
                ping=self._driver.ping,
                give_up=partial(self.abort, 'ping timeout'),
                interval=limits.ping,
                timeout=limits.ping_timeout or limits.ping,
            )

    def _failed_with(self, error: Exception) -> None:
        """Report what is wrong with the peer; the close event follows."""
        if not self._was_open:
            self._end = ConnectionClosed(CloseCode.ABNORMAL_CLOSURE, '')
            self._end.__cause__ = error
        self._dispatcher.push(ErrorEvent(str(error), error))

    def _closed(self, code: int, reason: str) -> None:
        """Come to the end. Every path leads here, once."""
        self._is_closing = True
        self._end_handshake()
        self._set_end(code, reason)
        self._stop_timer()
        if self._stream is not None:
            self._stream.finish(self._limits.close_timeout)
        self._dispatcher.push(CloseEvent(code, reason, self._driver.was_clean))
        self._wake()

    def _set_end(self, code: int, reason: str) -> None:
        """Remember the end for the next ``receive``."""
        cause = self._end.__cause__ if self._end is not None else None
        self._end = ConnectionClosed(code, reason)
        if not self._was_open:
            # It has not been open, and now never will be.
            reason = reason or 'the connection ended before it was open'
            self._end.__cause__ = cause or HandshakeError('', reason)

    # ---- the stream's events

    def ended(self, reason: str) -> None:
        """End the driver, too: the connection is gone."""
        self._driver.end(reason)

    def interrupted(self) -> None:
        """Deliver the messages that were complete, and end with 1011."""
        self._driver.fail(CloseCode.INTERNAL_ERROR, 'interrupted')
        self._dispatcher.recover()

    def drained(self) -> None:
        """Report that the peer has caught up."""
        self._dispatcher.push(Event('drain'))
        self._wake()

    def stopped(self) -> None:
        """Refuse whatever is sent from now on.

        Handlers get the close event behind the messages that have come.
        """
        self._low_water = BROKEN
        self._wake()

    # ---- the dispatcher's events

    def rests(self) -> None:
        """Let what the handlers have sent leave."""
        stream = self._stream
        if stream is not None:
            stream.uncork()

    def application_failed(self, error: BaseException) -> None:
        """Report a fault of the code around the socket, such as a view."""
        if self._driver.ready_state != CLOSED:
            # Nothing comes after the close event.
            self._dispatcher.push(ErrorEvent(str(error) or repr(error), error))
        self.failed()

    def handler_raised(self, event: Event, error: BaseException) -> None:
        """Contain the fault of a handler of this socket."""
        self._dispatcher.handler_raised(event, error)

    def failed(self) -> None:
        """Close after a handler's fault (7.4.1: 1011 is "an unexpected condition")."""
        self.close(CloseCode.INTERNAL_ERROR, 'internal error')

    # ---- the time that the end may take

    def _await_close(self) -> None:
        """Bound the time until the peer's close frame; ours is out, or waits."""
        if self._stream is not None and self._driver.ready_state != CLOSED:
            self._stop_timer()
            self._set_timer(self._limits.close_timeout, 'close timeout')
            # A full queue must not keep us from seeing the peer's close frame.
            if self._stream.is_paused:
                self._dispatcher.is_full = False
                self._reactor.run_callback(self._go_on)

    def _set_timer(self, seconds: float, reason: str) -> None:
        """Give the peer up after this time."""
        self._timer = self._reactor.loop.timer(seconds)
        self._timer.start(self.abort, reason, update=True)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
