"""Server and Client: sockets that raise ConnectionClosed once they are closed.

Both are open when they are made. ``receive`` returns what came before the end first.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import gevent

from ... import client, errors
from ...errors import ConnectError, HandshakeError
from ...events import CloseEvent
from ...extensions import PermessageDeflate
from ...websocket import WebSocket
from .errors import ConnectionClosed, ConnectionError

__all__ = ['Base', 'Client', 'Request', 'Server']

Self = TypeVar('Self', bound='Base')

_MAX_LENGTH = 2**30
_MAX_FRAGMENTS = 2**20
_NO_STATUS, _ABNORMAL = 1005, 1006
# RFC 6455 section 5.5: "All control frames MUST have a payload length of 125 bytes or
# less", two of which are the code.
_LONGEST_REASON = 123
_DEFLATE = (PermessageDeflate(),)


class Request(NamedTuple):
    """The argument of ``Server.choose_subprotocol``."""

    host: str
    target: str
    subprotocols: list[str]
    extra_headers: list[tuple[str, str]]


class Peer:
    """A stand-in for the socket of a Server, which has left it: it has the address."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._address = environ.get('REMOTE_ADDR', ''), int(environ.get('REMOTE_PORT') or 0)

    def getpeername(self) -> tuple[str, int]:
        """Return the client's address and port, as the server found them."""
        return self._address


class _ServerSocket(WebSocket):
    """A socket whose view may end with any page, as the README's do with ``''``."""

    __slots__ = ()

    #: What the view has raised, where its framework makes a page of that.
    raised: BaseException | None = None

    def _view_failed(self, head: bytes, raised: BaseException | None = None) -> None:
        # It is not kept: its traceback refers to this socket.
        raised, self.raised = raised or self.raised, None
        if head.partition(b' ')[2].startswith(b'2'):
            self.close()
        else:
            super()._view_failed(head, raised)


class Base:
    """The part that both ends share; ``websocket`` is the socket behind it."""

    subprotocol: str | None = None
    close_reason: int = _NO_STATUS
    close_message: str | None = None
    is_server = False
    receive_bytes: int
    ping_interval: float | None
    max_message_size: int | None
    # By a call of ``close``.
    _is_closed = False
    websocket: WebSocket | client.Client

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self.websocket.ready_state == self.websocket.OPEN

    def send(self, data: Any) -> None:
        """Send ``bytes`` as binary, and everything else as the text that str() makes.

        Blocks while the peer is slow. Raises ConnectionClosed.
        """
        message = data if isinstance(data, bytes) else str(data)
        was_sent = self.websocket.send(message)
        # The kernel shall have nearly all of it: a close behind it waits 10 s at most.
        if not (was_sent and self.websocket._connection.wait_until_caught_up()):
            raise self._closed()

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message, or None after ``timeout`` seconds.

        Raises ConnectionClosed once all that came before the end was returned.
        """
        if self._is_closed or (timeout is not None and timeout <= 0):
            # Others, and what has come, have their turn in a loop that only looks.
            gevent.sleep(0)
        if self._is_closed and not self.websocket._connection.has_message:
            raise self._closed()
        try:
            message = self.websocket.receive(timeout)
        except TimeoutError:
            return None
        except errors.ConnectionClosed:
            message = None
        if message is None:
            raise self._closed()
        return message

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Close the connection; a code that may not be sent becomes 1000.

        Raises ConnectionClosed when it is closed.
        """
        if not self.connected:
            raise self._closed()
        self._is_closed = True
        text = (message or '').encode()[:_LONGEST_REASON].decode(errors='ignore')
        try:
            self.websocket.close(reason or 1000, text)
        except ValueError:
            self.websocket.close(reason=text)

    def _keep(
        self,
        subprotocols: Iterable[str] | str | None,
        receive_bytes: int,
        ping_interval: float | None,
        max_message_size: int | None,
    ) -> None:
        """Keep the options, which programs read."""
        self.subprotocols = _as_list(subprotocols)
        self.receive_bytes = receive_bytes
        self.ping_interval = ping_interval
        self.max_message_size = max_message_size

    def _open(self) -> None:
        """Wait until the socket is open."""
        self.websocket.onclose = self._was_closed
        self.websocket.__enter__()
        self.subprotocol = self.websocket.protocol or None

    def _was_closed(self, event: CloseEvent) -> None:
        if event.code != _ABNORMAL:
            self.close_reason = event.code
            # As the original's: None is only that of a connection that was lost.
            self.close_message = event.reason

    def _closed(self) -> ConnectionClosed:
        """Return what says how the connection was closed."""
        if self.websocket.ready_state == self.websocket.CLOSED:
            # The close event may still be on its way to the handler above.
            self.websocket.wait_closed()
        return ConnectionClosed(self.close_reason, self.close_message)


class Server(Base):
    """The server's end, made from the ``environ`` of a request."""

    websocket: _ServerSocket
    is_server = True
    # The original's for a server whose request ends with an ordinary response.
    mode = 'werkzeug'

    def __init__(
        self,
        environ: dict[str, Any],
        subprotocols: Iterable[str] | str | None = None,
        receive_bytes: int = 4096,
        ping_interval: float | None = None,
        max_message_size: int | None = None,
        thread_class: Any = None,
        event_class: Any = None,
        selector_class: Any = None,
    ) -> None:
        self.environ = environ
        self.sock = Peer(environ)
        self._keep(subprotocols, receive_bytes, ping_interval, max_message_size)
        chosen = self.choose_subprotocol(_make_request(environ))
        self.websocket = _ServerSocket(
            environ,
            [chosen] if chosen else None,
            **_options(ping_interval, max_message_size),
        )
        try:
            self._open()
        except HandshakeError as error:
            raise ConnectionError(_status_code(error), self.websocket) from error

    @classmethod
    def accept(cls: type[Self], environ: dict[str, Any], *arguments: Any, **options: Any) -> Self:
        """Make the handshake, and return the open socket."""
        return cls(environ, *arguments, **options)  # type: ignore[call-arg]

    def choose_subprotocol(self, request: Request) -> str | None:
        """Return the first subprotocol of the client's that the server knows, or None.

        A subclass may choose another of the client's.
        """
        known = self.subprotocols
        return next((name for name in request.subprotocols if name in known), None)


class Client(Base):
    """The client's end."""

    websocket: client.Client

    def __init__(
        self,
        url: str,
        subprotocols: Iterable[str] | str | None = None,
        headers: Any = None,
        receive_bytes: int = 4096,
        ping_interval: float | None = None,
        max_message_size: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        thread_class: Any = None,
        event_class: Any = None,
    ) -> None:
        self._keep(subprotocols, receive_bytes, ping_interval, max_message_size)
        self.websocket = client.Client(
            # The original takes HTTP's schemes, too.
            re.sub('^http', 'ws', url),
            self.subprotocols,
            headers=headers,
            tls=ssl_context,
            **_options(ping_interval, max_message_size),
        )
        try:
            self._open()
        except ConnectError as error:
            raise _network_error(error) from error
        except HandshakeError as error:
            raise ConnectionError(self.websocket.status) from error

    @classmethod
    def connect(cls: type[Self], url: str, *arguments: Any, **options: Any) -> Self:
        """Connect to a server, and return the open socket."""
        return cls(url, *arguments, **options)  # type: ignore[call-arg]


def _options(ping_interval: float | None, max_message_size: int | None) -> dict[str, Any]:
    return {
        'extensions': _DEFLATE,
        'overflow': 'block',
        'ping': ping_interval or None,
        'max_length': max_message_size or _MAX_LENGTH,
        'max_fragments': _MAX_FRAGMENTS,
    }


def _as_list(subprotocols: Iterable[str] | str | None) -> list[str]:
    return [subprotocols] if isinstance(subprotocols, str) else list(subprotocols or ())


def _make_request(environ: dict[str, Any]) -> Request:
    offered = environ.get('HTTP_SEC_WEBSOCKET_PROTOCOL', '')
    headers = [
        (name[5:].replace('_', '-').title(), value)
        for name, value in environ.items()
        if name.startswith('HTTP_')
    ]
    return Request(
        host=environ.get('HTTP_HOST', ''),
        target=environ.get('PATH_INFO', ''),
        subprotocols=[name.strip() for name in offered.split(',') if name.strip()],
        extra_headers=headers,
    )


def _status_code(error: HandshakeError) -> int:
    """Return the number in a refusal's status; 400 for a handshake that broke off."""
    number = error.status.partition(' ')[0]
    return int(number) if number else 400


def _network_error(error: ConnectError) -> OSError:
    """Return the network's own error, as programs catch it."""
    cause: BaseException = error
    while isinstance(cause.__cause__, OSError):
        cause = cause.__cause__
    return cause if isinstance(cause, OSError) else OSError(str(error))
