"""A client that reconnects whenever the connection is lost.

Run it with: python examples/reconnecting.py [URL [SECONDS]]
"""

import random
import signal
import sys

import gevent

from faye_websocket import Client, ConnectionClosed, WebSocketError


def back_off(failures, shortest=1, longest=60, uniform=random.uniform):
    """Return the seconds to wait before the next attempt.

    They are random, up to a limit that doubles with each failure, so that clients do
    not reconnect all at once.
    """
    return uniform(0, min(longest, shortest * 2 ** min(failures, 100)))


def converse(url, receive, **options):
    """Call ``receive(ws, message)`` with each message, until ConnectionClosed is
    raised.
    """
    with Client(url, **options) as ws:
        try:
            for message in ws:
                receive(ws, message)
            ws.receive()
        except gevent.GreenletExit:
            # The program is ending, and nothing has failed.
            ws.close()
            raise


def keep_connected(url, receive, shortest=1, **options):
    """Connect again and again. Pings detect a server that is gone without closing."""
    failures = 0
    while True:
        try:
            converse(url, receive, **{'ping': 30, **options})
        except ConnectionClosed as end:
            failures, why = 0, f'closed with {end.code} {end.reason}'
        except WebSocketError as error:
            # The connection was never open.
            failures, why = failures + 1, str(error)
        seconds = back_off(failures, shortest)
        print(f'{why}: next attempt in {seconds:.2f} s', flush=True)
        gevent.sleep(seconds)


if __name__ == '__main__':
    url = sys.argv[1] if len(sys.argv) > 1 else 'ws://127.0.0.1:9292/'
    shortest = float(sys.argv[2]) if len(sys.argv) > 2 else 1
    loop = gevent.spawn(
        keep_connected, url, lambda ws, message: print('message', message, flush=True), shortest
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, loop.kill, block=False)
    loop.join()
