"""A client for tests, which is connected to a WSGI application in memory.

    def test_echo():
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

There is no port, and no server to start. Client and application are connected by a pair
of sockets. gevent.pywsgi's request handler calls the application, as in production: it
gets a real ``environ``, and its responses are written by the rules of HTTP. What the
application raises is raised in the test.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from http.cookies import Morsel
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

import gevent
import gevent.event
import gevent.socket
from gevent.pywsgi import WSGIServer

from .client import Client
from .errors import HandshakeError
from .events import NOT_CONTAINED
from .http.head import Headers, check_headers
from .io.shutdown import open_sockets
from .websocket import WATCHER, WebSocket

__all__ = ['JoinedClient', 'connect']

Application = Callable[..., Iterable[bytes]]
Self = TypeVar('Self', bound='JoinedClient')

_ENVIRON = {'SERVER_NAME': 'localhost', 'SERVER_PORT': '80'}
# The client's address, as the application sees it.
_ADDRESS = ('127.0.0.1', 0)
# Seconds that handlers may take after the client has closed. A handler that stays
# longer, such as a loop that never looks whether its socket is open, is left alone.
_PATIENCE = 1.0


class JoinedClient(Client):
    """A client that ``connect`` has made.

    At the end of a ``with`` block it is closed, and with it the application's socket.
    If a handler of that socket has raised, its exception is raised there, once.
    """

    __slots__ = ('_watcher',)

    _watcher: _Watcher

    def __enter__(self: Self) -> Self:
        # Unlike Client, do not raise if the handshake was refused: the test may inspect
        # it.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if not isinstance(error, NOT_CONTAINED):
            self._watcher.wait()
            self._watcher.raise_again()

    def wait_while(self, ready_state: int) -> None:
        """Let the application run while the socket is in this state."""
        # Do not wait by a listener: it would consume the event, and the handlers that
        # the test sets later would miss it.
        while self.ready_state == ready_state:
            gevent.sleep(0.001)


def connect(
    app: Application,
    path: str = '/',
    *,
    refused: bool = False,
    cookies: Any = None,
    headers: Headers = None,
    **client_options: Any,
) -> JoinedClient:
    """Return a client that is connected to the application.

    ``path`` may have a query. A whole URL, such as ``'ws://shop.example/basket?id=1'``,
    sets another host than ``localhost``. ``cookies`` are those to send: the test client
    of Flask or Django, or WebTest's ``TestApp``, which has logged in, or a mapping of
    names to values. The other options are those of ``Client``. When the client is
    closed, nothing of it remains.

    Raise what the application raises before the handshake, and HandshakeError, with the
    status and the body in its text, if it refuses the handshake. With ``refused=True``,
    return the client instead of the latter; its ``status``, ``headers`` and ``body``
    are those of the response. Raise HandshakeError, too, if the application returns
    without a response, and ValueError for a URL that does not begin with ``ws://``.
    """
    url = f'ws://localhost{path}' if path.startswith('/') else path
    if not url.startswith('ws://'):
        raise ValueError(f'path: expected a path or a ws:// URL, got {path!r}')
    pairs = [*check_headers(headers), *_cookie_headers(cookies, url)]
    here, there = gevent.socket.socketpair()
    try:
        client = JoinedClient(url, socket=here, headers=pairs, **client_options)
    except BaseException:
        here.close()
        there.close()
        raise
    client._watcher = _Watcher(app, there)
    client.wait_while(client.CONNECTING)
    if client.status != 101:
        client._watcher.raise_before_handshake()
        if not refused:
            _raise_refusal(client)
    return client


def _raise_refusal(client: JoinedClient) -> None:
    if client.status is None:
        # The application ended the connection without a response. Raise the client's
        # error.
        client.receive()
    body = client.body.decode(errors='replace').strip()
    raise HandshakeError(
        str(client.status), f'the application refused the handshake: {client.status} {body}'
    )


class _Watcher:
    """The server of one connection, which notes what the application raises."""

    def __init__(self, app: Application, sock: Any) -> None:
        self._app = app
        self._errors: list[BaseException] = []
        # What is wrong if there is no response.
        self._silence: HandshakeError | None = None
        self._sockets: WeakSet[WebSocket] = WeakSet()
        # Not the greenlet, which would live as long as the client.
        self._is_served = gevent.event.Event()
        gevent.spawn(self._serve, sock)

    def made(self, ws: WebSocket) -> None:
        """Note a socket that the application has made."""
        self._sockets.add(ws)

    def raised(self, error: BaseException) -> None:
        """Note what the application has raised, once."""
        if not any(error is other for other in self._errors):
            self._errors.append(error)

    def wait(self) -> None:
        """Wait until the application's code is done with the closed connection."""
        with gevent.Timeout(_PATIENCE, False):
            self._is_served.wait()
            for ws in tuple(self._sockets):
                if ws.ready_state in (ws.CLOSING, ws.CLOSED):
                    ws.wait_closed()
                    gevent.joinall(open_sockets.find_greenlets(ws._connection))

    def returned(self, handler: Any, body: Any) -> None:
        """Note it if the application has returned, and not called start_response."""
        if handler.status is None:
            text = f'the application returned {body!r:.80} without calling start_response'
            hint = '; was it to return ws(environ, start_response)?' if self._sockets else ''
            self.silent(f'{text}{hint}')
            # Otherwise the server would wait for the next request, and the client for
            # its response.
            handler.close_connection = True

    def silent(self, text: str) -> None:
        """Note why there will be no response."""
        self._silence = HandshakeError('', text)

    def raise_before_handshake(self) -> None:
        """Raise why the application has made no handshake, if that is its fault."""
        self.raise_again()
        if self._silence is not None:
            raise self._silence

    def raise_again(self) -> None:
        """Raise the first exception of the application, if there is one.

        The others are shown with it.
        """
        errors, self._errors = self._errors, []
        if errors:
            _show_with(errors[0], errors[1:])
            raise errors[0]

    def _serve(self, sock: Any) -> None:
        """Serve requests on a connected socket."""
        environ = {**_ENVIRON, WATCHER: self}
        try:
            with sock:
                server = WSGIServer(_ADDRESS, self._watched, log=None, environ=environ)
                server.handle(sock, _ADDRESS)
        finally:
            self._is_served.set()

    def _watched(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Call the application, and note what it raises."""
        handler = start_response.__self__
        try:
            body = self._app(environ, start_response)
        except Exception as error:
            self.raised(error)
            raise
        except BaseException as error:
            if handler.status is None:
                self.silent(f'the application ended with {error!r:.80} before its response')
            raise
        if body is None or isinstance(body, Sized):
            self.returned(handler, body)
            # The server reads the length of a list.
            return body or ()
        return _WatchedBody(body, self, handler)


def _show_with(first: BaseException, others: list[BaseException]) -> None:
    """Add the tracebacks of further exceptions to one, as its notes."""
    # Python 3.10 has no notes. The log has all of them.
    add_note = getattr(first, 'add_note', str)
    for error in others:
        text = ''.join(traceback.format_exception(error)).rstrip()
        add_note(f'The application has raised this, too:\n{text}')


class _WatchedBody:
    """The body of a response, which may be a generator that raises."""

    def __init__(self, body: Iterable[bytes], watcher: _Watcher, handler: Any) -> None:
        self._body = body
        self._watcher = watcher
        self._handler = handler

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except Exception as error:
            self._watcher.raised(error)
            raise

    def close(self) -> None:
        """Close the response, as PEP 3333 wants it."""
        self._watcher.returned(self._handler, self._body)
        close = getattr(self._body, 'close', None)
        if close is not None:
            close()


def _cookie_headers(cookies: Any, url: str) -> list[tuple[str, str]]:
    """Return the header Cookie of a test client, in a list, or an empty list."""
    if cookies is None:
        return []
    if hasattr(cookies, '_add_cookies_to_wsgi'):
        # Werkzeug's client, which is Flask's, lets nobody read cookies but by name.
        parts = urlsplit(url)
        environ = {
            'wsgi.url_scheme': 'http',
            'SERVER_NAME': parts.hostname,
            'HTTP_HOST': parts.netloc,
            'PATH_INFO': parts.path,
        }
        cookies._add_cookies_to_wsgi(environ)
        header = environ.get('HTTP_COOKIE') or ''
    else:
        found = getattr(cookies, 'cookies', cookies)
        if not isinstance(found, Mapping):
            raise TypeError(f'cookies: expected a test client or a mapping, got {cookies!r:.80}')
        header = '; '.join(f'{name}={_cookie_value(value)}' for name, value in found.items())
    return [('Cookie', header)] if header else []


def _cookie_value(value: Any) -> str:
    """Return a cookie's value as it is sent; Django's client has it in a Morsel."""
    return value.coded_value if isinstance(value, Morsel) else str(value)
