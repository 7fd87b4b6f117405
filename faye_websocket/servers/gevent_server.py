"""The gevent server that the calling greenlet works for, also a gunicorn worker's.

Such a server spawns ``function(handle, server.do_close, ...)`` for each connection that
it accepts; so the greenlet of a request knows its server, and the pool that it has a
place in, whatever the application or a middleware does with ``environ``. Under any
other server, and where ``spawn=`` makes no ``gevent.Greenlet``, none is found: its
sockets are closed when the process exits.
"""

from __future__ import annotations

from types import MethodType

import gevent
from gevent.baseserver import BaseServer
from gevent.pool import Group

from ..io.shutdown import Closable, open_sockets

__all__ = ['find_server', 'is_stopping', 'leave_pool', 'register']


def find_server() -> BaseServer | None:
    """Return the server that spawned the calling greenlet, or one of its ancestors."""
    current = gevent.getcurrent()
    while isinstance(current, gevent.Greenlet):
        arguments = current.args
        if type(arguments) is tuple and len(arguments) == 3:
            # Its type is looked at first: a proxy's attributes may be anything.
            server = arguments[1].__self__ if type(arguments[1]) is MethodType else None
            if isinstance(server, BaseServer):
                return server
        ancestor = current.spawning_greenlet
        current = ancestor() if ancestor is not None else None
    return None


def register(socket: Closable) -> bool:
    """Register an open socket, which is closed when the request's server stops.

    Return whether that is already so: then the caller must close it.
    """
    server = find_server()
    open_sockets.add(socket, None if server is None else server._stop_event)
    return open_sockets.is_closing or _has_stopped(server)


def is_stopping() -> bool:
    """Return whether this request must not open a socket: all are being closed."""
    return open_sockets.is_closing or _has_stopped(find_server())


def _has_stopped(server: BaseServer | None) -> bool:
    """Return whether a server has stopped; not so one that was never started."""
    return server is not None and server._stop_event.is_set() and '_handle' not in vars(server)


def leave_pool() -> None:
    """Give the calling greenlet's place in its server's pool back, for good.

    The server goes on accepting if the pool was full, and does not wait for this
    greenlet when it stops.
    """
    current, server = gevent.getcurrent(), find_server()
    pool = server.pool if server is not None else None
    if isinstance(pool, Group) and current in pool:
        pool.discard(current)
