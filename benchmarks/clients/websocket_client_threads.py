"""websocket-client: ``recv`` in a loop, a thread for each connection."""

from __future__ import annotations

import os
import threading
import time

from echoes import Echo, Meter, are_open, read_plan
from websocket import ABNF, create_connection

plan = read_plan()
OPCODE = ABNF.OPCODE_TEXT if plan.opcode == 'text' else ABNF.OPCODE_BINARY


def run(echo: Echo) -> None:
    """Send a message for each reply, on one connection."""
    websocket = create_connection(plan.url)
    for message in echo.first():
        websocket.send(message, OPCODE)
    while True:
        websocket.send(echo.next(websocket.recv()), OPCODE)


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
