"""This library's Client as its documentation shows it: a handler for each event."""

from __future__ import annotations

import gevent
from echoes import Echo, Meter, are_open, fail, read_plan

from faye_websocket import Client

plan = read_plan()


def connect(echo: Echo) -> Client:
    """Open a connection that sends a message for each reply."""
    ws = Client(plan.url)

    @ws.on('open')
    def begin(event: object) -> None:
        for message in echo.first():
            ws.send(message)

    ws.onmessage = lambda event: ws.send(echo.next(event.data))
    ws.onclose = lambda event: fail(f'closed: {event.code} {event.reason}')
    return ws


if __name__ == '__main__':
    echoes = [Echo(plan) for _ in range(plan.connections)]
    clients = [connect(echo) for echo in echoes]
    while not are_open(echoes):
        gevent.sleep(0.01)
    gevent.sleep(plan.warmup)
    meter = Meter(echoes)
    gevent.sleep(plan.seconds)
    meter.print()
    for client in clients:
        client.onclose = None
