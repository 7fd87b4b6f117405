"""The protocol without I/O: feed a driver bytes, listen to its events, write where it writes.

``wsgi(io)`` makes the driver for a WSGI request, ``server(io)`` one for a raw TCP connection, ``client(io)`` one for a client.
See ``Driver`` for the contract.
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
