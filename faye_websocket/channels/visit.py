"""Visit: one call of ``join`` or ``subscribe``, from its first query to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..io.reactor import Reactor
from .backend import Backend
from .checks import check_since
from .follower import CallbackFollower, Follower, SocketFollower
from .message import Chunk
from .room import Room
from .runner import remaining

if TYPE_CHECKING:
    from .channels import Channels

__all__ = ['Subscription', 'Visit']


class Subscription:
    """The subscription of a callback, which ends with ``close()``."""

    __slots__ = ('__weakref__', '_follower', 'channel')

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._follower: Follower | None = None

    def follow(self, follower: Follower) -> None:
        """Set the follower that calls the callback."""
        self._follower = follower

    def close(self) -> None:
        """Begin no further calls of the callback; do nothing when called again."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
            follower.room.discard(follower)

    def __repr__(self) -> str:
        return f'<Subscription {self.channel!r}>'


class Visit:
    """The scope of one call, during which the room of its channel gets messages."""

    def __init__(self, channels: Channels, reactor: Reactor | None, channel: str) -> None:
        self._channels = channels
        self._channel = channel
        self._deadline = time.monotonic() + channels.timeout
        # The first use may wait for another thread, which may need the lock.
        channels.begin()
        with channels.lock:
            self._desk = channels.desk(reactor)
            self.room = self._desk.rooms.get(channel) or Room(self._desk, channel)
            self._desk.rooms[channel] = self.room
            self.room.pins += 1

    def __enter__(self) -> Visit:
        try:
            self._backend.attach(self._channel, self._desk, self.room.begin_at, self._left)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        with self._channels.lock:
            self.room.pins -= 1
            self.room.drop_if_empty()

    @property
    def _backend(self) -> Backend:
        return self._channels.backend

    @property
    def _left(self) -> float:
        return remaining(self._deadline)

    def join(self, socket: Any, since: Any, recent: int, name: str | None) -> None:
        """Add a socket to the room."""
        chunk, cursor = self._read(since, recent)
        if chunk.is_lost:
            self._channels.tell_lost(socket, self._channel)
        if name is not None:
            self._backend.enter(self._channel, name, self._left)
        follower = SocketFollower(self.room, socket)
        if self._add(follower, chunk, cursor, name):
            self._desk.run(follower.begin)
        elif name is not None:
            self._backend.leave(self._channel, name)

    def subscribe(
        self, callback: Callable[[str, str, Any], object], since: Any, recent: int
    ) -> Subscription:
        """Add a callback to the room, and return its subscription."""
        chunk, cursor = self._read(since, recent)
        subscription = Subscription(self._channel)
        if chunk.is_lost:
            self._channels.tell_lost(subscription, self._channel)
        follower = CallbackFollower(self.room, subscription, callback)
        subscription.follow(follower)
        self._add(follower, chunk, cursor)
        follower.go()
        return subscription

    def _read(self, since: Any, recent: int) -> tuple[Chunk, str | None]:
        """Return the first part of the missed messages, and the id that they follow.

        The id is None unless a valid one was given.
        """
        if since is None or since == '':
            return self._backend.read(self._channel, 'recent', recent, self._left), None
        cursor = check_since(since)
        mode = 'all' if cursor is None else 'after'
        return self._backend.read(self._channel, mode, cursor or '', self._left), cursor

    def _add(
        self, follower: Follower, chunk: Chunk, cursor: str | None, name: str | None = None
    ) -> bool:
        """Add a follower that begins with a part of the history.

        Return False if its target already has one.
        """
        find = self._channels.find_message
        messages = [find(self._channel, entry) for entry in chunk.entries]
        with self._channels.lock:
            if not self.room.add(follower, name):
                return False
            follower.start_at(chunk, messages, cursor)
            return True
