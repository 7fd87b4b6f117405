"""Django Channels with channels_redis, on uvicorn."""

import os

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from django.conf import settings

settings.configure(SECRET_KEY='x', ALLOWED_HOSTS=['*'], CHANNEL_LAYERS={'default': {
    'BACKEND': 'channels_redis.pubsub.RedisPubSubChannelLayer', 'CONFIG': {'hosts': [os.environ['BENCHMARK_REDIS']]}}})
django.setup()


class Consumer(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add('room', self.channel_name)
        await self.accept()

    async def room_message(self, event):
        await self.send(text_data=event['text'])


app = ProtocolTypeRouter({'websocket': Consumer.as_asgi()})
