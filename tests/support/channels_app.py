"""An application on channels for tests of faults: a room for sockets of both kinds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from faye_websocket import EventSource, WebSocket
from faye_websocket.channels import Channels, envelope

channels = Channels(os.environ.get('CHANNELS_URL', 'memory://'), history=5000, encode=envelope, timeout=60)


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Join the room with a WebSocket or an event source; report the process otherwise.
    """
    if WebSocket.is_websocket(environ):
        query = parse_qs(environ['QUERY_STRING'])
        ws = WebSocket(environ, ping=5, max_buffered=200_000)
        channels.join(ws, 'room', since=query.get('since', [''])[0])
        return ws(environ, start_response)
    if EventSource.is_eventsource(environ):
        es = EventSource(environ, ping=5, max_buffered=200_000)
        channels.join(es, 'room')
        return es(environ, start_response)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%d' % os.getpid()]
