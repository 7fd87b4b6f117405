"""An echo application that can be asked what it holds.

A GET for anything answers how many greenlets, open sockets and blocks of Python's memory there are, after all that can be
given back to the system was given back.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Iterable

from greenlet import greenlet

from tests.support.apps import Environ, StartResponse, echo


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The application."""
    from faye_websocket import WebSocket

    return echo(environ, start_response) if WebSocket.is_websocket(environ) else census(start_response)


def census(start_response: StartResponse) -> Iterable[bytes]:
    """The numbers, as JSON."""
    from faye_websocket.io.shutdown import registry

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    greenlets = sum(isinstance(thing, greenlet) for thing in gc.get_objects())
    numbers = {'greenlets': greenlets, 'sockets': len(registry), 'blocks': sys.getallocatedblocks()}
    answer = json.dumps(numbers).encode()
    start_response('200 OK', [('Content-Type', 'application/json'), ('Content-Length', str(len(answer)))])
    return [answer]
