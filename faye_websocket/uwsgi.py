"""take: the connection of a request under uWSGI with its gevent loop, ``uwsgi --gevent 100 --http-socket :9292 ...``.

uWSGI tells the descriptor of a connection, and has no socket object to take it out of. So the connection moves to a descriptor
of our own, and one end of a pair of sockets comes to the number that uWSGI knows: what it writes there goes on to where the
other servers write, and it reads the end.

What a client sends in one segment with its request is in uWSGI's hands, and lost. RFC 6455 section 4.1 has it wait: "the client
MUST wait for a response from the server before sending any further data". hixie-76, which sends eight bytes there, does not
work.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gevent
import gevent.socket

from .errors import UnsupportedServer

__all__ = ['take']


def take(environ: Mapping[str, Any]) -> tuple[Any, bytes] | None:
    """An adapter for ``register_adapter``. Raises UnsupportedServer when uWSGI runs without gevent."""
    if 'uwsgi.version' not in environ:
        return None
    # A module that only exists inside of uWSGI.
    uwsgi = import_module('uwsgi')
    if getattr(uwsgi, 'loop', b'') != b'gevent':
        raise UnsupportedServer('this uWSGI does not run on gevent: start it with --gevent 100')
    descriptor = uwsgi.connection_fd()
    sock = gevent.socket.socket(fileno=os.dup(descriptor))
    ours, theirs = gevent.socket.socketpair()
    with theirs:
        os.dup2(theirs.fileno(), descriptor)
    ours.shutdown(socket.SHUT_WR)
    gevent.spawn(_pass_on, ours, sock)
    return sock, b''


def _pass_on(ours: Any, sock: Any) -> None:
    """Writes what uWSGI does to ``sock``, out of which the connection has been taken by now."""
    with ours, sock:
        while data := ours.recv(65536):
            sock.sendall(data)
