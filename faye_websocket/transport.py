"""A connected socket that never blocks: what ``Stream`` reads from and writes to.

A plain one is the interpreter's own socket object, below gevent's. A TLS one is given the same face here: ``BlockingIOError``
where it would have to wait, and OSError (of which ssl.SSLError is one) when the connection is broken.
"""

from __future__ import annotations

import ssl
from typing import Any, Protocol

__all__ = ['TLSTransport', 'Transport']


class Transport(Protocol):
    """The part of a socket's interface that a stream uses."""

    def fileno(self) -> int:
        """The descriptor to watch."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Reads what there is into ``buffer``; 0 is the end."""

    def send(self, data: Any, /) -> int:
        """Writes what the kernel takes, and tells how much."""

    def setsockopt(self, level: int, name: int, value: int, /) -> None:
        """Sets an option of the socket."""

    def shutdown(self, how: int, /) -> None:
        """Tells the peer that nothing will follow."""

    def close(self) -> None:
        """Gives the descriptor back."""


class TLSTransport:
    """TLS over a socket: ``tls`` is the interpreter's ``_ssl._SSLSocket``, which refers to ``raw`` only weakly."""

    __slots__ = ('_raw', '_tls', 'close', 'fileno', 'setsockopt')

    def __init__(self, tls: Any, raw: Any) -> None:
        self._tls = tls
        self._raw = raw
        self.fileno = raw.fileno
        self.setsockopt = raw.setsockopt
        self.close = raw.close

    def recv_into(self, buffer: memoryview) -> int:
        """Reads the next record, or raw bytes that nobody will look at once this side has said goodbye."""
        if self._tls is None:
            return int(self._raw.recv_into(buffer))
        try:
            # One record, of 16 KiB at most. The buffer has room for more, so OpenSSL holds nothing back unseen by the watcher.
            return int(self._tls.read(len(buffer), buffer))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # An end without a goodbye is an end.
            return 0

    def send(self, data: bytes | memoryview) -> int:
        """Writes; OpenSSL wants a write that had to wait to be repeated with the same bytes, which a stream does."""
        try:
            return int(self._tls.write(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        """Says goodbye in TLS (close_notify), without waiting for the peer's, and then in TCP."""
        tls, self._tls = self._tls, None
        try:
            tls.shutdown()
        except OSError:
            # The peer's goodbye is not there yet, or the connection is gone: neither changes what follows.
            pass
        self._raw.shutdown(how)

