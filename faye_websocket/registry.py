"""Every open server socket of this process, so that all can be closed when it ends.

A server's graceful stop ends in ``sys.exit``, under gunicorn too, so an exit handler needs no hook in anybody's configuration.
It looks at nothing until a socket was opened, and closes nothing that a parent process opened.
"""

from __future__ import annotations

import atexit
import os
from typing import Protocol

import gevent.event

from .driver.codes import CloseCode
from .driver.control import check_close
from .reactor import Reactor, current_reactor

__all__ = ['Registry', 'close_all', 'registry']

# A worker should be gone 2 seconds after SIGTERM, and gunicorn's takes up to one to notice.
_EXIT_TIMEOUT = 0.5
# How many seconds the handlers of those that had to be given up may take.
_LAST_WORDS = 0.1


class Closable(Protocol):
    """What can be registered. It takes itself off when it is gone."""

    def close(self, code: int, reason: str) -> object:
        """Begins to close."""

    def abort(self, reason: str) -> object:
        """Ends at once."""


class Registry:
    """A set of sockets; ``is_closing`` while ``close_all`` waits for them, when no more should be opened."""

    def __init__(self) -> None:
        self._sockets: set[Closable] = set()
        self._waiting: list[tuple[Reactor, gevent.event.Event]] = []
        self._pid = 0
        self.is_closing = False

    def add(self, socket: Closable) -> None:
        """Registers an open socket."""
        if self._pid != os.getpid():
            self._sockets = set()
            self._pid = os.getpid()
        self._sockets.add(socket)

    def discard(self, socket: Closable) -> None:
        """The socket is gone. Called in any OS thread."""
        self._sockets.discard(socket)
        if not self._sockets:
            for reactor, event in self._waiting:
                reactor.call_soon(event.set)

    def close_all(self, code: int = CloseCode.GOING_AWAY, reason: str = '', timeout: float | None = None) -> None:
        """See the module's ``close_all``."""
        if not self._sockets or self._pid != os.getpid():
            return
        event = gevent.event.Event()
        entry = (current_reactor(), event)
        self._waiting.append(entry)
        self.is_closing = True
        try:
            for socket in tuple(self._sockets):
                socket.close(code, reason)
            if not event.wait(timeout):
                for socket in tuple(self._sockets):
                    socket.abort('close timeout')
                event.wait(_LAST_WORDS)
        finally:
            self._waiting.remove(entry)
            self.is_closing = bool(self._waiting)

    def __len__(self) -> int:
        return len(self._sockets)


registry = Registry()


def close_all(code: int = CloseCode.GOING_AWAY, reason: str = '', timeout: float | None = None) -> None:
    """Closes every open server socket of this process, and returns when they are gone.

    Those that are not after ``timeout`` seconds are given up, with 1006. Called by itself, with 1001, when the process exits.
    New sockets are refused with 503 meanwhile. Raises ValueError for a code that a server may not send.
    """
    check_close(code, reason, server=True)
    registry.close_all(code, reason, timeout)


atexit.register(registry.close_all, timeout=_EXIT_TIMEOUT)
