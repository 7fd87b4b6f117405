"""aiohttp on uvloop: the WebSocket handler of its documentation."""

from __future__ import annotations

import uvloop
from aiohttp import WSMsgType, web
from options import read_options

options = read_options()
websockets: dict[web.WebSocketResponse, None] = {}


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send every message back as it came."""
    websocket = web.WebSocketResponse(compress=options.deflate, max_msg_size=0, heartbeat=options.ping)
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is WSMsgType.TEXT:
            await websocket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
    return websocket


async def pass_on(request: web.Request) -> web.WebSocketResponse:
    """Send every message to everybody."""
    websocket = web.WebSocketResponse(compress=options.deflate, max_msg_size=0)
    await websocket.prepare(request)
    websockets[websocket] = None
    try:
        async for message in websocket:
            for each in websockets:
                await each.send_str(message.data)
    finally:
        websockets.pop(websocket)
    return websocket


def main() -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_get('/', pass_on if options.loop else echo)
    web.run_app(app, host='127.0.0.1', port=options.port, print=None, access_log=None, loop=uvloop.new_event_loop())


if __name__ == '__main__':
    main()
