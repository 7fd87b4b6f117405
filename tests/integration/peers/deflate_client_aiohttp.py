"""aiohttp with permessage-deflate, which knows windows only: see README."""

import asyncio
import json
import sys

import aiohttp


async def main(url, configurations, messages):
    async with aiohttp.ClientSession() as session:
        for configuration in json.loads(configurations):
            async with session.ws_connect(url, compress=configuration['bits'] or 15) as ws:
                for message in json.loads(messages):
                    await ws.send_str(message)
                for message in json.loads(messages):
                    assert await ws.receive_str() == message
                print(ws._response.headers['Sec-WebSocket-Extensions'])


asyncio.run(main(*sys.argv[1:]))
