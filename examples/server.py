"""gevent's own server, with TLS if it is given a certificate.

Run it with: python examples/server.py [PORT [CERT KEY]]
"""

import signal
import sys

import gevent
from app import app
from gevent.pywsgi import WSGIServer

port = int(sys.argv[1]) if len(sys.argv) > 1 else 9292
tls = {'certfile': sys.argv[2], 'keyfile': sys.argv[3]} if len(sys.argv) > 3 else {}

server = WSGIServer(('127.0.0.1', port), app, **tls)
server.start()
print(
    f'Listening on {"https" if tls else "http"}://127.0.0.1:{server.server_port}',
    file=sys.stderr,
    flush=True,
)

# All open sockets close with 1001 when the process exits.
for number in (signal.SIGINT, signal.SIGTERM):
    gevent.signal_handler(number, server.stop)
server.serve_forever()
