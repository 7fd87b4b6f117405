"""SocketMiddleware: WebSockets at some paths of any WSGI application.

In goes a request; one for a WebSocket at a known path becomes a socket in the hands of
that path's handler, and every other is the application's. The handler runs in a
greenlet of its own, from when the handshake is accepted: for the server the request is
over by then, however long the handler stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

import gevent

from .calls import check_is_not_async
from .driver.client import check_protocols
from .events import NOT_CONTAINED
from .extensions.pipeline import EXPECTED, Pipeline
from .http.head import HeaderList, check_headers, to_list
from .http.origin import make_origin_check
from .http.routes import Path, Routes
from .io.faults import log_fault
from .io.limits import OPTIONS, make_limits
from .io.shutdown import open_sockets
from .io.transport import Transport
from .websocket import StartResponse, WebSocket

__all__ = ['SocketMiddleware']

Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Handler = Callable[..., object]
#: A handler, alone or with the options of the sockets at its path.
Handled = Handler | tuple[Handler, Mapping[str, Any]]


class _Route(NamedTuple):
    """A handler, and the options of its sockets."""

    handler: Handler
    options: dict[str, Any]


class SocketMiddleware:
    """A WSGI application around ``app``, with handlers for WebSockets at some paths.

    ``handlers`` is a mapping of paths to functions. A path is that of the request below
    the place where this middleware is mounted (WSGI's PATH_INFO), and must match as a
    whole. It may have arguments: as a rule of Werkzeug's, such as
    ``'/room/<int:number>'``, where Werkzeug is installed, or as a compiled regular
    expression with groups. ``handler(ws, **arguments)`` may set handlers on the socket
    and return, or stay and receive; the socket is still open when it returns, unless
    ``with ws:`` has closed it. What it raises is logged, given to ``ws.onerror``, and
    closes with 1011.

    ``options`` are those of ``WebSocket``, ``protocols`` among them;
    ``(handler, {...})`` in the place of a handler adds options for its path. An invalid
    option raises TypeError or ValueError.
    """

    def __init__(self, app: Application, handlers: Mapping[Path, Handled], **options: Any) -> None:
        self._app = app
        if not isinstance(handlers, Mapping):
            expected = 'a dict of paths and functions'
            raise TypeError(f'handlers: expected {expected}, got {handlers!r:.80}')
        shared = _check_options(options)
        self._routes = Routes(
            {path: _make_route(path, handled, shared) for path, handled in handlers.items()}
        )

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        found = (
            self._routes.find(environ.get('PATH_INFO', ''))
            if WebSocket.is_websocket(environ)
            else None
        )
        if found is None:
            return self._app(environ, start_response)
        route, (positional, named) = found
        handler = route.handler
        if positional or named:
            handler = lambda ws: route.handler(ws, *positional, **named)
        return HandledSocket(handler, environ, route.options)(environ, start_response)


class HandledSocket(WebSocket):
    """A socket that starts its handler once the handshake is accepted, if it is."""

    __slots__ = ('_handler',)

    def __init__(self, handler: Handler, environ: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(environ, **options)
        context = options.get('context')
        self._handler: Handler | None = (
            handler if context is None else partial(context.copy().run, handler)
        )

    def _accepted(self, transport: Transport, received: bytes, headers: HeaderList) -> None:
        super()._accepted(transport, received, headers)
        handler, self._handler = self._handler, None
        assert handler is not None
        open_sockets.add_greenlet(gevent.spawn(self._handle, handler), self._connection)

    def _handle(self, handler: Handler) -> None:
        """Run the handler, whose fault ends this connection only (7.4.1: 1011)."""
        try:
            handler(self)
        except NOT_CONTAINED:
            # The greenlet was killed, or the process ends.
            self._connection.failed()
            raise
        except BaseException as error:
            log_fault(self, 'handler', error)
            self._application_failed(error)


def _make_route(path: Path, handled: Handled, shared: dict[str, Any]) -> _Route:
    handler, own = handled if isinstance(handled, tuple) else (handled, {})
    if not callable(handler):
        raise TypeError(f'handlers: expected a callable for {path!r}, got {handler!r}')
    check_is_not_async(f'handlers: {path!r}', handler)
    return _Route(handler, _check_options({**shared, **own}) if own else shared)


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, checked now and not at the first request.

    What can be read only once is read.
    """
    signature(WebSocket).bind({}, **options)
    make_limits(**{name: options[name] for name in OPTIONS if name in options})
    extensions = tuple(to_list('extensions', options.get('extensions', ()), EXPECTED))
    Pipeline(extensions)
    return {
        **options,
        'protocols': check_protocols(options.get('protocols')),
        'extensions': extensions,
        'headers': check_headers(options.get('headers')),
        'allowed_origins': make_origin_check(options.get('allowed_origins')),
    }
