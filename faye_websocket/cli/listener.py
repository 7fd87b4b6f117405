"""The socket on which ``serve`` listens."""

from __future__ import annotations

import os
import stat
from typing import Any

from gevent import socket
from gevent.baseserver import parse_address

__all__ = ['describe_address', 'describe_peer', 'make_listener']


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
        _remove_left_behind(path)
        return socket.AF_UNIX, path
    if bind.isdecimal():
        return socket.AF_INET, ('127.0.0.1', int(bind))
    try:
        family, address = parse_address(bind)
    except ValueError:
        raise ValueError('expected HOST:PORT, PORT or unix:PATH') from None
    return family, address


def _remove_left_behind(path: str) -> None:
    """Remove the socket of a server that has ended.

    Any other file stays, and so does the socket of a server that runs; bind() fails.
    """
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
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
