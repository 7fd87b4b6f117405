"""picows on uvloop: the echo listener of its documentation."""

from __future__ import annotations

import logging
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

MAX_FRAME_SIZE = 256 * 1024 * 1024


class Echo(WSListener):
    """Sends every frame back from the receive buffer, without a copy in Python."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer one frame."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


def create_listener(request: WSUpgradeRequest) -> WSListener:
    """Make the listener of a new connection."""
    return Echo()


async def main() -> None:
    """Serve until the process is ended."""
    port = int(sys.argv[1])
    server = await ws_create_server(create_listener, "127.0.0.1", port, max_frame_size=MAX_FRAME_SIZE)
    await server.serve_forever()


if __name__ == "__main__":
    logging.disable()
    uvloop.run(main())
