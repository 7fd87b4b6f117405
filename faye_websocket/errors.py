"""The library's own exceptions.

A fault of the peer carries the close code or the HTTP status that answers it, so that one place can turn any of them
into bytes on the wire. None of these reaches the application by being raised at it, except ``UnsupportedServer``, which
is the deployer's fault: the others become an error event and a close event.
"""

from __future__ import annotations

__all__ = [
    'ConnectError',
    'ExtensionFailure',
    'HandshakeError',
    'InvalidData',
    'MessageTooBig',
    'ProtocolError',
    'UnsupportedServer',
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


class HandshakeError(Exception):
    """The opening handshake is refused with an HTTP ``status`` such as ``'400 Bad Request'``.

    ``headers`` are further response headers, pairs of strings.
    """

    def __init__(self, status: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class ConnectError(Exception):
    """A client could not connect; the text names the stage that failed, and why."""


class UnsupportedServer(RuntimeError):
    """The WSGI server gives no way to take the connection over; the text names one that does."""
