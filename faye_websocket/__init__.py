"""WebSockets and EventSource for any WSGI application on gevent."""

from __future__ import annotations

from .client import Client
from .driver import CloseCode
from .errors import UnsupportedServer
from .events import CloseEvent, ErrorEvent, Event, MessageEvent
from .hijack import register_adapter
from .registry import close_all
from .version import __version__
from .websocket import WebSocket

__all__ = [
    'Client',
    'CloseCode',
    'CloseEvent',
    'ErrorEvent',
    'Event',
    'MessageEvent',
    'UnsupportedServer',
    'WebSocket',
    '__version__',
    'close_all',
    'is_websocket',
    'register_adapter',
]

is_websocket = WebSocket.is_websocket
