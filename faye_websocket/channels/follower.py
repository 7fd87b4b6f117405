"""Followers: each brings one socket, or one callback, up to date in a channel.

A follower sends the messages that it begins with, then those that its target missed,
which it reads from the history, and then those that have arrived in the meantime. It
sends each message once and in order, as fast as its target accepts them. A socket that
has caught up no longer needs a follower; a callback has one while it is subscribed.
"""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..driver.base import CONNECTING, OPEN
from ..driver.codes import CloseCode
from ..eventsource.source import EventSource
from .carriers import find_carrier
from .message import Chunk, Message, position_of

if TYPE_CHECKING:
    from .room import Room

__all__ = ['CallbackFollower', 'Follower', 'SocketFollower']

logger = logging.getLogger('faye_websocket.channels')

# The most bytes of new messages that are queued for a target that is behind. More are
# dropped and read again from the history; or lost, if there is no history.
_MOST_WAITING, _MOST_WITHOUT_HISTORY = 2**20, 2**24
# Bytes that each message counts in addition to its data.
_OVERHEAD = 200
# Seconds that one attempt to read the history may take if the backend is unavailable.
_PATIENCE = 5.0


class Follower:
    """The delivery of a channel's messages to one target.

    ``cursor`` is the id of the last message that the target has received.
    """

    __slots__ = (
        '__weakref__',
        '_cursor',
        '_is_behind',
        '_is_running',
        '_is_stopped',
        '_position',
        '_queue',
        '_size',
        'key',
        'room',
    )

    def __init__(
        self, room: Room, key: int, cursor: str = '', queue: Iterable[Message] = ()
    ) -> None:
        self.room = room
        self.key = key
        self._move(cursor)
        self._queue: deque[Message | _Loss] = deque(queue)
        self._size = sum(map(_size, self._queue))
        # Whether the history may have messages that are not in the queue.
        self._is_behind = False
        self._is_running = False
        self._is_stopped = False

    def _move(self, cursor: str) -> None:
        self._cursor = cursor
        self._position = position_of(cursor)

    @property
    def target(self) -> Any:
        """The socket or subscription that gets the messages; None when it is gone."""
        raise NotImplementedError

    def start_at(self, chunk: Chunk, messages: list[Message], cursor: str | None) -> None:
        """Begin with a part of the history, read after ``cursor`` if it is not None.

        The caller holds the lock.
        """
        if messages:
            cursor = messages[0].previous
        elif chunk.is_lost:
            cursor = chunk.last
        self._move(self.room.last if cursor is None else cursor)
        for message in messages:
            self._append(message)
        end = messages[-1].position if messages else self._position
        self._is_behind = not chunk.is_end or self.room.position > end

    def add(self, message: Message) -> None:
        """Queue a new message, unless it will be read from the history."""
        with self.room.desk.lock:
            # Messages that arrive before the history is read are also in the history.
            if self._is_behind:
                return
            self._append(message)
            if self._size > self._most_waiting:
                self._drop_queue(message)
        self.go()

    def _append(self, message: Message | _Loss) -> None:
        self._queue.append(message)
        self._size += _size(message)

    @property
    def _most_waiting(self) -> int:
        return _MOST_WAITING if self.room.desk.channels.history else _MOST_WITHOUT_HISTORY

    def _drop_queue(self, message: Message) -> None:
        """Drop the queue, and read its messages again later if there is a history."""
        self._queue.clear()
        self._size = 0
        if self.room.desk.channels.history:
            self._is_behind = True
        else:
            self._append(_Loss(message.id))

    def lose(self, last: str, is_back: bool = False) -> None:
        """Note that messages after the last delivered one are lost.

        The next message follows the id ``last``. ``is_back`` is True if the backend has
        lost the end of the history.
        """
        with self.room.desk.lock:
            if not self._is_behind:
                self._append(_Loss(last))
            elif is_back and self._position <= position_of(last):
                # Any other loss is found when the history is read, which has no gap.
                self.room.desk.start(self._tell_lost)
        self.go()

    def stop(self) -> None:
        """Stop sending messages."""
        self._is_stopped = True

    def go(self) -> None:
        """Start working, and continue until there is nothing left to do."""
        with self.room.desk.lock:
            if self._is_running or not self._may_run():
                return
            self._is_running = True
        self.room.desk.start(self._run)

    def _may_run(self) -> bool:
        return not self._is_stopped

    def _run(self) -> None:
        # Keeps the target alive while this function runs.
        target = self.target
        try:
            while self._has_work(target) and self._work():
                pass
        except Exception:
            logger.exception('failed to bring %r up to date in %r', self.target, self.room.name)
            self._fail()

    def _has_work(self, target: Any) -> bool:
        return not (target is None or self._is_stopped or self.room.desk.is_inherited)

    def _work(self) -> bool:
        """Do one step; return False when there is nothing left to do."""
        with self.room.desk.lock:
            message = self._queue.popleft() if self._queue else None
            self._size -= _size(message)
        if message is not None:
            return self._take(message)
        return self._read_on() if self._is_behind else self._rest()

    def _take(self, message: Message | _Loss) -> bool:
        """Send the next message, unless it has already been sent."""
        if isinstance(message, _Loss):
            self._lost(message.id)
        elif message.position > self._position:
            if not self._send(message):
                return False
            self._move(message.id)
        return True

    def _read_on(self) -> bool:
        """Read and send a part of the history."""
        channels, room = self.room.desk.channels, self.room
        try:
            chunk = channels.backend.read(room.name, 'on', self._cursor, _PATIENCE)
        except TimeoutError:
            return self._is_wanted()
        if chunk.is_lost:
            self._lost(chunk.previous)
        for entry in chunk.entries:
            message = channels.find_message(room.name, entry)
            if self._is_stopped or not self._take(message):
                return False
        with room.desk.lock:
            self._is_behind = not chunk.is_end or room.position > self._position
        return True

    def _lost(self, last: str) -> None:
        """Report a loss; the next message follows the id ``last``."""
        self._move(last)
        self._tell_lost()

    def _tell_lost(self) -> None:
        self.room.desk.channels.tell_lost(self.target, self.room.name)

    def _send(self, message: Message) -> bool:
        """Send a message, and block for as long as the target needs.

        Return False if the target is gone.
        """
        raise NotImplementedError

    def _rest(self) -> bool:
        """Return whether there is more work after all, when the queue was empty."""
        raise NotImplementedError

    def _is_wanted(self) -> bool:
        """Return whether the target is still there."""
        return not self._is_stopped

    def _fail(self) -> None:
        """End the delivery after an exception."""
        self.room.discard(self)


class SocketFollower(Follower):
    """A follower for a socket, which it keeps alive only while it works."""

    __slots__ = ('_socket',)

    def __init__(
        self, room: Room, socket: Any, cursor: str = '', queue: Iterable[Message] = ()
    ) -> None:
        super().__init__(room, id(socket), cursor, queue)
        self._socket = weakref.ref(socket, self._forgotten)

    @property
    def target(self) -> Any:
        """The socket, or None once it is gone."""
        return self._socket()

    def _forgotten(self, reference: object) -> None:
        """Remove the follower of a socket that was freed without being opened."""
        self.room.desk.defer(self.room.discard, self)

    def begin(self) -> None:
        """Start working as soon as the socket is open. Called on the hub."""
        socket = self.target
        if socket is None or self._is_stopped:
            return
        self.room.watch(socket)
        if socket.ready_state == CONNECTING:
            socket.add_event_listener('open', self._opened)
        elif socket.ready_state > OPEN:
            self.room.remove(socket)
        elif not self._is_up_to_date() or not self.room.settle(self, socket):
            self.go()

    def _opened(self, event: Any) -> None:
        event.target.remove_event_listener('open', self._opened)
        if not self._is_up_to_date() or not self.room.settle(self, event.target):
            self.go()

    def _is_up_to_date(self) -> bool:
        room = self.room
        with room.desk.lock:
            is_busy = self._queue or self._is_behind or self._is_running
            return not is_busy and room.position >= self._position

    def _may_run(self) -> bool:
        socket = self.target
        return super()._may_run() and socket is not None and socket.ready_state == OPEN

    def _send(self, message: Message) -> bool:
        socket = self.target
        form = (
            message.for_eventsource()
            if isinstance(socket, EventSource)
            else message.for_websocket(self.room.desk.channels.encode_message)
        )
        # With so little data queued, a message of any length is accepted.
        carrier = find_carrier(socket)
        if form is not None and carrier.wait_until_caught_up() and not self._is_stopped:
            # The oldest protocols have no binary messages, which are skipped.
            carrier.send_shared(form)
        return bool(socket.ready_state == OPEN and not self._is_stopped)

    def _rest(self) -> bool:
        with self.room.desk.lock:
            is_busy = self._is_running = bool(self._queue or self._is_behind)
            # Otherwise the history is ahead of the room, which has yet to catch up.
            if not is_busy and self.room.position >= self._position:
                self.room.settle(self, self.target)
            return is_busy

    def _is_wanted(self) -> bool:
        socket = self.target
        return super()._is_wanted() and socket is not None and socket.ready_state == OPEN

    def _fail(self) -> None:
        # The client reconnects with the id of the last message that it received.
        socket = self.target
        carrier = find_carrier(socket)
        carrier.close(CloseCode.INTERNAL_ERROR, 'internal error')


class CallbackFollower(Follower):
    """A follower for a callback, which is called for as long as it is subscribed."""

    __slots__ = ('_callback', '_subscription')

    def __init__(self, room: Room, subscription: Any, callback: Callable[..., object]) -> None:
        super().__init__(room, id(subscription))
        self._subscription = subscription
        self._callback = callback

    @property
    def target(self) -> Any:
        """The subscription."""
        return self._subscription

    def _send(self, message: Message) -> bool:
        try:
            self._callback(message.id, message.channel, message.data)
        except Exception:
            logger.exception('the callback of channel %r raised', message.channel)
        return not self._is_stopped

    def _rest(self) -> bool:
        with self.room.desk.lock:
            self._is_running = bool(self._queue or self._is_behind)
            return self._is_running


class _Loss:
    """A gap in a queue of messages; the next message follows ``id``."""

    __slots__ = ('id',)

    def __init__(self, id: str) -> None:
        self.id = id


def _size(message: Message | _Loss | None) -> int:
    """Return the bytes that a message counts while it is queued."""
    return message.size + _OVERHEAD if isinstance(message, Message) else 0
