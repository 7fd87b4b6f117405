"""An echo server and an event stream, with the pages that use them.

Run it with: faye-websocket serve examples.app:app
"""

from pathlib import Path

import gevent

from faye_websocket import EventSource, PermessageDeflate, WebSocket

PAGES = {
    path: Path(__file__).with_name(name).read_bytes()
    for path, name in [('/', 'ws.html'), ('/events', 'sse.html')]
}


def app(environ, start_response):
    if WebSocket.is_websocket(environ):
        # The Autobahn test suite sends messages of 65,537 fragments. A real application
        # does not need so many.
        ws = WebSocket(
            environ, ['irc', 'amqp'], extensions=[PermessageDeflate()], ping=30, max_fragments=2**17
        )

        @ws.on('message')
        def echo(event):
            ws.send(event.data)

        ws.onclose = lambda event: print('close', event.code, event.reason, flush=True)
        return ws(environ, start_response)

    if EventSource.is_eventsource(environ):
        es = EventSource(environ, ping=15, retry=1)
        es.send('Welcome!\n\nThis is an EventSource server.')
        # Last-Event-ID is input from the client, and may be any text.
        last = int(es.last_event_id[:9]) if es.last_event_id.isdecimal() else 0
        gevent.spawn(tick, es, first=last + 1)
        return es(environ, start_response)

    if environ['PATH_INFO'] in PAGES:
        start_response('200 OK', [('Content-Type', 'text/html; charset=utf-8')])
        return [PAGES[environ['PATH_INFO']]]

    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [b'There are pages at / and /events, and a WebSocket and an EventSource anywhere.\n']


def tick(es, first):
    """Count, once a second, from the number at which the client lost its connection."""
    number = first
    while es.send(f'Time: {number}', event='tick', id=number):
        number += 1
        gevent.sleep(1)
