"""Watched connections: those that have a journal, count for it and write into it.

The level of the log is looked at when a socket is made. Where it is on, the socket gets
a connection of another class; others pay nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from ..driver.base import SharedMessage
from ..driver.codec import Frame
from ..driver.frame_tap import OPCODE_NAMES, FrameTap
from ..driver.writer import Writer
from ..errors import ProtocolError
from .connection import Connection
from .counted import CountedTransport
from .journal import (
    APPLICATION,
    LIBRARY,
    PEER,
    Journal,
    Source,
    describe_client,
    describe_payload,
    find_peer,
)
from .transport import Transport

__all__ = ['NotesEnd', 'watched', 'watched_class']

# The beginnings of what is written and no frame: heads.
_HEADS = (b'HTTP/', b'GET ')
_END_OF_HEAD = b'\r\n\r\n'


class _Frames:
    """One direction of a connection, as DEBUG shows it: frames, or pieces.

    Versions before hybi-07 have other frames, and an event stream has none.
    """

    def __init__(self, journal: Journal, direction: str, *, masked: bool) -> None:
        self._journal = journal
        self._direction = direction
        self._tap = FrameTap(masked=masked)
        self._head: bytes | None = None

    def skip_head(self) -> None:
        """Pass over the head of a response that comes before the frames."""
        self._head = b''

    def feed(self, data: bytes, version: str) -> None:
        """Write the frames that begin in these bytes."""
        while self._head is not None:
            head, end, data = (self._head + data).partition(_END_OF_HEAD)
            if not end:
                self._head = head
                return
            # An interim response is followed by another head.
            self._head = None if b' 101 ' in head.partition(b'\r\n')[0] else b''
        if not data or data.startswith(_HEADS):
            return
        if version.startswith('hybi'):
            self._feed_frames(data)
        else:
            self._journal.piece(self._direction, data)

    def _feed_frames(self, data: bytes) -> None:
        for found in self._tap.feed(data):
            if isinstance(found, ProtocolError):
                # The driver finds it, too, and ends the connection.
                self._journal.frame(self._direction, f'no frame: {found}')
            else:
                self._write(found)

    def _write(self, frame: Frame) -> None:
        opcode, rsv = OPCODE_NAMES[frame.opcode], f'{frame.rsv >> 4:03b}'
        fields = {'opcode': opcode, 'fin': frame.fin, 'rsv': rsv, 'length': frame.length}
        shown = describe_payload(frame.length, frame.payload)
        text = f'{opcode} fin={frame.fin:d} rsv={rsv} {shown}'
        self._journal.frame(self._direction, text, **fields)


class _FrameWriter(Writer):
    """The output of a driver, of which each piece is written to the log, too."""

    def __init__(self, writer: Writer, feed: Callable[[bytes], None]) -> None:
        self._writer = writer
        self._feed = feed

    def write(self, data: bytes) -> None:
        self._feed(data)
        self._writer.write(data)

    def write_parts(self, head: bytes, payload: bytes) -> None:
        self._feed(head + payload)
        self._writer.write_parts(head, payload)

    def write_urgent(self, data: bytes, tag: str) -> None:
        self._feed(data)
        self._writer.write_urgent(data, tag)

    def write_last(self, data: bytes) -> None:
        self._feed(data)
        self._writer.write_last(data)


# ---- connections


class NotesEnd:
    """The calls that end a connection, of which its journal notes who made them.

    It stands before a class of connections, whose methods are called.
    """

    __slots__ = ()

    _journal: Journal

    def close(self, code: int, reason: str) -> None:
        self._journal.end(APPLICATION)
        super().close(code, reason)  # type: ignore[misc]

    def stop(self) -> None:
        self._journal.end(LIBRARY)
        super().stop()  # type: ignore[misc]

    def failed(self) -> None:
        self._journal.end(LIBRARY)
        super().failed()  # type: ignore[misc]

    def abort(self, reason: str) -> None:
        self._journal.end(LIBRARY)
        super().abort(reason)  # type: ignore[misc]

    def give_up_slow_peer(self) -> None:
        self._journal.end(LIBRARY)
        super().give_up_slow_peer()  # type: ignore[misc]


class _Watched(NotesEnd, Connection):
    """A connection that has a journal.

    The slot is in its subclasses, each of which has another base.
    """

    __slots__ = ()

    def __init__(self, journal: Journal, *arguments: Any) -> None:
        self._journal = journal  # type: ignore[misc]
        super().__init__(*arguments)

    def notify(self, type: str, *arguments: Any) -> None:
        journal = self._journal
        super().notify(type, *arguments)
        if type == 'open':
            journal.opened(self.version)
        elif type == 'error':
            journal.failed(arguments[0])
        elif type == 'close':
            # By now the last frame is on its way.
            if self.was_clean:
                # A close that was queued before the handshake, which has succeeded.
                journal.opened(self.version)
            code, reason = arguments
            journal.closed(code, reason, self.was_clean)

    def open_stream(self, transport: Transport) -> None:
        journal = self._journal
        if self._driver.is_client:
            journal.path = describe_client(self._dispatcher.target.url)[0]
            journal.address, journal.port = find_peer(transport)
        elif journal.address and not journal.port:
            journal.port = find_peer(transport)[1]
        super().open_stream(CountedTransport(transport, journal))

    def ended(self, reason: str) -> None:
        self._journal.end(PEER)
        super().ended(reason)


class _FrameWatched(_Watched):
    """A connection whose frames are in the log."""

    __slots__ = ()

    _received: _Frames

    def __init__(self, journal: Journal, *arguments: Any) -> None:
        super().__init__(journal, *arguments)
        self._received = _Frames(journal, 'received', masked=True)  # type: ignore[misc]

    def open_stream(self, transport: Transport) -> None:
        super().open_stream(transport)
        driver, stream = self._driver, self._stream
        assert stream is not None
        if driver.is_client:
            self._received = _Frames(self._journal, 'received', masked=False)  # type: ignore[misc]
            self._received.skip_head()
        sent = _Frames(self._journal, 'sent', masked=driver.is_client)
        driver.io = _FrameWriter(stream, lambda data: sent.feed(data, driver.version))

    def received(self, chunk: bytes) -> bool:
        self._received.feed(chunk, self.version)
        return super().received(chunk)


@cache
def watched_class(kind: Any, *, has_frames: bool) -> Any:
    """Return a class of connections, of this kind, that have journals."""
    base: Any = _FrameWatched if has_frames else _Watched
    # With super() in CPython 3.11, an echo would take 0.35 us more.
    received = base.received if has_frames else kind.received
    message, send, send_shared = kind.message, kind.send, kind.send_shared

    class Watched(base, kind):  # type: ignore[misc]
        __slots__ = ('_journal', '_received')

        def message(self, data: str | bytes) -> None:
            if not self.is_closing:
                self._journal.messages_received += 1
            message(self, data)

        def received(self, chunk: bytes) -> bool:
            self._journal.bytes_received += len(chunk)
            return received(self, chunk)  # type: ignore[no-any-return]

        def send(self, data: str | bytes) -> bool:
            was_sent: bool = send(self, data)
            if was_sent:
                self._journal.messages_sent += 1
            return was_sent

        def send_shared(self, shared: SharedMessage) -> bool:
            was_sent: bool = send_shared(self, shared)
            if was_sent:
                self._journal.messages_sent += 1
            return was_sent

    return Watched


def watched(
    kind: Any,
    log: logging.Logger,
    describe: Callable[[Any], Source],
    request: Any,
    watch: Callable[..., Any] = watched_class,
) -> Callable[..., Any]:
    """Return what makes a connection of this kind, with a journal where INFO is on.

    ``watch`` returns the class of those that have one, and ``describe(request)`` what
    the lines say of the request.
    """
    if not log.isEnabledFor(logging.INFO):
        return kind  # type: ignore[no-any-return]
    cls = watch(kind, has_frames=log.isEnabledFor(logging.DEBUG))
    return partial(cls, Journal(log, *describe(request)))
