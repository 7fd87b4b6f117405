"""The server of a soak.

    python -m tests.soak.server CERTFILE KEYFILE

It is one process with a plain port and a TLS port, which it prints as JSON. Each path
uses its socket in another way; ``/-/stats`` reports the objects that the process holds,
and the events of its sockets. SIGTERM ends it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import gevent
import gevent.event
from gevent import ssl
from gevent.pywsgi import WSGIServer

import faye_websocket
from faye_websocket import EventSource, PermessageDeflate, SocketMiddleware, WebSocket
from tests.soak.ledger import Ledger
from tests.support.holdings import count_living, take_census

#: The text of the exceptions that handlers raise, which may be in the log.
ON_PURPOSE = 'on purpose'

#: The log lines for a socket whose messages are never received, and for a slow peer.
DROPPED = 'its messages are dropped'
SLOW = 'is a slow consumer'

OPTIONS: dict[str, Any] = {
    'ping': 10, 'ping_timeout': 50, 'close_timeout': 5, 'max_buffered': 2**21, 'max_length': 2**22,
    'max_queued': 2**21}

#: The seconds between two broadcasts, and the text of one.
BROADCAST_EVERY = 2.0
BROADCAST = 'x' * 500

#: The seconds for which a forked child holds its copies.
COPIES_LAST = 0.3

#: The data that a flood sends at a time.
FLOOD = bytes(65536)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Server(WSGIServer):
    """gevent's server, without its traceback for a peer that leaves during the TLS
    handshake.
    """

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        """Make the TLS handshake, and serve."""
        with suppress(ssl.SSLEOFError, ConnectionResetError):
            return super().wrap_socket_and_handle(client_socket, address)


class Log(logging.Handler):
    """A handler that counts the injected faults.

    It keeps the first of all other records.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_purpose = 0
        self.dropped = 0
        self.slow = 0
        self.unexpected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count or keep one record."""
        error = record.exc_info[1] if record.exc_info else None
        if str(error) == ON_PURPOSE:
            self.on_purpose += 1
        elif record.levelno == logging.WARNING and DROPPED in record.getMessage():
            self.dropped += 1
        elif record.levelno == logging.WARNING and SLOW in record.getMessage():
            self.slow += 1
        elif len(self.unexpected) < 20:
            self.unexpected.append(f'{record.getMessage()}: {error!r}')


class Application:
    """The WSGI application."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.log = Log()
        self.room: set[Any] = set()
        self.streams: set[Any] = set()
        self.paths: dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
            '/events': self.events, '/-/stats': self.stats, '/greenlet': self.greenlet}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.paths.get(environ['PATH_INFO'], self.callbacks)(environ, start_response)

    def callbacks(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Open a socket with handlers, which depend on the path."""
        ws = self.socket(environ)
        path = environ['PATH_INFO']
        if path == '/ignore':
            self.ledger.enter_silent(ws)
            return ws(environ, start_response)
        self.ledger.enter(ws)
        if path == '/room':
            self.join(self.room, ws)
        elif path == '/flood':
            ws.onopen = lambda event: flood(ws)
        elif path == '/raise':
            ws.onmessage = raise_on_purpose
        elif path == '/close':
            ws.onmessage = lambda event: ws.close(3001, 'enough')
        elif path == '/fork':
            ws.onmessage = lambda event: (fork(), ws.send(event.data))
        elif path == '/busy':
            ws.onmessage = lambda event: gevent.sleep(0.1)
        elif path == '/slow':
            ws.onmessage = lambda event: (gevent.sleep(0.1), ws.send(event.data))
        else:
            ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)

    def greenlet(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Echo on a socket in greenlet style."""
        ws = self.socket(environ)
        self.ledger.enter_silent(ws)
        with ws:
            for message in ws:
                ws.send(message)
        return ws(environ, start_response)

    def fail(self, ws: WebSocket) -> None:
        """Raise, or time out, in a handler in greenlet style."""
        self.ledger.enter_silent(ws)
        with gevent.Timeout(60, RuntimeError(ON_PURPOSE)), ws:
            if ws.receive() == 'raise':
                raise RuntimeError(ON_PURPOSE)
            ws.wait_closed()

    def events(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Open an event stream."""
        es = EventSource(environ, ping=10, max_buffered=2**21)
        self.ledger.enter(es)
        self.join(self.streams, es)
        return es(environ, start_response)

    def stats(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Report the objects of the process as JSON.

        Living objects are counted, or all objects if the query is ``census``.
        """
        census = take_census() if environ['QUERY_STRING'] == 'census' else count_living()
        body = json.dumps({
            'census': census, 'blocks': sys.getallocatedblocks(), 'ledger': self.ledger.summary(),
            'on_purpose': self.log.on_purpose, 'slow': self.log.slow, 'unexpected': self.log.unexpected}).encode()
        start_response('200 OK', [('Content-Type', 'application/json'), ('Content-Length', str(len(body)))])
        return [body]

    def socket(self, environ: Environ) -> WebSocket:
        """Return a socket with the limits of the soak.

        It has compression if the query asks for it.
        """
        extensions = [PermessageDeflate()] if environ['QUERY_STRING'] == 'deflate' else []
        return WebSocket(environ, extensions=extensions, **OPTIONS)

    def join(self, group: set[Any], socket: Any) -> None:
        """Add the socket to a group that gets broadcasts, until it is closed."""
        group.add(socket)
        socket.on('close', lambda event: group.discard(socket))

    def broadcast(self) -> None:
        """Broadcast to the room and to the streams, for ever."""
        broadcast = getattr(faye_websocket, 'broadcast', one_by_one)
        while True:
            gevent.sleep(BROADCAST_EVERY)
            broadcast(list(self.room), BROADCAST)
            one_by_one(list(self.streams), BROADCAST)


def one_by_one(sockets: Iterable[Any], message: str) -> None:
    """Broadcast to event sources."""
    for socket in sockets:
        socket.send(message)


def flood(ws: Any) -> None:
    """Send until the peer, which does not read, is given up."""
    while ws.send(FLOOD):
        gevent.sleep(0.01)


def fork() -> None:
    """Fork a child that holds copies of all descriptors for a moment.

    Reap the children that have ended.
    """
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    if not os.fork():
        time.sleep(COPIES_LAST)
        os._exit(0)


def raise_on_purpose(event: Any) -> None:
    """Raise an exception in a handler."""
    raise RuntimeError(ON_PURPOSE)


def main(certfile: str, keyfile: str) -> None:
    """Serve until SIGTERM."""
    app = Application()
    logger = logging.getLogger('faye_websocket')
    logger.addHandler(app.log)
    logger.propagate = False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    served = SocketMiddleware(app, {'/fail': app.fail}, **OPTIONS)
    servers = [
        Server(('127.0.0.1', 0), served, backlog=1024, log=None),
        Server(('127.0.0.1', 0), served, backlog=1024, log=None, ssl_context=context)]
    for server in servers:
        server.start()
    broadcaster = gevent.spawn(app.broadcast)
    stopping = gevent.event.Event()
    gevent.signal_handler(signal.SIGTERM, stopping.set)
    print(json.dumps([server.server_port for server in servers]), flush=True)
    stopping.wait()
    broadcaster.kill()
    for server in servers:
        server.stop(timeout=1)


if __name__ == '__main__':
    main(*sys.argv[1:])
