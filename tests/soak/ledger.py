"""The ledger: every socket that was made, and whether its close event came once."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Ledger:
    """Counts the events of sockets; it remembers a socket, by a number, only until its close event."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0
        self.closed_again = 0
        self.events: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self._open: set[int] = set()

    def enter(self, socket: Any) -> None:
        """Counts this socket, and the events that it has from now on."""
        self.made += 1
        number = self.made
        self._open.add(number)
        for type in ('open', 'message', 'error', 'drain'):
            socket.on(type, self._count)
        socket.on('close', lambda event: self._close(number, event))

    def enter_silent(self, socket: Any) -> None:
        """The same for a socket that is received from, whose messages must have no handler."""
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
        """The counts so far."""
        return {
            'made': self.made, 'closed': self.closed, 'closed_again': self.closed_again, 'open': len(self._open),
            'events': dict(self.events), 'codes': {str(code): count for code, count in sorted(self.codes.items())}}
