"""websockets on asyncio's own loop: the echo handler of its documentation.

As in every other server here, compression and keepalive pings are off unless they are
requested.
"""

from __future__ import annotations

import asyncio
import logging

from options import DEFLATE, read_options
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

options = read_options()
connections: dict[ServerConnection, None] = {}


async def echo(websocket: ServerConnection) -> None:
    """Send every message back as it came."""
    async for message in websocket:
        await websocket.send(message)


async def pass_on(websocket: ServerConnection) -> None:
    """Send every message to everybody."""
    connections[websocket] = None
    try:
        async for message in websocket:
            if options.broadcast:
                broadcast(connections, message)
            else:
                for each in connections:
                    await each.send(message)
    finally:
        connections.pop(websocket)


async def main() -> None:
    """Serve until the process is ended."""
    is_to_all = options.broadcast or options.loop
    handler = pass_on if is_to_all else echo
    deflate = ServerPerMessageDeflateFactory(
        server_no_context_takeover=is_to_all,
        server_max_window_bits=DEFLATE['window_bits'],
        compress_settings={'level': DEFLATE['level'], 'memLevel': DEFLATE['mem_level']},
    )
    async with serve(handler, '127.0.0.1', options.port, compression=None, extensions=[deflate] if options.deflate else None,
                     max_size=None, ping_interval=options.ping, ping_timeout=options.ping) as server:
        await server.serve_forever()


if __name__ == '__main__':
    logging.disable()
    asyncio.run(main())
