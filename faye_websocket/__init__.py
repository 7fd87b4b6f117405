"""WebSockets and EventSource for any WSGI application on gevent."""

from __future__ import annotations

# This import comes first, since it selects the form of the other modules.
from . import compiled as compiled  # isort: split

from .broadcast import broadcast
from .client import Client
from .driver import CloseCode
from .errors import (
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    UnsupportedServer,
    WebSocketError,
)
from .events import CloseEvent, ErrorEvent, Event, MessageEvent
from .eventsource.source import EventSource
from .extensions import PermessageDeflate
from .io.shutdown import close_all
from .middleware import SocketMiddleware
from .servers.hijack import register_adapter
from .version import __version__
from .websocket import WebSocket

__all__ = [
    'Client',
    'CloseCode',
    'CloseEvent',
    'ConnectError',
    'ConnectionClosed',
    'ErrorEvent',
    'Event',
    'EventSource',
    'HandshakeError',
    'MessageEvent',
    'PermessageDeflate',
    'SocketMiddleware',
    'UnsupportedServer',
    'WebSocket',
    'WebSocketError',
    '__version__',
    'broadcast',
    'close_all',
    'is_eventsource',
    'is_websocket',
    'register_adapter',
]

is_eventsource = EventSource.is_eventsource
is_websocket = WebSocket.is_websocket
