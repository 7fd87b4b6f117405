"""An application behind a proxy: WebSockets, and events with a pause between them.

A WebSocket obeys the messages of ``tests.support.apps.control``; ``url`` asks for its
URL, and ``?ping=SECONDS`` is its option. A GET of ``/events`` returns one event, and a
second one after a GET of ``/go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs

from gevent.event import Event

from tests.support.apps import Environ, StartResponse, hello, obey, record_events

EVENT_STREAM = [('Content-Type', 'text/event-stream'), ('Cache-Control', 'no-cache')]

may_go_on = Event()


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request."""
    from faye_websocket import WebSocket

    if environ['PATH_INFO'] == '/events':
        start_response('200 OK', EVENT_STREAM)
        return events()
    if not WebSocket.is_websocket(environ):
        if environ['PATH_INFO'] == '/go':
            may_go_on.set()
        return hello(start_response)
    ping, = parse_qs(environ['QUERY_STRING']).get('ping', [None])
    ws = WebSocket(environ, ping=ping and float(ping))
    record_events(ws, environ['PATH_INFO'])
    ws.on('message', lambda event: ws.send(ws.url) if event.data == 'url' else obey(ws, event.data))
    return ws(environ, start_response)


def events() -> Iterator[bytes]:
    """Yield two events."""
    yield b'data: first\n\n'
    may_go_on.wait()
    may_go_on.clear()
    yield b'data: second\n\n'
