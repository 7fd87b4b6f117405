"""Servers that give each request an OS thread, for development: what they share.

The socket of such a server is the interpreter's own. ``ThreadSocket`` takes the
connection out of it, and gives the object another class, of sockets that are at their
end and pass on to a stub what is written. The connection lives on the hub of the
request's thread. Nobody else runs that hub, so the thread runs it at the moment when
the server writes the head of its response, until nothing is left to be done there, and
destroys it. So the request lasts as long as its socket.

Where these servers are monkey-patched, their threads are greenlets and their sockets
gevent's. Then a connection leaves its server, as it does under gevent's own.
"""

from __future__ import annotations

import logging
import os
import weakref
from functools import partial
from socket import SHUT_RD, SHUT_RDWR
from typing import Any

import gevent
import gevent.event
import gevent.socket
from gevent.monkey import get_original

from ..io.interpreter import get_ident
from ..io.reactor import run_out
from ..io.shutdown import open_sockets
from ..io.takeover import TAKEN, OnHead, Sink, Stub
from ..io.tls import TLSTransport
from ..io.transport import PlainSocket, Transport

__all__ = ['ThreadSocket', 'ended_descriptor', 'holds_thread', 'is_native', 'lend']

logger = logging.getLogger('faye_websocket.server')

_Socket: Any = get_original('socket', 'socket')
_SSLSocket: Any = get_original('ssl', 'SSLSocket')
# Seconds after which a thread that waits looks again. Without a timer, a hub that has
# nothing to wait for but other threads would raise LoopExit.
_LONG = 3600
# Seconds that the process's main thread waits for what handlers have left behind.
_GRACE = 1.0
_ALONE = (
    'this server has one thread, and a WebSocket holds it until it is closed: no other '
    'request is served meanwhile. Start it with threads: flask run without '
    '--without-threads, runserver without --nothreading, gunicorn with --threads 8'
)


def is_native(sock: object) -> bool:
    """Return whether a server's socket is the interpreter's own, and not gevent's."""
    return isinstance(sock, _Socket)


def lend(sock: Any, *, is_alone: bool) -> Any:
    """Return what ``hijack`` takes the connection from.

    ``is_alone`` states that the server has no other thread.
    """
    if is_native(sock):
        return ThreadSocket(sock, is_alone=is_alone)
    _expect_interrupt()
    return sock


def _expect_interrupt() -> None:
    """Let Ctrl-C end the server without a traceback of the handler that it hits.

    gevent prints one, and raises KeyboardInterrupt in the main greenlet, the server's.
    """
    hub = gevent.get_hub()
    if KeyboardInterrupt not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)


def holds_thread(transport: Transport) -> bool:
    """Return whether this connection's request lasts as long as it does."""
    return isinstance(transport, (_Borrowed, _BorrowedTLS))


class ThreadSocket:
    """A server's socket, whose connection can be taken once."""

    __slots__ = ('_is_alone', '_sock')

    def __init__(self, sock: Any, *, is_alone: bool) -> None:
        self._sock = sock
        self._is_alone = is_alone

    def detach_leaving_stub(self, on_head: OnHead | None) -> Transport:
        """Do what ``takeover.detach_leaving_stub`` does with a socket of gevent's.

        The server's call that writes the head returns when the connection is over.
        """
        sock = self._sock
        if isinstance(sock, _Stubbed) or sock.fileno() < 0:
            raise RuntimeError(TAKEN)
        if self._is_alone and on_head is not None:
            logger.warning(_ALONE)
            # The thread may be the process's main one, which signals interrupt.
            _expect_interrupt()
        is_tls = isinstance(sock, _SSLSocket)
        connection = _Borrowed(sock, is_tls)
        _stubs[sock] = Stub(partial(_respond, connection, get_ident(), on_head))
        sock.__class__ = _StubbedTLSSocket if is_tls else _StubbedSocket
        return _BorrowedTLS(sock._sslobj, connection) if is_tls else connection


class _Borrowed(PlainSocket):  # type: ignore[misc]
    """A connection, which is closed or given back to the server's socket.

    OpenSSL's object looks into the server's socket, where the descriptor stays with
    TLS.
    """

    __slots__ = ('_lender', '_original', '_timeout', 'is_over')

    def __init__(self, lender: Any, is_tls: bool) -> None:
        self.is_over = gevent.event.Event()
        self._lender = lender
        self._original = type(lender)
        self._timeout = lender.gettimeout()
        family, kind, number = lender.family, lender.type, PlainSocket.fileno(lender)
        if is_tls:
            PlainSocket.setblocking(lender, False)
        else:
            PlainSocket.detach(lender)
        super().__init__(family, kind, lender.proto, number)
        self.setblocking(False)

    def close(self) -> None:
        """Close the descriptor, and let the request end."""
        PlainSocket.detach(self._lender)
        super().close()
        self.is_over.set()

    def give_back(self, head: bytes) -> Sink:
        """Let the server go on with its socket, which has written ``head``.

        The server finds no other request there. Returns what sends the body.
        """
        lender, family, kind, proto = self._lender, self.family, self.type, self.proto
        number = self.detach()
        lender.__class__ = self._original
        if PlainSocket.fileno(lender) < 0:
            PlainSocket.__init__(lender, family, kind, proto, number)
        PlainSocket.settimeout(lender, self._timeout)
        _end(lender, SHUT_RD)
        self.is_over.set()
        send: Sink = lender.sendall
        send(head)
        return send


class _BorrowedTLS(TLSTransport):
    """A connection with TLS."""

    __slots__ = ('give_back',)

    def __init__(self, tls: Any, raw: _Borrowed) -> None:
        super().__init__(tls, raw)
        self.give_back = raw.give_back


def _respond(
    connection: _Borrowed, thread: int, on_head: OnHead | None, head: bytes
) -> Sink | None:
    """Pass on the head that the server writes, and run the hub of this thread.

    An ``on_head`` of None is for a refused handshake, whose response is on its way.
    """
    if get_ident() != thread:
        # gunicorn closes, in its main thread, the socket of a view that has raised an
        # OSError. The thread's hub will see the end when it runs again.
        _end(connection, SHUT_RDWR)
        return None
    sink = None if on_head is None else on_head(head)
    open_sockets.discard_greenlet(gevent.getcurrent())
    is_over = False
    while not is_over:
        is_over = connection.is_over.wait(_LONG)
    hub = gevent.get_hub()
    # The main thread's hub may be others', too.
    hub.join(_GRACE) if hub.loop.default else run_out()
    return sink


def _end(sock: Any, how: int) -> None:
    """End a connection, or its reading half, and keep its descriptor."""
    try:
        PlainSocket.shutdown(sock, how)
    except OSError:
        # It has ended already.
        pass


_stubs: weakref.WeakKeyDictionary[Any, Stub] = weakref.WeakKeyDictionary()


class _Stubbed:
    """The methods of a server's socket that has no connection any more."""

    __slots__ = ()

    def fileno(self) -> int:
        """Return the descriptor of a socket that is at its end."""
        return ended_descriptor()

    def recv(self, *arguments: object) -> bytes:
        """Return the end."""
        return b''

    def recv_into(self, *arguments: object) -> int:
        """Return the end."""
        return 0

    def send(self, data: bytes, *arguments: object) -> int:
        """Pass ``data`` on to the stub, and return its length."""
        return _stubs[self].send(data)

    def sendall(self, data: bytes, *arguments: object) -> None:
        """Pass ``data`` on to the stub."""
        _stubs[self].send(data)

    def shutdown(self, how: int) -> None:
        """Do nothing."""

    def setblocking(self, flag: bool) -> None:
        """Do nothing."""

    def settimeout(self, value: float | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """End the response: the server is done."""
        _stubs[self].close()
        if PlainSocket.fileno(self) < 0:
            _Socket.close(self)


class _StubbedSocket(_Stubbed, _Socket):  # type: ignore[misc]
    __slots__ = ()


class _StubbedTLSSocket(_Stubbed, _SSLSocket):  # type: ignore[misc]
    pass


_ended: list[Any] = []
_ended_lock = get_original('_thread', 'allocate_lock')()
# In a forked child the thread that held it may be missing.
os.register_at_fork(after_in_child=_ended_lock._at_fork_reinit)


def ended_descriptor() -> int:
    """Return the descriptor of a socket that is at its end, for all that need one.

    Werkzeug asks the kernel whether there is something left to read.
    """
    with _ended_lock:
        if not _ended:
            ours, theirs = get_original('socket', 'socketpair')()
            theirs.close()
            _ended.append(ours)
    return int(_ended[0].fileno())
