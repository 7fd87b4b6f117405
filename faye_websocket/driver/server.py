"""A WebSocket server's driver for raw TCP: parses the HTTP request, then hands over to ``wsgi``.

    driver = server(io)
    driver.on('message', driver.text)

``io`` needs ``write(data)`` only. The driver starts by itself when the request is complete; listen to ``connect``, which
comes before the handshake is answered, to look at ``driver.environ`` or to ``refuse``.
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
    """Has one emitter emit what another one does."""

    __slots__ = ('_emitter',)

    def __init__(self, emitter: EventEmitter) -> None:
        self._emitter = emitter

    def notify(self, type: str, *arguments: Any) -> None:
        self._emitter.emit(type, *arguments)

    def message(self, data: str | bytes) -> None:
        self._emitter.emit_message(data)


class Server(EventEmitter):
    """The server's end of a raw connection: the contract of ``Driver``, and ``environ`` once the request is complete.

    ``secure`` tells that the bytes come through TLS; the other options are those of ``wsgi``.
    """

    __slots__ = ('_commands', '_driver', '_io', '_is_closed', '_options', '_protocols', '_request', '_secure', 'environ')

    def __init__(self, io: IO, protocols: Iterable[str] = (), *, secure: bool = False, **options: Any) -> None:
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
        """The protocol's version, ``''`` until the request is complete."""
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
        """Whether the connection closed as the protocol wants it."""
        return self._driver is not None and self._driver.was_clean

    def parse(self, chunk: bytes) -> None:
        """Takes the next bytes of the wire, the request's first."""
        if self._driver is not None:
            self._driver.parse(chunk)
        elif not self._is_closed:
            self._parse_request(chunk)

    def end(self, reason: str = '') -> None:
        """The connection is gone; emits ``close`` unless that was done."""
        if self._driver is not None:
            self._driver.end(reason)
        else:
            self._close(reason)

    def fail(self, code: int, reason: str) -> None:
        """Ends the connection because of something that its owner found wrong."""
        if self._driver is not None:
            self._driver.fail(code, reason)
        else:
            self._close(reason)

    def refuse(self, error: HandshakeError) -> None:
        """Answers the request with a complete HTTP error, and ends."""
        if self._driver is not None:
            self._driver.refuse(error)
        elif not self._is_closed:
            self._io.write(serialize_refusal(error))
            self.emit('error', error)
            self._close(str(error))

    def text(self, message: str) -> bool:
        """Sends a text message."""
        return self._command('text', message)

    def binary(self, message: bytes) -> bool:
        """Sends a binary message; False in a version that has none."""
        return self._command('binary', message)

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Sends a ping; see ``Hybi.ping``."""
        return self._command('ping', control_payload(message), callback)

    def pong(self, message: str | bytes = '') -> bool:
        """Sends a pong nobody asked for; see ``Hybi.pong``."""
        return self._command('pong', control_payload(message))

    def close(self, *arguments: Any) -> bool:
        """Begins the closing handshake; see ``Driver.close``."""
        return self._command('close', *arguments)

    def _command(self, name: str, *arguments: Any) -> bool:
        """Commands the driver, or remembers the command until there is one."""
        if self._driver is not None:
            return bool(getattr(self._driver, name)(*arguments))
        if self._is_closed or (self._commands and self._commands[-1][0] == 'close'):
            return False
        self._commands.append((name, arguments))
        return True

    def _parse_request(self, chunk: bytes) -> None:
        """The request's head; once it is complete, the driver that it asks for."""
        try:
            if not self._request.parse(chunk):
                return
            self.environ = self._request.environ(secure=self._secure)
        except HandshakeError as error:
            self.refuse(error)
            return
        driver = self._driver = wsgi(Request(self.environ, self._io.write), self._protocols, **self._options)
        driver.observer = _Relay(self)
        driver.io = self._io
        for name, arguments in self._commands:
            getattr(driver, name)(*arguments)
        with ExitStack() as stack:
            # In the reverse order, and whatever a listener raises: no input is lost.
            stack.callback(driver.parse, self._request.take_rest())
            stack.callback(driver.start)
            self.emit('connect')

    def _close(self, reason: str) -> None:
        """Ends before there was a driver, once."""
        if not self._is_closed:
            self._is_closed = True
            self.emit('close', CloseCode.ABNORMAL_CLOSURE, reason)

    def __repr__(self) -> str:
        return f'<Server {self._driver!r}>'


def server(io: IO, protocols: Iterable[str] = (), *, secure: bool = False, **options: Any) -> Server:
    """The driver for a raw TCP connection whose bytes go out by ``io.write(data)``."""
    return Server(io, protocols, secure=secure, **options)
