"""CountedTransport: a transport that counts the bytes that it sends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from . import syscalls
from .transport import Transport, find_descriptor

__all__ = ['CountedTransport']


class Counters(Protocol):
    """An object that counts."""

    bytes_sent: int


class CountedTransport:
    """A transport that adds the bytes which the kernel takes to ``counters``."""

    __slots__ = ('_counters', '_descriptor', '_transport', 'recv')

    def __init__(self, transport: Transport, counters: Counters) -> None:
        self._transport = transport
        self._descriptor = find_descriptor(transport)
        self._counters = counters
        # Without a method of ours in between, since it is called for every read.
        self.recv = partial(syscalls.recv, transport, self._descriptor)

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._transport.fileno()

    def send(self, data: Any) -> int:
        """Write what the kernel takes, and return its length."""
        sent = syscalls.send(self._transport, self._descriptor, data)
        self._counters.bytes_sent += sent
        return sent

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        """Write what the kernel takes of several pieces, and return its length."""
        sent = syscalls.sendmsg(self._transport, self._descriptor, parts)
        self._counters.bytes_sent += sent
        return sent

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Set an option of the socket."""
        self._transport.setsockopt(level, name, value)

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Return an option of the socket."""
        return self._transport.getsockopt(level, name, size)

    def shutdown(self, how: int) -> None:
        """End the writing half, or give the peer up."""
        self._transport.shutdown(how)

    def close(self) -> None:
        """Close the descriptor."""
        self._transport.close()
