"""One application for the development servers, by itself and in Flask.

With ``FAYE_TEST_PATCH`` it is monkey-patched.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if os.environ.get('FAYE_TEST_PATCH'):
    from gevent import monkey

    monkey.patch_all()

import logging
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import gevent

from faye_websocket import EventSource, SocketMiddleware, WebSocket, broadcast, close_all
from tests.support.apps import record_events

logging.basicConfig(level=logging.INFO, format='%(name)s %(levelname)s %(message)s')

# What the test changes, for the reloader to see.
if directory := os.environ.get('FAYE_TEST_WATCHED'):
    sys.path.insert(0, directory)
    import_module('watched')

SOCKETS: set[WebSocket] = set()
PAGES = ('/', '/pid', '/descriptors', '/broadcast', '/close-all')
Answer = str | WebSocket | EventSource


def page(path: str) -> str:
    """Return the text of a page."""
    if path == '/descriptors':
        return str(len(os.listdir('/proc/self/fd')))
    if path == '/pid':
        return str(os.getpid())
    if path == '/broadcast':
        return str(broadcast(SOCKETS, 'news'))
    if path == '/close-all':
        close_all(timeout=5)
        return 'closed'
    return 'a page'


def serve(path: str, environ: dict[str, Any]) -> Answer:
    """Return the answer of a view."""
    if path in PAGES:
        return page(path)
    if path == '/events':
        events = EventSource(environ)
        events.send('hello')
        return events
    ws = WebSocket(environ)
    record_events(ws, path, ('open', 'error', 'close'))
    return VIEWS[path](ws)


def echo(ws: WebSocket) -> Answer:
    """Echo by handlers."""
    ws.on('open', lambda event: SOCKETS.add(ws))
    ws.on('close', lambda event: SOCKETS.discard(ws))
    ws.onmessage = lambda event: ws.send(event.data)
    return ws


def greenlet(ws: WebSocket) -> Answer:
    """Echo in greenlet style, and note the end of the view."""
    try:
        with ws:
            for message in ws:
                ws.send(message)
    finally:
        gevent.sleep(0.1)
        note_end('/greenlet')
    return ws


def fault(ws: WebSocket) -> Answer:
    """Raise before the handshake."""
    raise RuntimeError('a fault')


def late_fault(ws: WebSocket) -> Answer:
    """Raise after the handshake."""
    ws.send(ws.receive() or '')
    raise RuntimeError('a fault')


def replaced(ws: WebSocket) -> Answer:
    """Return another answer."""
    list(ws(ws.environ, lambda *arguments: lambda data: None))
    return 'another answer'


def handler_fault(ws: WebSocket) -> Answer:
    """Raise in a handler."""
    ws.onmessage = lambda event: 1 / 0
    return ws


def busy(ws: WebSocket) -> Answer:
    """Compute without end in a handler."""
    def compute(event: object) -> None:
        note_end('/busy')
        while True:
            pass

    ws.onmessage = compute
    return ws


VIEWS: dict[str, Callable[[WebSocket], Answer]] = {
    '/echo': echo, '/greenlet': greenlet, '/fault': fault, '/late-fault': late_fault, '/replaced': replaced,
    '/handler-fault': handler_fault, '/busy': busy}


def note_end(path: str) -> None:
    """Note the end of a view, or the beginning of a busy handler, for the test."""
    with Path(os.environ['FAYE_TEST_ENDS']).open('a') as ends:
        ends.write(f'{path}\n')


def handle(ws: WebSocket) -> None:
    """Echo as a handler of the middleware, which takes a while to end."""
    with ws:
        for message in ws:
            ws.send(message)
    gevent.sleep(0.2)
    note_end('/handled')


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Be the application without a framework."""
    answer = serve(environ['PATH_INFO'], environ)
    if not isinstance(answer, str):
        return answer(environ, start_response)
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(answer)))])
    return [answer.encode()]


def make_flask() -> Any:
    """Return the application in Flask."""
    from flask import Flask, request

    app = Flask(__name__)
    view = lambda: serve(request.path, request.environ)
    for path in (*PAGES, '/events'):
        app.add_url_rule(path, path, view)
    for path in VIEWS:
        app.add_url_rule(path, path, view, websocket=True)
    app.wsgi_app = SocketMiddleware(app.wsgi_app, {'/handled': handle})  # type: ignore[method-assign]
    return app


handled = SocketMiddleware(plain, {'/handled': handle})
