"""gevent-websocket under ``gevent.pywsgi``: a loop in the handler's greenlet.

The program is that of its documentation. It does not set TCP_NODELAY. On Linux an
accepted socket inherits the option from its listener, so that it is set there: the
benchmark should compare the libraries, and not Nagle's algorithm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gevent import socket
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler
from options import read_options


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Send every message back as it came."""
    websocket = environ['wsgi.websocket']
    while (message := websocket.receive()) is not None:
        websocket.send(message)
    return []


def listen(port: int) -> socket.socket:
    """Open a listener with TCP_NODELAY for the sockets that it accepts."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(('127.0.0.1', port))
    listener.listen(1024)
    return listener


if __name__ == '__main__':
    server = WSGIServer(listen(read_options().port), app, handler_class=WebSocketHandler, log=None, error_log=None)
    server.serve_forever()
