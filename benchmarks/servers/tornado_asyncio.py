"""tornado on asyncio's own loop: the handler of its documentation, with TCP_NODELAY."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from options import DEFLATE, MAX_SIZE, read_options
from tornado.web import Application
from tornado.websocket import WebSocketHandler

options = read_options()
handlers: dict[Echo, None] = {}


class Echo(WebSocketHandler):
    """Sends every message back as it came, or to everybody."""

    def open(self, *args: str, **kwargs: str) -> None:
        """Take part."""
        self.set_nodelay(True)
        handlers[self] = None

    def on_close(self) -> None:
        """Leave."""
        handlers.pop(self)

    def on_message(self, message: str | bytes) -> None:
        """Answer one message."""
        for handler in handlers if options.loop else (self,):
            handler.write_message(message, isinstance(message, bytes))

    def get_compression_options(self) -> dict[str, Any] | None:
        """Return the settings of permessage-deflate, or None if it is not requested."""
        return {'compression_level': DEFLATE['level'], 'mem_level': DEFLATE['mem_level']} if options.deflate else None


async def main() -> None:
    """Serve until the process is ended."""
    keepalive = {'websocket_ping_interval': options.ping} if options.ping else {}
    Application([('/', Echo)], websocket_max_message_size=MAX_SIZE, **keepalive).listen(options.port, '127.0.0.1')
    await asyncio.Event().wait()


if __name__ == '__main__':
    logging.disable()
    asyncio.run(main())
