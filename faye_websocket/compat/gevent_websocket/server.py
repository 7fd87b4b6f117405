"""WebSocketServer: gevent.pywsgi's server with a handler for sockets."""

from __future__ import annotations

import logging
from typing import Any

from gevent.pywsgi import WSGIServer

from .handler import Client, WebSocketHandler

__all__ = ['WebSocketServer']


class WebSocketServer(WSGIServer):
    """A server whose ``clients`` are those that are connected, by their addresses.

    ``debug=True`` logs each request for a socket. ``pre_start_hook(handler)`` is called
    for each request, and what it returns true for is none for a socket. All other
    arguments are those of gevent.pywsgi.WSGIServer.
    """

    handler_class = WebSocketHandler

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.debug = options.pop('debug', False)
        self.pre_start_hook = options.pop('pre_start_hook', None)
        self.clients: dict[Any, Client] = {}
        super().__init__(*arguments, **options)

    @property
    def logger(self) -> logging.Logger:
        """The logger of this module."""
        return logging.getLogger(__name__)
