"""An echo server under gevent.pywsgi whose main greenlet survives Ctrl-C.

    python -m tests.support.interrupted

prints its port, and ``ready`` at the beginning and after each KeyboardInterrupt.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import gevent
from gevent.pywsgi import WSGIServer

from faye_websocket import WebSocket
from tests.support.apps import Environ, StartResponse


def main() -> None:
    """Serve for ever."""
    server = WSGIServer(('127.0.0.1', 0), app, log=None)
    server.start()
    print(f'port {server.server_port}', flush=True)
    while True:
        try:
            # The next signal is sent after this line was read, and raises in this
            # block.
            os.write(1, b'ready\n')
            gevent.sleep(3600)
        except KeyboardInterrupt:
            pass


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo."""
    ws = WebSocket(environ)
    ws.onmessage = lambda event: ws.send(event.data)
    return ws(environ, start_response)


if __name__ == '__main__':
    main()
