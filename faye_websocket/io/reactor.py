"""What all connections of one hub share: its loop, and the greenlets that run handlers.

A connection has no greenlet while nothing happens to it. When something does, its handlers are a job, and once the hub has
read from all connections that are readable it switches into the parked worker, which runs all the jobs and parks again: that
costs 1 microsecond for all of them, where a new greenlet for each costs 11 to 14 (CPython 3.11 and later map memory for its
frames). A handler may block: then another worker has the jobs that are left, and the one comes back like any greenlet, but
is not parked any more.

A forked child has a copy of its parent's hub and of everything that waits there, but
it has no part in the parent's connections. Before a connection touches its socket or
runs a handler, it asks ``is_inherited``.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
from gevent.hub import Hub
from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from . import interpreter
from .limits import BATCH, TURN

__all__ = [
    'Job',
    'Reactor',
    'current_job',
    'current_reactor',
    'stay_in',
    'wait_forever',
]

# glibc gives memory back to the kernel when twice the largest block that it ever mapped and freed lies free at the end of its
# heap, and takes it again page fault by page fault: more than half of the 2.0 ms that the echo of 1 MiB took, now 0.7. A block
# of this size, mapped, not touched, and freed, teaches it to keep 16 MiB.
_LARGE_BLOCK = 2**23
# The hub's own would look for other work first, and a worker's is the same.
_switch = greenlet.switch
# With more than so many calls waiting a thread that posts another lets the hub have the interpreter, which it would otherwise
# get every 20 to 500 ms: three threads sending 20 bytes in loops got 0.3 MB/s through, with this 5 to 10.
_BEHIND = 1000
_sleep = get_original('time', 'sleep')

# How many forks this process has begun or come out of, and how many are under way.
# During a fork the at-fork handler of another library may let the child's hub run
# before any handler of ours has run, so until then the process number decides. At any
# other time two integers are compared: os.getpid() is a system call, for each read,
# event and write.
_forks = 0
_forking = 0


class Job:
    """Something to be run in a worker. To be derived from."""

    __slots__ = ()

    def drain(self) -> None:
        """Runs all there is to run."""
        raise NotImplementedError

    def rest(self) -> None:
        """Blocks, which the hub noticed: a pause of any length."""
        raise NotImplementedError

    def recover(self) -> None:
        """Have the rest run later: an exception has cut it short."""
        raise NotImplementedError


class Reactor:
    """One for each hub, which is one for each OS thread that runs gevent; see ``current_reactor``."""

    __slots__ = (
        '_alarm',
        '_direct',
        '_forks',
        '_is_parted',
        '_job',
        '_jobs',
        '_parked',
        '_pid',
        '_posted',
        '_size',
        'hub',
        'loop',
        'thread',
    )

    def __init__(self, hub: Hub) -> None:
        self._belong_here()
        self.hub = hub
        self.loop: Any = hub.loop
        bytes(_LARGE_BLOCK)
        self.thread = interpreter.get_ident()
        # What other OS threads want called. Not by loop.run_callback_threadsafe: it counts the loop's references while libev
        # may do the same, without the GIL, and a lost count ends or hangs the hub. An alarm without a reference counts nothing.
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._alarm = self.loop.async_(ref=False)
        self._alarm.start(self._catch_up)
        # The worker that waits for a job, and the one that the hub waits for.
        self._parked: _Worker | None = None
        self._direct: _Worker | None = None
        # What there is to run, and what of it is running.
        self._jobs: list[Job] = []
        self._size = 0
        self._job: Job | None = None

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this reactor's OS thread."""
        return bool(interpreter.get_ident() == self.thread)

    def _belong_here(self) -> None:
        """Make this process the owner."""
        self._pid = os.getpid()
        self._is_parted = False
        # Never the current number: the first look is a real one.
        self._forks = -1

    def is_inherited(self) -> bool:
        """Return whether a parent of this process made this reactor."""
        return self._forks != _forks and self._look()

    def _look(self) -> bool:
        """Compare process numbers, which the owner need not do again until a fork."""
        if os.getpid() != self._pid:
            if not self._is_parted:
                self._is_parted = True
                self._part()
            return True
        if not _forking:
            self._forks = _forks
        return False

    def _part(self) -> None:
        """Separate the child's loop from its parent's.

        gevent does so after the last at-fork handler. Before that, a watcher that is
        stopped on libuv's loop would be removed from the parent's epoll set, too.
        """
        try:
            self.loop.reinit()
        except Exception:
            # Destroyed by somebody; then it watches nothing.
            pass

    def close(self) -> None:
        """Let go of the loop: libuv would go on to use a watcher that is only forgotten."""
        self._alarm.close()

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Has the hub call ``callback``; from any OS thread.

        Does nothing in a forked child.
        """
        if self.is_inherited():
            return
        if self.is_current:
            self.loop.run_callback(callback, *arguments)
        else:
            self.post(callback, *arguments)

    def post(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Have the hub call ``callback`` after all that was posted before; from any OS thread.

        Does nothing in a forked child.
        """
        if self.is_inherited():
            return
        self._posted.append((callback, arguments))
        try:
            self._alarm.send()
        except ValueError:
            # The loop was destroyed, and calls nothing any more.
            self._posted.clear()
        if len(self._posted) > _BEHIND and not self.is_current:
            _sleep(0)

    def _catch_up(self) -> None:
        """Call what was posted, for as long as a turn lasts; the hub does its other work between two turns."""
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

    def run(self, job: Job, size: int) -> bool:
        """Has a worker run ``job``, to which ``size`` bytes gave rise, before the hub waits again, or now if there are enough.

        True if it is yet to be run. Only the hub may call this.
        """
        if not self._jobs:
            self.loop.run_callback(self.run_jobs)
        self._jobs.append(job)
        self._size += size
        if self._size >= BATCH:
            self.run_jobs()
        return bool(self._jobs)

    def run_jobs(self) -> None:
        """Has workers run all the jobs, each until it is done or blocks. Only the hub may call this."""
        try:
            if self.is_inherited():
                self._jobs.clear()
            else:
                self._run_jobs()
        except BaseException:
            # A signal's handler raised, which must not leave jobs behind.
            self.loop.run_callback(self.run_jobs)
            raise

    def _run_jobs(self) -> None:
        self._size = 0
        self._jobs.reverse()
        self._rest()
        while self._jobs:
            # One that was killed while it was parked does nothing, and another one follows.
            worker, self._parked = self._parked, None
            if worker is None:
                worker = _Worker(self)
            self._direct = worker
            _switch(worker)
            self._direct = None
            self._rest()

    def _rest(self) -> None:
        """Tell the job that has just blocked, if there is one."""
        job, self._job = self._job, None
        # Coverage loses sight of the hub then; TestJobs does not.
        if job is not None:  # pragma: no cover
            job.rest()

    def cancel(self, job: Job) -> None:
        """Do not run ``job``, if nobody has begun to."""
        self._jobs = [each for each in self._jobs if each is not job]

    def work(self, worker: _Worker) -> None:
        """The worker's part: runs one job after the other, in the calling greenlet.

        Goes on only if nobody could tell this greenlet from a new one. What was meant for the greenlet of one connection must
        not reach another's: a Timeout still running, greenlet-local values, a reference that a handler kept. (What refers to
        one that has blocked, only because it has, cannot be told from that.)
        """
        variables, tree_locals = worker.__dict__, worker.spawn_tree_locals
        has_links = worker.has_links
        count, references = len(variables), interpreter.count_references(worker)
        while True:
            while self._jobs:
                # No call, so in pure Python a signal comes before both or after both.
                self._job = worker.job = job = self._jobs[-1]
                del self._jobs[-1]
                try:
                    job.drain()
                except BaseException:
                    job.recover()
                    raise
                # A parked worker would keep it.
                del job
                if self._direct is not worker:
                    # It has blocked: the hub is not any more where it has switched into this worker.
                    return
                self._job = None
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


# _thread._local is never patched by gevent's threading.local: one slot for each OS thread, gone with it.
_here = get_original('_thread', '_local')()


def current_reactor() -> Reactor:
    """The reactor of the calling thread's hub."""
    hub = gevent.get_hub()
    reactor: Reactor | None = getattr(_here, 'reactor', None)
    if reactor is None or reactor.hub is not hub or reactor.is_inherited():
        if reactor is not None and reactor.hub is hub:
            reactor.close()
        reactor = _here.reactor = Reactor(hub)
    return reactor


def wait_forever() -> None:
    """Block the calling greenlet for good.

    For the copy, in a forked child, of a greenlet that waited while the parent forked.
    """
    gevent.event.Event().wait()


def stay_in(pid: int) -> None:
    """Return in the process with this number, and block for good in a child of it."""
    if os.getpid() != pid:
        wait_forever()


def _before_fork() -> None:
    global _forks, _forking
    _forking += 1
    _forks += 1


def _after_fork_in_parent() -> None:
    global _forking
    _forking -= 1


def _after_fork_in_child() -> None:
    global _forks, _forking
    _forks += 1
    _forking = 0


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
