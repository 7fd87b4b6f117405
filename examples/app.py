"""Tabs that talk to each other, an event stream, and an echo server.

Run it with: faye-websocket serve examples.app:app
"""

import json
from pathlib import Path

import gevent

from faye_websocket import EventSource, PermessageDeflate, WebSocket, broadcast

FILES = {
    '/': ('ws.html', 'text/html; charset=utf-8'),
    '/events': ('sse.html', 'text/html; charset=utf-8'),
    '/demo.css': ('demo.css', 'text/css'),
    '/icon.svg': ('icon.svg', 'image/svg+xml'),
}
PAGES = {
    path: (Path(__file__).with_name(name).read_bytes(), kind)
    for path, (name, kind) in FILES.items()
}
# The open tabs of this process. Several processes need ``faye_websocket.channels``, as
# examples/chat has it.
tabs = set()


def app(environ, start_response):
    path = environ['PATH_INFO']
    if WebSocket.is_websocket(environ):
        ws = talk(environ) if path == '/talk' else echo(environ)
        return ws(environ, start_response)

    if EventSource.is_eventsource(environ):
        es = EventSource(environ, ping=15, retry=1)
        es.send('Welcome!\n\nThis is an EventSource server.')
        # Last-Event-ID is input from the client, and may be any text.
        last = int(es.last_event_id[:9]) if es.last_event_id.isdecimal() else 0
        gevent.spawn(tick, es, first=last + 1)
        return es(environ, start_response)

    if path in PAGES:
        page, kind = PAGES[path]
        start_response('200 OK', [('Content-Type', kind)])
        return [page]

    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [b'There are pages at / and /events, and a WebSocket and an EventSource anywhere.\n']


def talk(environ):
    """Return a socket whose messages go to all tabs, its own among them."""
    ws = WebSocket(environ, ping=30, max_length=10000, allowed_origins='same-origin')

    @ws.on('open')
    def enter(event):
        tabs.add(ws)
        broadcast(tabs, json.dumps({'here': len(tabs)}))

    @ws.on('close')
    def leave(event):
        tabs.discard(ws)
        broadcast(tabs, json.dumps({'here': len(tabs)}))

    ws.onmessage = lambda event: broadcast(tabs, event.data)
    return ws


def echo(environ):
    """Return a socket that sends each message back."""
    # The Autobahn test suite sends messages of 65,537 fragments. A real application
    # does not need so many.
    ws = WebSocket(
        environ, ['irc', 'amqp'], extensions=[PermessageDeflate()], ping=30, max_fragments=2**17
    )
    ws.onmessage = lambda event: ws.send(event.data)
    ws.onclose = lambda event: print('close', event.code, event.reason, flush=True)
    return ws


def tick(es, first):
    """Count, once a second, from the number at which the client lost its connection."""
    number = first
    while es.send(f'Time: {number}', event='tick', id=number):
        number += 1
        gevent.sleep(1)
