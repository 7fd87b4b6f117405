"""The echo server of this library's documentation, under ``gevent.pywsgi``."""

from __future__ import annotations

from typing import Any

from gevent.pywsgi import WSGIServer
from options import DEFLATE, read_options

from faye_websocket import PermessageDeflate, WebSocket, broadcast

options = read_options()
deflate = PermessageDeflate(
    level=DEFLATE['level'],
    max_window_bits=DEFLATE['window_bits'],
    mem_level=DEFLATE['mem_level'],
    # Without context, a compressed message can be equal for all connections.
    no_context_takeover=options.broadcast or options.loop,
)
sockets: dict[WebSocket, None] = {}


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """Send every message back as it came."""
    ws = WebSocket(environ, ping=options.ping)
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)


def deflating_app(environ: dict[str, Any], start_response: Any) -> Any:
    """Send every message back, deflated."""
    ws = WebSocket(environ, extensions=[deflate])
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)


def broadcasting_app(environ: dict[str, Any], start_response: Any) -> Any:
    """Send every message to everybody."""
    ws = WebSocket(environ, extensions=[deflate] if options.deflate else [])
    sockets[ws] = None
    ws.onmessage = lambda event: to_all(event.data)
    ws.onclose = lambda event: sockets.pop(ws)
    return ws(environ, start_response)


def send_to_each(message: str | bytes) -> None:
    """Send one message to everybody, one by one."""
    for ws in sockets:
        ws.send(message)


def to_all(message: str | bytes) -> None:
    """Send one message to everybody, by the library's function."""
    broadcast(sockets, message)


if __name__ == '__main__':
    if options.deflate:
        app = deflating_app
    if options.loop:
        to_all = send_to_each
    if options.broadcast or options.loop:
        app = broadcasting_app
    WSGIServer(('127.0.0.1', options.port), app, log=None).serve_forever()
