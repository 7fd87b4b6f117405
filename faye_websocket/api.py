"""The WebSocket interface of browsers (WHATWG), for the sockets of servers and clients.

Handlers and listeners are those of ``EventTarget``. ``API`` adds the commands, the
state, and the methods for greenlet style. All of them call the ``Connection``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from .driver import base
from .driver.codes import CloseCode
from .driver.control_frames import check_close, control_payload
from .driver.sendable import Sendable
from .errors import ConnectionClosed
from .events import NOT_CONTAINED, Event, EventTarget
from .io.connection import Connection

__all__ = ['API', 'to_data']

Self = TypeVar('Self', bound='API')


class API(EventTarget):
    """A WebSocket, with the interface of WHATWG's WebSocket standard."""

    # The subclasses have slots for a dict and for weak references, since users may set
    # attributes of a socket, and keep sockets in a WeakSet. In the compiled form, a
    # dict of this class would be made at once, and take 80 bytes in each idle
    # connection.
    __slots__ = ('_connection',)

    CONNECTING = base.CONNECTING
    OPEN = base.OPEN
    CLOSING = base.CLOSING
    CLOSED = base.CLOSED

    _is_server = True
    _connection: Connection

    @property
    def ready_state(self) -> int:
        """The state: CONNECTING (0), OPEN (1), CLOSING (2) or CLOSED (3).

        DOM: readyState.
        """
        return self._connection.ready_state

    @property
    def buffered_amount(self) -> int:
        """The number of bytes that were sent, but not yet passed to the kernel.

        DOM: bufferedAmount. Unlike there, the headers of frames are included.
        """
        return self._connection.buffered_amount

    @property
    def protocol(self) -> str:
        """The subprotocol agreed on, or ``''`` (RFC 6455, 1.9). DOM: protocol."""
        return self._connection.protocol

    @property
    def extensions(self) -> str:
        """The extensions agreed on, as the Sec-WebSocket-Extensions header states them.

        ``''`` if there are none (RFC 6455 section 9). DOM: extensions.
        """
        return self._connection.extensions

    @property
    def version(self) -> str:
        """The version of the protocol.

        ``'hixie-75'``, ``'hixie-76'``, ``'hybi-07'``, ``'hybi-08'`` or ``'hybi-13'``
        (RFC 6455).
        """
        return self._connection.version

    @property
    def url(self) -> str:
        """The URL of the socket. DOM: url."""
        raise NotImplementedError

    def send(self, message: Sendable) -> bool:
        """Send a message, and return whether it was sent or queued. DOM: send.

        A ``str`` is sent as text, with U+FFFD in place of each lone surrogate, as
        browsers do. A bytes-like object, or a sequence of ints from 0 to 255, is sent
        as binary. A number is sent as its text. Raise TypeError for anything else.

        Return False once the socket is closing, for binary in a protocol version that
        has none, and for a message that ``overflow='drop'`` drops. Do not block, except
        with ``overflow='block'``. May be called from any greenlet and any OS thread.
        """
        return self._connection.send(to_data(message))

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Send a ping, and return whether it was sent or queued.

        RFC 6455 section 5.5.2. ``callback()`` is called when the matching pong arrives,
        in the greenlet of the handlers. Return False once the socket is closing, and in
        the hixie drafts, which have no pings. Raise ValueError if ``message`` has more
        than 125 bytes, and TypeError unless it is ``str`` or bytes.
        """
        return self._connection.ping(control_payload(message), callback)

    def pong(self, message: str | bytes = '') -> bool:
        """Send an unsolicited pong (RFC 6455 section 5.5.3).

        Return and raise as ``ping`` does.
        """
        return self._connection.pong(control_payload(message))

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = '') -> None:
        """Begin the closing handshake, behind all data sent before.

        DOM: close; RFC 6455 section 7.1.2. ``code`` may be 1000 or 3000 to 4999, and on
        a server also 1001, 1003 and 1007 to 1014. ``reason`` has at most 123 bytes of
        UTF-8. Raise ValueError for others. The connection ends within ``close_timeout``
        seconds. Do nothing if called again.
        """
        check_close(code, reason, server=self._is_server)
        self._connection.close(code, reason)

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message, in programs that set no ``onmessage``.

        Make the handshake if that was not done, and block the calling greenlet. At the
        end of the connection return ``None`` once; after that, raise ConnectionClosed.
        Raise TimeoutError after ``timeout`` seconds, and the ConnectError or
        HandshakeError of a client that never became open. Let other greenlets run at
        least once between two calls.
        """
        self._start()
        return self._connection.receive(timeout)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until ``onclose`` has run, and return True.

        Return False if ``timeout`` seconds pass before. Make the handshake if that was
        not done.
        """
        self._start()
        return self._connection.wait_closed(timeout)

    def __iter__(self) -> Iterator[str | bytes]:
        """Iterate over the messages, until the connection is closed.

        Raise the ConnectError or HandshakeError of a client that never became open.
        """
        try:
            while (message := self.receive()) is not None:
                yield message
        except ConnectionClosed:
            # ``receive`` has returned None before.
            return

    def __enter__(self: Self) -> Self:
        """Wait until the socket is open.

        Raise ConnectError or HandshakeError if that fails.
        """
        self._start()
        try:
            self._connection.wait_open()
        except BaseException:
            # If this wait is interrupted, by a gevent.Timeout for example, __exit__ is
            # not called.
            self._interrupt()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the socket, with 1011 after an exception and with 1000 otherwise.

        Wait until all data is sent and the closing handshake is complete, for
        ``close_timeout`` seconds at most.
        """
        if error is None:
            self._connection.close(CloseCode.NORMAL_CLOSURE, '')
        elif self._is_server and not isinstance(error, NOT_CONTAINED):
            self._application_failed(error)
        else:
            self._connection.failed()
        self._connection.wait_over()

    def _start(self) -> None:
        """Begin the handshake, once."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """End a socket that was interrupted while it was opening."""
        self._connection.failed()

    def _application_failed(self, error: BaseException) -> None:
        """Close after a fault of the code around the socket, such as a view."""
        self._connection.application_failed(error)

    def _handler_added(self, type: str) -> None:
        self._connection.handler_added(type)

    def _handler_raised(self, event: Event, error: BaseException) -> None:
        self._connection.handler_raised(event, error)

    def __repr__(self) -> str:
        state = ('CONNECTING', 'OPEN', 'CLOSING', 'CLOSED')[self.ready_state]
        return f'<{type(self).__name__} {self.version} {state} {self.url}>'


def to_data(message: Any) -> str | bytes:
    """Return a message as a str or bytes, never an instance of a subclass.

    Raise TypeError if it cannot be sent.
    """
    if type(message) is str or type(message) is bytes:
        return message
    if isinstance(message, str):
        # Frameworks mark safe HTML by a subclass of str. A call of str() would return
        # an instance of it.
        return ''.join((message,))
    if isinstance(message, (int, float)) and not isinstance(message, bool):
        return str(message)
    try:
        # Ruby's faye sends binary messages as arrays of numbers.
        return bytes(message) if isinstance(message, Sequence) else bytes(memoryview(message))
    except (TypeError, ValueError):
        expected = 'str, bytes, a sequence of ints from 0 to 255 or a number'
        raise TypeError(f'message: expected {expected}, got {message!r:.80}') from None
