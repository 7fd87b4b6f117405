"""Rooms: the sockets of one hub that have joined a channel, and their position in it.

A socket that is up to date gets each message as it arrives. Any other socket has a
``Follower`` that brings it up to date at the socket's own pace, from the history if
necessary. Sockets of other hubs are in rooms of other desks. State changes only under
the desk's lock, which is never held during a wait; messages are sent on the hub.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import gevent

from ..driver.base import OPEN, SharedMessage
from ..eventsource.source import Carrier, EventSource
from ..io.connection import Connection
from ..io.reactor import Reactor
from .carriers import find_carrier
from .follower import Follower, SocketFollower
from .message import Message, Position, position_of
from .runner import make_lock

if TYPE_CHECKING:
    from .channels import Channels

__all__ = ['Desk', 'Room']


def _is_too_old(socket: Any, form: SharedMessage) -> bool:
    """Return whether a message is binary, and the protocol too old to support that."""
    return isinstance(form.data, bytes) and getattr(socket, 'version', '').startswith('hixie')


class Desk:
    """The rooms of one hub, or of all event sources without a hub."""

    def __init__(self, channels: Channels, reactor: Reactor | None) -> None:
        self.channels = channels
        self.lock = channels.lock
        self.rooms: dict[str, Room] = {}
        self.reactor = reactor
        self._pid = os.getpid()
        # Functions to be run here in order, whichever thread they come from.
        self._work: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_working = False
        # On a hub, no other thread runs them.
        self._turn: Any = make_lock() if reactor is None else nullcontext()

    @property
    def is_inherited(self) -> bool:
        """Whether a parent of this process created the desk."""
        return self._pid != os.getpid()

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function, which must not block, where messages are sent to sockets."""
        self._work.append((function, arguments))
        if self.reactor is None or self.reactor.is_current:
            self._run_all()
        else:
            self.reactor.post(self._run_all)

    def _run_all(self) -> None:
        with self._turn:
            if self._is_working:
                # The call that is already running runs this function, too.
                return
            self._is_working = True
            try:
                while self._work:
                    function, arguments = self._work.popleft()
                    function(*arguments)
            finally:
                self._is_working = False

    def defer(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function soon, but never within this call."""
        if self.reactor is not None:
            self.reactor.call_soon(function, *arguments)
        else:
            self.channels.runner.start(function, *arguments)

    def start(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function that may block, in a greenlet of this hub or in a thread."""
        if self.reactor is not None:
            self.reactor.call_soon(gevent.spawn, function, *arguments)
        else:
            self.channels.runner.start(function, *arguments)

    # ---- called by a backend, in the order of the channel's messages

    def deliver(self, message: Message) -> None:
        """Deliver a message to all that have joined its channel."""
        self.run(self._deliver, message)

    def lose(self, channel: str, last: str) -> None:
        """Note that messages after the last delivered one are lost.

        The next message follows the id ``last``.
        """
        self.run(self._lose, channel, last)

    def _deliver(self, message: Message) -> None:
        room = self.rooms.get(message.channel)
        if room is not None:
            room.deliver(message)

    def _lose(self, channel: str, last: str) -> None:
        room = self.rooms.get(channel)
        if room is not None:
            room.lose(last)


class Room:
    """The sockets of one hub in one channel."""

    __slots__ = (
        '_gaps',
        '_left',
        '_names',
        'desk',
        'followers',
        'last',
        'live',
        'name',
        'pins',
        'position',
    )

    def __init__(self, desk: Desk, name: str) -> None:
        self.desk = desk
        self.name = name
        # The position of the last message that was delivered here.
        self.begin_at('')
        # Sockets that are up to date; followers by the identity of their targets.
        self.live: dict[Any, Connection | Carrier] = {}
        self.followers: dict[int, Follower] = {}
        # The names of members, by the identity of their targets, or None.
        self._names: dict[int, str] | None = None
        # The number of calls in progress that need this room.
        self.pins = 0
        # Sockets for which messages were dropped, and none was sent since; or None,
        # because an empty set would take more memory than the room's sockets.
        self._gaps: set[Any] | None = None
        # The listener of all sockets, each of which keeps a reference.
        self._left: Any = (('close', self._closed),)

    def begin_at(self, last: str) -> None:
        """Expect the messages that follow this id."""
        self.last = last
        self.position: Position = position_of(last)

    def __contains__(self, socket: Any) -> bool:
        return id(socket) in self.followers or socket in self.live

    def add(self, follower: Follower, name: str | None = None) -> bool:
        """Add a follower, or return False if its target is already here.

        The caller holds the lock.
        """
        if follower.target in self:
            return False
        self.followers[follower.key] = follower
        if name is not None:
            self._names = self._names or {}
            self._names[follower.key] = name
        return True

    def discard(self, follower: Follower) -> None:
        """Remove a follower, unless another one has taken its place."""
        with self.desk.lock:
            if self.followers.get(follower.key) is follower:
                del self.followers[follower.key]
                self._forget(follower.key)

    def _forget(self, key: int) -> None:
        """Remove the state kept for a target. The caller holds the lock."""
        name = self._names.pop(key, None) if self._names else None
        if name is not None:
            self._names = self._names or None
            self.desk.channels.backend.leave(self.name, name)
        self.drop_if_empty()

    def clear(self) -> None:
        """Remove all sockets and followers."""
        for socket in tuple(self.live):
            self.remove(socket)
        for follower in tuple(self.followers.values()):
            follower.stop()
            self.discard(follower)

    def settle(self, follower: SocketFollower, socket: Any) -> bool:
        """Send further messages directly to a socket that is up to date."""
        with self.desk.lock:
            if self.followers.get(follower.key) is not follower or socket.ready_state > OPEN:
                return False
            del self.followers[follower.key]
            # A dict that has become empty keeps its memory; a new one takes none.
            self.followers = self.followers or {}
            self.live[socket] = find_carrier(socket)
            return True

    def watch(self, socket: Any) -> None:
        """Remove a socket when it closes."""
        socket._share_listener(self._left)

    def _closed(self, event: Any) -> None:
        self.desk.channels.leave(event.target, self.name)

    def remove(self, socket: Any) -> bool:
        """Remove a socket, or return False if it was not here."""
        with self.desk.lock:
            was_live = self.live.pop(socket, None) is not None
            follower = self.followers.pop(id(socket), None)
            self._end_gap(socket)
            if not was_live and follower is None:
                return False
            if follower is not None:
                follower.stop()
            self._forget(id(socket))
        self.desk.run(socket.remove_event_listener, *self._left[0])
        return True

    def drop_if_empty(self) -> None:
        """Remove the room if nothing is left in it. The caller holds the lock."""
        desk = self.desk
        if not (self.live or self.followers or self.pins) and desk.rooms.get(self.name) is self:
            del desk.rooms[self.name]
            desk.channels.backend.detach(self.name, desk)
            if not desk.rooms:
                desk.channels.drop_desk(desk)

    # ---- on the hub

    def deliver(self, message: Message) -> None:
        """Send a message to sockets that are up to date, and queue it for others."""
        with self.desk.lock:
            self.last, self.position = message.id, message.position
            live = tuple(self.live.items())
            followers = tuple(self.followers.values())
        for follower in followers:
            follower.add(message)
        encode = self.desk.channels.encode_message
        for socket, carrier in live:
            form = (
                message.for_eventsource()
                if isinstance(socket, EventSource)
                else message.for_websocket(encode)
            )
            if form is not None:
                self._send(socket, carrier, message, form)

    def _send(
        self, socket: Any, carrier: Connection | Carrier, message: Message, form: SharedMessage
    ) -> None:
        was_sent = carrier.offer(form)
        if was_sent:
            if self._gaps is not None:
                self._end_gap(socket)
        elif was_sent is None:
            self._fall_behind(socket, message)
        elif (
            socket.ready_state == OPEN
            and socket not in (self._gaps or ())
            and not _is_too_old(socket, form)
        ):
            # Dropped because of ``overflow='drop'``.
            self._gaps = {*(self._gaps or ()), socket}
            self.desk.start(self.desk.channels.tell_lost, socket, self.name)

    def _end_gap(self, socket: Any) -> None:
        """Note that a message was sent after a gap, or that none will be."""
        if self._gaps is not None:
            self._gaps.discard(socket)
            self._gaps = self._gaps or None

    def _fall_behind(self, socket: Any, message: Message) -> None:
        """Let a socket that would block, or lost messages, continue at its own pace."""
        follower = SocketFollower(self, socket, message.previous, [message])
        with self.desk.lock:
            if self.live.pop(socket, None) is None:
                return
            self.followers[follower.key] = follower
        follower.go()

    def lose(self, last: str) -> None:
        """Report lost messages to all targets, before they get further ones."""
        with self.desk.lock:
            before = self.position
            self.begin_at(last)
            is_back = self.position < before
            for socket in tuple(self.live):
                del self.live[socket]
                self.followers[id(socket)] = SocketFollower(self, socket, last)
            followers = tuple(self.followers.values())
        for follower in followers:
            follower.lose(last, is_back)
