"""websockets on asyncio's own loop: ``async for`` in a task for each connection.

Compression and keepalive are off.
"""

from __future__ import annotations

import asyncio

from echoes import Echo, Meter, are_open, fail, read_plan
from websockets.asyncio.client import connect

plan = read_plan()


async def run(echo: Echo) -> None:
    """Send a message for each reply, on one connection."""
    async with connect(plan.url, compression=None, max_size=None, ping_interval=None, proxy=None) as websocket:
        for message in echo.first():
            await websocket.send(message)
        async for reply in websocket:
            await websocket.send(echo.next(reply))
        fail('the connection was closed')


async def main() -> None:
    """Open the connections and measure."""
    echoes = [Echo(plan) for _ in range(plan.connections)]
    tasks = [asyncio.create_task(run(echo)) for echo in echoes]
    while not are_open(echoes):
        await asyncio.sleep(0.01)
    await asyncio.sleep(plan.warmup)
    meter = Meter(echoes)
    await asyncio.sleep(plan.seconds)
    meter.print()
    for task in tasks:
        task.cancel()


if __name__ == '__main__':
    asyncio.run(main())
