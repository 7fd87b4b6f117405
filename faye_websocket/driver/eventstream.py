"""Event streams (WHATWG HTML, 9.2 "Server-sent events"), serialized.

A parser that follows section 9.2.6 reads the data that was sent, with two exceptions.
Every end of line becomes LF. And UTF-8 has no surrogates: a pair of them becomes its
character, and a lone one U+FFFD, as in every string that a browser sends (WebIDL's
USVString).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..http.environ import check_environ
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
# CR and LF would end the field and begin another one. Clients ignore an id that
# contains NUL.
_FORBIDDEN = re.compile('[\r\n\0]')
# An element of an Accept header, RFC 9110 section 12.5.1.
_EVENT_STREAM = re.compile(
    r'(?:\A|,)[ \t]*text/event-stream[ \t]*(?P<parameters>(?:;[^,]*)?)(?:,|\Z)', re.IGNORECASE
)
# RFC 9110 section 12.4.2: "a value of 0 means 'not acceptable'"
_NOT_ACCEPTABLE = re.compile(r';[ \t]*q=0(\.0*)?[ \t]*(;|\Z)', re.IGNORECASE)

# Clients that cannot set headers send the id in the query: the EventSource polyfills of
# old browsers.
_LAST_EVENT_ID = frozenset({'lastEventId', 'last-event-id'})

# 9.2.7: "authors can include a comment line (one starting with a ':' character) every
# 15 seconds or so". It is not followed by an empty line, and the field ``retry`` is not
# used instead: some clients make an event of a block without data, although no browser
# does.
PING = b':\r\n'


def is_eventsource(environ: Mapping[str, Any]) -> bool:
    """Return whether this is a GET whose Accept header names text/event-stream.

    Never raise for an environ.
    """
    if not isinstance(environ, dict):
        check_environ(environ)
    if environ.get('REQUEST_METHOD') != 'GET':
        return False
    found = _EVENT_STREAM.search(str(environ.get('HTTP_ACCEPT', '')))
    return found is not None and _NOT_ACCEPTABLE.search(found['parameters']) is None


def find_last_event_id(environ: Mapping[str, Any]) -> str:
    """Return the id of the last event that the client has seen, or ``''``.

    It is in the Last-Event-ID header or in the query.
    """
    # 9.2.5: the header holds the id in UTF-8. By PEP 3333 the server has decoded it
    # from Latin-1.
    header = (
        str(environ.get('HTTP_LAST_EVENT_ID', ''))
        .encode('latin-1', 'replace')
        .decode('utf-8', 'replace')
    )
    if header:
        return header
    query = parse_qsl(str(environ.get('QUERY_STRING', '')), keep_blank_values=True)
    return next((value for name, value in query if name in _LAST_EVENT_ID), '')


def serialize_event(data: str, event: str | None = None, id: str | None = None) -> bytes:
    """Return the bytes of one event.

    Raise ValueError if ``event`` or ``id`` contains CR, LF or NUL.
    """
    lines = []
    for name, value in (('event', event), ('id', id)):
        if value is not None:
            if _FORBIDDEN.search(value):
                raise ValueError(f'{name}: expected no CR, LF or NUL, got {value!r}')
            lines.append(f'{name}: {value}\r\n')
    # 9.2.6: "If value starts with a U+0020 SPACE character, remove it from value". Ours
    # is the one that gets removed.
    lines.append(f'data: {_END_OF_LINE.sub(chr(13) + chr(10) + "data: ", data)}\r\n\r\n')
    return encode_text(''.join(lines))


def serialize_retry(seconds: float) -> bytes:
    """Return the field that sets the client's reconnection time.

    Raise ValueError for a negative, infinite or undefined number of seconds.
    """
    if not 0 <= seconds * 1000 < math.inf:
        raise ValueError(f'retry: expected at least 0 seconds, got {seconds!r}')
    return b'retry: %d\r\n' % round(seconds * 1000)


def serialize_comment(text: str) -> bytes:
    """Return a comment, for people who read the stream; ``text`` is one line."""
    return encode_text(f': {text}\r\n')


class EventStream(Driver):
    """The server's end of an event stream that begins with ``preamble``.

    The response has the headers that are passed to ``accept``. ``text`` sends an event
    with the given data, and ``binary`` an event that is serialized already. Bytes from
    the client are ignored.
    """

    __slots__ = ('_preamble',)

    version = 'eventsource'
    can_ping = True

    def __init__(self, preamble: bytes = b'') -> None:
        super().__init__(Request({}, _nowhere))
        self._preamble = preamble

    def check(self) -> None:
        """Do nothing: every request is accepted."""

    def parse(self, chunk: bytes) -> None:
        """Ignore the bytes received: an event stream has one direction."""

    def text(self, message: str) -> bool:
        """Send an event with this data."""
        return self.binary(serialize_event(message))

    def binary(self, message: bytes) -> bool:
        """Send an event that is serialized already."""
        return self._command(self._send, message)

    def ping(self, message: str | bytes = '', callback: object = None) -> bool:
        """Send a comment, ahead of the data that is buffered. Clients ignore it."""
        return self._command(self._send_ping)

    def fail(self, code: int, reason: str) -> None:
        """End the stream with a comment that gives the reason.

        The comment takes the place of the data that is buffered.
        """
        if self.ready_state == OPEN:
            self._writer.write_last(serialize_comment(reason))
        self._close(code, reason)

    def _send(self, message: bytes) -> None:
        self._writer.write(message)

    def _send_ping(self) -> None:
        self._writer.write_urgent(PING, 'ping')

    def _begin_close(self, code: int, reason: str) -> None:
        """Close at once: an event stream has no closing handshake."""
        self.was_clean = True
        self._close(code, reason)

    def _response(self) -> bytes:
        preamble, self._preamble = self._preamble, b''
        return serialize_head('HTTP/1.1 200 OK', self._headers) + preamble


def _nowhere(data: bytes) -> None:
    """Discard the bytes that a driver without a connection writes."""
