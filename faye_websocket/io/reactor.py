"""Reactor: the loop and the workers that all connections of one hub share.

A connection has no greenlet while nothing happens to it. When something does, its
handlers are a job. Once the hub has read from all connections that are readable, it
hands the jobs over to a worker, which is a greenlet that runs one job after the other
and then parks: that costs 1 microsecond for all of them, where a new greenlet for each
costs 11 to 14 (CPython 3.11 and later map memory for its frames).

The hub and the workers alternate like this. "Lent" is the worker that the hub switched
into last, for as long as it has not blocked:

=============================  ==========  ==========  ==========================
what happens                   ``_parked``  ``_lent``   ``_running``
=============================  ==========  ==========  ==========================
nothing is to be done          a worker    None        None
the hub hands the jobs over    None        the worker  each job in its turn
a worker has done all of them  the worker  None        None
a handler blocks               None        None        None, after ``job.rest()``
=============================  ==========  ==========  ==========================

A handler that blocks switches to the hub, which then hands the remaining jobs over to
another worker. The first one comes back like any greenlet. It finds that it is no
longer lent, finishes its job, and ends: it is never parked again. There may be no
parked worker (none was needed yet, or the last one has ended), but never more than one.
"""

from __future__ import annotations

import os
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Hub
from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from . import interpreter
from .scheduler import BATCH, Job, Scheduler

__all__ = ['TURN', 'Reactor', 'current_job', 'current_reactor', 'run_out']

# Seconds that the hub spends at once on what other OS threads posted, or on closing
# many sockets, before its timers and its sockets have their turn: as long as one of the
# interpreter's threads may run on while others wait.
TURN = 0.005
# glibc gives memory back to the kernel when twice the largest block that it ever mapped
# and freed lies free at the end of its heap, and takes it again page fault by page
# fault: more than half of the 2.0 ms that the echo of 1 MiB took, now 0.7. A block of
# this size, mapped, not touched, and freed, teaches it to keep 16 MiB.
_LARGE_BLOCK = 2**23
# The hub's own would look for other work first, and a worker's would too.
_switch = greenlet.switch
# With more than so many calls waiting a thread that posts another lets the hub have the
# interpreter, which it would otherwise get every 20 to 500 ms: three threads sending 20
# bytes in loops got 0.3 MB/s through, with this 5 to 10.
_BEHIND = 1000
_sleep = get_original('time', 'sleep')


class Reactor(Scheduler):
    """The scheduler of one hub, of which each OS thread that runs gevent has one.

    See ``current_reactor``.
    """

    __slots__ = (
        '_alarm',
        '_jobs',
        '_lent',
        '_parked',
        '_posted',
        '_running',
        '_size',
        'hub',
        'loop',
        'thread',
    )

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.loop: Any = hub.loop
        bytes(_LARGE_BLOCK)
        self.thread = interpreter.get_ident()
        # What other OS threads want called. Not by loop.run_callback_threadsafe: it
        # counts the loop's references while libev may do so too, without the GIL, and a
        # lost count ends or hangs the hub. An alarm without a reference counts nothing.
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._alarm = self.loop.async_(ref=False)
        self._alarm.start(self._catch_up)
        # The worker that waits for jobs, and the one that the hub waits for.
        self._parked: _Worker | None = None
        self._lent: _Worker | None = None
        # The jobs that are yet to run, what gave rise to them in bytes, and the job
        # that the lent worker runs.
        self._jobs: list[Job] = []
        self._size = 0
        self._running: Job | None = None

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this reactor's OS thread."""
        return bool(interpreter.get_ident() == self.thread)

    def _part(self) -> None:
        """Separate the child's loop from its parent's.

        gevent does so after the last at-fork handler. Before that, a watcher that is
        stopped on libuv's loop would be removed from the parent's epoll set, too.
        """
        try:
            self.loop.reinit()
        except Exception:
            # It was destroyed, and watches nothing.
            pass

    def close(self) -> None:
        """Close the watcher: libuv would go on to use one that is only forgotten."""
        self._alarm.close()

    def dismiss(self) -> None:
        """Let the parked worker end, if there is one, once the hub runs.

        Its frames refer to this reactor, and no garbage collector looks into them.
        """
        worker, self._parked = self._parked, None
        if worker is not None:
            self.loop.run_callback(worker.throw)

    def destroy(self) -> None:
        """Destroy the hub, unless that was done. What is posted from now on is dropped.

        The thread of the hub must be the caller's, or over.
        """
        # A later thread may get this one's number.
        self.thread = 0
        if self.hub.loop is not None:
            self.close()
            self.hub.destroy(destroy_loop=True)

    # ---- callbacks

    def run_callback(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call ``callback`` soon. Only this reactor's thread may call this.

        Does nothing once the hub was destroyed.
        """
        if self.thread:
            self.loop.run_callback(callback, *arguments)

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call ``callback`` on the hub; from any OS thread.

        Does nothing in a forked child.
        """
        if self.is_inherited():
            return
        if self.is_current:
            self.loop.run_callback(callback, *arguments)
        else:
            self.post(callback, *arguments)

    def post(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call ``callback`` on the hub, in the order of calls; from any OS thread.

        Does nothing in a forked child.
        """
        if self.is_inherited():
            return
        self._posted.append((callback, arguments))
        try:
            self._alarm.send()
        except Exception:
            # The loop was destroyed, and calls nothing any more. libev raises a
            # ValueError then, and libuv no more than an Exception.
            self._posted.clear()
        if len(self._posted) > _BEHIND and not self.is_current:
            _sleep(0)

    def _catch_up(self) -> None:
        """Call what was posted, for as long as a turn lasts.

        The hub does its other work between two turns.
        """
        if self.is_inherited():
            return
        end = time.monotonic() + TURN
        try:
            while self._posted and time.monotonic() < end:
                self._call_posted(*self._posted.popleft())
        finally:
            if self._posted:
                self._alarm.send()

    def _call_posted(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            callback(*arguments)
        except Exception:
            self.hub.handle_error(callback, *sys.exc_info())

    # ---- the hub's side of the hand-over

    def run(self, job: Job, size: int) -> bool:
        """Run ``job`` in a worker before the hub waits again; now if there is enough.

        ``size`` bytes gave rise to it. Returns True if it is yet to run. Only the hub
        may call this.
        """
        if not self._jobs:
            self.loop.run_callback(self.run_jobs)
        self._jobs.append(job)
        self._size += size
        if self._size >= BATCH:
            self.run_jobs()
        return bool(self._jobs)

    def run_jobs(self) -> None:
        """Run all jobs in workers, each until it is done or blocks.

        Only the hub may call this.
        """
        try:
            if self.is_inherited():
                self._jobs.clear()
            else:
                self._hand_over()
        except BaseException:
            # A signal's handler raised, which must not leave jobs behind.
            self.loop.run_callback(self.run_jobs)
            raise

    def _hand_over(self) -> None:
        """Switch into workers until no job is left."""
        self._size = 0
        self._jobs.reverse()
        self._take_back()
        while self._jobs:
            # One that was killed while it was parked does nothing, and another one
            # follows.
            worker, self._parked = self._parked, None
            if worker is None:
                worker = _Worker(self)
            self._lent = worker
            _switch(worker)
            self._lent = None
            self._take_back()

    def _take_back(self) -> None:
        """Call ``rest`` of the job that has just blocked, if there is one."""
        job, self._running = self._running, None
        # Coverage loses sight of the hub then; TestJobs does not.
        if job is not None:  # pragma: no cover
            job.rest()

    def cancel(self, job: Job) -> None:
        """Do not run ``job``, unless it has begun."""
        self._jobs = [each for each in self._jobs if each is not job]

    # ---- the worker's side

    def work(self, worker: _Worker) -> None:
        """Run one job after the other, in the calling greenlet, which is ``worker``.

        Goes on only while this greenlet is as good as a new one. What was meant
        for the greenlet of one connection must not reach another's: a Timeout still
        running, greenlet-local values, a reference that a handler kept. (What refers to
        one that has blocked, only because it has, cannot be distinguished from that.)
        """
        variables, tree_locals = worker.__dict__, worker.spawn_tree_locals
        has_links = worker.has_links
        count, references = len(variables), interpreter.count_references(worker)
        while True:
            while self._jobs:
                # No call, so in pure Python a signal comes before both or after both.
                self._running = worker.job = job = self._jobs[-1]
                del self._jobs[-1]
                try:
                    job.drain()
                except BaseException:
                    job.recover()
                    raise
                # A parked worker would keep it.
                del job
                if self._lent is not worker:
                    # It has blocked: the hub is not any more where it switched into
                    # this worker.
                    return
                self._running = None
                if (
                    interpreter.count_references(worker) != references
                    or interpreter.has_weak_references(worker)
                    or len(variables) != count
                    or tree_locals
                    or has_links()
                ):
                    return
                # The next job must not see the context variables of the last.
                if interpreter.has_context(worker):
                    worker.gr_context = None
            worker.job = None
            self._parked = worker
            _switch(self.hub)


class _Worker(gevent.Greenlet):  # type: ignore[misc]
    """A greenlet that runs one job after the other; ``job`` is the one that runs."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__()
        self.job: Job | None = None
        # Not the hub's, which would be shared by all.
        self.spawn_tree_locals: dict[str, Any] = {}
        self._reactor = reactor

    def _run(self) -> None:
        try:
            self._reactor.work(self)
        finally:
            # A handler may have kept this greenlet.
            self.job = None


def current_job() -> Job | None:
    """Return the job that the calling greenlet runs, or None outside of a worker."""
    current = getcurrent()
    return current.job if isinstance(current, _Worker) else None


class _Life:
    """An object that only its OS thread refers to, and that ends with it."""


# Never patched by gevent's threading.local: one slot for each OS thread, gone with it.
_here = get_original('_thread', '_local')()
# The reactors of all OS threads.
_reactors: list[tuple[weakref.ref[_Life], Reactor]] = []
_reactors_lock = get_original('_thread', 'allocate_lock')()
# In a forked child the thread that held it may be missing.
os.register_at_fork(after_in_child=_reactors_lock._at_fork_reinit)


def current_reactor() -> Reactor:
    """Return the reactor of the calling thread's hub."""
    hub = gevent.get_hub()
    reactor: Reactor | None = getattr(_here, 'reactor', None)
    if reactor is None or reactor.hub is not hub or reactor.is_inherited():
        if reactor is not None and reactor.hub is hub:
            reactor.close()
        reactor = _here.reactor = Reactor(hub)
        _here.life = _Life()
        _keep(reactor, weakref.ref(_here.life))
    return reactor


def run_out() -> None:
    """Run the calling thread's hub until nothing is left to be done, and destroy it."""
    reactor = current_reactor()
    reactor.hub.join()
    reactor.dismiss()
    reactor.hub.join()
    reactor.destroy()
    del _here.reactor, _here.life


def _keep(reactor: Reactor, life: weakref.ref[_Life]) -> None:
    """Keep a new reactor, and destroy the hubs of the threads that are over.

    gevent destroys none, and each has descriptors. An OS thread in which a socket was
    made, and no handshake, has left its hub behind.
    """
    global _reactors
    with _reactors_lock:
        over = [each for alive, each in _reactors if alive() is None]
        _reactors = [pair for pair in _reactors if pair[0]() is not None]
        _reactors.append((life, reactor))
    for each in over:
        # A parent's hub is left alone: its loop's descriptors are the parent's, too.
        if not each.is_inherited():
            each.destroy()
