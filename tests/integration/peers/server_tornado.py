"""Tornado as an echo server: see README."""

import asyncio

from tornado import httpserver, netutil, web, websocket


class Echo(websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message, isinstance(message, bytes))


async def main():
    sockets = netutil.bind_sockets(0, '127.0.0.1')
    httpserver.HTTPServer(web.Application([('/', Echo)])).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
