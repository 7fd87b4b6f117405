"""A client of event streams.

The parser follows the text of WHATWG HTML, 9.2.6.
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

from tests.support.certificates import Certificate
from tests.support.processes import Endpoint
from tests.support.wire import Head, Headers, RawClient

ACCEPT = (('Accept', 'text/event-stream'),)


class ServerEvent(NamedTuple):
    """An event, as a listener of a page gets it."""

    data: str
    type: str = 'message'
    last_event_id: str = ''


class EventParser:
    """9.2.6: "Interpreting an event stream".

    ``events`` are those dispatched, ``retry`` is in milliseconds, ``comments`` are
    texts.
    """

    def __init__(self) -> None:
        self.events: list[ServerEvent] = []
        self.comments: list[str] = []
        self.retry: int | None = None
        self.last_event_id = ''
        self._data = self._type = self._id = ''

    def parse(self, stream: bytes) -> EventParser:
        """Parse a stream from its beginning, as far as it has arrived."""
        # "Streams must be decoded using the UTF-8 decode algorithm", which "strips one
        # leading UTF-8 Byte Order Mark (BOM)".
        text = stream.decode('utf-8', 'replace').removeprefix('\ufeff')
        # "lines must be separated by either a U+000D U+000A CRLF pair, a single U+000A
        # LF, or a single U+000D CR"
        *lines, _ = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
        for line in lines:
            self._take_line(line)
        return self

    def _take_line(self, line: str) -> None:
        if line == '':
            self._dispatch()
        elif line.startswith(':'):
            self.comments.append(line[1:])
        else:
            # "If value starts with a U+0020 SPACE character, remove it from value."
            field, _, value = line.partition(':')
            self._take_field(field, value.removeprefix(' '))

    def _take_field(self, field: str, value: str) -> None:
        if field == 'event':
            self._type = value
        elif field == 'data':
            self._data += value + '\n'
        elif field == 'id':
            # "If the field value does not contain U+0000 NULL"
            self._id = self._id if '\0' in value else value
        elif field == 'retry' and value.isascii() and value.isdigit():
            # "If the field value consists of only ASCII digits"
            self.retry = int(value)

    def _dispatch(self) -> None:
        """"Dispatch the event", unless "the data buffer is an empty string"."""
        self.last_event_id = self._id
        if self._data:
            self.events.append(ServerEvent(self._data.removesuffix('\n'), self._type or 'message', self.last_event_id))
        self._data = self._type = ''


class EventClient(RawClient):
    """A raw client that requests an event stream and parses it."""

    def __init__(self, server: Endpoint, path: str = '/', headers: Headers = (), **options: object) -> None:
        super().__init__(server, path, [*ACCEPT, *headers], **options)  # type: ignore[arg-type]
        self.head: Head | None = None
        self._seen = 0

    def open(self) -> EventClient:
        """Read the head, which must be that of an event stream."""
        self.head = self.handshake()
        assert (self.head.status, self.head.get('Content-Type')) == (200, 'text/event-stream')
        return self

    @property
    def stream(self) -> EventParser:
        """The parser, fed with everything that has arrived."""
        assert self.head is not None
        is_chunked = self.head.get('Transfer-Encoding') == 'chunked'
        return EventParser().parse(unchunked(self.transcript) if is_chunked else self.transcript)

    def receive_event(self) -> ServerEvent:
        """Wait for the next event, and return it."""
        self._read_until(lambda: len(self.stream.events) > self._seen)
        self._seen += 1
        return self.stream.events[self._seen - 1]

    def record_arrivals(self, count: int) -> list[tuple[float, ServerEvent]]:
        """Return this many events of one line, each with the time at which it was
        complete.
        """
        reads = [(time.monotonic(), len(self.transcript))]
        while self.transcript.count(b'data: ') < count or not self.transcript.endswith(b'\r\n\r\n'):
            assert self._read(time.monotonic() + self.deadline), 'the connection ended'
            reads.append((time.monotonic(), len(self.transcript)))
        transcript = self.transcript
        arrivals: list[tuple[float, ServerEvent]] = []
        for arrived, length in reads:
            self.transcript = transcript[:length]
            arrivals += [(arrived, event) for event in self.stream.events[len(arrivals):]]
        return arrivals

    def receive_comment(self, count: int = 1) -> str:
        """Wait for this many comments, and return the last."""
        self._read_until(lambda: len(self.stream.comments) >= count)
        return self.stream.comments[count - 1]

    def receive_retry(self) -> int:
        """Wait for the server's reconnection time, in milliseconds."""
        self._read_until(lambda: self.stream.retry is not None)
        assert self.stream.retry is not None
        return self.stream.retry


def unchunked(body: bytes) -> bytes:
    """Return the data of a body in Transfer-Encoding: chunked, as far as it has
    arrived.
    """
    data = b''
    while b'\r\n' in body:
        size, _, body = body.partition(b'\r\n')
        length = int(size.split(b';')[0], 16)
        data, body = data + body[:length], body[length + 2:]
    return data


def main(port: str, path: str, authority: str = '') -> None:
    """Run a client for a test to kill.

    ``python -m tests.support.eventstream PORT PATH [AUTHORITY]`` prints ``open``, and
    waits.
    """
    certificate = Certificate(authority, '', '') if authority else None
    with EventClient(Endpoint(('127.0.0.1', int(port)), certificate), path) as client:
        client.open().receive_retry()
        print('open', flush=True)
        sys.stdin.read()


if __name__ == '__main__':
    main(*sys.argv[1:])
