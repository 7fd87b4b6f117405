"""Messages of channels, and their ids.

An id consists of two numbers, as in ``1732797000000-0``. Within one channel the ids
increase, and each message holds the id of the previous one, so that a receiver can
detect missing messages. A receiver that has no message yet is at the id ``''``.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..driver.base import SharedMessage
from ..eventsource.source import to_event

__all__ = [
    'Cache',
    'Chunk',
    'Encode',
    'Entry',
    'Message',
    'Position',
    'entry_of',
    'envelope',
    'position_of',
]

Encode = Callable[[str, str, Any], Any]
Position = tuple[int, int]


class Entry(NamedTuple):
    """A message as a backend stores it."""

    id: str
    previous: str
    event: str | None
    data: str | bytes


class Chunk(NamedTuple):
    """A part of a channel's history.

    ``is_lost`` is True if messages are missing before it, ``last`` is the id of the
    channel's last message, and ``is_end`` is True if no message followed this part when
    it was read.
    """

    is_lost: bool
    last: str
    entries: list[Entry]
    is_end: bool

    @property
    def previous(self) -> str:
        """The id that this part follows."""
        return self.entries[0].previous if self.entries else self.last


class Message:
    """A message for the sockets of this process, framed once for all of them."""

    __slots__ = ('_event', '_forms', 'channel', 'data', 'id', 'position', 'previous', 'size')

    def __init__(self, channel: str, entry: Entry) -> None:
        self.channel = channel
        self.id, self.previous, self._event, self.data = entry
        self.position = position_of(entry.id)
        self.size = len(entry.data)
        # The forms for WebSockets and event sources; None if they skip the message.
        self._forms: dict[str, SharedMessage | None] = {}

    def for_websocket(
        self, encode: Callable[[Message], SharedMessage | None]
    ) -> SharedMessage | None:
        """Return the form for WebSockets, encoded once, or None to skip the message."""
        if 'websocket' not in self._forms:
            self._forms['websocket'] = encode(self)
        return self._forms['websocket']

    def for_eventsource(self) -> SharedMessage | None:
        """Return the form for event sources, or None for bytes, which they skip."""
        if 'eventsource' not in self._forms:
            self._forms['eventsource'] = (
                SharedMessage(to_event(self.data, self._event, self.id))
                if isinstance(self.data, str)
                else None
            )
        return self._forms['eventsource']


class Cache:
    """A cache of the latest messages, so that each is framed and encoded once."""

    # The largest number of messages, and of bytes, that are kept.
    MOST, MOST_BYTES = 1000, 2**20

    def __init__(self) -> None:
        self._messages: OrderedDict[tuple[str, str], Message] = OrderedDict()
        self._size = 0

    def find(self, channel: str, entry: Entry) -> Message:
        """Return the message of an entry, from the cache if it is still there."""
        key = (channel, entry.id)
        message = self._messages.get(key)
        if message is None:
            message = Message(channel, entry)
            if message.size <= self.MOST_BYTES:
                self._keep(key, message)
        return message

    def _keep(self, key: tuple[str, str], message: Message) -> None:
        self._messages[key] = message
        self._size += message.size
        while len(self._messages) > self.MOST or self._size > self.MOST_BYTES:
            self._size -= self._messages.popitem(last=False)[1].size


def entry_of(id: bytes, previous: bytes, kind: bytes, event: bytes, data: bytes) -> Entry:
    """Return the entry for the fields that Redis has of a message."""
    return Entry(
        id.decode(),
        previous.decode(),
        event.decode() or None,
        data.decode() if kind == b't' else data,
    )


def position_of(id: str) -> Position:
    """Return the numbers of one of our ids; those of ``''`` come before all others."""
    milliseconds, _, number = id.partition('-')
    return (int(milliseconds), int(number)) if id else (-1, 0)


def envelope(id: str, channel: str, message: str | bytes) -> str:
    """Return a message as a JSON object, which includes its id.

    It has ``id``, ``channel``, and ``data`` for text or ``base64`` for bytes. Pass it
    as ``Channels(encode=envelope)``: a WebSocket client needs the ids to rejoin with
    ``since``.
    """
    if isinstance(message, str):
        return json.dumps({'id': id, 'channel': channel, 'data': message})
    return json.dumps({'id': id, 'channel': channel, 'base64': base64.b64encode(message).decode()})
