"""Django's development server (``manage.py runserver``), which is made of wsgiref's.

The socket is with the handler that runs the application. Nothing in ``environ`` leads
to it.
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Mapping
from typing import Any

from .adapter import Adapter
from .stack import find_variables, is_same_request
from .threaded import is_native, lend

__all__ = ['RUNSERVER']

_MODULE = 'django.core.servers.basehttp'


def _find_handler(environ: Mapping[str, Any]) -> Any:
    """Return Django's handler of the connection of this request, or None."""
    handler: Any = find_variables('wsgiref.handlers', 'run').get('self')
    if not any(base.__module__ == _MODULE for base in type(handler).__mro__):
        return None
    return handler.request_handler if is_same_request(handler.environ, environ) else None


def _find_socket(environ: Mapping[str, Any]) -> tuple[Any, Callable[[], bytes]] | None:
    """Return the request's socket and what takes the bytes read ahead, or None."""
    handler = _find_handler(environ)
    if handler is None:
        return None
    is_alone = not isinstance(handler.server, socketserver.ThreadingMixIn)
    # No request follows, be it that the handshake is refused. Other servers are told so
    # by a header, which Django takes from no application.
    handler.close_connection = True
    # With the stub in the socket's place the file ends where its buffer does.
    return lend(handler.connection, is_alone=is_alone), handler.rfile.read1


def _holds_thread(environ: Mapping[str, Any]) -> bool:
    handler = _find_handler(environ)
    return handler is not None and is_native(handler.connection)


RUNSERVER = Adapter(_find_socket, holds_thread=_holds_thread)
