"""The socket on which ``serve`` listens."""

from __future__ import annotations

import os
import stat
from typing import Any

from gevent import socket
from gevent.baseserver import parse_address

__all__ = ['describe_address', 'describe_peer', 'make_listener']

_EXPECTED = 'expected HOST:PORT, PORT or unix:PATH'


def make_listener(bind: str, backlog: int) -> Any:
    """Return a socket that listens on ``HOST:PORT``, ``PORT`` or ``unix:PATH``.

    Raise OSError, OverflowError or ValueError if that is not possible.
    """
    family, address = _parse_bind(bind)
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family != socket.AF_UNIX:
            # Connections inherit it. The head and the body of a response leave apart;
            # the second would wait until the client acknowledges the first: a page on a
            # connection that is kept alive took 44 ms, and takes 0.3 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(backlog)
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener


def _parse_bind(bind: str) -> tuple[int, Any]:
    """Return the family and the address to bind."""
    bind = bind.strip()
    if bind.startswith('unix:'):
        path = bind.removeprefix('unix:')
        if not path:
            raise ValueError('expected a path behind unix:')
        _make_room(path)
        return socket.AF_UNIX, path
    if bind.isdecimal():
        return socket.AF_INET, ('127.0.0.1', int(bind))
    if '//' in bind:
        raise ValueError(f'{_EXPECTED}, not a URL')
    host, _, port = bind.rpartition(':')
    if ':' in host and '[' not in host:
        raise ValueError(f'{_EXPECTED}, with an IPv6 address in brackets, such as [{host}]:{port}')
    try:
        family, address = parse_address(bind)
    except ValueError:
        raise ValueError(_EXPECTED) from None
    return family, address


def _make_room(path: str) -> None:
    """Remove the socket of a server that has ended.

    The socket of a server that runs stays, and bind() fails. Raise ValueError for any
    other file.
    """
    if os.path.exists(path):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ValueError('the path is that of a directory or file, and no socket')
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) != 0:
                os.unlink(path)


def describe_address(listener: Any, has_tls: bool) -> str:
    """Return the URL at which the listener can be reached, or ``unix:PATH``."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f'unix:{address}'
    return f'{"https" if has_tls else "http"}://{describe_peer(address)}'


def describe_peer(address: Any) -> str:
    """Return the host and the port of an address, or ``unix`` if it has none."""
    if not isinstance(address, tuple):
        return 'unix'
    host, port = address[:2]
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
