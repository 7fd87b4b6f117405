"""gevent.pywsgi, alone or as gunicorn -k gevent_pywsgi: where it keeps a socket.

The socket, and what was read ahead, are behind ``wsgi.input``, the file that requests
are read from. Where a middleware has put something else there, they are found with the
handler that runs the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gevent.socket

from .adapter import Adapter, explain_input
from .stack import find_variables, is_same_request

__all__ = ['PYWSGI']


def _find_socket(environ: Mapping[str, Any]) -> tuple[Any, Callable[[], bytes]] | None:
    """Return the request's socket and what takes the bytes read ahead, or None."""
    if 'wsgi.input' not in environ:
        return None
    body = environ['wsgi.input']
    reader: Any = getattr(body, 'rfile', body)
    sock = getattr(getattr(reader, 'raw', None), '_sock', None)
    if not isinstance(sock, gevent.socket.socket):
        handler = find_variables('gevent.pywsgi', 'handle_one_response').get('self')
        if handler is None or not is_same_request(handler.environ, environ):
            return None
        sock, reader = handler.socket, handler.rfile
    # With the stub in the socket's place the file ends where its buffer does.
    return sock, reader.read1


def _explain(environ: Mapping[str, Any]) -> str | None:
    software = str(environ.get('SERVER_SOFTWARE', ''))
    is_pywsgi = 'gunicorn.sock' in environ or software.startswith('gevent/')
    return explain_input(environ) if is_pywsgi else None


PYWSGI = Adapter(
    _find_socket,
    explain=_explain,
    request_keys=frozenset({'gunicorn.sock'}),
    responders=frozenset({'gevent.pywsgi.WSGIHandler', 'gunicorn.workers.ggevent.PyWSGIHandler'}),
)
