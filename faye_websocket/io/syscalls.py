"""syscalls: the system calls of a stream.

``_syscalls.pyx`` has the same functions for the compiled form. There a plain socket is
read and written past its object if it is a matter of a few bytes: the kernel takes or
gives them in the time that the interpreter needs to let go of its lock and take it
back.

A plain socket has a ``descriptor`` that is not negative, and each call says that it
must not wait. O_NONBLOCK alone is not enough: all copies of a socket share it, and any
of them may be used to clear it. A TLS transport takes no flags: OpenSSL reads and
writes its socket, and would wait.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

__all__ = ['LARGE_READ', 'SMALL_READ', 'recv', 'send', 'sendmsg']

# How many bytes are read at a time from a peer that sends little, and from one that has
# just sent as many: a frame of 64 KiB comes in one read. Memory for more than 128 KiB
# malloc would map and unmap every time.
SMALL_READ, LARGE_READ = 16384, 68 * 1024

_READ_FLAGS = socket.MSG_DONTWAIT
# macOS has no MSG_NOSIGNAL.
_WRITE_FLAGS = socket.MSG_DONTWAIT | getattr(socket, 'MSG_NOSIGNAL', 0)


def recv(transport: Any, descriptor: int, size: int) -> bytes:
    """Return at most ``size`` bytes that have come, or none at the end."""
    chunk: bytes = transport.recv(size) if descriptor < 0 else transport.recv(size, _READ_FLAGS)
    return chunk


def send(transport: Any, descriptor: int, data: bytes | memoryview) -> int:
    """Send what the kernel takes of ``data``, and return its length."""
    sent: int = transport.send(data) if descriptor < 0 else transport.send(data, _WRITE_FLAGS)
    return sent


def sendmsg(transport: Any, descriptor: int, parts: Sequence[bytes | memoryview]) -> int:
    """Send what the kernel takes of these pieces, and return its length."""
    if descriptor < 0:
        sent: int = transport.sendmsg(parts)
    else:
        sent = transport.sendmsg(parts, (), _WRITE_FLAGS)
    return sent
