"""What all connections of one hub share: its loop, one receive buffer, and the greenlets that run handlers.

A connection has no greenlet while nothing happens to it. When something does, the hub's callback switches into the parked
worker, which runs the handlers and parks again: that costs 1 microsecond, where a new greenlet costs 11 to 14 (CPython 3.11
and later map memory for its frames). A handler may block: then the hub goes on, and the worker comes back like any greenlet,
but is not parked any more.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol
from weakref import getweakrefcount

import gevent
from gevent.hub import Hub
from gevent.monkey import get_original
from greenlet import greenlet

__all__ = ['Job', 'Reactor', 'current_reactor']

# As large as one read. With 65536, a message of 64 KiB, which has 14 bytes more, would take two: 63 us in place of 54.
RECEIVE_BUFFER = 262144
# glibc gives memory back to the kernel when twice the largest block that it ever mapped and freed lies free at the end of its
# heap, and takes it again page fault by page fault: more than half of the 2.0 ms that the echo of 1 MiB took, now 0.7. A block
# of this size, mapped, not touched, and freed, teaches it to keep 16 MiB.
_LARGE_BLOCK = 2**23
# threading.get_ident, patched by gevent, would tell greenlets apart.
_get_thread = get_original('_thread', 'get_ident')


class Job(Protocol):
    """Something to be run in a worker."""

    def drain(self) -> None:
        """Runs all there is to run."""


class Reactor:
    """One for each hub, which is one for each OS thread that runs gevent; see ``current_reactor``."""

    __slots__ = ('_alarm', '_direct', '_parked', '_posted', '_thread', 'buffer', 'hub', 'loop')

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.loop: Any = hub.loop
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER))
        bytes(_LARGE_BLOCK)
        self._thread = _get_thread()
        # What other OS threads want called. Not by loop.run_callback_threadsafe: it counts the loop's references while libev
        # may do the same, without the GIL, and a lost count ends or hangs the hub. An alarm without a reference counts nothing.
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._alarm = self.loop.async_(ref=False)
        self._alarm.start(self.catch_up)
        # The worker that waits for a job, and the one that the hub waits for.
        self._parked: _Worker | None = None
        self._direct: _Worker | None = None

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this reactor's OS thread."""
        return bool(_get_thread() == self._thread)

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Has the hub call ``callback``; from any OS thread."""
        if self.is_current:
            self.loop.run_callback(callback, *arguments)
        else:
            self._posted.append((callback, arguments))
            self._alarm.send()

    def catch_up(self) -> None:
        """Calls what other OS threads have wanted called so far. Only this reactor's thread may call this."""
        left = len(self._posted)
        # One of them may come back here, and leave nothing.
        while left and self._posted:
            left -= 1
            callback, arguments = self._posted.popleft()
            try:
                callback(*arguments)
            except Exception:
                self.hub.handle_error(callback, *sys.exc_info())

    def run(self, job: Job) -> None:
        """Runs ``job`` in a worker, until it is done or blocks. Only the hub may call this."""
        worker, self._parked = self._parked, None
        if worker is None or worker.dead:
            worker = _Worker(self)
        worker.job = job
        self._direct = worker
        worker.switch()
        self._direct = None

    def waits_for(self, worker: _Worker) -> bool:
        """Whether the hub is still where it has switched into this worker, which so has not blocked since."""
        return self._direct is worker

    def park(self, worker: _Worker) -> None:
        """Keeps the calling worker; returns when it has another job."""
        # Which must not see the context variables of the job before.
        worker.gr_context = None
        self._parked = worker
        greenlet.switch(self.hub)


class _Worker(gevent.Greenlet):  # type: ignore[misc]
    """A greenlet that runs one job after the other."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__()
        # Not the hub's, which would be shared by all.
        self.spawn_tree_locals: dict[str, Any] = {}
        self._reactor = reactor
        self.job: Job | None = None

    def _run(self) -> None:
        reactor = self._reactor
        attributes = len(self.__dict__)
        while True:
            job, self.job = self.job, None
            assert job is not None
            references = sys.getrefcount(self)
            job.drain()
            del job
            # Goes on only if nobody could tell this greenlet from a new one. What was meant for the greenlet of one connection
            # must not reach another's: a Timeout still running, greenlet-local values, a reference that a handler kept. (What
            # refers to one that has blocked, only because it has, cannot be told from that.)
            if not (
                reactor.waits_for(self)
                and sys.getrefcount(self) == references
                and not getweakrefcount(self)
                and len(self.__dict__) == attributes
                and not self.spawn_tree_locals
                and not self.has_links()
            ):
                break
            reactor.park(self)


# _thread._local is never patched by gevent's threading.local: one slot for each OS thread, gone with it.
_here = get_original('_thread', '_local')()


def current_reactor() -> Reactor:
    """The reactor of the calling thread's hub."""
    hub = gevent.get_hub()
    reactor: Reactor | None = getattr(_here, 'reactor', None)
    if reactor is None or reactor.hub is not hub:
        reactor = _here.reactor = Reactor(hub)
    return reactor
