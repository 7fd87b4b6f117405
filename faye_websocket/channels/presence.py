"""Presence: the members of the channels, across all processes.

Each process adds its members to a set for each channel, and sends one heartbeat for all
of them. So presence costs a process one command every two seconds, however many members
it has, and the members of a process without heartbeats count as gone.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .runner import remaining
from .scripts import BEAT, ENTER
from .store import Script

if TYPE_CHECKING:
    from .redis import RedisBackend

__all__ = ['BEAT_SECONDS', 'Presence']

#: Seconds between two heartbeats.
BEAT_SECONDS = 2.0
# Seconds without a heartbeat after which a process counts as dead, and after which its
# members are removed; seconds for which a process is remembered, and for which members
# are kept; and seconds after which members are written again.
_DEAD, _GONE, _FORGOTTEN, _KEPT, _AGAIN = 6.0, 300.0, 3600, 86400, 3600.0
# Seconds that a command may take if no caller waits for it.
_PATIENCE = 5.0

_enter, _beat = Script(ENTER), Script(BEAT)


class Found(NamedTuple):
    """The members found in a channel; a later query has a higher number."""

    number: int
    names: list[str]


class Presence:
    """The members of this process, and those that it finds in all processes."""

    def __init__(self, backend: RedisBackend, process: str) -> None:
        self._backend = backend
        self._store = backend.store
        self._runner = backend.runner
        self._process = process
        self._processes = f'{backend.prefix}workers'
        self._lock = backend.lock
        self._mutex = self._runner.make_mutex()
        self._names: dict[str, Counter[str]] = {}
        # Names whose addition or removal is not yet written to Redis.
        self._changed: dict[str, set[str]] = {}
        self._is_known = False
        # The time of this process's last heartbeat, in milliseconds on Redis's clock.
        self._sign = 0.0
        self._written = time.monotonic()
        self._alive: set[str] = set()
        # The latest result for each channel that is watched; and the channels that are
        # being queried, with True if another query is to follow.
        self._seen: dict[str, Found] = {}
        self._numbers = itertools.count()
        self._looking: dict[str, bool] = {}
        self._began = self._ended = time.monotonic()

    # ---- the members of this process

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member."""
        deadline = time.monotonic() + timeout
        self._count(channel, name, 1)
        try:
            self._runner.call(lambda: self._sync(channel, deadline), timeout, 'join')
        except BaseException:
            self.leave(channel, name)
            raise

    def leave(self, channel: str, name: str) -> None:
        """Remove a member soon."""
        if self._count(channel, name, -1):
            self._runner.start(self._sync_quietly, channel)

    def _count(self, channel: str, name: str, change: int) -> bool:
        """Change the count of a name.

        Return whether this process thereby gains or loses the member.
        """
        with self._lock:
            names = self._names.setdefault(channel, Counter())
            names[name] += change
            is_change = names[name] == max(0, change)
            if is_change:
                self._changed.setdefault(channel, set()).add(name)
            if not names[name]:
                del names[name]
            if not names:
                del self._names[channel]
            return is_change

    def _sync(self, channel: str, deadline: float) -> None:
        """Write the changed members of this process to Redis."""
        if not self._mutex.acquire(True, max(0.001, remaining(deadline))):
            raise TimeoutError('join: Redis is unavailable')
        try:
            if not self._is_known:
                self._give_sign(deadline)
            self._write(channel, deadline)
        finally:
            self._mutex.release()

    def _write(self, channel: str, deadline: float) -> None:
        with self._lock:
            changed = self._changed.pop(channel, set())
            here = self._names.get(channel) or Counter()
            added = [self._entry(name) for name in changed if name in here]
            removed = [self._entry(name) for name in changed if name not in here]
        if not changed:
            return
        backend = self._backend
        try:
            self._store.run_script(
                deadline,
                'members',
                _enter,
                1,
                backend.key(channel, 'here'),
                _KEPT,
                backend.key(channel, 'bus'),
                len(added),
                *added,
                *removed,
            )
        except BaseException:
            with self._lock:
                self._changed.setdefault(channel, set()).update(changed)
            raise

    def _sync_quietly(self, channel: str) -> None:
        # If this fails, the next heartbeat repeats it.
        with suppress(Exception):
            self._sync(channel, time.monotonic() + _PATIENCE)

    def _entry(self, name: str) -> str:
        return f'{self._process} {name}'

    # ---- heartbeats

    def away(self, seconds: float) -> None:
        """Note that Redis is back, after ``seconds`` without any heartbeats."""
        self._ended = time.monotonic()
        self._began = self._ended - seconds
        # It may be another server, or have lost the writes of the last second.
        self._write_all_again()

    def beat(self) -> None:
        """Send a heartbeat, and look for processes whose heartbeats are missing."""
        if not (self._names or self._changed or self._backend.channels.onmembers):
            return
        deadline = time.monotonic() + _PATIENCE
        self._give_sign(deadline)
        if time.monotonic() - self._written > _AGAIN:
            self._write_all_again()
        for channel in tuple(self._changed):
            self._sync(channel, deadline)

    def _give_sign(self, deadline: float) -> None:
        process = self._process if self._names or self._changed else ''
        last, now, beats = self._store.run_script(
            deadline, 'members', _beat, 1, self._processes, process, _FORGOTTEN
        )
        if process:
            if float(last) != self._sign:
                # Redis has lost its data. Or the reply to an earlier heartbeat, which
                # may have shown that, was lost.
                self._write_all_again()
            self._sign = float(now)
        self._is_known = bool(process)
        alive = self._find_alive(now, beats)
        if alive != self._alive:
            self._alive = alive
            for channel in tuple(self._seen):
                self.look(channel)

    def _write_all_again(self) -> None:
        self._written = time.monotonic()
        with self._lock:
            for channel, names in self._names.items():
                self._changed.setdefault(channel, set()).update(names)

    def _find_alive(self, now: bytes, beats: list[Any]) -> set[str]:
        seconds = _DEAD
        if time.monotonic() - self._ended < _DEAD:
            # Some processes have not sent a heartbeat yet since Redis came back.
            seconds += time.monotonic() - self._began
        return self._find_beating(now, beats, seconds)

    def _find_beating(self, now: bytes, beats: list[Any], seconds: float) -> set[str]:
        """Return the processes whose last heartbeat is at most ``seconds`` old."""
        oldest = float(now) - 1000 * seconds
        pairs = zip(beats[::2], beats[1::2], strict=True)
        return {process.decode() for process, beat in pairs if float(beat) >= oldest}

    def go(self) -> None:
        """Announce that this process ends."""
        if self._is_known:
            self._is_known = False
            deadline = time.monotonic() + 0.5
            self._store.run(deadline, 'members', 'ZREM', self._processes, self._process)

    # ---- the members of all processes

    def find(self, channel: str, deadline: float) -> Found:
        """Return the members of all processes, and report a change."""
        with self._lock:
            number = next(self._numbers)
        found = Found(number, self._ask(channel, deadline))
        with self._lock:
            seen = self._seen.get(channel)
            if seen is not None and seen.number < number:
                self._seen[channel] = found
                if found.names != seen.names:
                    self._backend.channels.changed_members(channel, found.names)
        return found

    def newest(self, channel: str, found: Found) -> list[str]:
        """Return the names that were found, or newer ones.

        ``onmembers`` may have been called with newer names before the caller of
        ``find`` could continue.
        """
        return list(max(found, self._seen.get(channel, found)).names)

    def _ask(self, channel: str, deadline: float) -> list[str]:
        """Query the names, and remove those of processes that died long ago."""
        key = self._backend.key(channel, 'here')
        entries = self._store.run(deadline, 'members', 'SMEMBERS', key)
        if not entries:
            return []
        _, now, beats = self._store.run_script(
            deadline, 'members', _beat, 1, self._processes, '', _FORGOTTEN
        )
        alive = self._find_alive(now, beats)
        known = self._find_beating(now, beats, _GONE)
        pairs = [entry.decode().partition(' ') for entry in entries]
        gone = [f'{process} {name}' for process, _, name in pairs if process not in known]
        if gone:
            self._store.run(deadline, 'members', 'SREM', key, *gone)
        return sorted({name for process, _, name in pairs if process in alive})

    def begin(self, channel: str) -> None:
        """Query the members, before any change of them is reported."""
        if self._backend.channels.onmembers is not None:
            number = next(self._numbers)
            names = self._ask(channel, time.monotonic() + _PATIENCE)
            self._seen[channel] = Found(number, names)

    def end(self, channel: str) -> None:
        """Stop watching a channel."""
        self._seen.pop(channel, None)

    def look(self, channel: str) -> None:
        """Query the members soon, and report a change."""
        with self._lock:
            is_looking = channel in self._looking
            self._looking[channel] = is_looking
        if not is_looking:
            self._runner.start(self._look, channel)

    def _look(self, channel: str) -> None:
        is_again = True
        while is_again:
            with self._lock:
                self._looking[channel] = False
            try:
                self.find(channel, time.monotonic() + _PATIENCE)
            except Exception:
                # Makes a heartbeat query the members again when Redis is back.
                self._alive = set()
            with self._lock:
                is_again = self._looking[channel]
                if not is_again:
                    del self._looking[channel]
