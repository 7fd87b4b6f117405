"""WebSocket: the server's end, made from the ``environ`` of a WSGI request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import Any

import gevent

from .api import API
from .client import Client
from .driver.base import MAX_FRAGMENTS, MAX_LENGTH, Driver, Request, refusal_headers
from .driver.client import check_protocols
from .driver.wsgi import is_websocket, wsgi
from .errors import HandshakeError, UnsupportedServer
from .events import NOT_CONTAINED, DeclaredHandlers, Event
from .extensions import Extension
from .http.environ import check_environ
from .http.head import HeaderList, Headers
from .http.origin import AllowedOrigins, OriginCheck, make_origin_check
from .http.url import determine_url
from .io.connection import Connection
from .io.context import in_context
from .io.faults import name_url
from .io.journal import SERVER, describe_request
from .io.limits import make_limits
from .io.reactor import current_reactor
from .io.shutdown import open_sockets
from .io.takeover import Sink
from .io.transport import Transport
from .io.watched import watched
from .servers.gevent_server import is_stopping, leave_pool, register
from .servers.handover import Handover, refuse, respond_late
from .servers.hijack import has_adapter, lasting_environ
from .servers.leftover import check_leftover
from .servers.packed_environ import PackedEnviron

__all__ = ['WATCHER', 'WebSocket']

# The key in ``environ`` of an object that a test has put there. Its ``made`` is called
# with each socket of the request, its ``raised`` with what the application raises.
WATCHER = 'faye_websocket.watcher'

StartResponse = Callable[..., Any]

_VIEW_FAILED = (
    'view of %s failed: %r (its traceback, if any, is in the log of the server or the framework)'
)


class WebSocket(DeclaredHandlers, API):
    """A WebSocket in a WSGI application.

    ``environ`` is the request's; ``protocols`` are the subprotocols that the server
    supports, a list or a comma-separated string. The socket is itself a WSGI
    application: return ``ws(environ, start_response)``, and the handshake is made.

    - ``extensions``: extension objects, such as PermessageDeflate().
    - ``headers``: further response headers, a mapping or a list of pairs.
    - ``max_length``: the largest incoming message in bytes, after inflation, over all
      its fragments.
    - ``max_fragments``: the most frames that one incoming message may have.
    - ``ping``: seconds between keep-alive pings; ``None`` for none.
    - ``ping_timeout``: seconds without any byte from the peer, after a ping, until it
      is given up; ``ping`` by default.
    - ``close_timeout``: seconds that ``close`` waits for the peer's close frame and for
      unsent data.
    - ``allowed_origins``: ``None`` for any, ``'same-origin'``, origins, or a callable
      ``(origin, environ) -> bool``; others are refused with 403.
    - ``max_buffered``: bytes that may wait unsent for the peer.
    - ``overflow``: the behaviour of ``send`` beyond that: ``'close'`` (with 1013),
      ``'drop'`` (returns False) or ``'block'`` (waits).
    - ``max_queue``: messages that may wait for a busy handler before reading from the
      peer stops.
    - ``max_queued``: bytes of them, as Python keeps them; one message may always wait.
    - ``context``: a contextvars.Context, such as ``contextvars.copy_context()``, in
      copies of which the handlers run; ``None`` for none.

    An invalid option raises TypeError or ValueError; the text names the option. The
    response to a request that is no WebSocket handshake, or a bad one, is an HTTP
    error.
    """

    __slots__ = ('__dict__', '__weakref__', '_environ', '_handover', '_is_begun', '_refusal')

    is_websocket = staticmethod(is_websocket)
    Client = Client
    _own_logger = SERVER

    # ``metrics`` has others.
    _connection_class: type[Connection] = Connection

    def __init__(
        self,
        environ: dict[str, Any],
        protocols: Iterable[str] | str | None = None,
        *,
        extensions: Iterable[Extension] = (),
        headers: Headers = None,
        max_length: int = MAX_LENGTH,
        max_fragments: int = MAX_FRAGMENTS,
        ping: float | None = None,
        ping_timeout: float | None = None,
        close_timeout: float = 10,
        allowed_origins: AllowedOrigins = None,
        max_buffered: float = 2**24,
        overflow: str = 'close',
        max_queue: float = 64,
        max_queued: float = 2**24,
        context: Context | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(environ, dict):
            check_environ(environ)
        environ = lasting_environ(environ)
        self._environ: dict[str, Any] | PackedEnviron = environ
        self._is_begun = False
        self._handover: Handover | None = None
        limits = make_limits(
            max_length=max_length,
            max_fragments=max_fragments,
            ping=ping,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_buffered=max_buffered,
            overflow=overflow,
            max_queue=max_queue,
            max_queued=max_queued,
        )
        target = self if context is None else in_context(self, context)
        connect = watched(self._connection_class, SERVER, describe_request, environ)
        self._connection = connect(target, limits, current_reactor())
        driver = wsgi(
            Request(environ, self._connection.write),
            check_protocols(protocols),
            extensions=extensions,
            headers=headers,
            max_length=max_length,
            max_fragments=max_fragments,
        )
        self._connection.drive(driver)
        self._refusal = _find_refusal(driver, make_origin_check(allowed_origins), environ)
        watcher = environ.get(WATCHER)
        if watcher is not None:
            watcher.made(self)

    @staticmethod
    def load_adapter(name: str) -> None:
        """Check that a server of this name is known.

        For code ported from Ruby: servers are recognised from ``environ``. Raises
        ValueError for an unknown name; see ``register_adapter``.
        """
        if not has_adapter(name):
            raise ValueError(f'name: there is no adapter {name!r}')

    @property
    def environ(self) -> dict[str, Any]:
        """The environ of the request.

        Once the request is over, the objects that belonged to it are gone.
        """
        if isinstance(self._environ, PackedEnviron):
            self._environ = self._environ.unpack()
        return self._environ

    @property
    def env(self) -> dict[str, Any]:
        """Ruby's name of ``environ``."""
        return self.environ

    @property
    def url(self) -> str:
        """The URL of the request, with ``ws`` or ``wss``."""
        environ = self._environ
        return determine_url(environ.unpack() if isinstance(environ, PackedEnviron) else environ)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Return the response: the socket is a WSGI application."""
        return self.wsgi_response(start_response)

    def wsgi_response(self, start_response: StartResponse) -> Iterable[bytes]:
        """Make the handshake, unless that was done, and return the WSGI response.

        The headers that the application and its middleware add to this response go out
        with the handshake, but for those that describe a body. Raises UnsupportedServer
        when the server's socket cannot be had; the text names the fix.
        """
        self._begin()
        if self._refusal is not None:
            body = f'{self._refusal}\n'.encode()
            headers = refusal_headers(self._refusal, body)
            return refuse(self.environ, start_response, self._refusal.status, headers, body)
        if self._handover is None:
            return respond_late(start_response)
        return self._handover.respond(start_response)

    #: Ruby's name of ``wsgi_response``.
    rack_response = wsgi_response

    def _start(self) -> None:
        """Make the handshake now, in greenlet style, unless that was done."""
        if self._is_begun:
            return
        self._begin()
        if self._handover is not None:
            holds_thread = self._handover.holds_thread
            self._handover.accept()
            if self._refusal is None:
                # From now on this greenlet is no request of the server's.
                leave_pool()
                add = open_sockets.add_thread if holds_thread else open_sockets.add_greenlet
                add(gevent.getcurrent(), self._connection)

    def _begin(self) -> None:
        """Take the connection from the server, or refuse the handshake."""
        if self._is_begun:
            return
        environ = self.environ
        check_leftover(environ)
        if not self._connection.reactor.is_current:
            # Its events would wait for a hub that nobody runs.
            raise UnsupportedServer(
                'a WebSocket must be answered in the OS thread that it was made in: write "def" instead of "async def"'
            )
        if self._refusal is None and is_stopping():
            self._refusal = HandshakeError('503 Service Unavailable', 'the server is shutting down')
        if self._refusal is None:
            self._handover = Handover(
                environ,
                accepted=self._accepted,
                replaced=partial(self._replaced, None),
                view_failed=self._view_failed,
            )
        else:
            self._begin_refusal(self._refusal)
        self._is_begun = True

    def _begin_refusal(self, refusal: HandshakeError) -> None:
        """Take the connection, on which the server's response will say that.

        No request behind it is served. Some servers would keep the connection open.
        Where the socket cannot be had, the response is all there is.
        """
        try:
            self._handover = Handover(
                self.environ,
                accepted=partial(self._refused_early, refusal),
                replaced=partial(self._replaced, refusal),
                view_failed=self._view_failed,
            )
        except UnsupportedServer:
            self._connection.refuse(None, refusal)

    def _accepted(self, transport: Transport, received: bytes, headers: HeaderList) -> None:
        """Open the connection, which has left its server."""
        self._handover = None
        is_late = register(self._connection)
        self._connection.accept(transport, received, headers)
        self._environ = PackedEnviron(self.environ)
        if is_late:
            # The server began to stop while it was at this response.
            self._connection.stop()

    def _view_failed(self, head: bytes, raised: BaseException | None = None) -> None:
        """End the connection: a view in greenlet style has not returned this socket.

        What the view has raised, if anything, is ``raised``, or its server is handling
        it. The server or the framework logs the traceback, which may not say what the
        request was.
        """
        if self.ready_state == self.CLOSED:
            return
        error = raised or sys.exc_info()[1]
        if error is None:
            status = head.partition(b'\r\n')[0].partition(b' ')[2].decode('latin-1') or 'none'
            error = HandshakeError(
                '', f'the view gave another response once the handshake was made: {status}'
            )
        SERVER.error(_VIEW_FAILED, name_url(self.url), error)
        self._application_failed(error)

    def _handler_raised(self, event: Event, error: BaseException) -> None:
        self._report(error)
        super()._handler_raised(event, error)

    def _application_failed(self, error: BaseException) -> None:
        self._report(error)
        super()._application_failed(error)

    def _report(self, error: BaseException) -> None:
        """Report a fault of the application to the watcher of a test."""
        watcher = self.environ.get(WATCHER)
        if watcher is not None and not isinstance(error, NOT_CONTAINED):
            watcher.raised(error)

    def _refused_early(
        self, refusal: HandshakeError, transport: Transport, received: bytes, headers: HeaderList
    ) -> None:
        """Write the refusal and end the connection, in greenlet style."""
        self._handover = None
        self._connection.refuse(transport, refusal)
        self._environ = PackedEnviron(self.environ)

    def _replaced(self, error: HandshakeError | None, transport: Transport, head: bytes) -> Sink:
        """Send another response than a 101, which means this ``error``."""
        self._handover = None
        self._environ = PackedEnviron(self.environ)
        return self._connection.relay(transport, head, error)


def _find_refusal(
    driver: Driver, is_allowed: OriginCheck, environ: Mapping[str, Any]
) -> HandshakeError | None:
    """Return why the handshake is refused, or None."""
    try:
        driver.check()
    except HandshakeError as error:
        return error
    # Until hybi-12 the header had another name.
    origin = environ.get('HTTP_ORIGIN', environ.get('HTTP_SEC_WEBSOCKET_ORIGIN'))
    if origin is not None and not is_allowed(origin, environ):
        SERVER.debug('origin %r is not allowed at host %r', origin, environ.get('HTTP_HOST'))
        return HandshakeError('403 Forbidden', 'this origin is not allowed')
    return None
