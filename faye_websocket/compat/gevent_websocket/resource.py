"""Resource: applications by path; WebSocketApplication: one object for each socket."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...driver.wsgi import is_websocket
from ...websocket import StartResponse
from .exceptions import WebSocketError
from .handler import find_socket, serve
from .protocols.base import BaseProtocol
from .websocket import WebSocket

__all__ = ['Resource', 'WebSocketApplication']

Apps = Mapping[str, Any] | Iterable[tuple[str, Any]]


class WebSocketApplication:
    """The base of applications: an object for each socket, which is its ``ws``."""

    protocol_class: type[BaseProtocol] = BaseProtocol

    def __init__(self, ws: WebSocket) -> None:
        self.protocol = self.protocol_class(self)
        self.ws = ws

    def handle(self) -> None:
        """Call the methods below for everything that happens to the socket."""
        try:
            self.protocol.on_open()
            while True:
                self.protocol.on_message(self.ws.receive())
        except WebSocketError:
            # It is the end, also for an application that would still send.
            if not self.ws.closed:
                raise
        self.protocol.on_close()

    def on_open(self, *arguments: Any, **options: Any) -> None:
        """Do nothing when the socket is open."""

    def on_message(self, message: Any, *arguments: Any, **options: Any) -> None:
        """Send a message back; at the end ``message`` is None."""
        self.ws.send(message, **options)

    def on_close(self, *arguments: Any, **options: Any) -> None:
        """Do nothing when the socket is closed."""

    @classmethod
    def protocol_name(cls) -> str:
        """Return the subprotocol that this application speaks."""
        return cls.protocol_class.PROTOCOL_NAME


class Resource:
    """A WSGI application of several: those of sockets are classes, all others WSGI's.

    ``apps`` is a mapping, or a list of pairs, of regular expressions, which match the
    beginning of a path, and applications. The first of the right kind is taken.
    """

    def __init__(self, apps: Apps | None = None) -> None:
        # Applications may be added later.
        self.apps = apps.items() if isinstance(apps, Mapping) else apps or []

    def app_protocol(self, path: str) -> str:
        """Return the subprotocol that the application of sockets at ``path`` speaks."""
        app = self._app_by_path(path, True)
        return app.protocol_name() if hasattr(app, 'protocol_name') else ''

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request. Raises Exception for a path without an application.

        Raises UnsupportedServer if another library has made the handshake.
        """
        ws = find_socket(environ)
        if ws is None and is_websocket(environ):
            return serve(self, environ, start_response)
        app = self._app_by_path(environ['PATH_INFO'], ws is not None)
        if app is None:
            raise Exception('No apps defined')
        if ws is None:
            response: Iterable[bytes] = app(environ, start_response)
            return response
        app(ws).handle()
        return []

    def _app_by_path(self, path: str, is_for_websocket: bool) -> Any:
        for pattern, app in self.apps:
            is_right_kind = self._is_websocket_app(app) == is_for_websocket
            if is_right_kind and re.match(pattern, path):
                return app
        return None

    def _is_websocket_app(self, app: Any) -> bool:
        """Return whether ``app`` is one for sockets; a subclass may know others."""
        return isinstance(app, type) and issubclass(app, WebSocketApplication)
