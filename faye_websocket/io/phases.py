"""The states of a stream, as small numbers. ``stream`` says what they mean."""

from __future__ import annotations

__all__ = ['ALONE', 'CLOSED', 'CORKED', 'ENDING', 'FEEDING', 'LOOSE', 'OPEN']

# What is left to do on the socket.
OPEN, ENDING, ALONE, CLOSED = range(4)
# What becomes of bytes that are written.
LOOSE, CORKED, FEEDING = range(3)
