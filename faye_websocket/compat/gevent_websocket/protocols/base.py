"""BaseProtocol: what stands between a socket's events and the application's methods."""

from __future__ import annotations

from typing import Any

__all__ = ['BaseProtocol']


class BaseProtocol:
    """A subprotocol that passes everything on; subclasses have a name and do more."""

    PROTOCOL_NAME = ''

    def __init__(self, app: Any) -> None:
        self._app = app

    @property
    def app(self) -> Any:
        """The application."""
        return self._app

    @property
    def handler(self) -> Any:
        """The handler of the application's request, or None before there is one."""
        ws = getattr(self.app, 'ws', None)
        return None if ws is None else ws.handler

    @property
    def server(self) -> Any:
        """The server of the application's request, or None before there is one."""
        handler = self.handler
        return None if handler is None else handler.server

    def on_open(self) -> None:
        """Pass on that the socket is open."""
        self.app.on_open()

    def on_message(self, message: Any) -> None:
        """Pass on a message, or None at the end."""
        self.app.on_message(message)

    def on_close(self, reason: Any = None) -> None:
        """Pass on that the socket is closed."""
        self.app.on_close(reason)
