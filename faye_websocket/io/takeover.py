"""takeover: taking a connection away from gevent's socket object.

A socket of gevent's, or of a WSGI server on gevent, refers to the interpreter's own
socket object. ``detach_leaving_stub`` takes that one out as a ``Transport``, and leaves
a ``Stub``, so that a server can finish its request and let go of it, while none of what
it writes reaches the peer. ``detach`` is for a socket that is not used any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gevent.ssl

from .tls import TLSTransport
from .transport import Transport

__all__ = ['TAKEN', 'OnHead', 'Sink', 'Stub', 'detach', 'detach_leaving_stub']

# What is wrong with a second socket of one request.
TAKEN = (
    "this request's connection was taken before, or is closed: "
    'one request can become one WebSocket or one EventSource'
)

# Called with what a server writes after its socket is gone: see
# ``detach_leaving_stub``.
Sink = Callable[[bytes], object]
OnHead = Callable[[bytes], Sink | None]

# RFC 9110 section 15.2: an interim response, "prior to completing the requested action
# and sending a final response"; 101 is the one that is final here.
_INTERIM = re.compile(rb'HTTP/1\.[01] 1(?!01)\d\d\b')


class Stub:
    """A socket for a WSGI server to keep: always at its end, and swallowing.

    If it raised errors instead, the servers would log them. The response's head goes to
    ``on_head``, and what follows to the function that this returns, if any.
    """

    family = type = proto = -1
    #: What ``fileno`` returns, for a server that asks the kernel about its socket.
    descriptor = -1

    def __init__(self, on_head: OnHead | None) -> None:
        self._on_head = on_head
        self._head = b''
        self._sink: Sink | None = None
        self._is_closed = False

    def __bool__(self) -> bool:
        """Return False once closed, as gevent and its server expect."""
        return not self._is_closed

    def fileno(self) -> int:
        """Return ``descriptor``; -1 says that there is none."""
        return self.descriptor

    def recv(self, *arguments: object) -> bytes:
        """Return the end."""
        return b''

    def recv_into(self, *arguments: object) -> int:
        """Return the end."""
        return 0

    def send(self, data: bytes, *arguments: object) -> int:
        """Swallow ``data``, and return its length."""
        piece = bytes(data)
        if self._on_head is not None:
            self._collect(piece)
        elif self._sink is not None:
            self._sink(piece)
        return len(piece)

    def close(self) -> None:
        """End the response: the server is done."""
        if self._is_closed:
            return
        self._is_closed = True
        on_head, self._on_head = self._on_head, None
        if on_head is not None:
            self._sink = on_head(b'')
        if self._sink is not None:
            self._sink(b'')

    def _collect(self, piece: bytes) -> None:
        """Collect the head up to its end, and pass over interim ones (early hints)."""
        self._head += piece
        while (end := self._head.find(b'\r\n\r\n') + 4) >= 4:
            if not _INTERIM.match(self._head):
                self._hand_over(end)
                return
            self._head = self._head[end:]

    def _hand_over(self, end: int) -> None:
        """Pass on the head, which ends here, and what is behind it."""
        on_head, self._on_head = self._on_head, None
        assert on_head is not None
        self._sink = on_head(self._head[:end])
        if self._sink is not None and self._head[end:]:
            self._sink(self._head[end:])
        self._head = b''

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Return a function that does nothing: a server sets options, or shuts down."""
        return lambda *arguments: 0


def detach_leaving_stub(sock: Any, on_head: OnHead | None = None) -> Transport:
    """Take a gevent socket's connection away from it, and leave a stub in its place.

    ``on_head`` is called once with the head of the response that a server goes on to
    write into the stub, from the status line to the empty line; or with ``b''`` if the
    server closes without one. If it returns a function, that is called with the bytes
    behind the head, piece by piece, and with ``b''`` at the end. Raises RuntimeError
    when the connection was taken before, or the socket is closed.
    """
    raw: Transport = sock._sock
    if isinstance(raw, Stub) or not raw:
        raise RuntimeError(TAKEN)
    # A plain one has no such attribute, and takes 5 microseconds to say so.
    tls = sock._sslobj if isinstance(sock, gevent.ssl.SSLSocket) else None
    sock._sock = Stub(on_head)
    if tls is None:
        return raw
    # OpenSSL knows the descriptor by its number and cannot change it, so the whole pair
    # moves.
    sock._sslobj = None
    return TLSTransport(tls, raw)


def detach(sock: Any) -> Transport:
    """Take a gevent socket's connection away from it, and close what is left."""
    transport = detach_leaving_stub(sock)
    sock.close()
    return transport
