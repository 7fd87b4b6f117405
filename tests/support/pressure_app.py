"""The application of the tests of backpressure.

``/feed`` is a socket that gets the broadcasts. ``/broadcast?count=N`` broadcasts this
many messages, as fast as all but one of the sockets accept them. ``/slow`` is a socket
whose handler is slow. ``/-/progress`` reports how far they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

import gevent

from faye_websocket import WebSocket, broadcast
from tests.support.apps import Environ, StartResponse, hello

#: The length of each message in bytes; the first eight are its number.
SIZE = 65536
FILL = bytes(range(256)) * (SIZE // 256)

#: The bytes that may be buffered for a socket until the next broadcast, and at most.
BEHIND = 2**20
MAX_BUFFERED = 2**23

#: The seconds that the slow handler takes for a message.
SLOWNESS = 0.0005

feed: list[WebSocket] = []
closes: list[tuple[int, str]] = []
progress = {'broadcast': 0, 'handled': 0, 'in order': True, 'highest buffered': 0}


def message(number: int) -> bytes:
    """Return the message with this number."""
    return number.to_bytes(8, 'big') + FILL[8:]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request."""
    path = environ['PATH_INFO']
    if path == '/feed':
        return join(WebSocket(environ, max_buffered=MAX_BUFFERED))(environ, start_response)
    if path == '/slow':
        ws = WebSocket(environ)
        ws.onmessage = lambda event: handle_slowly(event.data)
        return ws(environ, start_response)
    if path == '/broadcast':
        gevent.spawn(broadcast_all, int(parse_qs(environ['QUERY_STRING'])['count'][0]))
    if path == '/-/progress':
        body = json.dumps({**progress, 'closes': closes, 'open': len(feed)}).encode()
        start_response('200 OK', [('Content-Length', str(len(body)))])
        return [body]
    return hello(start_response)


def join(ws: WebSocket) -> WebSocket:
    """Add a socket to those that get the broadcasts."""
    feed.append(ws)

    @ws.on('close')
    def leave(event: Any) -> None:
        feed.remove(ws)
        closes.append((event.code, event.reason))

    return ws


def broadcast_all(count: int) -> None:
    """Broadcast messages, each when all but one reader have nearly caught up."""
    for number in range(count):
        broadcast(feed, message(number))
        gevent.sleep(0)
        while sorted(ws.buffered_amount for ws in feed)[-2] > BEHIND:
            gevent.sleep(0.001)
        progress['broadcast'] += 1
        progress['highest buffered'] = max(progress['highest buffered'], *(ws.buffered_amount for ws in feed))


def handle_slowly(data: bytes) -> None:
    """Check a message, slowly."""
    progress['in order'] = progress['in order'] and data == message(progress['handled'])
    progress['handled'] += 1
    gevent.sleep(SLOWNESS)
