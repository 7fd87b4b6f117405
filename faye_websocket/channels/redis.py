"""RedisBackend: channels over all processes that use the same Redis.

A stream of each channel is its order and its history. A message is told to the subscribers with
the id of the one before it: whoever has that one needs nothing else, and whoever has not reads on
in the stream. That is one command for each message, however many channels a process is in, where
a blocking read of all their streams names each of them again for every message.

One connection listens, for all channels of this process, as long as there are any; a few others
do the commands. What comes from a listener that was away is not trusted: each channel is read on
from where it was.
"""

from __future__ import annotations

import atexit
import logging
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .message import Chunk, Entry, position_of
from .presence import BEAT_SECONDS, Presence
from .runner import Runner, Signal, make_lock
from .scripts import PUBLISH, READ
from .store import FAULTS, Script, Store

if TYPE_CHECKING:
    from .channels import Channels
    from .room import Desk

__all__ = ['RedisBackend']

logger = logging.getLogger('faye_websocket.channels')

# Seconds for which a channel is kept that has no ``max_age``; and how much longer than its oldest
# message one that has: its last id tells whether anything is lost.
_KEPT, _LONGER = 30 * 86400, 86400
# Seconds for which a key is known; and how much longer than its publication may last a message
# without one, of which a repetition may be under way.
_KNOWN, _KNOWN_LONGER = 86400, 60
# The largest part of a history that is read at once, in messages and in bytes.
_PART, _PART_BYTES = 100, 2**19
# Seconds without a word after which the listener gives its connection up.
_SILENCE = 6.0
# Seconds between two tries to connect: twice as long each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# Seconds that the listener gives a read.
_PATIENCE = 10.0

_publish, _read = Script(PUBLISH), Script(READ)


class _Feed:
    """A channel that this process listens to: how far it has come, and where its messages go."""

    __slots__ = ('desks', 'last', 'ready')

    def __init__(self) -> None:
        self.last: str | None = None
        self.ready = Signal()
        self.desks: dict[Desk, Callable[[str], object]] = {}


class RedisBackend:
    """Redis, for one process."""

    def __init__(self, channels: Channels, runner: Runner) -> None:
        self.channels = channels
        self.prefix = channels.prefix
        self.runner = runner
        self.store = Store(channels.url, self.runner)
        self.lock = make_lock()
        self.presence = Presence(self, uuid.uuid4().hex)
        self._age = '' if channels.max_age is None else str(int(channels.max_age * 1000))
        age = _KEPT if channels.max_age is None else channels.max_age + _LONGER
        self._kept = int(min(age, 10 * 365 * 86400))
        self._feeds: dict[str, _Feed] = {}
        self._channels_of_bus: dict[bytes, str] = {}
        self._listener: Any = None
        self._is_listening = False
        self._is_closed = False
        self._outgoing: deque[tuple[str, ...]] = deque()
        self._writing = self.runner.make_mutex()
        self._heard = time.monotonic()
        _open.add(self)

    def key(self, channel: str, what: str) -> str:
        """Return a key; those of one channel are in one slot of a cluster."""
        # An empty tag, or one that ends early, would be none.
        tag = channel.replace('%', '%25').replace('}', '%7D')
        return f'{self.prefix}{{{tag}}}:{what}'

    # ---- what is asked for

    def publish(self, channel: str, entry: Entry, key: str | None, timeout: float) -> str:
        """Have Redis keep a message and tell it, once however often that is tried."""
        known = _KNOWN if key is not None else int(min(timeout, _KNOWN)) + _KNOWN_LONGER
        token = f'key:{key}' if key is not None else f'try:{uuid.uuid4().hex}'
        is_text = isinstance(entry.data, str)
        arguments = (
            3, self.key(channel, 'log'), self.key(channel, 'last'), self.key(channel, token),
            self.channels.history, self._kept, self._age, known,
            't' if is_text else 'b', entry.event or '', entry.data, self.key(channel, 'bus'),
        )
        id = self._call(timeout, 'publish', _publish, arguments)
        return str(id.decode())

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of what is kept."""
        return _chunk(self._call(timeout, 'join', _read, self._read_arguments(channel, mode, value)))

    def _read_arguments(self, channel: str, mode: str, value: str | int) -> tuple[Any, ...]:
        keys = self.key(channel, 'log'), self.key(channel, 'last')
        return (2, *keys, mode, value, self._age, _PART, _PART_BYTES)

    def _call(self, timeout: float, what: str, script: Script, arguments: tuple[Any, ...]) -> Any:
        deadline = time.monotonic() + timeout
        function = lambda: self.store.run_script(deadline, what, script, *arguments)
        return self.runner.call(function, timeout, what)

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member of this process."""
        self.presence.enter(channel, name, timeout)

    def leave(self, channel: str, name: str) -> None:
        """Take a member of this process off, soon."""
        self.presence.leave(channel, name)

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members of all processes."""
        deadline = time.monotonic() + timeout
        return self.runner.call(lambda: self.presence.find(channel, deadline), timeout, 'members')

    def has(self, channel: str) -> bool:
        """Whether this process listens to a channel."""
        return channel in self._feeds

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel at a desk."""
        with self.lock:
            feed = self._feeds.get(channel)
            if feed is None:
                feed = self._feeds[channel] = _Feed()
                self._channels_of_bus[self.key(channel, 'bus').encode()] = channel
                self._tell_redis('SUBSCRIBE', channel)
            if desk not in feed.desks:
                feed.desks[desk] = begin
                if feed.last is not None:
                    begin(feed.last)
        if not feed.ready.wait(timeout):
            raise TimeoutError(f'join: Redis is away: not within {timeout:g} seconds')

    def detach(self, channel: str, desk: Desk) -> None:
        """Deliver them no more."""
        with self.lock:
            feed = self._feeds.get(channel)
            if feed is None or feed.desks.pop(desk, None) is None or feed.desks:
                return
            del self._feeds[channel]
            del self._channels_of_bus[self.key(channel, 'bus').encode()]
            self.presence.end(channel)
            self._tell_redis('UNSUBSCRIBE', channel)

    def close(self) -> None:
        """Say that this process goes, and close the connections."""
        if self._is_closed or self.runner.is_inherited:
            return
        self._is_closed = True
        try:
            self.runner.call(self.presence.go, 0.5, 'close')
        except Exception:
            # It is seen without that.
            pass
        self.store.close()

    def abandon(self) -> None:
        """Leave everything to the parent of this process."""
        self._is_closed = True
        self.store.abandon()

    # ---- the listener

    def _tell_redis(self, command: str, channel: str) -> None:
        """Have the listener's connection say something, soon. The lock is held."""
        if not self._is_listening:
            self._is_listening = True
            self.runner.start(self._listen)
        if self._listener is not None:
            self._outgoing.append((command, self.key(channel, 'bus')))
            self.runner.start(self._flush)

    def _flush(self) -> None:
        with self._writing:
            try:
                while self._outgoing:
                    self._listener.send_command(*self._outgoing.popleft())
            except Exception:
                # The listener sees it, too, and subscribes again.
                pass

    def _listen(self) -> None:
        """Listen for as long as there are channels, whatever fails."""
        pause, lost = _FIRST_PAUSE, 0.0
        while not self._is_over():
            connection = None
            try:
                connection = self.store.connect()
                if lost:
                    logger.warning('Redis is back after %.1f s', time.monotonic() - lost)
                    self.presence.away(time.monotonic() - lost)
                pause, lost = _FIRST_PAUSE, 0.0
                self._serve(connection)
            except Exception as error:
                if self._is_closed or self.runner.is_inherited:
                    return
                if not lost:
                    lost = self._heard if connection is not None else time.monotonic()
                    self._log(error)
            finally:
                with self.lock:
                    self._listener = None
                if connection is not None:
                    self.store.drop(connection)
            if lost:
                self.runner.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_over(self) -> bool:
        with self.lock:
            if self._feeds and not self._is_closed and not self.runner.is_inherited:
                return False
            self._is_listening = False
            return True

    def _log(self, error: Exception) -> None:
        if isinstance(error, FAULTS):
            logger.warning('Redis is away, and tried again until it is back: %s', error)
        else:
            logger.exception('listening to Redis failed')

    def _serve(self, connection: Any) -> None:
        """Subscribe, and take what comes."""
        with self.lock:
            self._listener = connection
            self._outgoing.clear()
            self._outgoing.extend(('SUBSCRIBE', self.key(name, 'bus')) for name in self._feeds)
        self._flush()
        self._heard = time.monotonic()
        beat = self._heard
        while self._feeds and not self._is_closed:
            if connection.can_read(timeout=max(0.0, beat - time.monotonic())):
                answer = connection.read_response()
                self._heard = time.monotonic()
                self._take(answer)
            if time.monotonic() >= beat:
                beat = time.monotonic() + BEAT_SECONDS
                self._beat()

    def _beat(self) -> None:
        """Ask for a sign of life, and give one."""
        if time.monotonic() - self._heard > _SILENCE:
            raise OSError(f'not a word for {_SILENCE:g} seconds')
        with self.lock:
            self._outgoing.append(('PING',))
        self._flush()
        try:
            self.presence.beat()
        except FAULTS:
            # The listener's own connection tells when Redis is away.
            pass

    def _take(self, answer: Any) -> None:
        kind = answer[0]
        channel = self._channels_of_bus.get(answer[1])
        feed = self._feeds.get(channel) if channel is not None else None
        if channel is None or feed is None:
            return
        if kind == b'subscribe':
            self._subscribed(channel, feed)
        elif kind == b'message' and answer[2] == b'h':
            if self.channels.onmembers is not None:
                self.presence.look(channel)
        elif kind == b'message' and feed.last is not None:
            self._told(channel, feed, _told_entry(answer[2]))

    def _subscribed(self, channel: str, feed: _Feed) -> None:
        """Begin where the channel is, or go on from where it was."""
        if feed.last is not None:
            self._read_on(channel, feed)
            if self.channels.onmembers is not None:
                self.presence.look(channel)
            return
        self.presence.begin(channel)
        chunk = self._read_now(channel, 'recent', 0)
        with self.lock:
            feed.last = chunk.last
            for begin in feed.desks.values():
                begin(feed.last)
        feed.ready.set()

    def _told(self, channel: str, feed: _Feed, entry: Entry) -> None:
        """A message was published."""
        last = feed.last or ''
        if entry.previous == last:
            self._deliver(channel, feed, entry)
        elif entry.previous and position_of(entry.id) <= position_of(last):
            # It was read before.
            return
        elif self.channels.history:
            self._read_on(channel, feed)
        else:
            self._lose(channel, feed, entry.previous)
            self._deliver(channel, feed, entry)

    def _deliver(self, channel: str, feed: _Feed, entry: Entry) -> None:
        message = self.channels.find_message(channel, entry)
        with self.lock:
            feed.last = entry.id
            desks = tuple(feed.desks)
        for desk in desks:
            desk.deliver(message)

    def _lose(self, channel: str, feed: _Feed, last: str) -> None:
        with self.lock:
            feed.last = last
            desks = tuple(feed.desks)
        for desk in desks:
            desk.lose(channel, last)

    def _read_on(self, channel: str, feed: _Feed) -> None:
        """Deliver what is in the stream behind the last that was delivered."""
        seen = position_of(feed.last or '')
        while True:
            chunk = self._read_now(channel, 'after', feed.last or '')
            # What is kept may begin before what was delivered, if only the end is lost.
            new = [entry for entry in chunk.entries if position_of(entry.id) > seen]
            if chunk.is_lost:
                self._lose(channel, feed, _before(new, chunk))
            for entry in new:
                self._deliver(channel, feed, entry)
            if chunk.is_end:
                return

    def _read_now(self, channel: str, mode: str, value: str | int) -> Chunk:
        deadline = time.monotonic() + _PATIENCE
        arguments = self._read_arguments(channel, mode, value)
        return _chunk(self.store.run_script(deadline, 'join', _read, *arguments))


def _before(new: list[Entry], chunk: Chunk) -> str:
    """Return the id that what is new in a part of the history follows."""
    if new:
        return new[0].previous
    return chunk.last if chunk.is_end else chunk.entries[-1].id


def _chunk(answer: Any) -> Chunk:
    """Return what a read has found."""
    is_lost, last, raw = answer
    entries = [_entry(id, fields) for id, fields in raw]
    is_end = not entries or entries[-1].id == last.decode()
    return Chunk(bool(is_lost), last.decode(), entries, is_end)


def _entry(id: bytes, fields: list[bytes]) -> Entry:
    return _make_entry(id, fields[1], fields[3], fields[5], fields[7])


def _told_entry(told: bytes) -> Entry:
    _, id, previous, kind, event, data = told.split(b'\0', 5)
    return _make_entry(id, previous, kind, event, data)


def _make_entry(id: bytes, previous: bytes, kind: bytes, event: bytes, data: bytes) -> Entry:
    return Entry(
        id.decode(),
        previous.decode(),
        event.decode() or None,
        data.decode() if kind == b't' else data,
    )


# Those whose processes say that they go when they end.
_open: weakref.WeakSet[RedisBackend] = weakref.WeakSet()


def _exit() -> None:
    for backend in tuple(_open):
        backend.close()


atexit.register(_exit)
