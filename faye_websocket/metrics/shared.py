"""Shared: counters in memory that all workers of one server have in common.

The master makes the memory before it forks; a worker writes to a part of its own, its
seat, and anyone reads all of them. The memory is a file without a name: it has no place
to be configured, nothing is left of it on a disk, and it is gone with the last process.

A worker holds the lock of its seat, which the kernel gives back however the worker
ends. The counters of a seat that nobody holds are added to seat 0, before they are read
or the seat is taken again; sockets that were open there count as closed with 1006, as
their peers have seen it.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from ..driver.codes import CloseCode
from .counters import KINDS, LIVES, MOST_PATHS, NUMBERS, OTHER, Counting, add_up

__all__ = ['Shared']

# The most workers that may live at a time, old and new ones at a reload, and one.
_SEATS = 129
# For each kind: those of no path, of each path, and of all others.
_BLOCKS = len(KINDS) * (MOST_PATHS + 2)
# Codes, or statuses, that are counted each by itself; all others are OTHERS.
_ROWS = 40
_OTHERS = 0
_PATH = 200


class _Row(ctypes.Structure):
    _fields_ = (('key', ctypes.c_int64), ('count', ctypes.c_int64))


class _Table(MutableMapping[int, int]):
    """Counts by a number. The first row is for numbers that have none of their own."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __getitem__(self, key: int) -> int:
        count: int = self._find(key).count
        return count

    def __setitem__(self, key: int, count: int) -> None:
        self._find(key).count = count

    def __delitem__(self, key: int) -> None:
        raise TypeError('counts are not deleted')

    def __iter__(self) -> Iterator[int]:
        return (row.key for row in self._rows if row.count)

    def __len__(self) -> int:
        return sum(bool(row.count) for row in self._rows)

    def _find(self, key: int) -> Any:
        """Return the row of a number, a new one if there is room."""
        for row in self._rows[1:]:
            if row.key in (0, key):
                row.key = key
                return row
        return self._rows[_OTHERS]


class Block(Counting, ctypes.Structure):
    """The counters of one kind and path, in shared memory."""

    _fields_ = (
        *((name, ctypes.c_double if name == 'lived' else ctypes.c_int64) for name in NUMBERS),
        ('lives', ctypes.c_int64 * len(LIVES)),
        ('kind', ctypes.c_int64),
        ('path', ctypes.c_char * _PATH),
        ('closed_rows', _Row * _ROWS),
        ('refused_rows', _Row * _ROWS),
    )

    @property
    def closed(self) -> _Table:  # type: ignore[override]
        """The sockets that are closed, by the close event's code."""
        return _Table(self.closed_rows)

    @property
    def refused(self) -> _Table:  # type: ignore[override]
        """The handshakes that were refused, by the status."""
        return _Table(self.refused_rows)

    def key(self) -> tuple[str, str]:
        """Return kind and path."""
        return KINDS[self.kind], self.path.decode(errors='replace')


class _Memory(ctypes.Structure):
    """All of it. ``used`` is the number of blocks that each seat has filled."""

    _fields_ = (('used', ctypes.c_int64 * _SEATS), ('seats', Block * _BLOCKS * _SEATS))
    used: Any
    seats: Any


class Shared:
    """The memory, and the seat of this process."""

    def __init__(self) -> None:
        self._file = _make_file()
        os.ftruncate(self._file, ctypes.sizeof(_Memory))
        # Never closed: a process that closes a copy of a file loses its locks.
        self._memory = _Memory.from_buffer(mmap.mmap(self._file, 0))
        self.begin()

    def begin(self) -> None:
        """Begin without a seat, in a process that was forked."""
        self._seat = 0

    def new(self, kind: str, path: str) -> Block | None:
        """Return new counters at the seat of this process, or None without a seat."""
        if not (self._seat or self._sit_down()):
            return None
        number = self._memory.used[self._seat]
        return self._fill(self._seat, number, KINDS.index(kind), path.encode()[: _PATH - 1])

    def blocks(self) -> list[tuple[str, str, Counting]]:
        """Return copies of the counters of all processes, the ended ones at seat 0."""
        with self._locked():
            for seat in range(1, _SEATS):
                if seat != self._seat and self._memory.used[seat] and self._lock(seat):
                    self._leave(seat)
                    self._unlock(seat)
            return [
                (*block.key(), Block.from_buffer_copy(block))
                for seat in range(_SEATS)
                for block in self._at(seat)
            ]

    def _sit_down(self) -> bool:
        """Take a seat, for as long as this process lives; False if all are taken."""
        with self._locked():
            self._seat = next((seat for seat in range(1, _SEATS) if self._lock(seat)), 0)
            if self._seat:
                self._leave(self._seat)
        return bool(self._seat)

    def _leave(self, seat: int) -> None:
        """Add the counters of a process that has ended to those of seat 0."""
        for block in self._at(seat):
            lost = block.open
            if lost:
                block.closed[CloseCode.ABNORMAL_CLOSURE] += lost
            add_up(self._find_ended(block), block)
            ctypes.memset(ctypes.byref(block), 0, ctypes.sizeof(block))
        self._memory.used[seat] = 0

    def _find_ended(self, like: Block) -> Block:
        """Return the counters at seat 0 that are of one kind and path."""
        known = {block.key(): block for block in self._at(0)}
        kind, path = like.key()
        if (kind, path) in known:
            return known[kind, path]
        if path and len([key for key in known if key[0] == kind]) > MOST_PATHS:
            return known.get((kind, OTHER)) or self._fill(0, len(known), like.kind, OTHER.encode())
        return self._fill(0, len(known), like.kind, like.path)

    def _fill(self, seat: int, number: int, kind: int, path: bytes) -> Block:
        block: Block = self._memory.seats[seat][number]
        block.kind, block.path = kind, path
        self._memory.used[seat] = number + 1
        return block

    def _at(self, seat: int) -> list[Block]:
        blocks: Any = self._memory.seats[seat]
        return [blocks[number] for number in range(self._memory.used[seat])]

    def _lock(self, seat: int) -> bool:
        """Lock a seat; False if the process that has it is alive."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, seat)
        except OSError:
            return False
        return True

    def _unlock(self, seat: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, seat)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing who sits where."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, _SEATS)
        try:
            yield
        finally:
            self._unlock(_SEATS)


def _make_file() -> int:
    """Return the descriptor of a file without a name, in memory if there are such."""
    if hasattr(os, 'memfd_create'):
        return os.memfd_create('faye_websocket.metrics')
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
