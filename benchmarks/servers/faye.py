"""The echo server of this library, as its documentation shows it: an application under ``gevent.pywsgi``."""

from __future__ import annotations

import sys
from typing import Any

from gevent.pywsgi import WSGIServer

from faye_websocket import WebSocket


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """Send every message back as it came."""
    ws = WebSocket(environ)
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
