"""Werkzeug's development server (``flask run``): where it keeps a request's socket.

The socket is in ``environ``, and what was read ahead with the handler that runs the
application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .adapter import Adapter
from .stack import find_variables
from .threaded import ended_descriptor, is_native, lend

__all__ = ['WERKZEUG']


def _find_socket(environ: Mapping[str, Any]) -> tuple[Any, Callable[[], bytes]]:
    """Return the request's socket and what takes the bytes read ahead."""
    sock = environ['werkzeug.socket']
    handler: Any = find_variables('werkzeug.serving', 'run_wsgi').get('self')
    reader = handler.rfile if getattr(handler, 'connection', None) is sock else None
    is_alone = not (environ.get('wsgi.multithread') or environ.get('wsgi.multiprocess'))
    return lend(sock, is_alone=is_alone), partial(_take_over, sock, reader)


def _take_over(sock: Any, reader: Any) -> bytes:
    """Return what was read ahead, and let Werkzeug find nothing more to read.

    At the end of a request it asks the kernel, for which it needs a descriptor.
    """
    if not is_native(sock):
        sock._sock.descriptor = ended_descriptor()
    return b'' if reader is None else bytes(reader.read1())


def _holds_thread(environ: Mapping[str, Any]) -> bool:
    return is_native(environ.get('werkzeug.socket'))


WERKZEUG = Adapter(
    _find_socket,
    request_keys=frozenset({'werkzeug.request', 'werkzeug.socket'}),
    holds_thread=_holds_thread,
    key='werkzeug.socket',
)
