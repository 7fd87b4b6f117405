"""Journal: the lines that the log has of connections, at INFO and DEBUG.

One line when a connection is open, one when it is closed, one for a handshake that was
refused or failed, and at DEBUG one for each frame. Whatever comes from a peer is
escaped, so that a line is one line, and its fields are where they belong. A record has
the fields as attributes, too, for a filter or for JSON.

The level is looked at when a socket is made. Where it is on, the socket gets a
connection of another class, which counts and writes; others pay nothing.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any
from urllib.parse import quote

from ..driver.base import SharedMessage
from ..driver.codec import FrameParser
from ..driver.codes import Opcode
from ..driver.writer import Writer
from ..errors import HandshakeError, ProtocolError
from .connection import Connection
from .counted import CountedTransport
from .faults import PATH, name_url
from .transport import PlainSocket, Transport

__all__ = [
    'APPLICATION',
    'CLIENT',
    'EVENTSOURCE',
    'LIBRARY',
    'PEER',
    'SERVER',
    'Journal',
    'Source',
    'describe_client',
    'describe_request',
    'watched',
    'watched_class',
]

SERVER = logging.getLogger('faye_websocket.server')
CLIENT = logging.getLogger('faye_websocket.client')
EVENTSOURCE = logging.getLogger('faye_websocket.eventsource')

# Values of ``ended_by``.
PEER, APPLICATION, LIBRARY = 'peer', 'application', 'faye_websocket'

# What an address may consist of; anything else is percent-encoded.
_ADDRESS = ':.%'
# The address of a peer that there is not yet.
_NOBODY = '-'
# As much of a payload as a line shows, in bytes.
_SHOWN = 64
# Any reserved bits: the driver knows which of them an extension uses.
_RESERVED = 0x70
# The beginnings of what is written and no frame: heads.
_HEADS = (b'HTTP/', b'GET ')
_END_OF_HEAD = b'\r\n\r\n'
_OPCODES = {value: name for name, value in vars(Opcode).items() if name.isupper()}

# The lines, which begin with the event, the path and the peer.
_OPEN = '%s %s %s %s: %s'
_CLOSED = (
    '%s %s %s %s: %d %r by %s after %.3f s, '
    'received %d messages (%d bytes), sent %d messages (%d bytes)'
)
_REFUSED = '%s %s %s %s: %d %r'
_FAILED = '%s %s %s %s: %r'
_FRAME = '%s %s %s %s: %s %s'

# The path, the address and the port of a peer.
Source = tuple[str, str, str]


class Journal:
    """The life of one connection, as the log has it.

    ``path`` is escaped. The connection counts the messages and the bytes.
    """

    __slots__ = (
        '_began',
        '_error',
        '_is_open',
        '_log',
        'address',
        'bytes_received',
        'bytes_sent',
        'ended_by',
        'messages_received',
        'messages_sent',
        'path',
        'port',
    )

    def __init__(self, log: logging.Logger, path: str, address: str, port: str) -> None:
        self._log = log
        self.path = path
        self.address = address
        self.port = port
        self.ended_by = ''
        self.messages_received = self.messages_sent = 0
        self.bytes_received = self.bytes_sent = 0
        self._is_open = False
        self._began = 0.0
        self._error: Exception | None = None

    def opened(self, version: str) -> None:
        """Write that the connection is open, once."""
        if not self._is_open:
            self._is_open = True
            self._began = time.monotonic()
            self._write(logging.INFO, 'open', _OPEN, version, version=version)

    def failed(self, error: Exception) -> None:
        """Note why the handshake, or the connection, fails."""
        self._error = error

    def end(self, ended_by: str) -> None:
        """Note who ends the connection, unless that was noted."""
        self.ended_by = self.ended_by or ended_by

    def closed(self, code: int, reason: str, was_clean: bool) -> None:
        """Write how the connection has ended, or that it never was open."""
        if not self._is_open:
            self._never_opened(reason)
            return
        self.end(PEER if was_clean else LIBRARY)
        counts = {
            name: getattr(self, name)
            for name in ('messages_received', 'bytes_received', 'messages_sent', 'bytes_sent')
        }
        seconds = round(time.monotonic() - self._began, 6)
        fields: dict[str, Any] = {
            'code': code,
            'reason': reason,
            'ended_by': self.ended_by,
            'seconds': seconds,
        }
        fields |= counts
        self._write(logging.INFO, 'closed', _CLOSED, *fields.values(), **fields)

    def _never_opened(self, reason: str) -> None:
        error = self._error
        if isinstance(error, HandshakeError) and error.status:
            status, reason = int(error.status[:3]), str(error)
            arguments = {'status': status, 'reason': reason}
            self._write(logging.INFO, 'refused', _REFUSED, *arguments.values(), **arguments)
        else:
            reason = str(error or '') or reason or 'the connection was lost'
            self._write(logging.INFO, 'failed', _FAILED, reason, reason=reason)

    def frame(self, direction: str, text: str, **fields: Any) -> None:
        """Write that a frame was sent or received."""
        fields['direction'] = direction
        self._write(logging.DEBUG, 'frame', _FRAME, direction, text, **fields)

    def piece(self, direction: str, data: bytes) -> None:
        """Write that bytes were sent or received where there are no frames."""
        self.frame(direction, f'{len(data)} bytes {data[:_SHOWN]!r}', length=len(data))

    def _write(self, level: int, event: str, message: str, *arguments: Any, **fields: Any) -> None:
        peer = _name_address(self.address, self.port)
        where = (self.path, 'at' if self._log is CLIENT else 'from', peer)
        fields |= {'socket_event': event, 'path': self.path, 'peer': peer}
        try:
            self._log.log(level, message, event, *where, *arguments, extra=fields)
        except Exception:
            # A filter of the application's raised, or a handler would block the hub. As
            # in logging, whose handlers print their own faults, nothing else suffers.
            traceback.print_exc()


# ---- names


def describe_request(environ: Mapping[str, Any]) -> Source:
    """Return the path of a request, and the address and the port of its client."""
    path = environ.get('SCRIPT_NAME', '') + environ.get('PATH_INFO', '')
    address, port = environ.get('REMOTE_ADDR', ''), environ.get('REMOTE_PORT', '')
    return quote(path.encode('latin-1', 'replace'), safe=PATH), str(address), str(port)


def describe_client(url: str) -> Source:
    """Return a client's URL, as the log names it, and that there is no peer yet."""
    return name_url(url), _NOBODY, ''


def _name_address(address: str, port: str) -> str:
    """Return an address with its port, escaped, or ``unix`` without an address."""
    if not address:
        return 'unix'
    address = quote(address, safe=_ADDRESS)
    address = f'[{address}]' if ':' in address else address
    return f'{address}:{quote(port)}' if port else address


def _find_peer(transport: Transport) -> tuple[str, str]:
    """Return the address and the port at the other end of a connection."""
    sock = PlainSocket(fileno=transport.fileno())
    try:
        peer = sock.getpeername()
    except OSError:
        # It is gone.
        return _NOBODY, ''
    finally:
        sock.detach()
    return (str(peer[0]), str(peer[1])) if isinstance(peer, tuple) else ('', '')


# ---- frames


class _Frames:
    """One direction of a connection, as DEBUG shows it: frames, or pieces.

    Versions before hybi-07 have other frames, and an event stream has none.
    """

    def __init__(self, journal: Journal, direction: str, *, masked: bool) -> None:
        self._journal = journal
        self._direction = direction
        self._parser = FrameParser(masked=masked)
        self._parser.reserve(_RESERVED)
        self._head: bytes | None = None

    def skip_head(self) -> None:
        """Pass over the head of a response that comes before the frames."""
        self._head = b''

    def feed(self, data: bytes, version: str) -> None:
        """Write the frames that begin in these bytes."""
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(_END_OF_HEAD)
            if not end:
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
        self._parser.feed(data)
        try:
            while (frame := self._parser.next_frame()) is not None:
                if frame.is_first:
                    self._write(frame)
        except ProtocolError as error:
            # The driver finds it, too, and ends the connection.
            self._journal.frame(self._direction, f'no frame: {error}')

    def _write(self, frame: Any) -> None:
        opcode, rsv = _OPCODES[frame.opcode], f'{frame.rsv >> 4:03b}'
        fields = {'opcode': opcode, 'fin': frame.fin, 'rsv': rsv, 'length': frame.length}
        shown = f'{frame.length} bytes {frame.payload[:_SHOWN]!r}'
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


class _Watched(Connection):
    """A connection that has a journal.

    The slot is in its subclasses, each of which has another base.
    """

    __slots__ = ()

    _journal: Journal

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
            journal.address, journal.port = _find_peer(transport)
        elif journal.address and not journal.port:
            journal.port = _find_peer(transport)[1]
        super().open_stream(CountedTransport(transport, journal))

    def close(self, code: int, reason: str) -> None:
        self._journal.end(APPLICATION)
        super().close(code, reason)

    def stop(self) -> None:
        self._journal.end(LIBRARY)
        super().stop()

    def failed(self) -> None:
        self._journal.end(LIBRARY)
        super().failed()

    def abort(self, reason: str) -> None:
        self._journal.end(LIBRARY)
        super().abort(reason)

    def give_up_slow_peer(self) -> None:
        self._journal.end(LIBRARY)
        super().give_up_slow_peer()

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
