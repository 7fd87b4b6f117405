"""Scheduler: where the callbacks and jobs of connections run.

A callback is any function. A ``Job`` is the queue of one connection's events, which a
scheduler has drained in a greenlet of its choice. There are two kinds: a ``Reactor``
runs both on the hub of one OS thread, and the response of an event stream that its
server pulls runs both in the thread that pulls.

A scheduler belongs to the process that made it. A forked child has a copy of its
parent's schedulers and of all that waits there, but no part in the parent's
connections. Before a connection touches its socket or runs a handler, it asks
``is_inherited``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import gevent.event

__all__ = ['BATCH', 'Job', 'Scheduler', 'stay_in', 'wait_forever']

# With so many bytes to work on the handlers run at once: what was read is still in the
# processor's cache, and bounded.
BATCH = 32768
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
        """Run all there is to run."""
        raise NotImplementedError

    def rest(self) -> None:
        """Send what the handlers have sent so far: one of them blocks, for any time."""
        raise NotImplementedError

    def recover(self) -> None:
        """Arrange for the rest to run later: an exception has cut this job short."""
        raise NotImplementedError


class Scheduler:
    """Runs callbacks and jobs, in one process. To be derived from."""

    __slots__ = ('_is_parted', '_pid', '_seen_forks')

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._is_parted = False
        # Never the current number: the first look is a real one.
        self._seen_forks = -1

    def run_callback(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call ``callback`` soon."""
        raise NotImplementedError

    def run(self, job: Job, size: int) -> bool:
        """Run ``job``, to which ``size`` bytes gave rise; True if it is yet to run."""
        raise NotImplementedError

    def run_jobs(self) -> None:
        """Run all jobs that are yet to run, now."""
        raise NotImplementedError

    def cancel(self, job: Job) -> None:
        """Do not run ``job``, unless it has begun."""
        raise NotImplementedError

    def is_inherited(self) -> bool:
        """Return whether a parent of this process made this scheduler."""
        return self._seen_forks != _forks and self._look()

    def _look(self) -> bool:
        """Compare process numbers, which the owner need not do again until a fork."""
        if os.getpid() != self._pid:
            if not self._is_parted:
                self._is_parted = True
                self._part()
            return True
        if not _forking:
            self._seen_forks = _forks
        return False

    def _part(self) -> None:
        """Separate a child's copy from its parent's. Called once, in the child."""


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
