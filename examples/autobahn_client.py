"""A client that runs every case of Autobahn's fuzzing server.

Run it with: python examples/autobahn_client.py [URL [AGENT]]
"""

import sys
from urllib.parse import urlencode

import gevent.event

from faye_websocket import Client, PermessageDeflate


def run(url, receive):
    """Call ``receive(ws, message)`` for each message, until the connection ends."""
    # The suite sends messages of 65,537 fragments. A real application does not need so
    # many.
    ws = Client(url, extensions=[PermessageDeflate()], max_fragments=2**17)
    closed = gevent.event.Event()
    ws.onmessage = lambda event: receive(ws, event.data)
    ws.onclose = lambda event: closed.set()
    closed.wait()
    return ws


def main(url, agent):
    counts = []
    if run(f'{url}/getCaseCount', lambda ws, message: counts.append(int(message))).status != 101:
        sys.exit(f'cannot connect to {url}')
    for case in range(1, counts[0] + 1):
        run(
            f'{url}/runCase?{urlencode({"case": case, "agent": agent})}',
            lambda ws, message: ws.send(message),
        )
    run(f'{url}/updateReports?{urlencode({"agent": agent})}', lambda ws, message: None)
    print(f'{counts[0]} cases done', flush=True)


if __name__ == '__main__':
    url = sys.argv[1] if len(sys.argv) > 1 else 'ws://127.0.0.1:9001'
    main(url.rstrip('/'), sys.argv[2] if len(sys.argv) > 2 else 'faye_websocket')
