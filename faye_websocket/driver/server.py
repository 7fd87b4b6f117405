"""The driver of a WebSocket server on raw TCP: parses the request, then uses ``wsgi``.

    driver = server(io)
    driver.on('message', driver.text)

``io`` needs a method ``write(data)`` only. The driver starts by itself when the request
is complete. Before it replies it emits ``connect``, so that a listener can look at
``driver.environ``, or call ``driver.refuse``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from ..errors import HandshakeError
from ..http.head import RequestParser
from .base import CLOSED, CONNECTING, Driver, Request, serialize_refusal
from .codes import CloseCode
from .control_frames import control_payload
from .emitter import EventEmitter, Observer
from .writer import IO
from .wsgi import wsgi

__all__ = ['Server', 'server']


class _Relay(Observer):
    """An observer that makes another emitter emit every event, too."""

    __slots__ = ('_emitter',)

    def __init__(self, emitter: EventEmitter) -> None:
        self._emitter = emitter

    def notify(self, type: str, *arguments: Any) -> None:
        self._emitter.emit(type, *arguments)

    def message(self, data: str | bytes) -> None:
        self._emitter.emit_message(data)


class Server(EventEmitter):
    """The server's end of a raw TCP connection, with the contract of ``Driver``.

    ``environ`` is filled once the request is complete. ``secure`` says whether the
    connection is encrypted by TLS. The other options are those of ``wsgi``.
    """

    __slots__ = (
        '_commands',
        '_driver',
        '_io',
        '_is_closed',
        '_options',
        '_protocols',
        '_request',
        '_secure',
        'environ',
    )

    def __init__(
        self, io: IO, protocols: Iterable[str] = (), *, secure: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self._io = io
        self._protocols = tuple(protocols)
        self._options = options
        self._secure = secure
        self._request = RequestParser()
        self._driver: Driver | None = None
        self._commands: list[tuple[str, tuple[Any, ...]]] = []
        self._is_closed = False
        self.environ: Mapping[str, Any] = {}

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED."""
        if self._driver is not None:
            return self._driver.ready_state
        return CLOSED if self._is_closed else CONNECTING

    @property
    def version(self) -> str:
        """The version of the protocol; ``''`` until the request is complete."""
        return self._driver.version if self._driver is not None else ''

    @property
    def protocol(self) -> str:
        """The subprotocol agreed on, or ``''``."""
        return self._driver.protocol if self._driver is not None else ''

    @property
    def extensions(self) -> str:
        """The extensions agreed on, or ``''``."""
        return self._driver.extensions if self._driver is not None else ''

    @property
    def was_clean(self) -> bool:
        """Whether the connection closed with the protocol's closing handshake."""
        return self._driver is not None and self._driver.was_clean

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes received: first the request, then frames."""
        if self._driver is not None:
            self._driver.parse(chunk)
        elif not self._is_closed:
            self._parse_request(chunk)

    def end(self, reason: str = '') -> None:
        """Record that the connection was lost.

        Emit ``close`` with code 1006, unless the driver is closed.
        """
        if self._driver is not None:
            self._driver.end(reason)
        else:
            self._close(reason)

    def fail(self, code: int, reason: str) -> None:
        """End the connection because its owner found a fault."""
        if self._driver is not None:
            self._driver.fail(code, reason)
        else:
            self._close(reason)

    def refuse(self, error: HandshakeError) -> None:
        """Refuse the request with a complete HTTP error response, and end."""
        if self._driver is not None:
            self._driver.refuse(error)
        elif not self._is_closed:
            self._io.write(serialize_refusal(error))
            self.emit('error', error)
            self._close(str(error))

    def text(self, message: str) -> bool:
        """Send a text message."""
        return self._command('text', message)

    def binary(self, message: bytes) -> bool:
        """Send a binary message.

        Return False in a protocol version without binary messages.
        """
        return self._command('binary', message)

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Send a ping; see ``Hybi.ping``."""
        return self._command('ping', control_payload(message), callback)

    def pong(self, message: str | bytes = '') -> bool:
        """Send an unsolicited pong; see ``Hybi.pong``."""
        return self._command('pong', control_payload(message))

    def close(self, *arguments: Any) -> bool:
        """Begin the closing handshake; see ``Driver.close``."""
        return self._command('close', *arguments)

    def _command(self, name: str, *arguments: Any) -> bool:
        """Run a command of the driver, or queue it until there is a driver."""
        if self._driver is not None:
            return bool(getattr(self._driver, name)(*arguments))
        if self._is_closed or (self._commands and self._commands[-1][0] == 'close'):
            return False
        self._commands.append((name, arguments))
        return True

    def _parse_request(self, chunk: bytes) -> None:
        """Parse the head of the request.

        When it is complete, make the driver that it asks for.
        """
        try:
            if not self._request.parse(chunk):
                return
            self.environ = self._request.environ(secure=self._secure)
        except HandshakeError as error:
            self.refuse(error)
            return
        driver = self._driver = wsgi(
            Request(self.environ, self._io.write), self._protocols, **self._options
        )
        driver.observer = _Relay(self)
        driver.io = self._io
        for name, arguments in self._commands:
            getattr(driver, name)(*arguments)
        with ExitStack() as stack:
            # Callbacks run in the reverse order, and even if a listener raises, so that
            # no input is lost.
            stack.callback(driver.parse, self._request.take_rest())
            stack.callback(driver.start)
            self.emit('connect')

    def _close(self, reason: str) -> None:
        """Emit ``close``, once, for a connection that ended before it had a driver."""
        if not self._is_closed:
            self._is_closed = True
            self.emit('close', CloseCode.ABNORMAL_CLOSURE, reason)

    def __repr__(self) -> str:
        return f'<Server {self._driver!r}>'


def server(
    io: IO, protocols: Iterable[str] = (), *, secure: bool = False, **options: Any
) -> Server:
    """Return the driver of a raw TCP connection, which calls ``io.write(data)``."""
    return Server(io, protocols, secure=secure, **options)
