"""API: the browser's WebSocket interface (WHATWG), which the server's and the client's sockets share.

Handlers and listeners are ``EventTarget``'s; this adds the commands, the state, and a greenlet's way to receive. All the work
is done by the ``Connection`` behind it.
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
    """A WebSocket."""

    # A user may hang things on a socket, and keep many in a WeakSet: the classes of sockets have slots for that. Compiled, a
    # dict of this class would be there from the beginning, and cost an idle connection 80 bytes.
    __slots__ = ('_connection',)

    CONNECTING = base.CONNECTING
    OPEN = base.OPEN
    CLOSING = base.CLOSING
    CLOSED = base.CLOSED

    _is_server = True
    _connection: Connection

    @property
    def ready_state(self) -> int:
        """DOM's readyState: CONNECTING (0), OPEN (1), CLOSING (2) or CLOSED (3)."""
        return self._connection.ready_state

    @property
    def buffered_amount(self) -> int:
        """DOM's bufferedAmount: bytes sent but not yet handed to the kernel, frames' headers included."""
        return self._connection.buffered_amount

    @property
    def protocol(self) -> str:
        """The subprotocol agreed on, or ``''``."""
        return self._connection.protocol

    @property
    def extensions(self) -> str:
        """The extensions agreed on, as the Sec-WebSocket-Extensions header has them, or ``''``."""
        return self._connection.extensions

    @property
    def version(self) -> str:
        """The protocol's version: ``'hixie-75'``, ``'hixie-76'``, ``'hybi-07'``, ``'hybi-08'`` or ``'hybi-13'``."""
        return self._connection.version

    @property
    def url(self) -> str:
        """DOM's url."""
        raise NotImplementedError

    def send(self, message: Sendable) -> bool:
        """DOM's send: ``str`` as text; bytes-like, or a sequence of ints 0 to 255, as binary; a number as its text.

        In text U+FFFD stands for each lone surrogate, as in what a browser sends.

        True if it was sent or queued; False once the socket is closing, for binary in a version that has none, and for what
        ``overflow='drop'`` drops. Never blocks, unless ``overflow='block'``. TypeError for anything else. Safe in any greenlet
        and OS thread.
        """
        return self._connection.send(to_data(message))

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Sends a ping (RFC 6455 section 5.5.2); ``callback()`` is called at its pong, where handlers run.

        True if it was sent or queued; False once closing, and in the hixie drafts, which have no pings. ValueError for more
        than 125 bytes.
        """
        return self._connection.ping(control_payload(message), callback)

    def pong(self, message: str | bytes = '') -> bool:
        """Sends a pong that answers no ping (section 5.5.3); answers and raises as ``ping`` does."""
        return self._connection.pong(control_payload(message))

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = '') -> None:
        """DOM's close: begins the closing handshake, behind all that was sent. Does nothing when called again.

        ``code`` may be 1000 or 3000 to 4999, and on a server 1001, 1003 and 1007 to 1014; ``reason`` has 123 bytes of UTF-8 at
        most: otherwise ValueError. It ends within ``close_timeout`` seconds.
        """
        check_close(code, reason, server=self._is_server)
        self._connection.close(code, reason)

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message; for programs in greenlet style that set no ``onmessage``.

        Makes the handshake if need be, and blocks the calling greenlet. At the end it
        returns ``None``, once; asked again it raises ConnectionClosed. Raises TimeoutError
        after ``timeout`` seconds, and the ConnectError or HandshakeError of a client that
        never became open. Other greenlets run at least once between two calls.
        """
        self._start()
        return self._connection.receive(timeout)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until ``onclose`` has run, and return True; False if ``timeout`` seconds pass before.

        Makes the handshake if need be.
        """
        self._start()
        return self._connection.wait_closed(timeout)

    def __iter__(self) -> Iterator[str | bytes]:
        """Iterate over the messages, until the socket is closed.

        Raises the ConnectError or HandshakeError of a client that never became open.
        """
        try:
            while (message := self.receive()) is not None:
                yield message
        except ConnectionClosed:
            # The end was returned before.
            return

    def __enter__(self: Self) -> Self:
        """Wait until the socket is open.

        Raises ConnectError or HandshakeError when it never will be.
        """
        self._start()
        try:
            self._connection.wait_open()
        except BaseException:
            # Who is interrupted here, by a gevent.Timeout perhaps, has no block to leave.
            self._interrupt()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close, with 1011 after an exception and with 1000 otherwise, and wait for the end.

        It has come when all that was sent is out and the closing handshake is over, after
        ``close_timeout`` seconds at the latest.
        """
        if error is None:
            self._connection.close(CloseCode.NORMAL_CLOSURE, '')
        elif self._is_server and not isinstance(error, NOT_CONTAINED):
            self._connection.application_failed(error)
        else:
            self._connection.failed()
        self._connection.wait_over()

    def _start(self) -> None:
        """Begins the handshake, once."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """End a socket that nobody waits for any more to be open."""
        self._connection.failed()

    def _handler_added(self, type: str) -> None:
        self._connection.handler_added(type)

    def _handler_raised(self, event: Event, error: BaseException) -> None:
        self._connection.handler_raised(event, error)

    def __repr__(self) -> str:
        state = ('CONNECTING', 'OPEN', 'CLOSING', 'CLOSED')[self.ready_state]
        return f'<{type(self).__name__} {self.version} {state} {self.url}>'


def to_data(message: Any) -> str | bytes:
    """What an application sends, as a str or bytes, and no subclass of those. Raises TypeError."""
    if type(message) is str or type(message) is bytes:
        return message
    if isinstance(message, str):
        # Frameworks mark safe HTML with a class of their own; its str() would be one, too.
        return ''.join((message,))
    if isinstance(message, (int, float)) and not isinstance(message, bool):
        return str(message)
    try:
        # Ruby's faye sends binary as an array of numbers.
        return bytes(message) if isinstance(message, Sequence) else bytes(memoryview(message))
    except (TypeError, ValueError):
        expected = 'str, bytes, a sequence of ints from 0 to 255 or a number'
        raise TypeError(f'message: expected {expected}, got {message!r:.80}') from None
