"""A client that says hello and prints its events.

Run it with: python examples/client.py [URL]
"""

import signal
import sys

import gevent
import gevent.event

from faye_websocket import Client

ws = Client(sys.argv[1] if len(sys.argv) > 1 else 'ws://127.0.0.1:9292/', ['irc', 'amqp'], ping=30)
closed = gevent.event.Event()


@ws.on('open')
def greet(event):
    print('open', ws.protocol, flush=True)
    ws.send('hello')


@ws.on('close')
def finish(event):
    print('close', event.code, event.reason, flush=True)
    closed.set()


ws.onmessage = lambda event: print('message', event.data, flush=True)
ws.onerror = lambda event: print('error', event.message, flush=True)

# The connection lives in the background. A program with nothing else to do waits for
# its end.
for number in (signal.SIGINT, signal.SIGTERM):
    gevent.signal_handler(number, ws.close)
closed.wait()
