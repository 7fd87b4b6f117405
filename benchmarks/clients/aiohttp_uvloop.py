"""aiohttp on uvloop: ``async for`` in a task for each connection."""

from __future__ import annotations

import asyncio

import uvloop
from aiohttp import ClientSession, TCPConnector
from echoes import Echo, Meter, are_open, fail, read_plan

plan = read_plan()


async def run(session: ClientSession, echo: Echo) -> None:
    """Send a message for each reply, on one connection."""
    async with session.ws_connect(plan.url, compress=0, max_msg_size=0) as websocket:
        send = websocket.send_str if plan.opcode == 'text' else websocket.send_bytes
        for message in echo.first():
            await send(message)
        async for reply in websocket:
            await send(echo.next(reply.data))
        fail('the connection was closed')


async def main() -> None:
    """Open the connections and measure."""
    echoes = [Echo(plan) for _ in range(plan.connections)]
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        tasks = [asyncio.create_task(run(session, echo)) for echo in echoes]
        while not are_open(echoes):
            await asyncio.sleep(0.01)
        await asyncio.sleep(plan.warmup)
        meter = Meter(echoes)
        await asyncio.sleep(plan.seconds)
        meter.print()
        for task in tasks:
            task.cancel()


if __name__ == '__main__':
    uvloop.run(main())
