"""The protocol without WSGI: an echo server on raw TCP.

Run it with: python examples/tcp_server.py [PORT]
"""

import signal
import sys

import gevent
from gevent.server import StreamServer

from faye_websocket import driver

HANDSHAKE_SECONDS = 10


class Connection:
    """The object to which a driver writes."""

    def __init__(self, socket):
        self.write = socket.sendall


def handle(socket, address):
    ws = driver.server(Connection(socket))
    ws.on('message', lambda data: ws.text(data) if isinstance(data, str) else ws.binary(data))
    ws.on('close', lambda code, reason: print('close', code, reason, flush=True))

    # A driver has no clock, so that its owner limits the time for the handshake.
    timeout = gevent.Timeout.start_new(HANDSHAKE_SECONDS)
    ws.on('open', timeout.close)
    try:
        while ws.ready_state != driver.CLOSED and (chunk := socket.recv(65536)):
            ws.parse(chunk)
    except (OSError, gevent.Timeout):
        pass
    finally:
        timeout.close()
        ws.end()


server = StreamServer(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 9292), handle)
server.start()
print(f'Listening on ws://127.0.0.1:{server.server_port}', file=sys.stderr, flush=True)
for number in (signal.SIGINT, signal.SIGTERM):
    gevent.signal_handler(number, server.stop)
server.serve_forever()
