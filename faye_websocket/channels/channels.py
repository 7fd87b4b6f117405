"""Channels: rooms and feeds over all workers, for WebSockets, event sources and other code.

This is what a program uses. The messages come from a backend, in memory or on Redis, which gives
each channel one order and a history; ``room`` and ``follower`` bring them to the sockets.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from gevent.monkey import is_module_patched

from ..api import to_data
from ..driver.base import OPEN, SharedMessage
from ..driver.sendable import Number, Sendable
from ..eventsource.source import EventSource
from ..io.limits import check_number
from ..io.reactor import Reactor, current_reactor
from .follower import CallbackFollower, Follower, SocketFollower
from .memory import MemoryBackend
from .message import (
    Cache,
    Chunk,
    Encode,
    Entry,
    Message,
    check_event,
    check_name,
    check_since,
    clean_data,
)
from .room import Desk, Room, find_carrier, find_reactor
from .runner import Runner, make_lock, remaining

__all__ = ['Backend', 'Channels', 'Subscription']

logger = logging.getLogger('faye_websocket.channels')

_SCHEMES = ('memory', 'redis', 'rediss', 'unix')


class Backend(Protocol):
    """What keeps the messages, and brings them to desks. Channels and names were checked."""

    def publish(
        self, channel: str, entry: Entry, key: str | None, timeout: float
    ) -> str:
        """Keep a message, whose id is yet to be made, and return its id."""

    def attach(
        self, channel: str, desk: Desk, begin: Callable[[str], object], timeout: float
    ) -> None:
        """Deliver the messages of a channel at a desk, from the id on that ``begin`` is called with."""

    def detach(self, channel: str, desk: Desk) -> None:
        """Deliver them no more; never blocks."""

    def read(self, channel: str, mode: str, value: str | int, timeout: float) -> Chunk:
        """Return a part of what is kept.

        It is what is ``'after'`` an id, of the so many most ``'recent'`` messages, or of
        ``'all'``, for whoever has lost his place.
        """

    def enter(self, channel: str, name: str, timeout: float) -> None:
        """Add a member of this process."""

    def leave(self, channel: str, name: str) -> None:
        """Take a member of this process off, soon; never blocks."""

    def members(self, channel: str, timeout: float) -> list[str]:
        """Return the members of all processes."""

    def close(self) -> None:
        """Let go of everything."""

    def abandon(self) -> None:
        """Leave everything to the parent of this process."""


class Channels:
    """Rooms and feeds; make one for each process. It connects at first use, and survives ``fork``.

    - ``url``: ``'memory://'`` for one process, or ``'redis://localhost'`` (``rediss://``, ``unix://``) for many.
    - ``history``: how many messages of each channel are kept.
    - ``max_age``: seconds after which a message is given to nobody any more.
    - ``prefix``: what the keys in Redis begin with.
    - ``encode``: makes what a WebSocket gets of ``(id, channel, message)``; ``envelope`` is a ready one.
    - ``timeout``: seconds that a call waits while the backend is away.

    ``onlost(socket, channel)`` is called when messages that a socket should have got are gone, and
    ``onmembers(channel, names)`` when the members of a channel with a socket here change.
    """

    onlost: Callable[[Any, str], object] | None = None
    onmembers: Callable[[str, list[str]], object] | None = None

    def __init__(
        self,
        url: str = 'memory://',
        *,
        history: int = 1000,
        max_age: float | None = None,
        prefix: str = 'faye:',
        encode: Encode | None = None,
        timeout: float = 10,
    ) -> None:
        self.url = check_url(url)
        self.history = check_count('history', history)
        self.max_age = None if max_age is None else _check_seconds('max_age', max_age)
        self.prefix = check_name('prefix', prefix) if prefix else ''
        if encode is not None and not callable(encode):
            raise TypeError(f'encode: expected a callable, got {encode!r}')
        self._encode = encode
        self._timeout = _check_seconds('timeout', timeout)
        self.lock = make_lock()
        self._home = self._find_home()
        self._is_begun = False
        self._runner: Runner | None = None
        self._backend: Backend | None = None
        if not self._is_memory:
            from .store import Store

            # It raises for a URL that cannot be, and where redis-py is missing.
            Store(self.url, Runner())
        _instances.add(self)

    # ---- what a program asks for

    def join(
        self,
        socket: Any,
        channel: str,
        *,
        since: Any = None,
        recent: int = 0,
        name: str | None = None,
    ) -> None:
        """Have a socket receive every message from now on, behind what it missed since an id.

        ``since`` is the id of the last message that it has, an event source's is its
        ``last_event_id`` by itself; without it, it gets the ``recent`` last ones. ``name``
        is a member's. The socket leaves by itself when it closes. Does nothing for one that
        has joined or is closed. Raises TimeoutError while the backend is away.
        """
        carrier = find_carrier(socket)
        channel = check_name('channel', channel)
        name = None if name is None else check_name('name', name)
        check_count('recent', recent)
        if since is None and isinstance(socket, EventSource):
            since = socket.last_event_id
        if socket.ready_state > OPEN:
            return
        with _Visit(self, find_reactor(carrier), channel) as visit:
            if socket not in visit.room:
                visit.join(socket, since, recent, name)

    def leave(self, socket: Any, channel: str) -> None:
        """Have a socket receive no more of a channel. Does nothing where it had not joined."""
        with self.lock:
            rooms = [desk.rooms.get(channel) for desk in self._all_desks()]
        for room in rooms:
            if room is not None and room.remove(socket):
                return

    def publish(
        self,
        channel: str,
        message: Sendable,
        *,
        event: str | Number | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Publish a message, and return its id once the backend has it.

        ``event`` is its type for event sources. One message with this ``key`` is published
        in 24 hours, whose id is returned. Raises TypeError and ValueError for what no
        socket could get, and TimeoutError after ``timeout`` seconds while the backend is
        away: then the message may be there or not.
        """
        channel = check_name('channel', channel)
        entry = Entry('', '', check_event(event), clean_data(message))
        key = None if key is None else check_name('key', key)
        return self.backend.publish(channel, entry, key, self._seconds(timeout))

    def subscribe(
        self,
        channel: str,
        callback: Callable[[str, str, Any], object],
        *,
        since: Any = None,
        recent: int = 0,
    ) -> Subscription:
        """Call ``callback(id, channel, message)`` for each message, as ``join`` has it.

        The calls are made one after the other, in a greenlet of their own. Returns an
        object whose ``close()`` ends it.
        """
        channel = check_name('channel', channel)
        check_count('recent', recent)
        if not callable(callback):
            raise TypeError(f'callback: expected a callable, got {callback!r:.80}')
        with _Visit(self, current_reactor(), channel) as visit:
            return visit.subscribe(callback, since, recent)

    def members(self, channel: str) -> list[str]:
        """Return the names of all that are here, over all workers, sorted and each once."""
        return self.backend.members(check_name('channel', channel), self._timeout)

    def close(self) -> None:
        """Let go of the backend, and of all sockets; the process does so by itself at its end."""
        with self.lock:
            rooms = [room for desk in self._all_desks() for room in tuple(desk.rooms.values())]
        for room in rooms:
            room.clear()
        if self._backend is not None:
            self._backend.close()
        self._is_begun = False

    # ---- what the parts ask for

    @property
    def runner(self) -> Runner:
        """What runs this process's work."""
        self._begin()
        assert self._runner is not None
        return self._runner

    @property
    def desk_count(self) -> int:
        """How many hubs have sockets in channels."""
        return len(self._all_desks())

    @property
    def backend(self) -> Backend:
        """Where the messages are."""
        self._begin()
        assert self._backend is not None
        return self._backend

    def desk(self, reactor: Reactor | None) -> Desk:
        """Return the desk of a hub. The lock is held."""
        self._begin()
        desk = self._desks.get(reactor)
        if desk is None:
            desk = self._desks[reactor] = Desk(self, reactor)
        return desk

    def drop_desk(self, desk: Desk) -> None:
        """Forget a desk without rooms. The lock is held."""
        if self._desks.get(desk.reactor) is desk:
            del self._desks[desk.reactor]

    def find_message(self, channel: str, entry: Entry) -> Message:
        """Return the message of an entry, which all sockets of this process share."""
        with self.lock:
            return self._cache.find(channel, entry)

    def encode_message(self, message: Message) -> SharedMessage | None:
        """Return what a WebSocket gets; None if it cannot be made."""
        if self._encode is None:
            return SharedMessage(message.data)
        try:
            return SharedMessage(to_data(self._encode(message.id, message.channel, message.data)))
        except Exception:
            logger.exception('encode raised for message %s of %r', message.id, message.channel)
            return None

    def tell_lost(self, target: Any, channel: str) -> None:
        """Say that messages for a target are gone."""
        self._tell(self.onlost, 'onlost', target, channel)

    def changed_members(self, channel: str, names: list[str]) -> None:
        """Say that the members of a channel have changed, if a socket is in it here."""
        if self.onmembers is None:
            return
        with self.lock:
            desks = [desk for desk in self._all_desks() if channel in desk.rooms]
            if not desks:
                return
            self._members.append((channel, names))
            if self._is_telling:
                return
            self._is_telling = True
        desks[0].start(self._tell_members)

    def _tell_members(self) -> None:
        """Tell all changes, one after the other."""
        while True:
            with self.lock:
                if not self._members:
                    self._is_telling = False
                    return
                news = self._members.popleft()
            self._tell(self.onmembers, 'onmembers', *news)

    def _tell(self, handler: Callable[..., object] | None, name: str, *arguments: Any) -> None:
        if handler is not None:
            try:
                handler(*arguments)
            except Exception:
                logger.exception('%s raised', name)

    # ---- the process

    @property
    def _is_memory(self) -> bool:
        return self.url.startswith('memory:')

    def _find_home(self) -> Reactor | None:
        """Return the reactor on which a patched process works: the main thread's."""
        if self._is_memory or not is_module_patched('socket'):
            return None
        reactor = current_reactor()
        return reactor if reactor.hub.main_hub else None

    def _begin(self) -> None:
        """Have nothing yet, in this process."""
        if self._is_begun:
            return
        with self.lock:
            if self._is_begun:
                return
            self._desks: dict[Reactor | None, Desk] = {}
            self._cache = Cache()
            # Changes that are to be told, and whether somebody does.
            self._members: deque[tuple[str, list[str]]] = deque()
            self._is_telling = False
            self._runner = Runner.find(self._home)
            self._backend = self._make_backend()
            self._is_begun = True

    def _make_backend(self) -> Backend:
        if self._is_memory:
            return MemoryBackend(self, self._backend)
        from .redis import RedisBackend

        assert self._runner is not None
        return RedisBackend(self, self._runner)

    def _all_desks(self) -> tuple[Desk, ...]:
        return tuple(self._desks.values()) if self._is_begun else ()

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else _check_seconds('timeout', timeout)

    def forked(self) -> None:
        """Leave all that there is to the parent of this process."""
        self.lock = make_lock()
        if self._is_begun and self._backend is not None:
            self._backend.abandon()
        self._is_begun = False

    def __repr__(self) -> str:
        return f'<Channels {urlsplit(self.url).scheme}>'


class Subscription:
    """What ``subscribe`` returns."""

    __slots__ = ('__weakref__', '_follower', 'channel')

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._follower: Follower | None = None

    def follow(self, follower: Follower) -> None:
        """Have this follower."""
        self._follower = follower

    def close(self) -> None:
        """Have no more calls begin; does nothing when called again."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
            follower.room.discard(follower)

    def __repr__(self) -> str:
        return f'<Subscription {self.channel!r}>'


class _Visit:
    """One call's stay in the room of a channel, which gets its messages meanwhile."""

    def __init__(self, channels: Channels, reactor: Reactor | None, channel: str) -> None:
        self._channels = channels
        self._channel = channel
        self._deadline = time.monotonic() + channels._timeout
        with channels.lock:
            self._desk = channels.desk(reactor)
            self.room = self._desk.rooms.get(channel) or Room(self._desk, channel)
            self._desk.rooms[channel] = self.room
            self.room.pins += 1

    def __enter__(self) -> _Visit:
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
        """Have a socket join."""
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
        """Have a callback join."""
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
        """Return the first part of what was missed, and the id that it is behind, if one was given."""
        if since is None or since == '':
            return self._backend.read(self._channel, 'recent', recent, self._left), None
        cursor = check_since(since)
        mode = 'all' if cursor is None else 'after'
        return self._backend.read(self._channel, mode, cursor or '', self._left), cursor

    def _add(
        self, follower: Follower, chunk: Chunk, cursor: str | None, name: str | None = None
    ) -> bool:
        """Have a follower begin with a part of the history; False if there is another one."""
        find = self._channels.find_message
        messages = [find(self._channel, entry) for entry in chunk.entries]
        with self._channels.lock:
            if not self.room.add(follower, name):
                return False
            follower.start_at(chunk, messages, cursor)
            return True


def check_url(url: Any) -> str:
    """Return the URL of a backend. Raises TypeError and ValueError for what is none."""
    if not isinstance(url, str):
        raise TypeError(f'url: expected a str, got {url!r:.80}')
    scheme = url.partition(':')[0]
    if scheme not in _SCHEMES:
        raise ValueError(f'url: expected one of {", ".join(_SCHEMES)}, got {scheme!r:.80}')
    return url


def check_count(what: str, number: Any) -> int:
    """Return a number of messages. Raises TypeError and ValueError for what is none."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f'{what}: expected an int, got {number!r:.80}')
    if number < 0:
        raise ValueError(f'{what}: expected at least 0, got {number!r}')
    return number


def _check_seconds(what: str, seconds: Any) -> float:
    check_number(what, seconds)
    if not seconds >= 0:
        raise ValueError(f'{what}: expected at least 0 seconds, got {seconds!r}')
    return float(seconds)


# All that there are, which a fork copies.
_instances: weakref.WeakSet[Channels] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channels in tuple(_instances):
        channels.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
