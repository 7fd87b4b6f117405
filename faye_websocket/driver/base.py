"""The base class of the protocol versions, and the contract that all of them keep.

A driver is made for an ``io``, which has an ``environ`` (the WSGI request) and a method
``write(data)``. The owner starts it with ``start()``, feeds it the bytes received with
``parse(chunk)``, cut anywhere, and calls ``end()`` when the connection is lost. The
commands ``text``, ``binary``, ``ping``, ``pong`` and ``close`` return whether anything
was sent or queued. The driver emits ``open()``, ``message(data)``, ``ping(payload)``,
``pong(payload)``, ``error(exception)`` and, exactly once and last, ``close(code,
reason)``. It emits ``ending()`` before it replies to the peer's close or to a fault,
while replies to the messages before that can still be sent. It does no I/O and knows
neither greenlets nor clocks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from ..errors import HandshakeError
from ..http.head import HeaderList, Headers, check_headers, is_host, serialize_head, tokens
from .codes import CloseCode, Opcode
from .emitter import EventEmitter
from .text import encode_text
from .writer import IO, io_of, writer_of

__all__ = [
    'CLOSED',
    'CLOSING',
    'CONNECTING',
    'MAX_FRAGMENTS',
    'MAX_LENGTH',
    'NO_ENVIRON',
    'OPEN',
    'Driver',
    'Request',
    'ServerIO',
    'SharedMessage',
]

CONNECTING, OPEN, CLOSING, CLOSED = range(4)

# The default of websocket-driver: a message is shorter than 64 MiB.
MAX_LENGTH = 2**26 - 1
# CVE-2026-48779: without a limit on their number, empty fragments use memory and time,
# although they add nothing to a message's length.
MAX_FRAGMENTS = 16384

# The environ of a request that has been answered. All connections share it, and nothing
# changes it.
NO_ENVIRON: Mapping[str, Any] = {}
_NO_HEADERS: HeaderList = []


class ServerIO(IO, Protocol):
    """The ``io`` that the driver of a server needs."""

    @property
    def environ(self) -> Mapping[str, Any]:
        """The WSGI environ of the request."""


class Request(NamedTuple):
    """An ``io`` for a driver that is made before its connection.

    The driver's ``io`` is set to the connection once that exists.
    """

    environ: Mapping[str, Any]
    write: Callable[[bytes], object]


class SharedMessage:
    """A message that is sent to many connections.

    ``frames`` holds the frames that were made of it, so that connections with equal
    settings share one.
    """

    __slots__ = ('data', 'frames', 'opcode', 'payload')

    def __init__(self, data: str | bytes) -> None:
        self.data = data
        self.opcode, self.payload = (
            (Opcode.TEXT, encode_text(data)) if isinstance(data, str) else (Opcode.BINARY, data)
        )
        self.frames: dict[Hashable, bytes] = {}


class Driver(EventEmitter):
    """The server's end of one connection, in the protocol ``version`` of a subclass.

    ``ready_state`` is CONNECTING, OPEN, CLOSING or CLOSED; ``protocol`` is the
    subprotocol agreed on, or ``''``; ``was_clean`` says whether the connection closed
    with the protocol's closing handshake. The driver writes to ``io``, which may be
    replaced at any time. While ``is_paused`` is true, which a listener may set, the
    driver keeps the bytes it is fed without parsing them; set it back and call
    ``parse(b'')`` to go on. A listener of ``ending`` that sets it holds the end back
    until ``finish_ending`` is called.
    """

    __slots__ = (
        '_commands',
        '_environ',
        '_headers',
        '_is_started',
        '_writer',
        'is_paused',
        'max_length',
        'protocol',
        'ready_state',
        'was_clean',
    )

    version = ''
    # Whether this version of the protocol has pings and pongs.
    can_ping = False
    # Whether this is the client's end of the connection.
    is_client = False

    _protocol_header = 'HTTP_SEC_WEBSOCKET_PROTOCOL'

    def __init__(
        self,
        io: ServerIO,
        protocols: Iterable[str] = (),
        *,
        headers: Headers = None,
        max_length: int = MAX_LENGTH,
    ) -> None:
        super().__init__()
        self.io = io
        self._environ = io.environ
        self._headers = check_headers(headers)
        self._commands: list[tuple[Callable[..., Any], tuple[Any, ...]]] | None = None
        self._is_started = False
        self.is_paused = False
        # Any number is a legal option, infinity included.
        self.max_length = int(min(max_length, sys.maxsize))
        self.ready_state = CONNECTING
        self.was_clean = False
        self.protocol = self._choose_protocol(protocols)

    @property
    def io(self) -> IO:
        """The object that the driver writes to."""
        return io_of(self._writer)

    @io.setter
    def io(self, io: IO) -> None:
        self._writer = writer_of(io)

    @property
    def extensions(self) -> str:
        """The extensions agreed on, as the Sec-WebSocket-Extensions header states them.

        ``''`` if there are none.
        """
        return ''

    def check(self) -> None:
        """Raise HandshakeError if the request must be refused. Change nothing."""
        _check_request(self._environ)

    def start(self) -> bool:
        """Reply to the handshake, and return whether it was accepted.

        Return False if the request is refused, or if the reply was sent before.
        """
        if self._is_started or self.ready_state != CONNECTING:
            return False
        try:
            self.check()
        except HandshakeError as error:
            self.refuse(error)
            return False
        self.accept()
        return True

    def accept(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Accept a handshake that has passed ``check``.

        ``headers`` are added to those of the response.
        """
        self._is_started = True
        self._headers = [*self._headers, *headers]
        self._writer.write(self._response())
        self._headers = _NO_HEADERS
        self._respond()

    def refuse(self, error: HandshakeError) -> None:
        """Refuse the handshake with a complete HTTP error response, and end.

        Do nothing if the handshake is over.
        """
        if self.ready_state != CONNECTING:
            return
        self._is_started = True
        self._writer.write(serialize_refusal(error))
        self.give_up(error)

    def parse(self, chunk: bytes) -> None:
        """Parse the next bytes received from the peer, cut anywhere."""
        raise NotImplementedError

    def end(self, reason: str = '') -> None:
        """Record that the connection was lost, for this ``reason``.

        Emit ``close`` with code 1006, unless the driver is closed.
        """
        self._close(CloseCode.ABNORMAL_CLOSURE, reason)

    def give_up(self, error: Exception) -> None:
        """Emit ``error`` and ``close`` for a connection that failed before opening."""
        self._fail(CloseCode.ABNORMAL_CLOSURE, error)

    def fail(self, code: int, reason: str) -> None:
        """End the connection because its owner found a fault."""
        self._close(code, reason)

    def text(self, message: str) -> bool:
        """Send a text message."""
        return self._command(self._send_text, encode_text(message))

    def binary(self, message: bytes) -> bool:
        """Send a binary message.

        Return False in a protocol version without binary messages.
        """
        return False

    def send_shared(self, message: SharedMessage) -> bool:
        """Send a message that goes to many connections."""
        data = message.data
        return self.text(data) if isinstance(data, str) else self.binary(data)

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Send a ping, and call ``callback()`` when the matching pong arrives.

        Return False in a protocol version without pings.
        """
        return False

    def pong(self, message: str | bytes = '') -> bool:
        """Send an unsolicited pong.

        Return False in a protocol version without pongs.
        """
        return False

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = '') -> bool:
        """Begin the closing handshake.

        Return False if the connection is closing already. Before the connection is
        open, the close is queued.
        """
        return self._command(self._begin_close, code, reason)

    def _send_text(self, payload: bytes) -> None:
        """Write a text message."""
        raise NotImplementedError

    def _begin_close(self, code: int, reason: str) -> None:
        """Begin to close, in the way of this protocol version."""
        raise NotImplementedError

    def _response(self) -> bytes:
        """Return the response that accepts the handshake."""
        raise NotImplementedError

    def _respond(self) -> None:
        """Continue after the response was written.

        The connection opens at once in most versions.
        """
        self._open()

    def _choose_protocol(self, protocols: Iterable[str]) -> str:
        """Return the first subprotocol of the client's that the server supports.

        Section 4.2.2, /subprotocol/. Return ``''`` if there is none.
        """
        offered = self._environ.get(self._protocol_header)
        if not offered:
            return ''
        supported = set(protocols)
        return next((name for name in tokens(offered) if name in supported), '')

    def _command(self, command: Callable[..., Any], *arguments: Any) -> bool:
        """Run a command, or queue it if the connection is not open yet.

        Return False once the connection is closing.
        """
        if self.ready_state == OPEN:
            command(*arguments)
            return True
        if self.ready_state != CONNECTING:
            return False
        if self._commands is None:
            self._commands = []
        elif self._commands[-1][0] == self._begin_close:
            return False
        self._commands.append((command, arguments))
        return True

    def _open(self) -> None:
        """Complete the handshake: run the queued commands, then emit ``open``."""
        self.ready_state = OPEN
        self._environ = NO_ENVIRON
        commands, self._commands = self._commands, None
        for command, arguments in commands or ():
            if self.ready_state == OPEN:
                command(*arguments)
        if self.ready_state != CLOSED:
            self.emit('open')

    def finish_ending(self) -> bool:
        """Come to the end that was held back; False if there is none.

        ``is_paused`` is set back.
        """
        self.is_paused = False
        held, self._commands = self._commands, None
        for command, arguments in held or ():
            command(*arguments)
        return held is not None

    def _end_by(self, command: Callable[..., Any], *arguments: Any) -> None:
        """Emit ``ending`` and run the command that ends the connection.

        A listener that sets ``is_paused`` leaves the command to ``finish_ending``.
        """
        self.emit('ending')
        if self.is_paused:
            self._commands = [(command, arguments)]
        else:
            command(*arguments)

    def _fail(self, code: int, error: Exception) -> None:
        """Emit ``error`` for a fault of the peer's, and end the connection.

        The connection ends even if a listener raises.
        """
        try:
            self.emit('error', error)
        finally:
            self.fail(code, str(error))

    def _close(self, code: int, reason: str) -> None:
        """Emit ``close``, unless that was done. Every path ends here."""
        if self.ready_state != CLOSED:
            self.ready_state = CLOSED
            self._commands = None
            self.emit('close', code, reason)

    def __repr__(self) -> str:
        state = ('CONNECTING', 'OPEN', 'CLOSING', 'CLOSED')[self.ready_state]
        return f'<{type(self).__name__} {self.version} {state} protocol={self.protocol!r}>'


def serialize_refusal(error: HandshakeError) -> bytes:
    """Return a complete HTTP response that refuses the handshake."""
    body = f'{error}\n'.encode()
    return serialize_head(f'HTTP/1.1 {error.status}', refusal_headers(error, body)) + body


def refusal_headers(error: HandshakeError, body: bytes) -> HeaderList:
    """Return the headers of a refusal that has this body."""
    return [
        ('Content-Type', 'text/plain; charset=utf-8'),
        ('Content-Length', str(len(body))),
        ('Connection', 'close'),
        *error.headers,
    ]


def _check_request(environ: Mapping[str, Any]) -> None:
    """Raise HandshakeError unless the request meets section 4.2.1.

    Only what all protocol versions require is checked.
    """
    host = environ.get('HTTP_HOST', '')
    if environ.get('REQUEST_METHOD') != 'GET':
        message = 'the method of a WebSocket handshake must be GET'
    elif environ.get('SERVER_PROTOCOL') != 'HTTP/1.1':
        message = 'a WebSocket handshake requires HTTP/1.1'
    elif not host:
        message = 'the Host header is missing'
    elif ',' in host:
        message = 'there is more than one Host header'
    elif not is_host(host):
        message = f'the Host header is not a valid host: {host[:80]!r}'
    elif not has_token(environ, 'HTTP_UPGRADE', 'websocket'):
        message = 'the Upgrade header does not contain websocket'
    elif not has_token(environ, 'HTTP_CONNECTION', 'upgrade'):
        message = 'the Connection header does not contain Upgrade'
    elif (
        environ.get('CONTENT_LENGTH') not in (None, '', '0') or 'HTTP_TRANSFER_ENCODING' in environ
    ):
        message = 'a WebSocket handshake must not have a body'
    else:
        return
    raise HandshakeError('400 Bad Request', message)


def has_token(environ: Mapping[str, Any], name: str, token: str) -> bool:
    """Return whether a header that is a list has this element, in any case."""
    value = str(environ.get(name, '')).lower()
    return value == token or token in tokens(value)
