"""The connection of a request under uWSGI with its gevent loop.

``uwsgi --gevent 100 --http-socket :9292 ...``

uWSGI gives the number of a connection's descriptor, and has no socket object to take it
out of. So the connection moves to a descriptor of our own, and one end of a pair of
sockets takes its number. The bytes that uWSGI writes there are passed on to the stub
that other servers write to, and when uWSGI reads, it reads the end.

The bytes that a client sends in one segment with its request stay in uWSGI's hands, and
are lost. RFC 6455 section 4.1 forbids them: "the client MUST wait for a response from
the server before sending any further data". hixie-76, which sends eight bytes there,
does not work.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gevent
import gevent.socket

from ..io.scheduler import stay_in
from ..io.takeover import TAKEN
from .adapter import SUPPORTED, Adapter

__all__ = ['UWSGI']

# Options with which uWSGI itself speaks TLS; its descriptor then takes no plain bytes.
_TLS_OPTIONS = frozenset({'https-socket', 'ssl-socket', 'suwsgi-socket'})

# The sockets that uWSGI has in the place of connections, by what no other socket has.
_inodes: set[int] = set()


def _is_uwsgi(environ: Mapping[str, Any]) -> bool:
    """Return whether the request is from uWSGI."""
    return 'uwsgi.version' in environ


def _has_socket(environ: Mapping[str, Any]) -> bool:
    """Return whether the request is from a uWSGI whose connection can be taken."""
    return _is_uwsgi(environ) and _has_gevent() and not _has_tls(environ)


def _explain(environ: Mapping[str, Any]) -> str | None:
    if not _is_uwsgi(environ):
        return None
    if not _has_gevent():
        why = 'this uWSGI does not run on gevent: start it with --gevent 100'
    else:
        why = "the connection is in the hands of uWSGI's own TLS: have a proxy speak TLS"
    return f'{why}. {SUPPORTED}'


def _take(environ: Mapping[str, Any]) -> tuple[Any, bytes]:
    """Move the connection to a socket of our own. Raises RuntimeError when repeated."""
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
    """Pass on what uWSGI writes to ``sock``, which has a stub in its place by now."""
    pid = os.getpid()
    try:
        with ours, sock:
            while True:
                gevent.socket.wait_read(ours.fileno())
                # A forked child must not pass on what uWSGI writes.
                stay_in(pid)
                data = ours.recv(65536)
                if not data:
                    return
                sock.sendall(data)
    finally:
        _inodes.discard(inode)


def _has_gevent() -> bool:
    return bool(getattr(_uwsgi(), 'loop', b'') == b'gevent')


def _has_tls(environ: Mapping[str, Any]) -> bool:
    """Return whether it is uWSGI, and no proxy in front of it, that speaks TLS."""
    is_secure = environ.get('wsgi.url_scheme') == 'https'
    return is_secure and not _TLS_OPTIONS.isdisjoint(getattr(_uwsgi(), 'opt', ()))


def _uwsgi() -> Any:
    """Return the module that only exists inside of uWSGI."""
    return import_module('uwsgi')


UWSGI = Adapter(_take, _has_socket, _explain, clears_environ=_is_uwsgi, key='uwsgi.version')
