"""Journal: the lines that the log has of connections, at INFO and DEBUG.

One line when a connection is open, one when it is closed, one for a handshake that was
refused or failed, and at DEBUG one for each frame. Whatever comes from a peer is
escaped, so that a line is one line, and its fields are where they belong. A record has
the fields as attributes, too, for a filter or for JSON.

``watched`` has the connections that count for a journal and write into it.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..errors import HandshakeError
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
    'describe_payload',
    'describe_request',
    'find_peer',
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
        self.frame(direction, describe_payload(len(data), data), length=len(data))

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


def describe_payload(length: int, data: bytes) -> str:
    """Return the length of a payload and its beginning, as a line shows them."""
    return f'{length} bytes {data[:_SHOWN]!r}'


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


def find_peer(transport: Transport) -> tuple[str, str]:
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
