"""Python's websockets as an echo server with permessage-deflate: see README."""

import asyncio

from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main():
    extensions = [ServerPerMessageDeflateFactory()]
    async with serve(echo, '127.0.0.1', 0, compression=None, extensions=extensions, max_size=2**24) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


asyncio.run(main())
