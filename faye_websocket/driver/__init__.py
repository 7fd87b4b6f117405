"""The protocol without I/O: feed a driver bytes, listen to its events, write where it writes.

``wsgi(io)`` makes the driver for a WSGI request, ``server(io)`` one for a raw TCP connection. See ``Driver`` for the contract.
"""

from __future__ import annotations

from .base import CLOSED, CLOSING, CONNECTING, OPEN, Driver
from .codes import CloseCode, Opcode
from .server import server
from .wsgi import is_websocket, wsgi

__all__ = ['CLOSED', 'CLOSING', 'CONNECTING', 'OPEN', 'CloseCode', 'Driver', 'Opcode', 'is_websocket', 'server', 'wsgi']
