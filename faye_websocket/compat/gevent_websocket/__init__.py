"""gevent-websocket's names, as ``faye_websocket.compat.gevent_websocket``.

``WebSocketHandler``, ``WebSocketServer`` and gunicorn's ``GeventWebSocketWorker`` put
the socket into ``environ['wsgi.websocket']``. Where the server has no such handler
(gunicorn's ``gevent``, uWSGI, plain gevent.pywsgi) ``Resource`` makes the socket
itself, and ``WebSocketMiddleware(app)`` does so for any other application.

Other than in the original:

- A message may have 1 GiB at most (1009), where the original has no limit.
- A client's close frame is answered after the messages before it, but not later than
  the program waits for anything else than the next message, where the original answers
  it when ``receive`` reads it. What is sent after that does not arrive.
- A program that fails closes its socket with 1011; a ``WebSocketError`` that only
  says that the client has gone ends it without a traceback, and ``on_close`` is
  called.
- ``ws.stream`` is a ``faye_websocket.WebSocket``; it has no ``read`` and ``write``.
- There is no ``protocols.wamp``, no ``Header``, ``read_frame`` or ``handle_ping``, and
  no opcode but those of text, binary, ping, pong and close for ``send_frame``.
"""

from __future__ import annotations

from typing import Any

from .exceptions import FrameTooLargeException, ProtocolError, WebSocketError
from .handler import Client, WebSocketHandler, WebSocketMiddleware
from .resource import Resource, WebSocketApplication
from .server import WebSocketServer
from .websocket import WebSocket

__all__ = [
    'VERSION',
    'Client',
    'FrameTooLargeException',
    'ProtocolError',
    'Resource',
    'WebSocket',
    'WebSocketApplication',
    'WebSocketError',
    'WebSocketHandler',
    'WebSocketMiddleware',
    'WebSocketServer',
    'get_version',
]

#: The version of gevent-websocket whose names these are.
VERSION = (0, 10, 1, 'final', 0)


def get_version() -> str:
    """Return VERSION as a text."""
    return '.'.join(map(str, VERSION[:3]))


def __getattr__(name: str) -> Any:
    """Return the worker, which needs gunicorn, when it is asked for."""
    if name != 'GeventWebSocketWorker':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .gunicorn.workers import GeventWebSocketWorker

    return GeventWebSocketWorker
