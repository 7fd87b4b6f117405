"""Writer: the output of a driver.

An ``io`` needs nothing but ``write(data)``. One with a buffer can let some frames
overtake others: it derives from ``Writer``. An ``io`` of any other class is wrapped in
one.
"""

from __future__ import annotations

from typing import Protocol

from .. import calls

__all__ = ['IO', 'Writer', 'io_of', 'writer_of']


class IO(Protocol):
    """The least that a driver needs to be given."""

    def write(self, data: bytes) -> object:
        """Send ``data`` to the peer, at once or after the data before it."""


class Writer:
    """The output of a driver. An ``io`` of another class is wrapped in one."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Send ``data`` to the peer, at once or after the data before it."""
        raise NotImplementedError

    def write_parts(self, head: bytes, payload: bytes) -> None:
        """Send ``head + payload``.

        The payload is large; a subclass may avoid copying it.
        """
        self.write(head + payload)

    def write_urgent(self, data: bytes, tag: str) -> None:
        """Send ``data``, ahead of the data that is buffered if possible.

        It replaces data with an equal ``tag`` that is still buffered.
        """
        self.write(data)

    def write_last(self, data: bytes) -> None:
        """Send ``data``, the last of this connection.

        Data that is buffered may be dropped.
        """
        self.write(data)


class _Wrapper(Writer):
    """The writer for an ``io`` of any class."""

    __slots__ = ('io',)

    def __init__(self, io: IO) -> None:
        self.io = io

    def write(self, data: bytes) -> None:
        calls.call(self.io.write, data)


def writer_of(io: IO) -> Writer:
    """Return the writer for this ``io``."""
    return io if isinstance(io, Writer) else _Wrapper(io)


def io_of(writer: Writer) -> IO:
    """Return the ``io`` of this writer: itself, unless ``writer_of`` made it."""
    return writer.io if isinstance(writer, _Wrapper) else writer
