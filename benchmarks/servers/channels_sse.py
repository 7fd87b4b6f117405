"""sse-starlette with Redis, on uvicorn: one subscription for each process, and a queue
for each client.
"""

import asyncio
import os

import redis.asyncio
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route

queues = set()
tasks = set()


async def listen():
    async with redis.asyncio.from_url(os.environ['BENCHMARK_REDIS'], decode_responses=True).pubsub() as pubsub:
        await pubsub.subscribe('room')
        async for message in pubsub.listen():
            if message['type'] == 'message':
                for queue in queues:
                    queue.put_nowait(message['data'])


async def events(request):
    if not tasks:
        tasks.add(asyncio.create_task(listen()))
    queue = asyncio.Queue()
    queues.add(queue)

    async def stream():
        try:
            while True:
                yield {'data': await queue.get()}
        finally:
            queues.discard(queue)

    return EventSourceResponse(stream())


app = Starlette(routes=[Route('/', events)])
