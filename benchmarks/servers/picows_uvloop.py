"""picows on uvloop: the echo listener of its documentation."""

from __future__ import annotations

import logging
from typing import Any

import uvloop
from options import MAX_SIZE, read_options
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

options = read_options()
transports: dict[WSTransport, None] = {}


class Echo(WSListener):
    """Sends every frame back from the receive buffer, without a copy in Python."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer one frame."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class Loop(WSListener):
    """Sends every message to everybody."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take part."""
        transports[transport] = None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave."""
        transports.pop(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass one message on."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            message = frame.get_payload_as_bytes()
            for each in transports:
                each.send(frame.msg_type, message)


def create_listener(request: WSUpgradeRequest) -> WSListener:
    """Make the listener of a new connection."""
    return Loop() if options.loop else Echo()


async def main() -> None:
    """Serve until the process is ended."""
    keepalive: dict[str, Any] = {}
    if options.ping:
        keepalive = {'enable_auto_ping': True, 'auto_ping_idle_timeout': options.ping, 'auto_ping_reply_timeout': options.ping}
    server = await ws_create_server(create_listener, '127.0.0.1', options.port, max_frame_size=MAX_SIZE, **keepalive)
    await server.serve_forever()


if __name__ == '__main__':
    logging.disable()
    uvloop.run(main())
