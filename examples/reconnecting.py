"""A client that comes back after every loss. Run it with: python examples/reconnecting.py [URL [SECONDS]]"""

import random
import signal
import sys

import gevent

from faye_websocket import Client, ConnectionClosed, WebSocketError


def back_off(failures, shortest=1, longest=60, uniform=random.uniform):
    """The seconds until the next attempt: any up to a limit that doubles, so that clients do not come back all at once."""
    return uniform(0, min(longest, shortest * 2**min(failures, 100)))


def converse(url, receive, **options):
    """Call ``receive(ws, message)`` with each message until the end, which ConnectionClosed says."""
    with Client(url, **options) as ws:
        try:
            for message in ws:
                receive(ws, message)
            ws.receive()
        except gevent.GreenletExit:
            # The program is told to end, which is no fault.
            ws.close()
            raise


def keep_connected(url, receive, shortest=1, **options):
    """Connect again and again. The pings find out when a server has vanished without a word."""
    failures = 0
    while True:
        try:
            converse(url, receive, **{'ping': 30, **options})
        except ConnectionClosed as end:
            failures, why = 0, f'closed with {end.code} {end.reason}'
        except WebSocketError as error:
            # There was no connection.
            failures, why = failures + 1, str(error)
        seconds = back_off(failures, shortest)
        print(f'{why}: next attempt in {seconds:.2f} s', flush=True)
        gevent.sleep(seconds)


if __name__ == '__main__':
    url = sys.argv[1] if len(sys.argv) > 1 else 'ws://127.0.0.1:9292/'
    shortest = float(sys.argv[2]) if len(sys.argv) > 2 else 1
    loop = gevent.spawn(keep_connected, url, lambda ws, message: print('message', message, flush=True), shortest)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, loop.kill, block=False)
    loop.join()
