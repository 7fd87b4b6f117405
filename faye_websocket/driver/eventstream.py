"""Event streams (WHATWG HTML, 9.2 "Server-sent events"): events as bytes, and the driver of a connection that carries them.

What a parser that keeps to section 9.2.6 reads is what was sent, except that there is one end of line in an event's data, LF,
whichever was sent, and that UTF-8 has no surrogates: pairs of them become their character, and lone ones U+FFFD, as in every
string that a browser sends (WebIDL's USVString).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..http.head import serialize_head
from .base import OPEN, Driver, Request
from .text import encode_text

__all__ = [
    'PING',
    'EventStream',
    'find_last_event_id',
    'is_eventsource',
    'serialize_comment',
    'serialize_event',
    'serialize_retry',
]

_END_OF_LINE = re.compile('\r\n|\r|\n')
# What would end a field and begin another one; and an id with a NUL is ignored by the client.
_FORBIDDEN = re.compile('[\r\n\0]')
# An element of an Accept header, RFC 9110 section 12.5.1.
_EVENT_STREAM = re.compile(r'(?:\A|,)[ \t]*text/event-stream[ \t]*(?P<parameters>(?:;[^,]*)?)(?:,|\Z)', re.IGNORECASE)
# RFC 9110 section 12.4.2: "a value of 0 means 'not acceptable'"
_NOT_ACCEPTABLE = re.compile(r';[ \t]*q=0(\.0*)?[ \t]*(;|\Z)', re.IGNORECASE)

# Clients that cannot set headers, which EventSource in old browsers was made of, send it so.
_LAST_EVENT_ID = frozenset({'lastEventId', 'last-event-id'})

# 9.2.7: "authors can include a comment line (one starting with a ':' character) every
# 15 seconds or so". No empty line follows it, nor the field ``retry``: of a block
# without data, which no browser dispatches, some clients make an event.
PING = b':\r\n'


def is_eventsource(environ: Mapping[str, Any]) -> bool:
    """Whether this is a GET whose Accept header names text/event-stream. Never raises."""
    if environ.get('REQUEST_METHOD') != 'GET':
        return False
    found = _EVENT_STREAM.search(str(environ.get('HTTP_ACCEPT', '')))
    return found is not None and _NOT_ACCEPTABLE.search(found['parameters']) is None


def find_last_event_id(environ: Mapping[str, Any]) -> str:
    """The id of the last event that the client saw, from the Last-Event-ID header or from the query; ``''`` if none."""
    # 9.2.5: the header holds the id in UTF-8; PEP 3333 has it decoded from Latin-1.
    header = str(environ.get('HTTP_LAST_EVENT_ID', '')).encode('latin-1', 'replace').decode('utf-8', 'replace')
    if header:
        return header
    query = parse_qsl(str(environ.get('QUERY_STRING', '')), keep_blank_values=True)
    return next((value for name, value in query if name in _LAST_EVENT_ID), '')


def serialize_event(data: str, event: str | None = None, id: str | None = None) -> bytes:
    """One event. Raises ValueError for an ``event`` or ``id`` that would not stay within its line."""
    lines = []
    for name, value in (('event', event), ('id', id)):
        if value is not None:
            if _FORBIDDEN.search(value):
                raise ValueError(f'{name}: expected no CR, LF or NUL, got {value!r}')
            lines.append(f'{name}: {value}\r\n')
    # 9.2.6: "If value starts with a U+0020 SPACE character, remove it from value", which is ours.
    lines.append(f'data: {_END_OF_LINE.sub(chr(13) + chr(10) + "data: ", data)}\r\n\r\n')
    return encode_text(''.join(lines))


def serialize_retry(seconds: float) -> bytes:
    """Tells the client how long to wait before it connects again. Raises ValueError for what is no time."""
    if not 0 <= seconds * 1000 < math.inf:
        raise ValueError(f'retry: expected at least 0 seconds, got {seconds!r}')
    return b'retry: %d\r\n' % round(seconds * 1000)


def serialize_comment(text: str) -> bytes:
    """A line for those who read the stream themselves; ``text`` has one line."""
    return encode_text(f': {text}\r\n')


class EventStream(Driver):
    """The server's end of an event stream, which begins with ``preamble``.

    The head of the response has the headers that ``accept`` is given. ``text`` sends an event with this data; ``binary`` one
    that is serialized already. What the client sends means nothing.
    """

    __slots__ = ('_preamble',)

    version = 'eventsource'
    can_ping = True

    def __init__(self, preamble: bytes = b'') -> None:
        super().__init__(Request({}, _nowhere))
        self._preamble = preamble

    def check(self) -> None:
        """Whoever asks gets a stream."""

    def parse(self, chunk: bytes) -> None:
        """A client has nothing to say."""

    def text(self, message: str) -> bool:
        """Sends an event with this data."""
        return self.binary(serialize_event(message))

    def binary(self, message: bytes) -> bool:
        """Sends an event that is serialized already."""
        return self._command(self._send, message)

    def ping(self, message: str | bytes = '', callback: object = None) -> bool:
        """Sends a comment, ahead of what waits; the client passes over it."""
        return self._command(self._send_ping)

    def fail(self, code: int, reason: str) -> None:
        """Ends the stream, with a comment that says why in the place of what waits."""
        if self.ready_state == OPEN:
            self._writer.write_last(serialize_comment(reason))
        self._close(code, reason)

    def _send(self, message: bytes) -> None:
        self._writer.write(message)

    def _send_ping(self) -> None:
        self._writer.write_urgent(PING, 'ping')

    def _begin_close(self, code: int, reason: str) -> None:
        """There is no closing handshake."""
        self.was_clean = True
        self._close(code, reason)

    def _response(self) -> bytes:
        preamble, self._preamble = self._preamble, b''
        return serialize_head('HTTP/1.1 200 OK', self._headers) + preamble


def _nowhere(data: bytes) -> None:
    """Where a driver without a connection writes."""
