"""Messages of channels, and their ids.

An id is two numbers, as in ``1732797000000-0``. The ids of a channel grow. Each message
has the id of the one before it, so that a receiver which has an id knows whether a
message is missing after it. The id ``''`` stands before the first message.
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
    """A message in the form in which a backend stores it."""

    id: str
    previous: str
    event: str | None
    data: str | bytes


class Chunk(NamedTuple):
    """A part of a channel's history.

    ``is_lost`` says that messages are missing before it. ``last`` is the id of the
    channel's last message. ``is_end`` says that no message followed this part when it
    was read.
    """

    is_lost: bool
    last: str
    entries: list[Entry]
    is_end: bool


class Message:
    """A message for the sockets of this process, which is framed once for all of them.
    """

    __slots__ = ('_event', '_forms', 'channel', 'data', 'id', 'position', 'previous', 'size')

    def __init__(self, channel: str, entry: Entry) -> None:
        self.channel = channel
        self.id, self.previous, self._event, self.data = entry
        self.position = position_of(entry.id)
        self.size = len(entry.data)
        # By kind of socket: the message in its form; None if such sockets do not get
        # it.
        self._forms: dict[str, SharedMessage | None] = {}

    def for_websocket(self, encode: Callable[[Message], SharedMessage | None]) -> SharedMessage | None:
        """Return the form for WebSockets, made once; None to send nothing."""
        if 'websocket' not in self._forms:
            self._forms['websocket'] = encode(self)
        return self._forms['websocket']

    def for_eventsource(self) -> SharedMessage | None:
        """Return the form for event sources; None for bytes, which they do not get."""
        if 'eventsource' not in self._forms:
            self._forms['eventsource'] = (
                SharedMessage(to_event(self.data, self._event, self.id))
                if isinstance(self.data, str)
                else None
            )
        return self._forms['eventsource']


class Cache:
    """The messages that were sent last, so that each is framed and encoded once."""

    # The greatest number of messages, and of bytes in them.
    MOST, MOST_BYTES = 1000, 2**20

    def __init__(self) -> None:
        self._messages: OrderedDict[tuple[str, str], Message] = OrderedDict()
        self._size = 0

    def find(self, channel: str, entry: Entry) -> Message:
        """Return the message of an entry, shared with others if it is still kept."""
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
    """Return the message that has these fields in Redis."""
    return Entry(
        id.decode(),
        previous.decode(),
        event.decode() or None,
        data.decode() if kind == b't' else data,
    )


def position_of(id: str) -> Position:
    """Return the numbers of one of our ids; those of ``''`` are less than all others.
    """
    milliseconds, _, number = id.partition('-')
    return (int(milliseconds), int(number)) if id else (-1, 0)


def envelope(id: str, channel: str, message: str | bytes) -> str:
    """Return a JSON object with ``id``, ``channel`` and ``data``.

    Bytes are in ``base64`` instead of ``data``. It is for
    ``Channels(encode=envelope)``: a WebSocket needs the ids to reconnect with
    ``since``.
    """
    if isinstance(message, str):
        return json.dumps({'id': id, 'channel': channel, 'data': message})
    return json.dumps(
        {'id': id, 'channel': channel, 'base64': base64.b64encode(message).decode()}
    )
