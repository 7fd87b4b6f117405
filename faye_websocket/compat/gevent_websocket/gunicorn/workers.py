"""GeventWebSocketWorker: for gunicorn's ``-k``, with the socket in ``environ``.

``gunicorn -k faye_websocket.compat.gevent_websocket.GeventWebSocketWorker app``
"""

from __future__ import annotations

from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIHandler

from ..handler import WebSocketHandler

__all__ = ['GeventWebSocketWorker', 'GunicornWebSocketHandler']


class GunicornWebSocketHandler(PyWSGIHandler, WebSocketHandler):
    """A handler that writes gunicorn's access log."""


class GeventWebSocketWorker(GeventPyWSGIWorker):
    """gunicorn's ``gevent_pywsgi`` with a handler for sockets."""

    wsgi_handler = GunicornWebSocketHandler
