"""flask-sockets' names, as ``faye_websocket.compat.flask_sockets``.

Sockets are those of ``compat.gevent_websocket``, whose docstring says how they differ.
They need none of its handlers: ``gunicorn -k gevent`` and every other server of this
library do. Under ``worker`` the handshake is made before the route is known, as in the
original, and under other servers it is an unknown route's 404 that the client gets.

Of a blueprint its routes count; the functions of its ``before_request`` are not called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Flask, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from ..driver.wsgi import is_websocket
from ..websocket import StartResponse
from .gevent_websocket.handler import find_socket, serve

__all__ = ['SocketMiddleware', 'Sockets']

Handler = Callable[..., object]


class Sockets:
    """The extension: routes for sockets, beside those of the application."""

    def __init__(self, app: Flask | None = None) -> None:
        # A handler with defaults may have several routes.
        self.url_map = Map(redirect_defaults=False)
        self.blueprints: dict[str, Blueprint] = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the routes before those of the application."""
        app.wsgi_app = SocketMiddleware(app.wsgi_app, app, self)  # type: ignore[method-assign]

    def route(self, rule: str, **options: Any) -> Callable[[Handler], Handler]:
        """Return a decorator for a handler, which is called with the socket first."""

        def decorator(handler: Handler) -> Handler:
            self.add_url_rule(rule, options.pop('endpoint', None), handler, **options)
            return handler

        return decorator

    def add_url_rule(
        self, rule: str, endpoint: str | None, view_func: Handler, **options: Any
    ) -> None:
        """Add a route. ``endpoint`` and ``methods`` are taken and mean nothing."""
        defaults = options.get('defaults')
        self.url_map.add(Rule(rule, endpoint=view_func, defaults=defaults, websocket=True))

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Add the routes of a blueprint, below ``url_prefix`` if that is given."""
        known = self.blueprints.setdefault(blueprint.name, blueprint)
        if known is not blueprint:
            raise ValueError(f'blueprint: there is another named {blueprint.name!r}')
        state = blueprint.make_setup_state(self, options, True)  # type: ignore[arg-type]
        for function in blueprint.deferred_functions:
            function(state)


class SocketMiddleware:
    """A WSGI application: a socket whose route is known gets to its handler."""

    def __init__(self, wsgi_app: Any, app: Flask, socket: Sockets) -> None:
        self.wsgi_app = wsgi_app
        self.app = app
        self.ws = socket

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        if is_websocket(environ):
            try:
                handler, values = self.ws.url_map.bind_to_environ(environ).match()
            except HTTPException:
                # There is none: the application says so.
                pass
            else:
                return self._handle(handler, values, environ, start_response)
        response: Iterable[bytes] = self.wsgi_app(environ, start_response)
        return response

    def _handle(
        self,
        handler: Any,
        values: Any,
        environ: dict[str, Any],
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Call a handler within a request of the application's.

        Raises UnsupportedServer if another library has made the handshake.
        """

        def application(environ: dict[str, Any], _: StartResponse) -> Iterable[bytes]:
            with self.app.request_context(environ):
                request.cookie = request.cookies  # type: ignore[attr-defined]
                handler(environ['wsgi.websocket'], **values)
            return []

        if find_socket(environ) is not None:
            return application(environ, start_response)
        return serve(application, environ, start_response)


def __getattr__(name: str) -> Any:
    """Return the worker, which needs gunicorn, when it is asked for."""
    if name not in ('worker', 'Worker'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .gevent_websocket.gunicorn.workers import GeventWebSocketWorker

    return GeventWebSocketWorker
