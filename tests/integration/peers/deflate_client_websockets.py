"""Python's websockets with permessage-deflate: see README."""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory


async def main(url, configurations, messages):
    for configuration in json.loads(configurations):
        bits, context = configuration['bits'], configuration['context']
        factory = ClientPerMessageDeflateFactory(
            server_no_context_takeover=not context, client_no_context_takeover=not context, server_max_window_bits=bits,
            client_max_window_bits=bits or True)
        async with connect(url, compression=None, extensions=[factory]) as ws:
            for message in json.loads(messages):
                await ws.send(message)
            for message in json.loads(messages):
                assert await ws.recv() == message
        print(ws.response.headers['Sec-WebSocket-Extensions'])


asyncio.run(main(*sys.argv[1:]))
