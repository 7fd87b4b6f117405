"""The WebSocket protocol without I/O.

Feed a driver the bytes received, listen to its events, and send the bytes that it
writes. ``wsgi(io)`` makes the driver of a WSGI request, ``server(io)`` that of a raw
TCP connection to a server, and ``client(io)`` that of a client. The contract is
described at ``Driver``.
"""

from __future__ import annotations

from . import accel as accel
from .base import CLOSED, CLOSING, CONNECTING, OPEN, Driver
from .client import client
from .codes import CloseCode, Opcode
from .server import server
from .writer import Writer
from .wsgi import is_websocket, wsgi

__all__ = [
    'CLOSED',
    'CLOSING',
    'CONNECTING',
    'OPEN',
    'CloseCode',
    'Driver',
    'Opcode',
    'Writer',
    'client',
    'is_websocket',
    'server',
    'wsgi',
]
