"""The exceptions of ``simple_websocket.errors``, which are a ``RuntimeError`` each."""

from __future__ import annotations

from typing import Any

from ... import errors

__all__ = ['ConnectionClosed', 'ConnectionError', 'SimpleWebsocketError']

_NO_STATUS = 1005


class SimpleWebsocketError(errors.WebSocketError, RuntimeError):
    """The base of both."""


class ConnectionError(SimpleWebsocketError):
    """The handshake is refused with an HTTP status; ``websocket`` is its response."""

    def __init__(self, status_code: int | None = None, websocket: Any = None) -> None:
        super().__init__(f'Connection error: {status_code}')
        self.status_code = status_code
        self.websocket = websocket


class ConnectionClosed(SimpleWebsocketError):
    """The connection is closed; ``reason`` is the code, and ``message`` the text."""

    def __init__(self, reason: int = _NO_STATUS, message: str | None = None) -> None:
        super().__init__(f'Connection closed: {reason} {message or ""}')
        self.reason = reason
        self.message = message
