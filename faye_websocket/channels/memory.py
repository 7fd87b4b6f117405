"""MemoryBackend: channels within one process.

It behaves like the backend on Redis, except that nothing outlives the process: an id
from an earlier process counts as lost. A forked child has a copy of the messages, and
continues with ids of its own.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from .message import Chunk, Entry
from .runner import make_lock

if TYPE_CHECKING:
    from .backend import Backend
    from .channels import Channels
    from .room import Desk

__all__ = ['MemoryBackend']

# Seconds for which a key is remembered; and the number of messages in one read.
_KNOWN, _PART = 24 * 3600, 100
# Seconds between two removals of the expired keys of a channel.
_SWEEP = 60


class MemoryBackend:
    """The channels of one process; ``old`` is the backend of its parent."""

    def __init__(self, channels: Channels, old: Backend | None = None) -> None:
        self._channels = channels
        self._lock = make_lock()
        self._logs: dict[str, _Log] = {}
        # Processes do not share ids: two that were started in one millisecond differ
        # in the random part.
        epoch = time.time_ns() // 1_000_000 * 1000
        if isinstance(old, MemoryBackend):
            epoch = max(epoch, old._epoch + 1)
        self._epoch: int = epoch + secrets.randbelow(1000)
        self._count = 0
        # Messages that are yet to be delivered, in the order of their ids.
        self._outbox: deque[tuple[str, Entry]] = deque()
        self._is_delivering = False
        if isinstance(old, MemoryBackend):
            for channel, log in tuple(old._logs.items()):
                self._logs[channel] = log.copy()

    def publish(self, channel: str, entry: Entry, key: str | None, timeout: float) -> str:
        """Store a message, deliver it, and return its id."""
        with self._lock:
            log = self._log(channel)
            known = log.find_key(key)
            if known is not None:
                return known
            self._count += 1
            entry = entry._replace(id=f'{self._epoch}-{self._count}', previous=log.last)
            log.append(entry, key)
            self._outbox.append((channel, entry))
        self._deliver()
        return entry.id

    def _deliver(self) -> None:
        """Deliver the published messages in order, regardless of their publishers."""
        with self._lock:
            if self._is_delivering:
                return
            self._is_delivering = True
        while True:
            with self._lock:
                if not self._outbox:
                    self._is_delivering = False
                    return
                channel, entry = self._outbox.popleft()
                log = self._logs.get(channel)
                desks = () if log is None else tuple(log.desks)
            if desks:
                message = self._channels.find_message(channel, entry)
                for desk in desks:
                    desk.deliver(message)

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel to a desk."""
        with self._lock:
            log = self._log(channel)
            if desk not in log.desks:
                waiting = [entry for other, entry in self._outbox if other == channel]
                begin(waiting[0].previous if waiting else log.last)
                log.desks[desk] = None

    def detach(self, channel: str, desk: Desk) -> None:
        """Stop delivering the messages of a channel to a desk."""
        with self._lock:
            log = self._logs.get(channel)
            if log is not None:
                log.desks.pop(desk, None)
                self._drop_if_empty(channel, log)

    def _drop_if_empty(self, channel: str, log: _Log) -> None:
        if not (log.last or log.desks or log.members):
            del self._logs[channel]

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of the stored history."""
        with self._lock:
            log = self._log(channel)
            chunk = log.read(mode, value)
            self._drop_if_empty(channel, log)
            return chunk

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member."""
        self._count_member(channel, name, 1)

    def leave(self, channel: str, name: str) -> None:
        """Remove a member."""
        self._count_member(channel, name, -1)

    def _count_member(self, channel: str, name: str, change: int) -> None:
        with self._lock:
            members = self._log(channel).members
            before = sorted(members)
            members[name] += change
            if not members[name]:
                del members[name]
            after = sorted(members)
            self._drop_if_empty(channel, self._logs[channel])
        if after != before:
            self._channels.changed_members(channel, after)

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members."""
        with self._lock:
            return sorted(self._logs[channel].members) if channel in self._logs else []

    def close(self) -> None:
        """Do nothing, because no resource is open."""

    def abandon(self) -> None:
        """Do nothing, because no resource is open."""

    def _log(self, channel: str) -> _Log:
        log = self._logs.get(channel)
        if log is None:
            history, max_age = self._channels.history, self._channels.max_age
            log = self._logs[channel] = _Log(history, max_age)
        return log


# The entries of all channels without any: an empty deque takes 700 bytes.
_NO_ENTRIES: deque[tuple[float, Entry]] = deque(maxlen=0)


class _Log:
    """The messages, the desks and the members of one channel."""

    __slots__ = ('_entries', '_history', '_keys', '_max_age', '_swept', 'desks', 'last', 'members')

    def __init__(self, history: int, max_age: float | None) -> None:
        self._history = history
        self._max_age = max_age
        # Each entry with the time of its publication.
        self._entries = _NO_ENTRIES
        # The id for each key, and the time until which it is remembered.
        self._keys: dict[str, tuple[str, float]] = {}
        self._swept = time.monotonic()
        self.last = ''
        self.desks: dict[Desk, None] = {}
        self.members: Counter[str] = Counter()

    def copy(self) -> _Log:
        """Return a copy of the messages for another process."""
        log = _Log(self._history, self._max_age)
        for entry in tuple(self._entries):
            log._keep(entry)
        log._keys.update(self._keys)
        log.last = self.last
        return log

    def find_key(self, key: str | None) -> str | None:
        """Return the id of the message with this key, or None."""
        now = time.monotonic()
        if now - self._swept > _SWEEP:
            self._swept = now
            self._keys = {key: known for key, known in self._keys.items() if known[1] > now}
        id, end = self._keys.get(key, ('', 0.0)) if key is not None else ('', 0.0)
        return id if end > now else None

    def append(self, entry: Entry, key: str | None) -> None:
        """Store a message."""
        now = time.monotonic()
        self._keep((now, entry))
        self.last = entry.id
        if key is not None:
            self._keys[key] = (entry.id, now + _KNOWN)
        self._drop_old(now)

    def _keep(self, entry: tuple[float, Entry]) -> None:
        if self._entries is _NO_ENTRIES:
            self._entries = deque(maxlen=self._history)
        self._entries.append(entry)

    def _drop_old(self, now: float) -> None:
        if self._max_age is not None:
            while self._entries and self._entries[0][0] < now - self._max_age:
                self._entries.popleft()

    def read(self, mode: str, value: str | int) -> Chunk:
        """Return a part of the stored history."""
        self._drop_old(time.monotonic())
        entries = [entry for _, entry in self._entries]
        is_lost, start = False, 0
        if mode == 'recent':
            start = max(0, len(entries) - int(value))
        elif mode == 'all':
            is_lost = True
        else:
            places = {entry.previous: place for place, entry in enumerate(entries)}
            places[self.last] = len(entries)
            is_lost = value not in places
            start = places.get(str(value), 0)
        part = list(islice(entries, start, start + _PART))
        return Chunk(is_lost, self.last, part, start + len(part) >= len(entries))
