"""Channels: rooms and feeds across all workers, for WebSockets, event sources and other
code.

This is the interface for programs. The messages come from a backend, in memory or on
Redis, which gives each channel one order and a history. The modules ``room`` and
``follower`` deliver them to the sockets.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from gevent.monkey import is_module_patched

from ..api import to_data
from ..calls import check_is_not_async
from ..driver.base import OPEN, SharedMessage
from ..driver.sendable import Number, Sendable
from ..eventsource.source import EventSource
from ..io.reactor import Reactor, current_reactor
from .backend import Backend
from .carriers import find_carrier, find_reactor
from .checks import check_count, check_event, check_name, check_seconds, check_url, clean_data
from .follower import CallbackFollower
from .memory import MemoryBackend
from .message import Cache, Encode, Entry, Message
from .room import Desk
from .runner import Runner, is_main_thread, make_lock
from .visit import Subscription, Visit

__all__ = ['Channels']

logger = logging.getLogger('faye_websocket.channels')


class Channels:
    """Rooms and feeds, one instance per process.

    An instance connects at its first use, and survives ``fork``.

    - ``url``: ``'memory://'`` for one process, or ``'redis://localhost'`` for many
      (``rediss://``, ``unix://``, ``redis+sentinel://``, ``redis+cluster://``).
    - ``history``: the number of messages that are kept for each channel.
    - ``max_age``: the age in seconds at which messages expire.
    - ``prefix``: the prefix of all keys in Redis.
    - ``encode``: a function that is called with ``(id, channel, message)`` and returns
      the message for WebSockets, such as ``envelope``.
    - ``timeout``: the seconds that a call waits while the backend is unavailable.

    ``onlost(socket, channel)`` is called when messages for a socket have been lost, and
    ``onmembers(channel, names)`` when the members change in a channel that has a socket
    in this process.
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
        self.max_age = None if max_age is None else check_seconds('max_age', max_age)
        self.prefix = check_name('prefix', prefix) if prefix else ''
        if encode is not None and not callable(encode):
            raise TypeError(f'encode: expected a callable, got {encode!r}')
        self._encode = encode
        self.timeout = check_seconds('timeout', timeout)
        self.lock = make_lock()
        self._home = self._find_home()
        self._is_begun = False
        self._is_telling = False
        # Whether a fork has ended subscriptions, which is yet to be logged.
        self._has_ended = False
        self._runner: Runner | None = None
        self._backend: Backend | None = None
        if not self._is_memory:
            from .routes import find_route

            # Raises for an invalid URL, and if redis-py is not installed.
            find_route(self.url)
            # Not at the first use: a fork by another thread during that would leave
            # the import's lock held in the child.
            from .redis import RedisBackend

            self._backend_class = RedisBackend
        _instances.add(self)

    # ---- the interface for programs

    def join(
        self,
        socket: Any,
        channel: str,
        *,
        since: Any = None,
        recent: int = 0,
        name: str | None = None,
    ) -> None:
        """Deliver the messages of a channel to a socket, missed messages first.

        ``since`` is the id of the last message that the socket has received; for an
        event source it defaults to ``last_event_id``. Without it, the socket first
        receives the ``recent`` latest messages. With a ``name``, the socket counts as
        a member. It leaves automatically when it closes. Do nothing for a socket that
        has joined already or is closed. Raise TimeoutError if the backend stays
        unavailable.
        """
        carrier = find_carrier(socket)
        channel = check_name('channel', channel)
        name = None if name is None else check_name('name', name)
        check_count('recent', recent)
        if since is None and isinstance(socket, EventSource):
            since = socket.last_event_id
        if socket.ready_state > OPEN:
            return
        with Visit(self, find_reactor(carrier), channel) as visit:
            if socket not in visit.room:
                visit.join(socket, since, recent, name)

    def leave(self, socket: Any, channel: str) -> None:
        """Stop delivering the messages of a channel to a socket.

        Do nothing if the socket has not joined the channel.
        """
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
        """Publish a message, and return its id once the backend has stored it.

        ``event`` is the event type for event sources. Only one message with a given
        ``key`` is published in 24 hours; further calls return its id. Raise TypeError
        or ValueError for a message that no socket could receive, and TimeoutError if
        the backend is unavailable for ``timeout`` seconds, in which case the message
        may or may not have been published.
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
        """Call ``callback(id, channel, message)`` for each message of a channel.

        ``since`` and ``recent`` mean the same as in ``join``. The calls are made one
        after another, in a greenlet of the calling thread's hub, which has to run: a
        program that does nothing else calls ``gevent.wait()``. Return a subscription,
        which ends with its ``close()``, or at a fork in the child.
        """
        channel = check_name('channel', channel)
        check_count('recent', recent)
        if not callable(callback):
            raise TypeError(f'callback: expected a callable, got {callback!r:.80}')
        check_is_not_async('callback', callback)
        with Visit(self, current_reactor(), channel) as visit:
            return visit.subscribe(callback, since, recent)

    def members(self, channel: str) -> list[str]:
        """Return the sorted names of the members in all workers, without repetition."""
        return self.backend.members(check_name('channel', channel), self.timeout)

    def close(self) -> None:
        """Release the backend, and remove all sockets from their channels.

        This happens automatically when the process ends.
        """
        with self.lock:
            rooms = [room for desk in self._all_desks() for room in tuple(desk.rooms.values())]
        for room in rooms:
            room.clear()
        if self._backend is not None:
            self._backend.close()
        self._is_begun = False

    # ---- the interface for other modules

    @property
    def runner(self) -> Runner:
        """The runner of this process's blocking work."""
        self.begin()
        assert self._runner is not None
        return self._runner

    @property
    def desk_count(self) -> int:
        """The number of hubs that have sockets in channels."""
        return len(self._all_desks())

    @property
    def backend(self) -> Backend:
        """The backend that stores the messages."""
        self.begin()
        assert self._backend is not None
        return self._backend

    def desk(self, reactor: Reactor | None) -> Desk:
        """Return the desk of a hub. The caller holds the lock."""
        self.begin()
        desk = self._desks.get(reactor)
        if desk is None:
            desk = self._desks[reactor] = Desk(self, reactor)
        return desk

    def drop_desk(self, desk: Desk) -> None:
        """Remove a desk that has no rooms. The caller holds the lock."""
        if self._desks.get(desk.reactor) is desk:
            del self._desks[desk.reactor]

    def find_message(self, channel: str, entry: Entry) -> Message:
        """Return the message of an entry, shared by all sockets of this process."""
        with self.lock:
            return self._cache.find(channel, entry)

    def encode_message(self, message: Message) -> SharedMessage | None:
        """Return the message for WebSockets, or None if ``encode`` raises."""
        if self._encode is None:
            return SharedMessage(message.data)
        try:
            return SharedMessage(to_data(self._encode(message.id, message.channel, message.data)))
        except Exception:
            logger.exception('encode raised for message %s of %r', message.id, message.channel)
            return None

    def tell_lost(self, target: Any, channel: str) -> None:
        """Call ``onlost`` for a target that has lost messages."""
        self._tell(self.onlost, 'onlost', target, channel)

    def changed_members(self, channel: str, names: list[str]) -> None:
        """Report changed members, if a socket of this process is in the channel."""
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
        """Call ``onmembers`` for all queued changes, one after another."""
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
        """Return the main thread's reactor in a monkey-patched process, or None."""
        if self._is_memory or not is_module_patched('socket') or not is_main_thread():
            return None
        return current_reactor()

    def begin(self) -> None:
        """Create the parts that this process needs, once."""
        if self._is_begun:
            return
        # Waits for the main thread, which may be waiting for the lock.
        runner = Runner.find(self._home)
        with self.lock:
            if not self._is_begun:
                self._start(runner)

    def _start(self, runner: Runner) -> None:
        self._desks: dict[Reactor | None, Desk] = {}
        self._cache = Cache()
        # Changes of members to be reported, and whether a report is in progress.
        self._members: deque[tuple[str, list[str]]] = deque()
        self._is_telling = False
        self._runner = runner
        self._backend = self._make_backend()
        self._is_begun = True
        if self._has_ended:
            self._has_ended = False
            logger.warning('a subscription ended with the fork: subscribe in the child')

    def _make_backend(self) -> Backend:
        if self._is_memory:
            return MemoryBackend(self, self._backend)
        assert self._runner is not None
        return self._backend_class(self, self._runner)

    def _all_desks(self) -> tuple[Desk, ...]:
        return tuple(self._desks.values()) if self._is_begun else ()

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else check_seconds('timeout', timeout)

    def forked(self) -> None:
        """Leave all resources to the parent of this process."""
        self.lock = make_lock()
        self._has_ended = self._has_ended or self._has_subscriptions()
        if self._is_begun and self._backend is not None:
            self._backend.abandon()
        self._is_begun = False

    def _has_subscriptions(self) -> bool:
        rooms = [room for desk in self._all_desks() for room in tuple(desk.rooms.values())]
        followers = [each for room in rooms for each in tuple(room.followers.values())]
        return any(isinstance(each, CallbackFollower) for each in followers)

    def __repr__(self) -> str:
        return f'<Channels {urlsplit(self.url).scheme}>'


# All instances, which a fork copies.
_instances: weakref.WeakSet[Channels] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channels in tuple(_instances):
        channels.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
