"""Driver: what the protocol versions have in common, and the contract that all of them keep.

A driver is made for an ``io``, which has an ``environ`` (a WSGI request) and takes bytes by ``write(data)``. It is
started, fed by ``parse(chunk)`` with the bytes of the wire cut anywhere, told by ``end()`` that the wire is gone, and
commanded by ``text``, ``binary``, ``ping``, ``pong`` and ``close``, which answer whether anything was sent or queued. It
emits ``open()``, ``message(data)``, ``ping(payload)``, ``pong(payload)``, ``error(exception)`` and, exactly once and last,
``close(code, reason)``; and ``ending()`` before it answers the peer's close or a fault, while answers to the messages before
that can still be sent. It does no I/O and knows neither greenlets nor clocks.
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

# websocket-driver's default: a message below 64 MiB.
MAX_LENGTH = 2**26 - 1
# CVE-2026-48779: without a bound on their number, empty fragments cost memory and time that no length counts.
MAX_FRAGMENTS = 16384

# What is left of a request once it is answered: shared by all connections, and changed by none.
NO_ENVIRON: Mapping[str, Any] = {}
_NO_HEADERS: HeaderList = []


class ServerIO(IO, Protocol):
    """What a server's driver is given."""

    @property
    def environ(self) -> Mapping[str, Any]:
        """The request."""


class Request(NamedTuple):
    """An ``io`` for a request's driver, whose own is set once there is a connection."""

    environ: Mapping[str, Any]
    write: Callable[[bytes], object]


class SharedMessage:
    """A message on its way to many connections, with the frames that some of them made of it for others to use."""

    __slots__ = ('data', 'frames', 'opcode', 'payload')

    def __init__(self, data: str | bytes) -> None:
        self.data = data
        self.opcode, self.payload = (
            (Opcode.TEXT, encode_text(data))
            if isinstance(data, str)
            else (Opcode.BINARY, data)
        )
        self.frames: dict[Hashable, bytes] = {}


class Driver(EventEmitter):
    """The server's end of one connection, in the protocol ``version`` of a subclass.

    ``ready_state`` is CONNECTING, OPEN, CLOSING or CLOSED; ``protocol`` the subprotocol agreed on, or ``''``; ``was_clean``
    whether the connection closed as the protocol wants it. What is written goes to ``io``, which may be set to another one.
    While ``is_paused``, which a listener may set, nothing is parsed: bytes are kept, and ``parse(b'')`` goes on when it is
    set back.
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
    # Whether the version has pings and pongs.
    can_ping = False
    # Which end of the connection this is.
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
        # The option takes any number, of which infinity is one.
        self.max_length = int(min(max_length, sys.maxsize))
        self.ready_state = CONNECTING
        self.was_clean = False
        self.protocol = self._choose_protocol(protocols)

    @property
    def io(self) -> IO:
        """What is written to."""
        return io_of(self._writer)

    @io.setter
    def io(self, io: IO) -> None:
        self._writer = writer_of(io)

    @property
    def extensions(self) -> str:
        """The extensions agreed on, as the Sec-WebSocket-Extensions header states them; ``''`` for none."""
        return ''

    def check(self) -> None:
        """Raises HandshakeError when the request must be refused. Pure."""
        _check_request(self._environ)

    def start(self) -> bool:
        """Answers the handshake; False when it was answered before, or is refused."""
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
        """Accepts a handshake that ``check`` found right, with these further headers in the response."""
        self._is_started = True
        self._headers = [*self._headers, *headers]
        self._writer.write(self._response())
        self._headers = _NO_HEADERS
        self._respond()

    def refuse(self, error: HandshakeError) -> None:
        """Answers the handshake with a complete HTTP error, and ends; does nothing once it is answered."""
        if self.ready_state != CONNECTING:
            return
        self._is_started = True
        self._writer.write(serialize_refusal(error))
        self.give_up(error)

    def parse(self, chunk: bytes) -> None:
        """Takes the next bytes of the wire."""
        raise NotImplementedError

    def end(self, reason: str = '') -> None:
        """The connection is gone, for this ``reason``; emits ``close`` unless that was done."""
        self._close(CloseCode.ABNORMAL_CLOSURE, reason)

    def give_up(self, error: Exception) -> None:
        """The connection failed before it was open: emits ``error`` and ``close``."""
        self._fail(CloseCode.ABNORMAL_CLOSURE, error)

    def fail(self, code: int, reason: str) -> None:
        """Ends the connection because of something that its owner found wrong."""
        self._close(code, reason)

    def text(self, message: str) -> bool:
        """Sends a text message."""
        return self._command(self._send_text, encode_text(message))

    def binary(self, message: bytes) -> bool:
        """Sends a binary message; False in a version that has none."""
        return False

    def send_shared(self, message: SharedMessage) -> bool:
        """Sends a message that goes to many connections."""
        data = message.data
        return self.text(data) if isinstance(data, str) else self.binary(data)

    def ping(self, message: str | bytes = '', callback: Callable[[], object] | None = None) -> bool:
        """Sends a ping, and calls ``callback()`` at its pong; False in a version that has none."""
        return False

    def pong(self, message: str | bytes = '') -> bool:
        """Sends a pong nobody asked for; False in a version that has none."""
        return False

    def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = '') -> bool:
        """Begins the closing handshake, once open; False when that was done before."""
        return self._command(self._begin_close, code, reason)

    def _send_text(self, payload: bytes) -> None:
        """Writes a text message."""
        raise NotImplementedError

    def _begin_close(self, code: int, reason: str) -> None:
        """Does what the version does to close."""
        raise NotImplementedError

    def _response(self) -> bytes:
        """The response that accepts the handshake."""
        raise NotImplementedError

    def _respond(self) -> None:
        """What follows the response: at once open, for most."""
        self._open()

    def _choose_protocol(self, protocols: Iterable[str]) -> str:
        """The first of the client's subprotocols that the server supports (section 4.2.2, /subprotocol/)."""
        offered = self._environ.get(self._protocol_header)
        if not offered:
            return ''
        supported = set(protocols)
        return next((name for name in tokens(offered) if name in supported), '')

    def _command(self, command: Callable[..., Any], *arguments: Any) -> bool:
        """Runs a command once open, queues it before, and answers False after."""
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
        """The handshake is complete: does what was commanded before, then emits ``open``."""
        self.ready_state = OPEN
        self._environ = NO_ENVIRON
        commands, self._commands = self._commands, None
        for command, arguments in commands or ():
            if self.ready_state == OPEN:
                command(*arguments)
        if self.ready_state != CLOSED:
            self.emit('open')

    def _fail(self, code: int, error: Exception) -> None:
        """The peer's fault: emits ``error``, and ends whatever its listeners raise."""
        try:
            self.emit('error', error)
        finally:
            self.fail(code, str(error))

    def _close(self, code: int, reason: str) -> None:
        """Every path ends here, once."""
        if self.ready_state != CLOSED:
            self.ready_state = CLOSED
            self._commands = None
            self.emit('close', code, reason)

    def __repr__(self) -> str:
        state = ('CONNECTING', 'OPEN', 'CLOSING', 'CLOSED')[self.ready_state]
        return f'<{type(self).__name__} {self.version} {state} protocol={self.protocol!r}>'


def serialize_refusal(error: HandshakeError) -> bytes:
    """A complete HTTP response that refuses the handshake and ends the connection."""
    body = f'{error}\n'.encode()
    return serialize_head(f'HTTP/1.1 {error.status}', refusal_headers(error, body)) + body


def refusal_headers(error: HandshakeError, body: bytes) -> HeaderList:
    """The headers of a refusal with this body."""
    return [
        ('Content-Type', 'text/plain; charset=utf-8'),
        ('Content-Length', str(len(body))),
        ('Connection', 'close'),
        *error.headers,
    ]


def _check_request(environ: Mapping[str, Any]) -> None:
    """What every version asks of the request (section 4.2.1). Raises HandshakeError."""
    host = environ.get('HTTP_HOST', '')
    if environ.get('REQUEST_METHOD') != 'GET':
        message = 'the method of a WebSocket handshake is GET'
    elif environ.get('SERVER_PROTOCOL') != 'HTTP/1.1':
        message = 'a WebSocket handshake is made over HTTP/1.1'
    elif not host:
        message = 'the Host header is missing'
    elif ',' in host:
        message = 'there is more than one Host header'
    elif not is_host(host):
        message = f'the Host header is no host: {host[:80]!r}'
    elif not has_token(environ, 'HTTP_UPGRADE', 'websocket'):
        message = 'the Upgrade header does not say websocket'
    elif not has_token(environ, 'HTTP_CONNECTION', 'upgrade'):
        message = 'the Connection header does not say Upgrade'
    elif environ.get('CONTENT_LENGTH') not in (None, '', '0') or 'HTTP_TRANSFER_ENCODING' in environ:
        message = 'a WebSocket handshake has no body'
    else:
        return
    raise HandshakeError('400 Bad Request', message)


def has_token(environ: Mapping[str, Any], name: str, token: str) -> bool:
    """Whether a header that is a list has this element, in any case of letters."""
    value = str(environ.get(name, '')).lower()
    return value == token or token in tokens(value)
