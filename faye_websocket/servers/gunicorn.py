"""gunicorn -k gevent: where it keeps a request's socket, and what it has read ahead.

The socket is in ``environ``. What was read past the request's head is with the parser's
reader, behind ``wsgi.input``; where a middleware has put something else there, the
reader is found with the worker that runs the application.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gevent.socket

from .adapter import SUPPORTED, Adapter, explain_input
from .stack import find_variables

__all__ = ['GUNICORN', 'empty_reader']


def _has_gevent(environ: Mapping[str, Any]) -> bool:
    """Return whether the request is from a gunicorn worker that runs on gevent."""
    return isinstance(environ.get('gunicorn.socket'), gevent.socket.socket)


def _find_socket(environ: Mapping[str, Any]) -> tuple[Any, Callable[[], bytes]] | None:
    """Return the request's socket and what takes the bytes read ahead, or None."""
    if not _has_gevent(environ):
        return None
    sock = environ['gunicorn.socket']
    if 'wsgi.input' not in environ:
        # No more than the socket was handed on.
        return sock, bytes
    reader = _find_reader(environ, sock)
    return None if reader is None else (sock, partial(empty_reader, reader))


def _find_reader(environ: Mapping[str, Any], sock: Any) -> Any:
    """Return gunicorn's ``SocketUnreader`` for this socket, or None."""
    body = environ.get('wsgi.input')
    reader = getattr(getattr(body, 'reader', None), 'unreader', None)
    if reader is not None:
        return reader
    worker = find_variables('gunicorn.workers.base_async', 'handle_request')
    reader = getattr(worker.get('req'), 'unreader', None)
    return reader if getattr(reader, 'sock', None) is sock else None


def empty_reader(reader: Any) -> bytes:
    """Return what was read ahead, and leave nothing for gunicorn to take for HTTP."""
    received, reader.buf = reader.buf.getvalue(), io.BytesIO()
    return bytes(received)


def _explain(environ: Mapping[str, Any]) -> str | None:
    if 'gunicorn.socket' not in environ:
        return None
    if _has_gevent(environ):
        return explain_input(environ)
    return (
        f'this gunicorn worker does not run on gevent: start gunicorn with -k gevent. {SUPPORTED}'
    )


GUNICORN = Adapter(
    _find_socket,
    explain=_explain,
    request_keys=frozenset({'gunicorn.socket'}),
    responders=frozenset({'gunicorn.http.wsgi.Response'}),
    key='gunicorn.socket',
)
