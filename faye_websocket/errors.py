"""The library's own exceptions.

A fault of the peer carries the close code or the HTTP status that answers it, so that
one place can turn any of them into bytes on the wire. In a program of handlers it becomes
an error event and a close event. In the greenlet style (``receive``, iteration, ``with``)
the subclasses of ``WebSocketError`` are raised at the caller; ``UnsupportedServer``, which
is the deployer's fault, is raised in both.
"""

from __future__ import annotations

__all__ = [
    'ConnectError',
    'ConnectionClosed',
    'ExtensionFailure',
    'HandshakeError',
    'InvalidData',
    'MessageTooBig',
    'ProtocolError',
    'UnsupportedServer',
    'WebSocketError',
]


class ProtocolError(Exception):
    """The peer broke the protocol; the connection closes with ``code`` and ``str(self)`` as its reason."""

    code = 1002


class InvalidData(ProtocolError):
    """A message does not hold what its type promises (RFC 6455 section 8.1: text that is not UTF-8)."""

    code = 1007


class MessageTooBig(ProtocolError):
    """A message is longer than ``max_length``, or is made of more frames than ``max_fragments``."""

    code = 1009


class ExtensionFailure(ProtocolError):
    """An extension has a fault of its own, which is the ``__cause__``."""

    code = 1011


class WebSocketError(Exception):
    """The base of what the sockets of this library raise, beside ValueError and the like."""


class HandshakeError(WebSocketError):
    """The opening handshake is refused with an HTTP ``status`` such as ``'400 Bad Request'``.

    ``headers`` are further response headers, pairs of strings.
    """

    def __init__(self, status: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class ConnectError(WebSocketError):
    """A client could not connect; the text names the stage that failed, and why."""


class ConnectionClosed(WebSocketError):
    """There are no more messages: the connection is closed, with this ``code`` and ``reason``.

    They are those of the close event. ``receive`` raises this once it has returned ``None``.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        text = f'the connection is closed: {self.code}'
        return f'{text} {self.reason}' if self.reason else text


class UnsupportedServer(WebSocketError, RuntimeError):
    """The WSGI server gives no way to take the connection over; the text names one that does."""
