"""An echo application that reports the memory that it holds.

A GET returns the numbers of greenlets, of open sockets and of blocks of Python's
memory, after collecting garbage and returning free memory to the system.
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
    """Echo on a WebSocket, and report the numbers to any other request."""
    from faye_websocket import WebSocket

    return echo(environ, start_response) if WebSocket.is_websocket(environ) else census(start_response)


def census(start_response: StartResponse) -> Iterable[bytes]:
    """Respond with the numbers, as JSON."""
    from faye_websocket.io.shutdown import open_sockets

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    greenlets = sum(isinstance(thing, greenlet) for thing in gc.get_objects())
    numbers = {'greenlets': greenlets, 'sockets': len(open_sockets), 'blocks': sys.getallocatedblocks()}
    answer = json.dumps(numbers).encode()
    start_response('200 OK', [('Content-Type', 'application/json'), ('Content-Length', str(len(answer)))])
    return [answer]
