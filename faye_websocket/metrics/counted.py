"""Counted connections: they do what others do, and count it.

They are of another class, so that those that do not count pay nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from ..client import Client
from ..driver.base import CLOSED, SharedMessage
from ..errors import HandshakeError
from ..eventsource.response_carrier import ResponseCarrier
from ..eventsource.socket_carrier import SocketCarrier
from ..eventsource.source import EventSource
from ..io.connection import Connection
from ..io.counted import CountedTransport
from ..io.transport import Transport
from ..websocket import WebSocket
from .counters import Counters, Counting

__all__ = ['ByPath', 'disable', 'enable', 'get_counters', 'is_by_path']

#: Whether sockets are counted by path, and what makes the label of a path.
ByPath = bool | Callable[[str], str]

_counters = Counters()
os.register_at_fork(after_in_child=lambda: _counters._begin())
_by_path: ByPath = False


def get_counters() -> Counters:
    """Return the counters of this process."""
    return _counters


def is_by_path() -> bool:
    """Return whether new sockets are counted by path."""
    return bool(_by_path)


def enable(*, by_path: ByPath = False) -> Counters:
    """Count the sockets that are made from now on.

    Returns the process's counters, always one object. With ``by_path`` each path has
    counters of its own, in ``exposition()``; a function gets the path of a socket's
    URL, and returns the label to count it under. No more than 64 paths are counted by
    themselves, and the others as ``'other'``.
    """
    global _by_path
    _by_path = by_path
    WebSocket._connection_class = _ServerConnection
    Client._connection_class = _ClientConnection
    EventSource._socket_carrier_class = _EventsConnection
    EventSource._response_carrier_class = _CountedResponseCarrier
    return _counters


def disable() -> None:
    """Stop counting new sockets. Those that are counted go on."""
    global _by_path
    _by_path = False
    WebSocket._connection_class = Client._connection_class = Connection
    EventSource._socket_carrier_class = SocketCarrier
    EventSource._response_carrier_class = ResponseCarrier


def _find_counters(kind: str, target: Any) -> Counting:
    """Return the counters of a socket that is made."""
    if not _by_path:
        return _counters.find(kind)
    path = unquote(urlsplit(target.url).path) or '/'
    return _counters.find(kind, path if _by_path is True else _by_path(path))


class _Tally:
    """The state of one socket, as far as it matters for the next count."""

    __slots__ = ('counters', 'opened_at', 'status')

    def __init__(self, counters: Counting) -> None:
        self.counters = counters
        # By the clock that is never set; 0 before it is open.
        self.opened_at = 0.0
        # The status of the HTTP error that ended the handshake.
        self.status = 0

    def open(self) -> None:
        """Count a handshake that has succeeded."""
        if not self.opened_at:
            self.opened_at = time.monotonic()
            self.counters.opened += 1

    def close(self, code: int) -> None:
        """Count the end of the socket."""
        if self.opened_at:
            self.counters.count_closed(code, time.monotonic() - self.opened_at)
        elif self.status:
            self.counters.count_refused(self.status)
        else:
            self.counters.failed += 1

    def drop(self) -> None:
        """Count a message for which there was no room."""
        self.counters.dropped += 1

    def fail(self) -> None:
        """Count a handler that raised."""
        self.counters.handler_errors += 1


class _CountedConnection(Connection):
    """A connection that counts.

    The slot is in its subclasses, so that one may have another base.
    """

    __slots__ = ()

    _kind = ''
    _tally: _Tally

    def __init__(self, target: Any, *arguments: Any) -> None:
        self._tally = _Tally(_find_counters(self._kind, target))  # type: ignore[misc]
        super().__init__(target, *arguments)

    def notify(self, type: str, *arguments: Any) -> None:
        tally = self._tally
        if type == 'open':
            tally.open()
        elif type == 'error' and isinstance(arguments[0], HandshakeError):
            tally.status = int(arguments[0].status[:3] or 0)
        elif type == 'close':
            if self.was_clean:
                # A close that was queued before the handshake. The handshake succeeded,
                # but there was no open event.
                tally.open()
            tally.close(arguments[0])
        super().notify(type, *arguments)

    # These run for every message and every read. With super() in CPython 3.11, counting
    # an echo took 0.6 us in place of 0.25.

    def message(self, data: str | bytes) -> None:
        if not self.is_closing:
            self._tally.counters.messages_received += 1
        Connection.message(self, data)

    def received(self, chunk: bytes) -> bool:
        size = len(chunk)
        self._tally.counters.bytes_received += size
        return Connection.received(self, chunk)

    def send(self, data: str | bytes) -> bool:
        was_sent = Connection.send(self, data)
        if was_sent:
            self._tally.counters.messages_sent += 1
        return was_sent

    def send_shared(self, message: SharedMessage) -> bool:
        was_sent = Connection.send_shared(self, message)
        if was_sent:
            self._tally.counters.messages_sent += 1
        return was_sent

    def failed(self) -> None:
        self._tally.fail()
        super().failed()

    def open_stream(self, transport: Transport) -> None:
        super().open_stream(CountedTransport(transport, self._tally.counters))

    def message_dropped(self) -> None:
        self._tally.drop()


class _ServerConnection(_CountedConnection):
    __slots__ = ('_tally',)
    _kind = 'server'


class _ClientConnection(_CountedConnection):
    __slots__ = ('_tally',)
    _kind = 'client'


class _EventsConnection(_CountedConnection, SocketCarrier):
    __slots__ = ('_tally',)
    _kind = 'eventsource'


class _CountedResponseCarrier(ResponseCarrier):
    """An event stream that its server pulls, and that counts."""

    __slots__ = ('_tally',)

    def __init__(self, target: Any, *arguments: Any) -> None:
        self._tally = _Tally(_find_counters('eventsource', target))
        super().__init__(target, *arguments)

    def next_piece(self) -> bytes:
        self._tally.open()
        piece = super().next_piece()
        size = len(piece)
        self._tally.counters.bytes_sent += size
        return piece

    def end(self) -> None:
        if self.ready_state != CLOSED:
            self._tally.close(self.close_event.code)
        super().end()

    def send(self, data: bytes) -> bool:
        was_sent = super().send(data)
        if was_sent:
            self._tally.counters.messages_sent += 1
        return was_sent

    def failed(self) -> None:
        self._tally.fail()
        super().failed()

    def message_dropped(self) -> None:
        self._tally.drop()
