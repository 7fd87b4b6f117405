"""The exceptions of ``geventwebsocket.exceptions``, which are an ``OSError`` each."""

from __future__ import annotations

from ... import errors

__all__ = ['FrameTooLargeException', 'ProtocolError', 'WebSocketError']


class WebSocketError(errors.WebSocketError, OSError):
    """The socket is closed; programs write ``except socket.error`` too."""


class ProtocolError(WebSocketError):
    """A name for ``except``: what breaks the protocol ends the connection."""


class FrameTooLargeException(ProtocolError):
    """A name for ``except``."""
