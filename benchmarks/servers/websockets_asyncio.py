"""websockets on asyncio's own loop: the echo handler of its documentation.

Compression and the pings of its keepalive are off, as they are in every other server here.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from websockets.asyncio.server import ServerConnection, serve


async def echo(websocket: ServerConnection) -> None:
    """Send every message back as it came."""
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    """Serve until the process is ended."""
    port = int(sys.argv[1])
    async with serve(echo, "127.0.0.1", port, compression=None, max_size=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main())
