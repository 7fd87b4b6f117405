"""WebSocketHandler: makes the handshake before it calls the application.

The application finds an open socket in ``environ['wsgi.websocket']``. It is run to its
end; what it returns and whatever it says to ``start_response`` reach nobody. Where the
server has another handler, ``serve`` does this from within an application.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from gevent.pywsgi import WSGIHandler

from ...driver.wsgi import is_websocket
from ...errors import HandshakeError
from ...servers.gevent_server import find_server
from ...servers.leftover import check_leftover
from ...websocket import StartResponse
from ...websocket import WebSocket as Stream
from .exceptions import WebSocketError
from .websocket import OPTIONS, WebSocket

__all__ = ['Client', 'WebSocketHandler', 'WebSocketMiddleware', 'find_socket', 'serve']

# The server of those that no server of gevent's has accepted, as in a test.
_no_server = SimpleNamespace(clients={})


class Client:
    """A client of a server; programs hang things on it."""

    def __init__(self, address: Any, ws: WebSocket) -> None:
        self.address = address
        self.ws = ws


class SocketHandler:
    """The part that handlers of any server share; ``websocket`` is the open socket."""

    websocket_class = WebSocket
    websocket: WebSocket | None = None
    prevent_wsgi_call = False

    _client: Client | None = None

    server: Any
    client_address: Any
    application: Any
    environ: Any
    start_response: Any

    @property
    def active_client(self) -> Client:
        """The client whose request this is."""
        client: Client = self._client or self.server.clients[self.client_address]
        return client

    @property
    def logger(self) -> Any:
        """The server's logger, or that of this module."""
        return getattr(self.server, 'logger', None) or logging.getLogger(__name__)

    def run_websocket(self) -> None:
        """Call the application with the socket in ``environ``, and close it at the end.

        With ``prevent_wsgi_call`` set a subclass does both.
        """
        if self.prevent_wsgi_call:
            return
        clients = _clients_of(self.server)
        ws = self.environ['wsgi.websocket']
        self._client = Client(self.client_address, ws)
        # Those of a Unix socket have one address.
        key = self.client_address
        key = (key, id(ws)) if key in clients else key
        clients[key] = self._client
        status = _Status()
        try:
            _run(self.application, self.environ, status)
        except WebSocketError:
            # That the client has gone is no fault of a program that never asked.
            if not ws.closed:
                raise
        finally:
            del clients[key]
        ws.close(status.code)

    def upgrade_websocket(self) -> Iterable[bytes] | None:
        """Make the handshake if the request asks for one; return the body of a refusal.

        A subclass may refuse it by calling ``start_response``, and may return the body.
        """
        return self.upgrade_connection() if is_websocket(self.environ) else None

    def upgrade_connection(self) -> Iterable[bytes] | None:
        """Make the handshake, after which there is ``websocket``, or refuse it."""
        allowed = getattr(self.application, 'app_protocol', None)
        protocol = allowed(self.environ['PATH_INFO']) if allowed else ''
        stream = Stream(self.environ, protocol or None, **OPTIONS)
        try:
            stream.__enter__()
        except HandshakeError:
            return stream.wsgi_response(self.start_response)
        self.websocket = self.websocket_class(self.environ, stream, self, True)
        self.environ['wsgi.websocket'] = self.websocket
        self.environ['wsgi.websocket_version'] = self.websocket.version
        if getattr(self.server, 'debug', False):
            self.logger.debug('%s is a WebSocket', stream.url)
        return None

    def _serve_websocket(self, ws: WebSocket) -> Iterable[bytes]:
        """Run the application, and return the response, which reaches nobody."""
        try:
            self.run_websocket()
        finally:
            if not self.prevent_wsgi_call:
                self.environ['wsgi.websocket'] = self.websocket = None
        return ws.stream.wsgi_response(self.start_response)


class WebSocketHandler(SocketHandler, WSGIHandler):
    """A handler of gevent.pywsgi's, for ``handler_class=``."""

    def run_application(self) -> None:
        """Serve a request, that of a socket to the end of its application."""
        hook = getattr(self.server, 'pre_start_hook', None)
        if hook is not None and hook(self):
            super().run_application()
            return
        refusal = self.upgrade_websocket()
        if self.websocket is not None:
            self.result = self._serve_websocket(self.websocket)
        elif self.status:
            self.result = refusal or []
        else:
            super().run_application()
            return
        self.process_result()


class WebSocketMiddleware:
    """A WSGI application: ``app`` with sockets in ``environ``, under any server."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI. Raises UnsupportedServer if another library has made the handshake."""
        if find_socket(environ) is None and is_websocket(environ):
            return serve(self.app, environ, start_response)
        response: Iterable[bytes] = self.app(environ, start_response)
        return response


class _RequestHandler(SocketHandler):
    """The handler of a request whose server has none."""

    def __init__(
        self, application: Any, environ: dict[str, Any], start_response: StartResponse
    ) -> None:
        self.application = application
        self.environ = environ
        self.start_response = start_response
        self.server: Any = find_server() or _no_server
        address = environ.get('REMOTE_ADDR', ''), environ.get('REMOTE_PORT', '')
        self.client_address = address


class _Status:
    """A ``start_response`` that writes nothing, and finds the code of the close."""

    code = 1000

    def __call__(self, status: str, *arguments: Any) -> Callable[[bytes], None]:
        # A framework has caught what the application has raised.
        if status.startswith('500'):
            self.code = 1011
        return lambda data: None


def serve(
    application: Any, environ: dict[str, Any], start_response: StartResponse
) -> Iterable[bytes]:
    """Make the handshake, run the application to its end, and return the response."""
    handler = _RequestHandler(application, environ, start_response)
    refusal = handler.upgrade_connection()
    ws = handler.websocket
    return refusal or [] if ws is None else handler._serve_websocket(ws)


def find_socket(environ: dict[str, Any]) -> Any:
    """Return the socket of a handler of this module, or None.

    Raises UnsupportedServer for a socket of another library's handler, on which a
    program of these names does not work.
    """
    check_leftover(environ)
    return environ.get('wsgi.websocket')


def _clients_of(server: Any) -> dict[Any, Client]:
    """Return the clients of a server, which any of gevent's may have."""
    if not hasattr(server, 'clients'):
        server.clients = {}
    clients: dict[Any, Client] = server.clients
    return clients


def _run(application: Any, environ: dict[str, Any], start_response: Any) -> None:
    """Run an application to its end, be it a function, a generator or None's."""
    result = application(environ, start_response)
    try:
        for _ in result or ():
            pass
    finally:
        close = getattr(result, 'close', None)
        if close is not None:
            close()
