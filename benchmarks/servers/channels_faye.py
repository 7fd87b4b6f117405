"""faye_websocket.channels: a room and a feed."""

import os

from faye_websocket import EventSource, WebSocket
from faye_websocket.channels import Channels

channels = Channels(os.environ['BENCHMARK_REDIS'])


def app(environ, start_response):
    socket = EventSource(environ) if EventSource.is_eventsource(environ) else WebSocket(environ)
    channels.join(socket, 'room')
    return socket(environ, start_response)
