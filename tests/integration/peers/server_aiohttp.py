"""aiohttp as an echo server: see README."""

import asyncio

from aiohttp import WSMsgType, web


async def echo(request):
    ws = web.WebSocketResponse(max_msg_size=2**24)
    await ws.prepare(request)
    async for message in ws:
        await (ws.send_str if message.type == WSMsgType.TEXT else ws.send_bytes)(message.data)
    return ws


async def main():
    app = web.Application()
    app.router.add_get('/', echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, '127.0.0.1', 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
