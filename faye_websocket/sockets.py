"""How a stream reads and writes its transport. ``_sockets.pyx`` has the same for the compiled form, which can do with less.

There, a plain socket is read and written past its object if it is a matter of a few bytes: the kernel takes or gives them in
the time that the interpreter needs to let go of its lock and take it back.
"""

from __future__ import annotations

from typing import Any

__all__ = ['recv', 'send']


def recv(transport: Any, descriptor: int, size: int) -> bytes:
    """``transport.recv(size)``; it raises OSError."""
    chunk: bytes = transport.recv(size)
    return chunk


def send(transport: Any, descriptor: int, data: bytes | memoryview) -> int:
    """``transport.send(data)``; it raises OSError."""
    sent: int = transport.send(data)
    return sent
