"""flask-sock's names: ``flask_sock`` becomes ``faye_websocket.compat.flask_sock``.

The handler runs within its request, before ``teardown_request`` and after
``before_request``, which may refuse the handshake. The docstring of
``simple_websocket`` says how the socket differs from the original's. A handler that
fails closes it with 1011, where the original breaks the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, Flask, current_app, request

from .simple_websocket import ConnectionClosed, ConnectionError, Server

__all__ = ['ConnectionClosed', 'Server', 'Sock']


class Sock:
    """The extension; without an application the routes wait in a blueprint."""

    def __init__(self, app: Flask | None = None) -> None:
        self.app: Flask | None = None
        self.bp: Blueprint | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the routes with an application."""
        if self.bp is not None:
            app.register_blueprint(self.bp)
        self.app = app

    def route(
        self, path: str, bp: Blueprint | None = None, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator for a handler, which is called with the socket first.

        The options are those of Flask's ``route``. With ``bp`` the route is that
        blueprint's.
        """
        options['websocket'] = True

        def decorator(handler: Callable[..., Any]) -> Callable[..., Any]:
            self._find_place(bp).route(path, **options)(_make_view(handler))
            return handler

        return decorator

    def _find_place(self, bp: Blueprint | None) -> Any:
        place = bp or self.app or self.bp
        if place is None:
            place = self.bp = Blueprint('__flask_sock', __name__)
        return place


def _make_view(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a view that makes the handshake and calls the handler to its end."""

    @wraps(handler)
    def view(*arguments: Any, **values: Any) -> Any:
        options = current_app.config.get('SOCK_SERVER_OPTIONS', {})
        try:
            ws = Server(request.environ, **options)
        except ConnectionError as error:
            return error.websocket
        try:
            handler(ws, *arguments, **values)
            ws.close()
        except ConnectionClosed:
            pass
        except Exception as error:
            # Flask's response is all that the server sees of it.
            ws.websocket.raised = error
            raise
        return ws.websocket

    return view
