"""The connection of a request under uWSGI with its gevent loop.

``uwsgi --gevent 100 --http-socket :9292 ...``

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

from .transport import TAKEN

__all__ = ['has_gevent', 'is_uwsgi', 'take']

# The sockets that uWSGI has in the place of connections, by what no other socket has.
_inodes: set[int] = set()


def is_uwsgi(environ: Mapping[str, Any]) -> bool:
    """Return whether the request is from uWSGI."""
    return 'uwsgi.version' in environ


def has_gevent(environ: Mapping[str, Any]) -> bool:
    """Return whether the request is from a uWSGI that runs on gevent."""
    return is_uwsgi(environ) and getattr(_uwsgi(), 'loop', b'') == b'gevent'


def take(environ: Mapping[str, Any]) -> tuple[Any, bytes]:
    """Move the connection to a socket of our own. Raises RuntimeError if that was done."""
    descriptor = _uwsgi().connection_fd()
    if os.fstat(descriptor).st_ino in _inodes:
        raise RuntimeError(TAKEN)
    sock = gevent.socket.socket(fileno=os.dup(descriptor))
    ours, theirs = gevent.socket.socketpair()
    with theirs:
        os.dup2(theirs.fileno(), descriptor)
    ours.shutdown(socket.SHUT_WR)
    inode = os.fstat(descriptor).st_ino
    _inodes.add(inode)
    gevent.spawn(_pass_on, ours, sock, inode)
    return sock, b''


def _pass_on(ours: Any, sock: Any, inode: int) -> None:
    """Writes what uWSGI does to ``sock``, out of which the connection has been taken by now."""
    try:
        with ours, sock:
            while data := ours.recv(65536):
                sock.sendall(data)
    finally:
        _inodes.discard(inode)


def _uwsgi() -> Any:
    """Return the module that only exists inside of uWSGI."""
    return import_module('uwsgi')
