"""A record of all sockets, and of their close events."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Ledger:
    """A counter of the events of sockets.

    It keeps the number of a socket only until its close event.
    """

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0
        self.closed_again = 0
        self.events: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self._open: set[int] = set()

    def enter(self, socket: Any) -> None:
        """Count this socket and its later events."""
        self.made += 1
        number = self.made
        self._open.add(number)
        for type in ('open', 'message', 'error', 'drain'):
            socket.on(type, self._count)
        socket.on('close', lambda event: self._close(number, event))

    def enter_silent(self, socket: Any) -> None:
        """Count a socket without a handler for messages, because the test receives
        them.
        """
        self.made += 1
        number = self.made
        self._open.add(number)
        socket.on('error', self._count)
        socket.on('close', lambda event: self._close(number, event))

    def _count(self, event: Any) -> None:
        self.events[event.type] += 1

    def _close(self, number: int, event: Any) -> None:
        if number in self._open:
            self._open.remove(number)
            self.closed += 1
            self.codes[event.code] += 1
        else:
            self.closed_again += 1

    def summary(self) -> dict[str, Any]:
        """Return the counts so far."""
        return {
            'made': self.made, 'closed': self.closed, 'closed_again': self.closed_again, 'open': len(self._open),
            'events': dict(self.events), 'codes': {str(code): count for code, count in sorted(self.codes.items())}}
