"""A connected socket that never blocks: what ``Stream`` reads from and writes to.

A plain one is the interpreter's own socket object, which gevent's has within and has made non-blocking. A TLS one is given
the same face here: ``BlockingIOError`` where it would have to wait, and OSError (of which ssl.SSLError is one) when the
connection is broken.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from socket import SocketType
from typing import Any, Protocol

import gevent.ssl

__all__ = [
    'TAKEN',
    'OnHead',
    'Sink',
    'TLSTransport',
    'Transport',
    'find_descriptor',
    'hang_up',
    'is_silent',
    'take_out',
    'take_over',
]

# What is wrong with a second socket of one request.
TAKEN = (
    "this request's connection was taken before, or is closed: "
    'one request can become one WebSocket or one EventSource'
)

# Told of what a server writes after its socket is gone: see ``take_out``.
Sink = Callable[[bytes], object]
OnHead = Callable[[bytes], Sink | None]


class Transport(Protocol):
    """The part of a socket's interface that a stream uses."""

    def fileno(self) -> int:
        """The descriptor to watch."""

    def recv(self, size: int, /) -> bytes:
        """Reads what there is, at most ``size`` bytes; none at the end."""

    def send(self, data: Any, /) -> int:
        """Writes what the kernel takes, and tells how much."""

    def sendmsg(self, parts: Sequence[bytes | memoryview], /) -> int:
        """The same of several pieces, one behind the other."""

    def setsockopt(self, level: int, name: int, value: int, /) -> None:
        """Sets an option of the socket."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        """Reads an option of the socket."""

    def shutdown(self, how: int, /) -> None:
        """End the writing half (SHUT_WR), or give the peer up (SHUT_RDWR)."""

    def close(self) -> None:
        """Gives the descriptor back."""


def find_descriptor(transport: Transport) -> int:
    """The descriptor of a plain socket, or -1 for anything else, which has its own way of being read and written."""
    kind: Any = type(transport)
    is_plain = isinstance(transport, SocketType) and kind.recv is SocketType.recv and kind.send is SocketType.send
    return transport.fileno() if is_plain else -1


# Of Linux's struct tcp_info: the state, zero-window probes and segments that have no answer, and the milliseconds since the
# last answer to anything.
_TCP_INFO = struct.Struct('=B2xB20xI28xI')
_ESTABLISHED = 1
# RFC 9293 section 3.8.6.3: the delay of an ACK "MUST be less than 0.5 seconds".
_ACK_DELAY = 0.5


def is_silent(transport: Transport, seconds: float) -> bool:
    """Whether the peer's kernel owes an acknowledgement, and has sent none for so long. False where that cannot be known."""
    try:
        info = transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, probes, segments, milliseconds = _TCP_INFO.unpack(info)
    except (AttributeError, OSError, struct.error):
        # Another system's, or no TCP: a peer on a Unix socket cannot lose its power.
        return False
    # The answer to one probe may be on its way.
    return bool(state == _ESTABLISHED and (segments or probes > 1) and milliseconds >= 1000 * max(seconds, _ACK_DELAY))


def hang_up(transport: Any) -> None:
    """End a connection and close its socket.

    Closing alone would end nothing while a forked child has a copy of the descriptor.
    """
    try:
        transport.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It has ended already.
        pass
    transport.close()


# The most that a TLS record carries.
_RECORD = 16384


class TLSTransport:
    """TLS over a socket: ``tls`` is the interpreter's ``_ssl._SSLSocket``, which refers to ``raw`` only weakly."""

    __slots__ = ('_raw', '_tls', 'close', 'fileno', 'setsockopt')

    def __init__(self, tls: Any, raw: Any) -> None:
        self._tls = tls
        self._raw = raw
        self.fileno = raw.fileno
        self.setsockopt = raw.setsockopt
        self.close = raw.close

    def recv(self, size: int) -> bytes:
        """Read the next record, or raw bytes that nobody looks at after our goodbye.

        All of the record, be it more than ``size``: no watcher would report what
        OpenSSL holds of it, as it does when the server has read a part.
        """
        if self._tls is None:
            return bytes(self._raw.recv(size))
        try:
            data: bytes = self._tls.read(size)
            while held := self._tls.pending():
                data += self._tls.read(held)
            return data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # An end without a goodbye is an end.
            return b''

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Of the socket."""
        return bytes(self._raw.getsockopt(level, name, size))

    def send(self, data: bytes | memoryview) -> int:
        """Writes; OpenSSL wants a write that had to wait to be repeated with the same bytes, which a stream does."""
        try:
            return int(self._tls.write(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        """The same of several pieces, in one record if they fit."""
        return self.send(b''.join(parts))

    def shutdown(self, how: int) -> None:
        """End TLS (close_notify), without waiting for the peer's, and then TCP.

        A peer that is given up (SHUT_RDWR) gets no close_notify.
        """
        tls, self._tls = self._tls, None
        if how == socket.SHUT_WR:
            _say_goodbye(tls)
        self._raw.shutdown(how)


def _say_goodbye(tls: Any) -> None:
    try:
        tls.shutdown()
    except OSError:
        # The peer's close_notify is not there yet, or the connection is gone: neither
        # changes what follows.
        pass


class NestedTLSTransport:
    """TLS inside of another transport, which is TLS to a proxy: OpenSSL works in memory here.

    ``tls`` is an ssl.SSLObject after its handshake, ``incoming`` and ``outgoing`` are its two ssl.MemoryBIO.
    """

    __slots__ = ('_incoming', '_outer', '_outgoing', '_taken', '_tls', '_waiting', 'close', 'fileno', 'setsockopt')

    def __init__(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, outer: Transport) -> None:
        self._tls: ssl.SSLObject | None = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._outer = outer
        self._waiting = b''
        self._taken = 0
        self.fileno = outer.fileno
        self.setsockopt = outer.setsockopt
        self.close = outer.close

    def recv(self, size: int) -> bytes:
        """Reads all that has come, be it more than ``size``: no watcher would tell of what stays in memory."""
        if self._tls is None:
            return self._outer.recv(size)
        data = self._read()
        while data is None:
            received = self._outer.recv(size)
            if not received:
                return b''
            self._incoming.write(received)
            data = self._read()
        return data

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        """Of the socket."""
        return self._outer.getsockopt(level, name, size)

    def send(self, data: bytes | memoryview) -> int:
        """Writes. What was encrypted but had to wait goes out at the next call, which a stream makes with the same bytes."""
        assert self._tls is not None
        if not self._waiting:
            self._taken = self._tls.write(data)
            self._waiting = self._outgoing.read()
        while self._waiting:
            self._waiting = self._waiting[self._outer.send(self._waiting):]
        return self._taken

    def sendmsg(self, parts: Sequence[bytes | memoryview]) -> int:
        """The same of several pieces."""
        return self.send(b''.join(parts))

    def shutdown(self, how: int) -> None:
        """Says goodbye to the server, then to the proxy."""
        tls, self._tls = self._tls, None
        if how == socket.SHUT_WR:
            assert tls is not None
            self._say_goodbye(tls)
        self._outer.shutdown(how)

    def _say_goodbye(self, tls: ssl.SSLObject) -> None:
        try:
            tls.unwrap()
        except ssl.SSLError:
            # The server's goodbye is not there yet.
            pass
        try:
            self._outer.send(self._outgoing.read())
        except BlockingIOError:
            pass

    def _read(self) -> bytes | None:
        """Decrypts what is there; nothing is the end, ``None`` the need for more."""
        assert self._tls is not None
        records: list[bytes] = []
        try:
            while not records or records[-1]:
                records.append(self._tls.read(_RECORD))
        except ssl.SSLWantReadError:
            return b''.join(records) or None
        return b''.join(records)


# RFC 9110 section 15.2: an interim response, "prior to completing the requested action
# and sending a final response"; 101 is the one that is final here.
_INTERIM = re.compile(rb'HTTP/1\.[01] 1(?!01)\d\d\b')


class _Gone:
    """What a WSGI server keeps in the place of its socket: always at its end, and swallowing.

    Raising errors instead would have the servers log them. The response's head goes to ``on_head``, what follows to whatever
    that answers.
    """

    family = type = proto = -1

    def __init__(self, on_head: OnHead | None) -> None:
        self._on_head = on_head
        self._head = b''
        self._sink: Sink | None = None
        self._is_closed = False

    def __bool__(self) -> bool:
        """False once closed, for gevent and its server to see."""
        return not self._is_closed

    def fileno(self) -> int:
        """No descriptor."""
        return -1

    def recv(self, *arguments: object) -> bytes:
        """The end."""
        return b''

    def recv_into(self, *arguments: object) -> int:
        """The end."""
        return 0

    def send(self, data: bytes, *arguments: object) -> int:
        """All of it."""
        piece = bytes(data)
        if self._on_head is not None:
            self._collect(piece)
        elif self._sink is not None:
            self._sink(piece)
        return len(piece)

    def close(self) -> None:
        """The server is done."""
        if self._is_closed:
            return
        self._is_closed = True
        on_head, self._on_head = self._on_head, None
        if on_head is not None:
            self._sink = on_head(b'')
        if self._sink is not None:
            self._sink(b'')

    def _collect(self, piece: bytes) -> None:
        """Wait for the end of the head, and pass over interim ones (early hints)."""
        self._head += piece
        while (end := self._head.find(b'\r\n\r\n') + 4) >= 4:
            if not _INTERIM.match(self._head):
                self._hand_over(end)
                return
            self._head = self._head[end:]

    def _hand_over(self, end: int) -> None:
        """Hands over the head, which ends here, and what is behind it."""
        on_head, self._on_head = self._on_head, None
        assert on_head is not None
        self._sink = on_head(self._head[:end])
        if self._sink is not None and self._head[end:]:
            self._sink(self._head[end:])
        self._head = b''

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Whatever else a server does to a socket: options, shutdown."""
        return lambda *arguments: 0


def take_out(sock: Any, on_head: OnHead | None = None) -> Transport:
    """Takes a gevent socket's connection away from it, and leaves a stub in its place.

    ``on_head`` is called once with the head of the response that a server goes on to write into the stub, from the status line
    to the empty line; or with ``b''`` if the server closes without one. What it answers, if anything, is called with the
    bytes behind the head, piece by piece, and with ``b''`` at the end. Raises
    RuntimeError when the connection was taken before, or the socket is closed.
    """
    raw: Transport = sock._sock
    if isinstance(raw, _Gone) or not raw:
        raise RuntimeError(TAKEN)
    # A plain one has no such attribute, and takes 5 microseconds to say so.
    tls = sock._sslobj if isinstance(sock, gevent.ssl.SSLSocket) else None
    sock._sock = _Gone(on_head)
    if tls is None:
        return raw
    # OpenSSL knows the descriptor by its number and cannot change it, so the whole pair moves.
    sock._sslobj = None
    return TLSTransport(tls, raw)


def take_over(sock: Any) -> Transport:
    """Takes a gevent socket's connection away from it, and closes what is left."""
    transport = take_out(sock)
    sock.close()
    return transport
