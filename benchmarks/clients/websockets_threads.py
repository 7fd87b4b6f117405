"""The threading client of websockets: a thread for each connection.

Compression and keepalive are off.
"""

from __future__ import annotations

import os
import threading
import time

from echoes import Echo, Meter, are_open, fail, read_plan
from websockets.sync.client import connect

plan = read_plan()


def run(echo: Echo) -> None:
    """Send a message for each reply, on one connection."""
    with connect(plan.url, compression=None, max_size=None, ping_interval=None, proxy=None) as websocket:
        for message in echo.first():
            websocket.send(message)
        for reply in websocket:
            websocket.send(echo.next(reply))
        fail('the connection was closed')


if __name__ == '__main__':
    echoes = [Echo(plan) for _ in range(plan.connections)]
    for echo in echoes:
        threading.Thread(target=run, args=(echo,), daemon=True).start()
    while not are_open(echoes):
        time.sleep(0.01)
    time.sleep(plan.warmup)
    meter = Meter(echoes)
    time.sleep(plan.seconds)
    meter.print()
    os._exit(0)
