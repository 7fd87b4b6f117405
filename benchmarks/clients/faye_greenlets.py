"""This library's Client in greenlet style: ``receive`` in a loop, a greenlet for each
connection.
"""

from __future__ import annotations

import gevent
from echoes import Echo, Meter, are_open, fail, read_plan

from faye_websocket import Client

plan = read_plan()


def run(echo: Echo) -> None:
    """Send a message for each reply, on one connection."""
    with Client(plan.url) as ws:
        for message in echo.first():
            ws.send(message)
        for reply in ws:
            ws.send(echo.next(reply))
        fail('the connection was closed')


if __name__ == '__main__':
    echoes = [Echo(plan) for _ in range(plan.connections)]
    greenlets = [gevent.spawn(run, echo) for echo in echoes]
    while not are_open(echoes):
        gevent.sleep(0.01)
    gevent.sleep(plan.warmup)
    meter = Meter(echoes)
    gevent.sleep(plan.seconds)
    meter.print()
    gevent.killall(greenlets)
