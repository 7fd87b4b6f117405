"""An echo whose log is that of an operator, on standard error, at INFO."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from faye_websocket import WebSocket

logging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s %(message)s')


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Echo, and refuse pages of other sites."""
    if not WebSocket.is_websocket(environ):
        start_response('200 OK', [('Content-Length', '0')])
        return []
    ws = WebSocket(environ, allowed_origins='same-origin')
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)
