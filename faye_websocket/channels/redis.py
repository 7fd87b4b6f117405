"""RedisBackend: channels across all processes that use the same Redis.

A stream for each channel gives it its order and its history. Each message is published
to the subscribers with the id of the previous one: a subscriber that has received that
one needs nothing else, and any other continues from the stream. That is one command for
each message, however many channels a process is in, whereas a blocking read of all
their streams would name each of them again for every message.

One connection listens for all channels of this process, while there are any; a few
other connections execute the commands.
"""

from __future__ import annotations

import atexit
import time
import uuid
import weakref
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .listener import Listener
from .message import Chunk, Entry, entry_of
from .presence import Presence
from .runner import Runner
from .scripts import LAST, PUBLISH, READ
from .store import Script, Store

if TYPE_CHECKING:
    from .channels import Channels
    from .room import Desk

__all__ = ['RedisBackend']

# Seconds for which a channel without ``max_age`` is kept; and the seconds for which any
# other outlives its messages, so that its last id shows whether messages are lost.
_KEPT, _LONGER = 30 * 86400, 86400
# Seconds for which a key is remembered; and the seconds beyond the timeout for which a
# message without a key is, because a repetition of it may still be in progress.
_KNOWN, _KNOWN_LONGER = 86400, 60
# The largest part of a history that is read at once, in messages and in bytes.
_PART, _PART_BYTES = 100, 2**19
# Seconds that a read by the listener may take.
_PATIENCE = 10.0

_publish, _read = Script(LAST + PUBLISH), Script(LAST + READ)


class RedisBackend:
    """The channels of one process on Redis."""

    def __init__(self, channels: Channels, runner: Runner) -> None:
        self.channels = channels
        self.prefix = channels.prefix
        self.runner = runner
        self.store = Store(channels.url, self.runner)
        self.lock = channels.lock
        self.presence = Presence(self, uuid.uuid4().hex)
        self._age = '' if channels.max_age is None else str(int(channels.max_age * 1000))
        age = _KEPT if channels.max_age is None else channels.max_age + _LONGER
        self._kept = int(min(age, 10 * 365 * 86400))
        self._listener = Listener(self)
        self.is_closed = False
        _open.add(self)

    def key(self, channel: str, what: str) -> str:
        """Return a key; all keys of one channel are in one slot of a cluster."""
        # Redis Cluster would ignore an empty tag, and end one at its first brace.
        tag = channel.replace('%', '%25').replace('}', '%7D')
        return f'{self.prefix}{{{tag}}}:{what}'

    # ---- the interface of a backend

    def publish(self, channel: str, entry: Entry, key: str | None, timeout: float) -> str:
        """Store and publish a message, only once however often that is attempted."""
        known = _KNOWN if key is not None else int(min(timeout, _KNOWN)) + _KNOWN_LONGER
        token = f'key:{key}' if key is not None else f'try:{uuid.uuid4().hex}'
        is_text = isinstance(entry.data, str)
        arguments = (
            3,
            self.key(channel, 'log'),
            self.key(channel, 'last'),
            self.key(channel, token),
            self.channels.history,
            self._kept,
            self._age,
            known,
            't' if is_text else 'b',
            entry.event or '',
            entry.data,
            self.key(channel, 'bus'),
            zlib.crc32(channel.encode()),
        )
        id = self._call(timeout, 'publish', _publish, arguments)
        return str(id.decode())

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of the stored history."""
        return _chunk(
            self._call(timeout, 'join', _read, self._read_arguments(channel, mode, value))
        )

    def _read_arguments(self, channel: str, mode: str, value: str | int) -> tuple[Any, ...]:
        keys = self.key(channel, 'log'), self.key(channel, 'last')
        return (2, *keys, mode, value, self._age, _PART, _PART_BYTES)

    def _call(self, timeout: float, what: str, script: Script, arguments: tuple[Any, ...]) -> Any:
        deadline = time.monotonic() + timeout
        function = lambda: self.store.run_script(deadline, what, script, *arguments)
        return self.runner.call(function, timeout, what)

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member that belongs to this process."""
        self.presence.enter(channel, name, timeout)

    def leave(self, channel: str, name: str) -> None:
        """Remove a member of this process soon."""
        self.presence.leave(channel, name)

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members of all processes."""
        deadline = time.monotonic() + timeout
        find = lambda: self.presence.find(channel, deadline)
        return self.presence.newest(channel, self.runner.call(find, timeout, 'members'))

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel to a desk."""
        self._listener.attach(channel, desk, begin, timeout)

    def detach(self, channel: str, desk: Desk) -> None:
        """Stop delivering the messages of a channel to a desk."""
        self._listener.detach(channel, desk)

    def close(self) -> None:
        """Announce that this process ends, and close the connections."""
        if self.is_closed or self.runner.is_inherited:
            return
        self.is_closed = True
        # If this fails, other processes notice the end a little later.
        with suppress(Exception):
            self.runner.call(self.presence.go, 0.5, 'close')
        self.store.close()

    def abandon(self) -> None:
        """Leave all resources to the parent of this process."""
        self.is_closed = True
        self.store.abandon()

    def read_now(self, channel: str, mode: str, value: str | int) -> Chunk:
        """Return a part of the stored history, to a caller that may block."""
        deadline = time.monotonic() + _PATIENCE
        arguments = self._read_arguments(channel, mode, value)
        return _chunk(self.store.run_script(deadline, 'join', _read, *arguments))


def _chunk(answer: Any) -> Chunk:
    """Return the part of a history in the reply to a read."""
    is_lost, last, raw = answer
    entries = [_entry(id, fields) for id, fields in raw]
    is_end = not entries or entries[-1].id == last.decode()
    return Chunk(bool(is_lost), last.decode(), entries, is_end)


def _entry(id: bytes, fields: list[bytes]) -> Entry:
    return entry_of(id, fields[1], fields[3], fields[5], fields[7])


# The backends that are closed when this process ends.
_open: weakref.WeakSet[RedisBackend] = weakref.WeakSet()


def _exit() -> None:
    for backend in tuple(_open):
        backend.close()


atexit.register(_exit)
