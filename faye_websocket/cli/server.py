"""The server that ``serve`` runs."""

from __future__ import annotations

import logging
from typing import Any

from gevent.pywsgi import WSGIServer

from .listener import describe_peer

__all__ = ['Server']

logger = logging.getLogger('faye_websocket')


class Server(WSGIServer):  # type: ignore[misc]
    """gevent.pywsgi's, which has one line for a TLS handshake that fails.

    A port scan, or a browser that does not trust the certificate, is no fault of the
    program, whose traceback gevent would print.
    """

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Make the TLS handshake, and serve the connection."""
        try:
            tls = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError as error:
            logger.info('failed TLS handshake from %s: %s', describe_peer(address), error)
            return
        with tls:
            self.handle(tls, address)
