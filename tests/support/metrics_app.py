"""An echo server whose sockets say which worker they have come to, with metrics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from faye_websocket import WebSocket, metrics

if os.environ.get('SHARE'):
    # Loaded by a master.
    metrics.share()
metrics.enable(by_path=lambda path: path[1:])


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if WebSocket.is_websocket(environ):
        ws = WebSocket(environ)
        ws.send(str(os.getpid()))
        ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)
    return metrics.prometheus(environ, start_response)
