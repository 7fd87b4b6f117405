"""WebSocket: the server's end, made from the ``environ`` of a WSGI request."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import gevent

from .api import API
from .client import Client
from .driver.base import MAX_FRAGMENTS, MAX_LENGTH, Driver, Request, refusal_headers
from .driver.client import check_protocols
from .driver.codes import CloseCode
from .driver.wsgi import is_websocket, wsgi
from .errors import HandshakeError, UnsupportedServer
from .events import DeclaredHandlers
from .extensions import Extension
from .http.head import HeaderList, Headers
from .http.origin import AllowedOrigins, OriginCheck, make_origin_check
from .http.url import determine_url
from .io.connection import Connection
from .io.limits import make_limits
from .io.reactor import current_reactor
from .io.shutdown import registry
from .io.transport import Sink, Transport
from .servers.gevent_server import is_stopping, leave_pool, register
from .servers.hijack import UNSENT_HEADERS, accepted, hijack, is_adapter
from .servers.leftover import check_leftover
from .servers.packed_environ import PackedEnviron

__all__ = ['WebSocket']

StartResponse = Callable[..., Any]

logger = logging.getLogger('faye_websocket')

_ACCEPTANCE = b'HTTP/1.1 101 '
_COOKIE = re.compile(rb'^set-cookie:[ \t]*([^\r\n]*)', re.IGNORECASE | re.MULTILINE)


class WebSocket(DeclaredHandlers, API):
    """A WebSocket in a WSGI application.

    ``environ`` is the request's; ``protocols`` the subprotocols that the server supports, a list or a comma-separated string.
    The socket is itself a WSGI application: return ``ws(environ, start_response)``, and the handshake is made.

    - ``extensions``: extension objects, such as PermessageDeflate().
    - ``headers``: further response headers, a mapping or a list of pairs.
    - ``max_length``: the largest incoming message in bytes, after inflation, over all its fragments.
    - ``max_fragments``: the most frames that one incoming message may have.
    - ``ping``: seconds between keep-alive pings; ``None`` for none.
    - ``ping_timeout``: seconds without any byte from the peer, after a ping, until it is given up; ``ping`` by default.
    - ``close_timeout``: seconds that ``close`` waits for the peer's close frame and for unsent data.
    - ``allowed_origins``: ``None`` for any, ``'same-origin'``, origins, or a callable ``(origin, environ) -> bool``; others
      are refused with 403.
    - ``max_buffered``: bytes that may wait unsent for the peer.
    - ``overflow``: what ``send`` does beyond: ``'close'`` (with 1013), ``'drop'`` (answers False) or ``'block'`` (waits).
    - ``max_queue``: messages waiting for a busy handler before reading from the peer stops.
    - ``max_queued``: bytes of them, as Python keeps them; one message may always wait.

    Raises TypeError or ValueError for an option that cannot be, naming it. A request that is no WebSocket handshake, or a bad
    one, gets an HTTP error as its response.
    """

    __slots__ = ('__dict__', '__weakref__', '_environ', '_is_in_view', '_is_started', '_refusal', '_taken')

    is_websocket = staticmethod(is_websocket)
    Client = Client

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
    ) -> None:
        super().__init__()
        if 'uwsgi.version' in environ:
            # uWSGI empties its own when the request ends.
            environ = dict(environ)
        self._environ: dict[str, Any] | PackedEnviron = environ
        self._is_started = False
        # The handshake was made by a view in greenlet style, which has not returned yet.
        self._is_in_view = False
        self._taken: tuple[Transport, bytes] | None = None
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
        self._connection = self._connection_class(self, limits, current_reactor())
        driver = wsgi(
            Request(environ, self._connection.write),
            check_protocols(protocols),
            extensions=extensions,
            headers=headers,
            max_length=max_length,
            max_fragments=max_fragments,
        )
        self._connection.drive(driver)
        self._refusal = self._find_refusal(driver, make_origin_check(allowed_origins))

    @staticmethod
    def load_adapter(name: str) -> None:
        """For code ported from Ruby: servers are recognised from ``environ``, so this only checks that ``name`` is known.

        ValueError if it is not; see ``register_adapter``.
        """
        if not is_adapter(name):
            raise ValueError(f'name: there is no adapter {name!r}')

    @property
    def environ(self) -> dict[str, Any]:
        """The environ of the request, without what ended with the request once that is over."""
        if isinstance(self._environ, PackedEnviron):
            self._environ = self._environ.unpack()
        return self._environ

    @property
    def url(self) -> str:
        """The URL of the request, with ``ws`` or ``wss``."""
        environ = self._environ
        return determine_url(environ.unpack() if isinstance(environ, PackedEnviron) else environ)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The socket as a WSGI application, so that a view can return it."""
        return self.wsgi_response(start_response)

    def wsgi_response(self, start_response: StartResponse) -> Iterable[bytes]:
        """Makes the handshake, unless that was done, and returns the WSGI response. Ruby's rack_response.

        What the application and its middleware add to this response as cookies goes out with the handshake. Raises
        UnsupportedServer when the server's socket cannot be had.
        """
        self._take()
        if self._is_in_view:
            # The head shows whether this response, or another in its place, came so far.
            start_response('101 Switching Protocols', list(UNSENT_HEADERS))
            return []
        if self._refusal is None:
            return accepted(start_response, self._accept)
        body = f'{self._refusal}\n'.encode()
        headers = refusal_headers(self._refusal, body)
        if str(self.environ.get('SERVER_SOFTWARE', '')).startswith('WSGIServer/'):
            # wsgiref takes no "hop-by-hop" headers, and keeps no connection.
            headers = [pair for pair in headers if pair[0] != 'Connection']
        start_response(self._refusal.status, headers)
        return [body]

    def _start(self) -> None:
        """Make the handshake now, in greenlet style, unless that was done."""
        if not self._is_started:
            self._take()
            self._is_in_view = self._refusal is None
            self._accept()
            if self._is_in_view:
                # From now on this greenlet is no request of the server's.
                leave_pool()
                registry.add_greenlet(gevent.getcurrent(), self._connection)

    def _take(self) -> None:
        """Takes the socket from the server."""
        if self._is_started:
            return
        check_leftover(self.environ)
        if not self._connection.is_at_home:
            # Its events would wait for a hub that nobody runs.
            raise UnsupportedServer(
                'a WebSocket must be answered in the OS thread that it was made in: write "def" instead of "async def"'
            )
        if self._refusal is None and is_stopping():
            self._refusal = HandshakeError('503 Service Unavailable', 'the server is shutting down')
        if self._refusal is None:
            self._taken = hijack(self.environ, self._responded)
            self._is_started = True
        else:
            self._is_started = True
            self._refuse(self._refusal)
            self._environ = PackedEnviron(self.environ)

    def _responded(self, head: bytes) -> Sink | None:
        """The server has written a head, which nobody has seen yet; the handshake may have been made before."""
        if self._is_in_view:
            self._is_in_view = False
            if not head.startswith(_ACCEPTANCE):
                self._view_failed(head)
            return None
        if self._taken is None or head.startswith(_ACCEPTANCE):
            self._accept([('Set-Cookie', value.decode('latin-1')) for value in _COOKIE.findall(head)])
            return None
        # Something around the application would not have its response: a view that was wrapped, a middleware, an error.
        (transport, _), self._taken = self._taken, None
        return self._connection.relay(transport, head)

    def _view_failed(self, head: bytes) -> None:
        """A view in greenlet style has ended in another way than by returning this socket.

        Its server is handling what it has raised, if anything, and logs the traceback, which
        may not say what the request was.
        """
        if self.ready_state == self.CLOSED:
            return
        error = sys.exc_info()[1]
        if error is None:
            status = head.partition(b'\r\n')[0].partition(b' ')[2].decode('latin-1') or 'none'
            error = HandshakeError('', f'the view gave another response once the handshake was made: {status}')
        logger.error('view of %s failed: %r', self.url, error)
        self._connection.application_failed(error)

    def _accept(self, headers: HeaderList | None = None) -> None:
        """Accepts the handshake, unless that was done."""
        taken, self._taken = self._taken, None
        if taken is not None:
            register(self._connection)
            self._connection.accept(*taken, headers or [])
            self._environ = PackedEnviron(self.environ)
            if is_stopping():
                # It began while the server was at this response.
                self._connection.close(CloseCode.GOING_AWAY, '')

    def _refuse(self, refusal: HandshakeError) -> None:
        """Writes the refusal and ends the connection, so that no request behind it is served.

        Left to themselves some servers would keep the connection open; where it cannot be had, the response is all there is.
        """
        try:
            transport, _ = hijack(self.environ)
        except UnsupportedServer:
            self._connection.refuse(None, refusal)
        else:
            self._connection.refuse(transport, refusal)

    def _find_refusal(self, driver: Driver, is_allowed: OriginCheck) -> HandshakeError | None:
        """Why the handshake is refused, if it is."""
        try:
            driver.check()
        except HandshakeError as error:
            return error
        environ = self.environ
        # Until hybi-12 the header had another name.
        origin = environ.get('HTTP_ORIGIN', environ.get('HTTP_SEC_WEBSOCKET_ORIGIN'))
        if origin is not None and not is_allowed(origin, environ):
            return HandshakeError('403 Forbidden', 'this origin is not allowed')
        return None

