"""A client that comes back after every loss. Run it with: python examples/reconnecting.py [URL [SECONDS]]"""

import random
import signal
import sys

import gevent
import gevent.event

from faye_websocket import Client


def back_off(failures, shortest=1, longest=60, uniform=random.uniform):
    """The seconds until the next attempt: any up to a limit that doubles, so that clients do not come back all at once."""
    return uniform(0, min(longest, shortest * 2**min(failures, 100)))


def attempt(url, receive, **options):
    """Calls ``receive(ws, message)`` until one connection has ended; answers whether it was open, and its close event."""
    was_open, closed = gevent.event.Event(), gevent.event.AsyncResult()
    # This closes the connection too when the greenlet is killed.
    with Client(url, **options) as ws:
        ws.onopen = lambda event: was_open.set()
        ws.onmessage = lambda event: receive(ws, event.data)
        ws.onclose = closed.set
        # Events come one after another, and the close event is the last.
        event = closed.get()
    return was_open.is_set(), event


def keep_connected(url, receive, shortest=1, **options):
    """Connects again and again. The pings find out when a server has vanished without a word."""
    failures = 0
    while True:
        was_open, event = attempt(url, receive, **{'ping': 30, **options})
        failures = 0 if was_open else failures + 1
        seconds = back_off(failures, shortest)
        print(f'closed with {event.code} {event.reason}: next attempt in {seconds:.2f} s', flush=True)
        gevent.sleep(seconds)


if __name__ == '__main__':
    url = sys.argv[1] if len(sys.argv) > 1 else 'ws://127.0.0.1:9292/'
    shortest = float(sys.argv[2]) if len(sys.argv) > 2 else 1
    loop = gevent.spawn(keep_connected, url, lambda ws, message: print('message', message, flush=True), shortest)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, loop.kill, block=False)
    loop.join()
