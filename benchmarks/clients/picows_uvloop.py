"""picows on uvloop: a listener for each connection, as in its documentation."""

from __future__ import annotations

import asyncio

import uvloop
from echoes import Echo, Meter, are_open, fail, read_plan
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

MAX_FRAME_SIZE = 256 * 1024 * 1024

plan = read_plan()
OPCODE = WSMsgType.TEXT if plan.opcode == 'text' else WSMsgType.BINARY


class Client(WSListener):
    """A listener that sends a message for each reply.

    It reads the reply as the str or bytes that a user needs.
    """

    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self._echo = echo

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        for message in self._echo.first():
            transport.send(OPCODE, message)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Check one reply and go on."""
        if frame.msg_type == WSMsgType.TEXT:
            transport.send(OPCODE, self._echo.next(frame.get_payload_as_utf8_text()))
        elif frame.msg_type == WSMsgType.BINARY:
            transport.send(OPCODE, self._echo.next(frame.get_payload_as_bytes()))
        else:
            fail(f'an unexpected frame: {frame}')


async def main() -> None:
    """Open the connections and measure."""
    echoes = [Echo(plan) for _ in range(plan.connections)]
    for echo in echoes:
        await ws_connect(lambda echo=echo: Client(echo), plan.url, max_frame_size=MAX_FRAME_SIZE)
    while not are_open(echoes):
        await asyncio.sleep(0.01)
    await asyncio.sleep(plan.warmup)
    meter = Meter(echoes)
    await asyncio.sleep(plan.seconds)
    meter.print()


if __name__ == '__main__':
    uvloop.run(main())
