"""gunicorn -k gthread (``--threads``): where it keeps a request's socket.

Its threads are those of a pool, so it serves as many sockets as it has threads. Where
it is monkey-patched, which must be done in ``gunicorn.conf.py``, they are greenlets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .adapter import Adapter
from .gunicorn import empty_reader
from .stack import find_variables
from .threaded import is_native, lend

__all__ = ['GTHREAD']

_MODULE = 'gunicorn.workers.gthread'


def _find_request(environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the worker's variables for this request, or none."""
    sock = environ.get('gunicorn.socket')
    if sock is None or _MODULE not in sys.modules:
        return {}
    variables = find_variables(_MODULE, 'handle_request')
    connection = variables.get('conn')
    return variables if connection is not None and connection.sock is sock else {}


def _find_socket(environ: Mapping[str, Any]) -> tuple[Any, Callable[[], bytes]] | None:
    """Return the request's socket and what takes the bytes read ahead, or None."""
    request = _find_request(environ)
    if not request:
        return None
    sock = lend(environ['gunicorn.socket'], is_alone=request['self'].cfg.threads == 1)
    return sock, partial(_take_over, request['req'].unreader, request['resp'])


def _take_over(reader: Any, response: Any) -> bytes:
    """Return what was read ahead, and let gunicorn wait for no other request."""
    response.force_close()
    return empty_reader(reader)


def _holds_thread(environ: Mapping[str, Any]) -> bool:
    return is_native(environ.get('gunicorn.socket'))


GTHREAD = Adapter(_find_socket, holds_thread=_holds_thread, key='gunicorn.socket')
