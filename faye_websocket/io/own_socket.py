"""own_socket: sockets of gevent that work in one process only.

A client uses them while it connects.

A forked child has a copy of the greenlet that waits for such a socket. If it went on in
the child, it would take bytes away from its parent, or send them twice.
"""

from __future__ import annotations

import os
from typing import Any

import gevent.socket
import gevent.ssl

from .scheduler import stay_in
from .transport import hang_up

__all__ = ['Socket', 'TLSSocket', 'abandon']


class _Own:
    """A mixin for sockets."""

    def _wait(self, *arguments: Any, **options: Any) -> None:
        """Wait as gevent's blocking methods do, and never return in a forked child."""
        pid = os.getpid()
        super()._wait(*arguments, **options)  # type: ignore[misc]
        stay_in(pid)


class Socket(_Own, gevent.socket.socket):  # type: ignore[misc]
    """A plain socket."""


class TLSSocket(_Own, gevent.ssl.SSLSocket):  # type: ignore[misc]
    """A socket with TLS."""


def abandon(sock: Any, pid: int) -> None:
    """Give up a socket that the process ``pid`` connects.

    A forked child closes its copy only.
    """
    if os.getpid() == pid:
        hang_up(sock)
    else:
        sock.close()
