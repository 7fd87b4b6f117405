"""The exceptions of the library.

An exception for a fault of the peer's carries the close code or the HTTP status of the
reply, so that one place can serialize any of them. In event style, the fault becomes an
error event and a close event. In greenlet style (``receive``, iteration, ``with``), the
caller gets a subclass of ``WebSocketError``. ``UnsupportedServer`` is raised in both
styles, because it is a mistake of the deployment.
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
    """The peer violated the protocol (RFC 6455 section 7.1.7).

    The connection closes with ``code``, and with the text of the error as the reason.
    """

    code = 1002


class InvalidData(ProtocolError):
    """A message does not match its type: text that is not UTF-8 (RFC 6455, 8.1)."""

    code = 1007


class MessageTooBig(ProtocolError):
    """A message is longer than ``max_length``, or has too many frames.

    The limit of frames is ``max_fragments`` (RFC 6455 section 10.4).
    """

    code = 1009


class ExtensionFailure(ProtocolError):
    """An extension raised an exception of its own, which is the ``__cause__``."""

    code = 1011


class WebSocketError(Exception):
    """The base class of the exceptions that the sockets of this library raise.

    Invalid arguments raise ValueError or TypeError instead.
    """


class HandshakeError(WebSocketError):
    """The opening handshake was refused, or failed (RFC 6455 sections 4.1 and 4.2).

    ``status`` is an HTTP status such as ``'400 Bad Request'``. ``headers`` are further
    headers of the response, as pairs of strings.
    """

    def __init__(
        self, status: str, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class ConnectError(WebSocketError):
    """A client could not connect.

    The text says which stage failed (DNS, connecting, proxy or TLS), and why.
    """


class ConnectionClosed(WebSocketError):
    """The connection is closed, so that there are no more messages.

    ``code`` and ``reason`` are those of the close event. ``receive`` raises this after
    it has returned ``None``.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        text = f'the connection is closed: {self.code}'
        return f'{text} {self.reason}' if self.reason else text


class UnsupportedServer(WebSocketError, RuntimeError):
    """The WSGI server does not let an application take the connection over.

    The text names a server that does.
    """
