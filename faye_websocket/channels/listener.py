"""Listener: the one connection to Redis on which a process receives messages.

It exists while the process is in a channel, and reconnects after any failure. Messages
that it missed are read from the streams: each channel continues after its last message.
"""

from __future__ import annotations

import logging
import selectors
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis

from .message import Entry, entry_of, position_of
from .presence import BEAT_SECONDS
from .routes import FAULTS
from .runner import Signal
from .store import is_refusal

if TYPE_CHECKING:
    from .redis import RedisBackend
    from .room import Desk

__all__ = ['Listener']

logger = logging.getLogger('faye_websocket.channels')

# Seconds without data from Redis after which the connection is dropped.
_SILENCE = 6.0
# Seconds between two attempts to connect, doubled after each attempt.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


# Of all channels that are subscribed to, so that none keeps a lock.
_READY = Signal()
_READY.set()


class _Feed:
    """A channel that this process listens to.

    It has the id of the last message, and the desks that receive the messages; or the
    error with which Redis refused it.
    """

    __slots__ = ('desks', 'error', 'last', 'ready')

    def __init__(self) -> None:
        self.last: str | None = None
        self.error: Exception | None = None
        # Set when the channel is subscribed to, or refused.
        self.ready = Signal()
        # The function that a desk waits to be called with the first id.
        self.desks: dict[Desk, Callable[[str], object] | None] = {}


class _Reader:
    """The reading side of a connection, which another thread or greenlet writes to."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def read(self, timeout: float) -> Any:
        """Return what Redis sends next, or None after ``timeout`` seconds."""
        connection = self._connection
        return connection.read_response() if connection.can_read(timeout=timeout) else None


class _TlsReader(_Reader):
    """A reader with TLS: no two threads may use one connection at a time."""

    def __init__(self, connection: Any, mutex: Any) -> None:
        super().__init__(connection)
        self._mutex = mutex

    def read(self, timeout: float) -> Any:
        """Return what Redis sends next, or None after ``timeout`` seconds."""
        with self._mutex:
            answer = super().read(0)
        if answer is not None:
            return answer
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection._sock, selectors.EVENT_READ)
            selector.select(timeout)
        with self._mutex:
            return super().read(0)


class Listener:
    """The subscriptions of a process, and the desks that receive their messages."""

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._channels = backend.channels
        self._lock = backend.lock
        self._presence = backend.presence
        self._runner = backend.runner
        self._store = backend.store
        self._feeds: dict[str, _Feed] = {}
        self._channels_of_bus: dict[bytes, str] = {}
        self._connection: Any = None
        self._is_listening = False
        # Commands to be sent, and the mutex that their sender holds.
        self._outgoing: deque[tuple[str, ...]] = deque()
        self._writing = self._runner.make_mutex()
        self._heard = time.monotonic()
        # When Redis was lost, or 0 while it is available; and the pause before the next
        # attempt to connect.
        self._lost, self._pause = 0.0, _FIRST_PAUSE
        # Whether Redis has refused the last heartbeat.
        self._is_refused = False

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel to a desk."""
        with self._lock:
            feed = self._feeds.get(channel)
            if feed is None:
                feed = self._feeds[channel] = _Feed()
                self._channels_of_bus[self._backend.key(channel, 'bus').encode()] = channel
                self._tell_redis('SUBSCRIBE', channel)
            if desk not in feed.desks:
                feed.desks[desk] = begin if feed.last is None else None
                if feed.last is not None:
                    begin(feed.last)
        if not feed.ready.wait(timeout):
            waited = f'timed out after {round(timeout, 1):g} seconds'
            raise TimeoutError(f'join: Redis is unavailable: {waited}')
        if feed.error is not None:
            raise feed.error

    def detach(self, channel: str, desk: Desk) -> None:
        """Stop delivering the messages of a channel to a desk."""
        with self._lock:
            feed = self._feeds.get(channel)
            if feed is None or desk not in feed.desks:
                return
            del feed.desks[desk]
            if feed.desks:
                return
            del self._feeds[channel]
            del self._channels_of_bus[self._backend.key(channel, 'bus').encode()]
            self._presence.end(channel)
            self._tell_redis('UNSUBSCRIBE', channel)

    # ---- the connection

    def _tell_redis(self, command: str, channel: str) -> None:
        """Send a command for the listener soon. The caller holds the lock."""
        if not self._is_listening:
            self._is_listening = True
            self._runner.start(self._listen)
        if self._connection is not None:
            self._outgoing.append((command, self._backend.key(channel, 'bus')))
            self._runner.start(self._flush)

    def _flush(self) -> None:
        with self._writing:
            with self._lock:
                connection, outgoing = self._connection, self._outgoing
            try:
                while outgoing and connection is self._connection:
                    connection.send_command(*outgoing.popleft())
            except Exception:
                self._give_up(connection)

    def _give_up(self, connection: Any) -> None:
        """Let the listener leave a connection on which nothing can be written.

        redis-py would connect it again by itself, without the subscriptions.
        """
        with self._lock:
            if self._connection is connection:
                self._connection = None

    def _listen(self) -> None:
        """Listen for as long as there are channels, and reconnect after any failure."""
        self._lost, self._pause = 0.0, _FIRST_PAUSE
        while not self._is_over():
            connection = None
            try:
                connection = self._store.connect()
                if self._lost:
                    self._presence.away(time.monotonic() - self._lost)
                self._serve(connection)
            except Exception as error:
                if self._backend.is_closed or self._runner.is_inherited:
                    return
                self._failed(error, connection is not None)
            finally:
                with self._lock:
                    self._connection = None
                if connection is not None:
                    self._store.drop(connection)
            if self._lost:
                self._runner.sleep(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _is_over(self) -> bool:
        with self._lock:
            if self._feeds and not self._backend.is_closed and not self._runner.is_inherited:
                return False
            self._is_listening = False
            return True

    def _failed(self, error: Exception, was_connected: bool) -> None:
        """Log the first of several failures; report one that no retry can change."""
        if not self._lost:
            self._lost = self._heard if was_connected else time.monotonic()
            self._log(error)
        if is_refusal(error) or not isinstance(error, FAULTS):
            with self._lock:
                refused = [feed for feed in self._feeds.values() if feed.last is None]
            for feed in refused:
                feed.error = error
                feed.ready.set()

    def _succeeded(self) -> None:
        """Note that Redis has sent something that could be handled."""
        if self._lost:
            logger.warning('Redis is available again after %.1f s', time.monotonic() - self._lost)
        self._lost, self._pause = 0.0, _FIRST_PAUSE

    def _log(self, error: Exception) -> None:
        if isinstance(error, FAULTS):
            logger.warning('Redis is unavailable, retrying until it is back: %s', error)
        else:
            logger.exception('listening to Redis failed')

    def _serve(self, connection: Any) -> None:
        """Subscribe, and handle what Redis sends."""
        with self._lock:
            self._connection = connection
            # A new queue, so that a sender for the last connection takes none of these.
            self._outgoing = deque(
                ('SUBSCRIBE', self._backend.key(name, 'bus')) for name in self._feeds
            )
        self._flush()
        reader = self._make_reader(connection)
        self._heard = time.monotonic()
        beat = self._heard
        while self._feeds and not self._backend.is_closed:
            if self._connection is not connection:
                raise OSError('the connection was lost while a command was sent')
            answer = reader.read(max(0.0, beat - time.monotonic()))
            if answer is not None:
                self._heard = time.monotonic()
                self._take(answer)
                self._succeeded()
            if time.monotonic() >= beat:
                beat = time.monotonic() + BEAT_SECONDS
                self._beat()

    def _make_reader(self, connection: Any) -> _Reader:
        if self._runner.is_threaded and isinstance(connection._sock, ssl.SSLSocket):
            return _TlsReader(connection, self._writing)
        return _Reader(connection)

    def _beat(self) -> None:
        """Send a ping, and the heartbeat of this process."""
        if time.monotonic() - self._heard > _SILENCE:
            raise OSError(f'no data for {_SILENCE:g} seconds')
        with self._lock:
            self._outgoing.append(('PING',))
        self._flush()
        try:
            self._presence.beat()
            self._is_refused = False
        except FAULTS:
            # The listener's own connection shows whether Redis is unavailable.
            pass
        except redis.ResponseError as error:
            # Such as a full memory, which does not stop what is listened to.
            if not self._is_refused:
                logger.warning('Redis refuses the heartbeat of this process: %s', error)
            self._is_refused = True

    def _take(self, answer: Any) -> None:
        kind = answer[0]
        channel = self._channels_of_bus.get(answer[1])
        feed = self._feeds.get(channel) if channel is not None else None
        if channel is None or feed is None:
            return
        if kind == b'subscribe':
            self._subscribed(channel, feed)
        elif kind == b'message' and answer[2] == b'h':
            if self._channels.onmembers is not None:
                self._presence.look(channel)
        elif kind == b'message' and feed.last is not None:
            self._told(channel, feed, _told_entry(answer[2]))

    def _subscribed(self, channel: str, feed: _Feed) -> None:
        """Begin at the channel's end, or continue after the last delivered message."""
        if feed.last is not None:
            self._read_on(channel, feed)
            if self._channels.onmembers is not None:
                self._presence.look(channel)
            return
        self._presence.begin(channel)
        chunk = self._backend.read_now(channel, 'recent', 0)
        with self._lock:
            if self._feeds.get(channel) is not feed:
                # All sockets have left in the meantime.
                self._presence.end(channel)
            feed.last = chunk.last
            for desk, begin in feed.desks.items():
                assert begin is not None
                begin(feed.last)
                feed.desks[desk] = None
            ready, feed.ready = feed.ready, _READY
        ready.set()

    def _told(self, channel: str, feed: _Feed, entry: Entry) -> None:
        """Handle a message that was published."""
        last = feed.last or ''
        if entry.previous == last:
            self._deliver(channel, feed, entry)
        elif entry.previous and position_of(entry.id) <= position_of(last):
            # The message has already been read from the stream.
            return
        elif self._channels.history:
            self._read_on(channel, feed)
        else:
            self._lose(channel, feed, entry.previous)
            self._deliver(channel, feed, entry)

    def _deliver(self, channel: str, feed: _Feed, entry: Entry) -> None:
        message = self._channels.find_message(channel, entry)
        with self._lock:
            feed.last = entry.id
            desks = tuple(feed.desks)
        for desk in desks:
            desk.deliver(message)

    def _lose(self, channel: str, feed: _Feed, last: str) -> None:
        with self._lock:
            feed.last = last
            desks = tuple(feed.desks)
        for desk in desks:
            desk.lose(channel, last)

    def _read_on(self, channel: str, feed: _Feed) -> None:
        """Deliver the messages that follow the last delivered one in the stream."""
        while True:
            chunk = self._backend.read_now(channel, 'on', feed.last or '')
            if chunk.is_lost:
                self._lose(channel, feed, chunk.previous)
            for entry in chunk.entries:
                self._deliver(channel, feed, entry)
            if chunk.is_end:
                return


def _told_entry(told: bytes) -> Entry:
    _, id, previous, kind, event, data = told.split(b'\0', 5)
    return entry_of(id, previous, kind, event, data)
