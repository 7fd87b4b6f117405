"""The counters of one process, and their sums over all that share them.

There is one ``SocketCounters`` for each kind of socket, and, where that is wanted, for
each path. Those of a process that shares them (``shared``) lie in memory that is common
to all workers; others are plain objects.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import MutableSequence
from typing import Any

from gevent.monkey import get_original

__all__ = ['KINDS', 'LIVES', 'NUMBERS', 'OTHER', 'Counting', 'Counters', 'SocketCounters', 'add_up']

logger = logging.getLogger('faye_websocket.metrics')

KINDS = ('server', 'client', 'eventsource')
# The counters that are single numbers, of which only the last is no int.
NUMBERS = (
    'opened',
    'failed',
    'messages_received',
    'messages_sent',
    'bytes_received',
    'bytes_sent',
    'dropped',
    'handler_errors',
    'lived',
)
#: The upper bounds, in seconds, of the classes of ``lives``.
LIVES = (1, 5, 15, 60, 300, 900, 3600, 14400, 86400, math.inf)
# Whoever asks for another path than these many gets the last one.
MOST_PATHS = 64
OTHER = 'other'


class Counting:
    """The methods of counters, wherever they lie."""

    opened: int
    failed: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    dropped: int
    handler_errors: int
    lived: float
    lives: MutableSequence[int]
    refused: dict[int, int]
    closed: dict[int, int]

    @property
    def open(self) -> int:
        """The number of sockets that are open now."""
        # In this order, another thread can only make it too large for a moment, and
        # never negative.
        closed = sum(tuple(self.closed.values()))
        return self.opened - closed

    def count_refused(self, status: int) -> None:
        """Count a handshake that ended with this HTTP error."""
        self.refused[status] += 1

    def count_closed(self, code: int, seconds: float) -> None:
        """Count the end of a socket that was open for so long."""
        self.closed[code] += 1
        self.lived += seconds
        self.lives[bisect_left(LIVES, seconds)] += 1

    def snapshot(self) -> dict[str, Any]:
        """Return all counters by name, as a dict that does not change."""
        values: dict[str, Any] = {name: getattr(self, name) for name in ('open', *NUMBERS)}
        return values | {
            'closed': dict(self.closed),
            'lives': list(self.lives),
            'refused': dict(self.refused),
        }

    def __repr__(self) -> str:
        return f'<SocketCounters {self.snapshot()}>'


class SocketCounters(Counting):
    """The counters of one kind of socket. All but ``open`` only ever grow.

    Every socket whose handshake has ended is counted once in the first three:

    - ``opened``: handshakes that succeeded.
    - ``refused``: handshakes that ended with an HTTP error, a count by its status: ours
      on a server, the peer's on a client.
    - ``failed``: handshakes that failed in another way: no connection, a peer that is
      gone, another response.
    - ``closed``: sockets that were open and are closed, a count by the close event's
      code; ``open`` is the number of those still open.
    - ``lives``: these by the time that they were open, as a list of counts, one for
      each of ``metrics.LIVES``, the longest times in seconds; ``lived`` is the time of
      all of them.
    - ``messages_received``: messages given to the application, none after ``close()``.
    - ``messages_sent``: messages for which ``send`` returned True; of a broadcast, one
      for each socket.
    - ``bytes_received``, ``bytes_sent``: bytes on these connections, within TLS:
      compressed, with frames' headers, pings, close frames and the handshake's
      response; sent once the kernel has taken them.
    - ``dropped``: messages that ``overflow='drop'`` dropped.
    - ``handler_errors``: handlers that raised, or were killed.
    """

    __slots__ = (*NUMBERS, 'closed', 'lives', 'refused')

    # CPython changes threads at calls and jumps only, so "counters.opened += 1" is
    # never interrupted if the number to add is known before. All threads can count here
    # without a lock, which a signal's handler could find held by its own thread.

    def __init__(self) -> None:
        self.opened = 0
        self.refused: defaultdict[int, int] = defaultdict(int)
        self.failed = 0
        self.closed: defaultdict[int, int] = defaultdict(int)
        self.lives = [0] * len(LIVES)
        self.lived = 0.0
        self.messages_received = 0
        self.messages_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.dropped = 0
        self.handler_errors = 0


def add_up(total: Counting, part: Counting) -> None:
    """Add the counters of ``part`` to those of ``total``."""
    for name in NUMBERS:
        setattr(total, name, getattr(total, name) + getattr(part, name))
    for index, count in enumerate(part.lives):
        total.lives[index] += count
    for name in ('closed', 'refused'):
        table = getattr(total, name)
        for key, count in getattr(part, name).items():
            table[key] += count


class Counters:
    """The counters of this process, by kind of socket.

    ``server`` is for WebSocket, ``client`` for Client, ``eventsource`` for EventSource.
    """

    __slots__ = ('_blocks', '_lock', '_shared')

    def __init__(self) -> None:
        self._shared: Any = None
        self._begin()

    def _begin(self) -> None:
        """Begin at 0: the parent's counts are not the child's."""
        self._blocks: dict[tuple[str, str], Counting] = {}
        # A signal's handler may find it held by its own thread.
        self._lock = get_original('_thread', 'RLock')()
        if self._shared is not None:
            self._shared.begin()

    @property
    def server(self) -> Counting:
        """The counters for WebSocket."""
        return self._of_kind('server')

    @property
    def client(self) -> Counting:
        """The counters for Client."""
        return self._of_kind('client')

    @property
    def eventsource(self) -> Counting:
        """The counters for EventSource."""
        return self._of_kind('eventsource')

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return all counters, by kind of socket and by name: a dict of dicts."""
        return {kind: self._of_kind(kind).snapshot() for kind in KINDS}

    def total(self) -> dict[str, dict[str, Any]]:
        """Return the sums over all workers that share their counters, as ``snapshot``.

        Without ``metrics.share()`` they are those of this process.
        """
        sums = {kind: SocketCounters() for kind in KINDS}
        for kind, _, block in self.blocks():
            add_up(sums[kind], block)
        return {kind: counters.snapshot() for kind, counters in sums.items()}

    def find(self, kind: str, path: str = '') -> Counting:
        """Return the counters of one kind and path, for a socket that begins."""
        with self._lock:
            key = (kind, path)
            if path and key not in self._blocks and self._has_many_paths(kind):
                key = (kind, OTHER)
            if key not in self._blocks:
                self._blocks[key] = self._new(*key)
            return self._blocks[key]

    def _has_many_paths(self, kind: str) -> bool:
        return sum(key[0] == kind for key in self._blocks) > MOST_PATHS

    def _new(self, kind: str, path: str) -> Counting:
        """Return counters at 0."""
        if self._shared is None:
            return SocketCounters()
        block = self._shared.new(kind, path)
        if block is None:
            logger.warning('too many workers share their counters: this one has its own')
        return block or SocketCounters()

    def blocks(self) -> list[tuple[str, str, Counting]]:
        """Return the counters of this process, and of all others that share theirs."""
        with self._lock:
            own = [(*key, block) for key, block in self._blocks.items()]
            if self._shared is None:
                return own
            private = [each for each in own if isinstance(each[2], SocketCounters)]
            return [*self._shared.blocks(), *private]

    @property
    def is_shared(self) -> bool:
        """Whether the counters of new sockets are shared."""
        return self._shared is not None

    def share(self, shared: Any) -> None:
        """Share the counters of sockets that are made from now on."""
        self._shared = shared

    def _of_kind(self, kind: str) -> Counting:
        """Return the counters of one kind; their sum where they are several."""
        blocks = [block for key, block in tuple(self._blocks.items()) if key[0] == kind]
        if len(blocks) == 1:
            return blocks[0]
        if not blocks:
            return self.find(kind)
        total = SocketCounters()
        for block in blocks:
            add_up(total, block)
        return total

    def __repr__(self) -> str:
        return f'<Counters {self.snapshot()}>'
