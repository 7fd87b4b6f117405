"""Python's websockets as an echo server, plain or with TLS: see README."""

import asyncio
import ssl
import sys

from websockets.asyncio.server import serve


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:])
    async with serve(echo, '127.0.0.1', 0, ssl=context, max_size=2**24) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


asyncio.run(main())
