"""Applications in greenlet style, whose sockets end in the way that the path names.

Like those of ``tests.support.apps``, the sockets record their events under their path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import gevent

from faye_websocket import SocketMiddleware, WebSocket
from tests.support.apps import EVENTS, Environ, StartResponse, append_line, hello, record_events

#: ``receive`` would not return a message that a listener gets.
TYPES = ('open', 'error', 'close')


def converse(environ: Environ) -> WebSocket:
    """Echo one message, and end as the path says."""
    ws = WebSocket(environ)
    record_events(ws, environ['PATH_INFO'], TYPES)
    ws.send(ws.receive(timeout=10) or '')
    if '/raise' in environ['PATH_INFO']:
        raise RuntimeError('on purpose')
    return ws


def plain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve as a view without a framework."""
    if not WebSocket.is_websocket(environ):
        return hello(start_response)
    ws = converse(environ)
    return hello(start_response) if '/answer' in environ['PATH_INFO'] else ws(environ, start_response)


def note(ws: WebSocket, what: str) -> None:
    """Append this to the socket's events."""
    append_line(os.environ[EVENTS], {'path': ws.environ['PATH_INFO'], 'type': what})


def never_leave(ws: WebSocket) -> None:
    """Receive for ever, as a program with a bug does."""
    while True:
        if ws.receive() is None:
            note(ws, 'end')
            continue


def never_raise(ws: WebSocket) -> None:
    """Receive for ever, whatever happens."""
    while True:
        try:
            if ws.receive() is None:
                note(ws, 'end')
        except Exception:
            pass


def time_out(ws: WebSocket) -> None:
    """Leave the block by a timeout of gevent."""
    record_events(ws, ws.environ['PATH_INFO'], TYPES)
    with gevent.Timeout(0.05), ws:
        ws.receive()


def be_killed(ws: WebSocket) -> None:
    """Leave the block because the greenlet is killed."""
    record_events(ws, ws.environ['PATH_INFO'], TYPES)
    gevent.spawn(gevent.kill, gevent.getcurrent())
    with ws:
        ws.receive()


def echo(ws: WebSocket) -> None:
    """Send every message back."""
    with ws:
        for message in ws:
            ws.send(message)


handlers = SocketMiddleware(plain, {
    '/echo': echo,
    '/never-leave': never_leave, '/never-raise': never_raise, '/time-out': time_out, '/be-killed': be_killed})
