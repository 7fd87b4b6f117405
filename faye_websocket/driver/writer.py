"""Writer: what a driver writes to.

An ``io`` needs no more than ``write(data)``. One with a buffer can do better for some frames than write them in their turn: it
derives from ``Writer``. Any other is put into one.
"""

from __future__ import annotations

from typing import Protocol

from .. import calls

__all__ = ['IO', 'Writer', 'io_of', 'writer_of']


class IO(Protocol):
    """What a driver needs to be given."""

    def write(self, data: bytes) -> object:
        """Sends ``data`` to the peer, now or in its turn."""


class Writer:
    """What a driver writes to. An ``io`` that is none is put into one."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Sends ``data`` to the peer, now or in its turn."""
        raise NotImplementedError

    def write_parts(self, head: bytes, payload: bytes) -> None:
        """Does what ``write(head + payload)`` does; the payload is large, and may be spared the copy."""
        self.write(head + payload)

    def write_urgent(self, data: bytes, tag: str) -> None:
        """Sends ``data``, if possible before all that waits, and in the place of a waiting one with the same ``tag``."""
        self.write(data)

    def write_last(self, data: bytes) -> None:
        """Sends ``data``, after which nothing follows; what waits may be dropped."""
        self.write(data)


class _Wrapper(Writer):
    """The writer of an ``io`` of any class."""

    __slots__ = ('io',)

    def __init__(self, io: IO) -> None:
        self.io = io

    def write(self, data: bytes) -> None:
        calls.call(self.io.write, data)


def writer_of(io: IO) -> Writer:
    """What writes to this ``io``."""
    return io if isinstance(io, Writer) else _Wrapper(io)


def io_of(writer: Writer) -> IO:
    """What this writer writes to: itself, unless it was made by ``writer_of``."""
    return writer.io if isinstance(writer, _Wrapper) else writer
