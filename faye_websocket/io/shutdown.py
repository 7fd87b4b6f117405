"""shutdown: the open sockets of this process, and their end with it.

Each is closed when its server stops or the process ends.

A graceful stop begins with the servers: gunicorn's workers stop theirs within a second
of SIGTERM, SIGHUP or ``max_requests``, and wait for plain requests after that. So the
sockets that came from a server are closed as soon as it stops, and what is left is
closed when the process exits; gunicorn's workers, too, end in ``sys.exit``. Neither
needs a hook in anybody's configuration. Nothing is closed that a parent process opened.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import gevent
import gevent.event
from gevent.monkey import get_original

from ..driver.base import CLOSING, OPEN
from ..driver.codes import CloseCode
from ..driver.control_frames import check_close
from .limits import bound_time
from .reactor import TURN, current_reactor

__all__ = ['Closable', 'Registry', 'close_all', 'open_sockets']

logger = logging.getLogger('faye_websocket')

# Seconds that the handlers of those that had to be given up may take.
_LAST_WORDS = 0.1
# Seconds after which a greenlet that waits without a deadline looks again.
_LONG = 3600
# Seconds that it may take, when the process exits, until each socket has begun to
# close: that is 25 microseconds for one, but 15 milliseconds while other threads
# compute.
_TELLING = 1.0


class Closable(Protocol):
    """A socket that can be registered. It discards itself when it is gone."""

    @property
    def ready_state(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED."""

    @property
    def buffered_amount(self) -> int:
        """Bytes that wait."""

    @property
    def is_current(self) -> bool:
        """Whether the caller is one of its handlers."""

    def close(self, code: int, reason: str) -> object:
        """Begin to close."""

    def stop(self) -> object:
        """Begin to close with 1001: its server stops, or the process ends."""

    def abort(self, reason: str) -> object:
        """End at once."""


class _Client(Protocol):
    """A client, which is asked for its connection when the process exits."""

    _connection: Any


class Registry:
    """The sockets, by the stop event of the server that each came from."""

    def __init__(self) -> None:
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        # By what is set when their server stops; under None those of no server that is
        # known, or that has stopped.
        self._groups: dict[gevent.event.Event | None, set[Closable]] = {None: set()}
        self._clients: set[weakref.ref[_Client]] = set()
        # Those in greenlet style, and their sockets.
        self._greenlets: dict[gevent.Greenlet, Closable] = {}
        self._waits: list[_Wait] = []
        # The sockets whose handlers are in ``close_all``.
        self._callers: list[Closable] = []

    # ---- what there is

    def add(self, socket: Closable, stop: gevent.event.Event | None) -> None:
        """Register an open socket, which is closed when ``stop`` is set."""
        if self._pid != os.getpid():
            self._adopt()
        self._group(stop).add(socket)

    def discard(self, socket: Closable) -> None:
        """Forget a socket, which is gone; in any OS thread."""
        for event, group in tuple(self._groups.items()):
            if socket in group:
                group.discard(socket)
                if event is not None and not group:
                    del self._groups[event]
                    event.unlink(self._stopped)
        if self._waits:
            self._changed()

    def add_client(self, client: _Client) -> None:
        """Register a client, for as long as there is a reference to it."""
        self._adopt()
        self._clients.add(weakref.ref(client, self._clients.discard))

    def add_greenlet(self, greenlet: Any, socket: Closable) -> None:
        """Register a greenlet in which ``socket`` is used, until it ends."""
        if isinstance(greenlet, gevent.Greenlet):
            if greenlet not in self._greenlets:
                greenlet.rawlink(self.discard_greenlet)
            self._greenlets[greenlet] = socket

    def add_thread(self, main: Any, socket: Closable) -> None:
        """Register the main greenlet of a request's thread in which ``socket`` is used.

        To be discarded when the application has returned.
        """
        self._greenlets[main] = socket

    def discard_greenlet(self, greenlet: Any) -> None:
        """Forget a greenlet, if it was registered; in any OS thread."""
        if self._greenlets.pop(greenlet, None) is not None:
            self._changed()

    def find_greenlets(self, socket: Closable) -> list[gevent.Greenlet]:
        """Return the greenlets in which ``socket`` is used."""
        return [each for each, used in self._greenlets.items() if used is socket]

    def reopen(self) -> None:
        """Accept sockets in a forked child, even if its parent is closing its own."""
        self._waits = []

    def __len__(self) -> int:
        return sum(map(len, tuple(self._groups.values())))

    def _adopt(self) -> None:
        """Begin anew in a process that was forked."""
        if self._pid != os.getpid():
            # Two OS threads may come here at once.
            with _adopt_lock:
                if self._pid != os.getpid():
                    self._reset()
                    self._pid = os.getpid()

    def _group(self, stop: gevent.event.Event | None) -> set[Closable]:
        """Return the sockets of the server with this stop event."""
        if stop is None or stop.is_set():
            return self._groups[None]
        group = self._groups.get(stop)
        if group is None:
            group = self._groups[stop] = set()
            stop.rawlink(self._stopped)
        return group

    def _sockets(self) -> list[Closable]:
        return [socket for group in tuple(self._groups.values()) for socket in tuple(group)]

    # ---- closing

    @property
    def is_closing(self) -> bool:
        """Whether sockets are being closed, all of them."""
        return bool(self._waits)

    def close_all(
        self, code: int = CloseCode.GOING_AWAY, reason: str = '', timeout: float | None = None
    ) -> None:
        """See the module's ``close_all``."""
        if self._pid != os.getpid() or not len(self):
            return
        deadline = math.inf if timeout is None else time.monotonic() + bound_time(timeout)
        caller = self._find_caller()
        self._callers += caller
        try:
            with self._waiting(self._are_callers_left) as wait:
                _for_each(
                    self._sockets(), lambda socket: socket.close(code, reason), deadline, TURN
                )
                if not wait.until(deadline):
                    self._give_up(
                        [socket for socket in self._sockets() if socket not in self._callers],
                        wait,
                        TURN,
                    )
        finally:
            for socket in caller:
                self._callers.remove(socket)

    def exit(self, grace: float) -> None:
        """Close all sockets at the process's end, and wait for them and greenlets."""
        if self._pid != os.getpid():
            return
        self._groups[None].update(self._busy_clients())
        if self._is_nothing_left():
            return
        with self._waiting(self._is_nothing_left) as wait:
            began = time.monotonic()
            _for_each(
                self._sockets(),
                lambda socket: socket.stop(),
                began + _TELLING,
            )
            told = time.monotonic()
            if not wait.until(told + grace / 2):
                # A greenlet that waits for its peer to answer shall still have time to
                # end.
                _for_each(
                    self._greenlets_sockets(),
                    lambda socket: socket.abort('close timeout'),
                    told + grace,
                )
            if not wait.until(told + grace):
                self._give_up(self._sockets(), wait)

    def _stopped(self, event: gevent.event.Event) -> None:
        """Close the sockets of a server, which stops. Called on the hub."""
        group = self._groups.pop(event, None)
        if group and self._pid == os.getpid():
            self._groups[None] |= group
            stop = lambda socket: socket.stop()
            gevent.spawn(_for_each, tuple(group), stop, math.inf, TURN)

    def _give_up(self, sockets: list[Closable], wait: _Wait, turn: float = math.inf) -> None:
        """End those that are left at once; their handlers still hear of it."""
        _for_each(
            sockets,
            lambda socket: socket.abort('close timeout'),
            time.monotonic() + _LAST_WORDS,
            turn,
        )
        wait.until(time.monotonic() + _LAST_WORDS)

    @contextmanager
    def _waiting(self, is_over: Callable[[], bool]) -> Iterator[_Wait]:
        """Register a wait, which keeps others from opening sockets, for this block."""
        wait = _Wait(is_over)
        self._waits.append(wait)
        try:
            # There may be one caller more, which is not waited for.
            self._changed()
            yield wait
        finally:
            if wait in self._waits:
                self._waits.remove(wait)

    def _find_caller(self) -> list[Closable]:
        """Return the socket one of whose handlers is calling, in a list, if any."""
        socket = self._greenlets.get(gevent.getcurrent())
        if socket is not None:
            return [socket]
        return [socket for socket in self._sockets() if socket.is_current]

    def _busy_clients(self) -> Iterator[Closable]:
        """Yield the connections of clients that are open, or have something to send."""
        for reference in tuple(self._clients):
            client = reference()
            connection: Closable | None = None if client is None else client._connection
            if connection is not None and (
                connection.ready_state in (OPEN, CLOSING) or connection.buffered_amount
            ):
                yield connection

    def _greenlets_sockets(self) -> list[Closable]:
        """Return the sockets in greenlet style that are not gone."""
        used = set(self._greenlets.values())
        return [socket for socket in self._sockets() if socket in used]

    def _are_callers_left(self) -> bool:
        """Return whether only sockets are left whose handlers wait for the others."""
        callers = set(self._callers)
        return len(self) == sum(len(callers & group) for group in tuple(self._groups.values()))

    def _is_nothing_left(self) -> bool:
        return not len(self) and not self._greenlets

    def _changed(self) -> None:
        for wait in tuple(self._waits):
            wait.changed()


class _Wait:
    """A greenlet that waits until a condition, checked after each change, is true."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over
        self._reactor = current_reactor()
        self._event = gevent.event.Event()

    def until(self, deadline: float) -> bool:
        """Block until the condition is true; False if the deadline comes first."""
        while not self._is_over():
            self._event.clear()
            # Without a timer the hub of an OS thread that waits for nothing else would
            # raise LoopExit.
            seconds = min(_LONG, max(0, deadline - time.monotonic()))
            if not self._event.wait(seconds) and time.monotonic() >= deadline:
                return False
        return True

    def changed(self) -> None:
        """Go on if the condition is true now; in any OS thread."""
        if self._is_over():
            self._reactor.call_soon(self._event.set)


def _for_each(
    sockets: Iterable[Closable],
    action: Callable[[Closable], object],
    deadline: float,
    turn: float = math.inf,
) -> None:
    """Call ``action`` with each socket, and let others run after each ``turn``."""
    end = time.monotonic() + turn
    for socket in sockets:
        try:
            action(socket)
        except Exception:
            # The others are closed nevertheless.
            logger.exception('closing %r failed', socket)
        now = time.monotonic()
        if now >= deadline:
            return
        if now >= end:
            gevent.sleep(0)
            end = time.monotonic() + turn


class CloseAll(Protocol):
    """``close_all``, with its attribute."""

    grace: float

    def __call__(self, code: int = ..., reason: str = ..., timeout: float | None = ...) -> None: ...


def _with_grace(function: Callable[..., None]) -> CloseAll:
    closing = cast(CloseAll, function)
    closing.grace = 0.5
    return closing


_adopt_lock = get_original('_thread', 'allocate_lock')()
# In a forked child the thread that held it may be missing.
os.register_at_fork(after_in_child=_adopt_lock._at_fork_reinit)
open_sockets = Registry()
os.register_at_fork(after_in_child=open_sockets.reopen)


@_with_grace
def close_all(
    code: int = CloseCode.GOING_AWAY, reason: str = '', timeout: float | None = None
) -> None:
    """Close every server socket and event source, and return when they are gone.

    Those that are not after ``timeout`` seconds are given up, with 1006. New sockets
    are refused with 503 meanwhile. In a handler of one of the sockets, or in a greenlet
    in which one is used, it begins to close that one too, and waits for the others
    only. Raises ValueError for a code that a server may not send.

    Sockets are closed with 1001 by themselves when their server stops and when the
    process exits. At the exit they, the clients that are open, and the greenlets in
    which sockets are used have ``close_all.grace`` seconds to finish, 0.5 unless it is
    set.
    """
    check_close(code, reason, server=True)
    open_sockets.close_all(code, reason, timeout)


def _exit() -> None:
    open_sockets.exit(close_all.grace)


atexit.register(_exit)
