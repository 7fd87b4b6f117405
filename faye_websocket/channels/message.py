"""Messages of channels, their ids, and what names may be.

An id is two numbers, as in ``1732797000000-0``. Within one channel the ids grow, and each message
knows the id of the one before it, so that whoever has an id can tell whether anything is missing
behind it. Whoever has seen nothing yet is at the id ``''``.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..api import to_data
from ..driver.base import SharedMessage
from ..driver.text import encode_text
from ..eventsource.source import to_event

__all__ = [
    'Cache',
    'Chunk',
    'Encode',
    'Entry',
    'Message',
    'Position',
    'check_event',
    'check_name',
    'check_since',
    'clean_data',
    'envelope',
    'position_of',
]

Encode = Callable[[str, str, Any], Any]
Position = tuple[int, int]

_ID = re.compile(r'(0|[1-9][0-9]{0,19})-(0|[1-9][0-9]{0,19})')
# What the numbers of an id are below; the largest of all can have none behind it.
_TOO_LARGE = 2**64 - 1
_LONGEST_NAME = 255


class Entry(NamedTuple):
    """A message as a backend keeps it."""

    id: str
    previous: str
    event: str | None
    data: str | bytes


class Chunk(NamedTuple):
    """A part of a channel's history.

    ``is_lost`` says that messages are missing before it; ``last`` is the id of the channel's last
    message; and ``is_end`` that nothing was behind this part when it was read.
    """

    is_lost: bool
    last: str
    entries: list[Entry]
    is_end: bool


class Message:
    """A message on its way to the sockets of this process, framed once for all of them."""

    __slots__ = ('_event', '_forms', 'channel', 'data', 'id', 'position', 'previous', 'size')

    def __init__(self, channel: str, entry: Entry) -> None:
        self.channel = channel
        self.id, self.previous, self._event, self.data = entry
        self.position = position_of(entry.id)
        self.size = len(entry.data)
        # For a WebSocket and for an event source; None where they get nothing.
        self._forms: dict[str, SharedMessage | None] = {}

    def for_websocket(self, encode: Callable[[Message], SharedMessage | None]) -> SharedMessage | None:
        """Return what a WebSocket gets, which ``encode`` makes once; None for nothing."""
        if 'websocket' not in self._forms:
            self._forms['websocket'] = encode(self)
        return self._forms['websocket']

    def for_eventsource(self) -> SharedMessage | None:
        """Return what an event source gets; None for bytes, which it passes over."""
        if 'eventsource' not in self._forms:
            self._forms['eventsource'] = (
                SharedMessage(to_event(self.data, self._event, self.id))
                if isinstance(self.data, str)
                else None
            )
        return self._forms['eventsource']


class Cache:
    """The messages that were sent last, so that each is framed and encoded once."""

    # As many messages, and bytes of them, are kept at most.
    MOST, MOST_BYTES = 1000, 2**20

    def __init__(self) -> None:
        self._messages: OrderedDict[tuple[str, str], Message] = OrderedDict()
        self._size = 0

    def find(self, channel: str, entry: Entry) -> Message:
        """Return the message of an entry, the one that others have got if it is still here."""
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


def position_of(id: str) -> Position:
    """Return the numbers of an id of ours; those of ``''`` are less than all others."""
    milliseconds, _, number = id.partition('-')
    return (int(milliseconds), int(number)) if id else (-1, 0)


def check_since(since: Any) -> str | None:
    """Return an id that may be ours; None for one that is not, and raise nothing.

    It comes from a client, perhaps a hostile one, in JSON of any shape.
    """
    if not isinstance(since, str):
        return None
    found = _ID.fullmatch(since)
    if found is None or max(int(found[1]), int(found[2])) >= _TOO_LARGE:
        return None
    return since


def check_name(what: str, name: Any) -> str:
    """Return a name of 1 to 255 characters, of which none is a control character.

    Raises TypeError and ValueError that say ``what`` is wrong.
    """
    if not isinstance(name, str):
        raise TypeError(f'{what}: expected a str, got {name!r:.80}')
    clean = encode_text(name).decode()
    if '\ufffd' in clean and clean.count('\ufffd') != name.count('\ufffd'):
        raise ValueError(f'{what}: expected no lone surrogate, got {name!r:.80}')
    if not 1 <= len(clean) <= _LONGEST_NAME:
        raise ValueError(f'{what}: expected 1 to {_LONGEST_NAME} characters, got {len(clean)}')
    if any(unicodedata.category(character) == 'Cc' for character in clean):
        raise ValueError(f'{what}: expected no control character, got {name!r:.80}')
    return clean


def check_event(event: Any) -> str | None:
    """Return the type of an event. Raises TypeError and ValueError for what cannot be one."""
    if event is None:
        return None
    # The event source knows what it could not send.
    to_event('', event)
    return encode_text(str(event)).decode()


def clean_data(message: Any) -> str | bytes:
    """Return what is published, with U+FFFD in the place of each lone surrogate.

    Raises TypeError for what no socket could get.
    """
    data = to_data(message)
    return encode_text(data).decode() if isinstance(data, str) else data


def envelope(id: str, channel: str, message: str | bytes) -> str:
    """Return a JSON object with ``id``, ``channel`` and ``data``, or ``base64`` for bytes.

    For ``Channels(encode=envelope)``: a WebSocket that is to come back with ``since`` needs
    the ids.
    """
    if isinstance(message, str):
        return json.dumps({'id': id, 'channel': channel, 'data': message})
    return json.dumps(
        {'id': id, 'channel': channel, 'base64': base64.b64encode(message).decode()}
    )
