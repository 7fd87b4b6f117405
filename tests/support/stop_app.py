"""An application whose server is stopped: sockets in both styles, and slow requests.

A path below ``/view`` makes a WebSocket in greenlet style in its view, and one below
``/handler`` in a handler of SocketMiddleware. Both echo, and work for another 150 ms at
their end. ``/slow`` responds after SLOW seconds. Everything else is ``apps.control``. A
WebSocket at ``/close_all`` calls ``close_all`` when it gets a message. ``begun``,
``done`` and ``returned`` are recorded with the events of sockets.

    python -m tests.support.stop_app SIZE

runs it under gevent.pywsgi with a pool of that size.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable

import gevent
import gevent.event
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from faye_websocket import SocketMiddleware, WebSocket, close_all
from tests.support.apps import (
    EVENTS,
    Environ,
    StartResponse,
    append_line,
    control,
    hello,
    record_events,
)

#: The seconds that a plain request takes, and that a socket's greenlet works at its
#: end.
SLOW, LAST_WORK = 3.0, 0.15
#: The seconds that the program waits for its plain requests.
GRACEFUL_TIMEOUT = 10.0


def note(path: str, what: str) -> None:
    """Record this among the events."""
    append_line(os.environ[EVENTS], {'path': path, 'type': what, 'pid': os.getpid()})


def echo(ws: WebSocket) -> None:
    """Echo, as users write it in greenlet style."""
    path = ws.environ['PATH_INFO']
    try:
        for message in ws:
            ws.send(message)
    finally:
        gevent.sleep(LAST_WORK)
        note(path, 'done')


def unhandled(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request for which the middleware has no handler."""
    path = environ['PATH_INFO']
    if path.startswith('/view'):
        ws = WebSocket(environ)
        echo(ws)
        return ws(environ, start_response)
    if path == '/close_all':
        ws = WebSocket(environ)
        record_events(ws, path)
        ws.on('message', lambda event: [close_all(), note(path, 'returned')])
        return ws(environ, start_response)
    if path == '/slow':
        note(path, 'begun')
        gevent.sleep(SLOW)
        return hello(start_response)
    return control(environ, start_response)


#: A handler for all paths below one.
app = SocketMiddleware(unhandled, {re.compile('/handler.*'): echo})


def main(size: int) -> None:
    """Serve until SIGTERM, and stop as a user's program does."""
    server = WSGIServer(('127.0.0.1', 0), app, log=sys.stdout, spawn=Pool(size))
    server.start()
    stopping = gevent.event.Event()
    gevent.signal_handler(signal.SIGTERM, stopping.set)
    print(f'Listening on http://127.0.0.1:{server.server_port}', file=sys.stderr, flush=True)
    stopping.wait()
    server.stop(timeout=GRACEFUL_TIMEOUT)


if __name__ == '__main__':
    main(int(sys.argv[1]))
