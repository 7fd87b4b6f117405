"""Python's websockets, with asyncio: see README."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect


async def main(url: str, authority: str | None = None) -> None:
    """Exchange one text and one binary message."""
    tls = ssl.create_default_context(cafile=authority) if authority else None
    async with connect(url, ssl=tls) as ws:
        await ws.send('h\u00e9llo \u2603 \U0001f600')
        print('text', await ws.recv())
        await ws.send(bytes(range(256)))
        print('binary', (await ws.recv(decode=False)).hex())
        await ws.close(3001, 'bye')
    print('close', ws.close_code)


asyncio.run(main(*sys.argv[1:]))
