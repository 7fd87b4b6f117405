"""Runner: the execution of blocking work, in processes monkey-patched or not.

A monkey-patched process does the work in greenlets on one hub, the main thread's. Any
other process does it in native threads, which never touch gevent. So redis-py is used
unchanged in both, no hub is blocked, and no OS thread gets a hub, which would make a
later fork hang in gevent's ``reinit``. A caller that waits for the work does so in its
own way: a greenlet without blocking its hub.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import gevent.event
import gevent.lock
from gevent._hub_local import get_hub_if_exists
from gevent.hub import MAIN_THREAD_IDENT, Hub
from gevent.monkey import get_original, is_module_patched

from ..io.limits import LONGEST, bound_time
from ..io.reactor import Reactor, current_reactor

__all__ = ['Runner', 'Signal', 'find_main_reactor', 'is_main_thread', 'make_lock', 'remaining']

T = TypeVar('T')

_start_new_thread = get_original('_thread', 'start_new_thread')
_allocate_lock = get_original('_thread', 'allocate_lock')
_get_ident = get_original('_thread', 'get_ident')
_sleep = get_original('time', 'sleep')
# Seconds that a native lock can wait on any system: threading.TIMEOUT_MAX is longer.
_LONGEST_LOCK = 4_000_000.0
# Seconds for a function whose time is over to raise its own error, which has a reason.
_GRACE = 0.1
# Seconds for the main thread's hub to reply to another thread.
_MAIN_SECONDS = 1.0

make_lock = get_original('threading', 'RLock')


class Signal:
    """An event that any thread can set, and any thread or greenlet can wait for."""

    def __init__(self) -> None:
        self._lock = _allocate_lock()
        self._is_set = False
        self._waiters: list[Callable[[], object]] = []

    def set(self) -> None:
        """Wake all waiters, and let later ones continue at once."""
        with self._lock:
            self._is_set = True
            waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()

    def wait(self, timeout: float) -> bool:
        """Block until the event is set, or return False after ``timeout`` seconds."""
        if self._is_set:
            return True
        if get_hub_if_exists() is not None:
            reactor, event = current_reactor(), gevent.event.Event()
            self._add(lambda: reactor.call_soon(event.set))
            # Without a timer, a hub that has nothing else to do would raise LoopExit.
            event.wait(min(timeout, LONGEST))
        else:
            lock = _allocate_lock()
            lock.acquire()
            self._add(lock.release)
            lock.acquire(timeout=min(timeout, _LONGEST_LOCK))
        return self._is_set

    def _add(self, wake: Callable[[], object]) -> None:
        with self._lock:
            if not self._is_set:
                self._waiters.append(wake)
                return
        wake()


def is_main_thread() -> bool:
    """Return whether the caller is in the main thread, where gevent was imported."""
    return bool(_get_ident() == MAIN_THREAD_IDENT)


def find_main_reactor() -> Reactor | None:
    """Return the reactor of the main thread's hub, or None if that hub does not run.

    The caller may be in any thread, and must not hold a lock that the hub needs.
    """
    if is_main_thread():
        return current_reactor()
    found: list[Reactor] = []
    done = Signal()

    def find() -> None:
        found.append(current_reactor())
        done.set()

    # Nothing in gevent leads from another thread to that hub. A reactor must be made
    # in its own thread.
    for hub in [each for each in gc.get_objects() if issubclass(type(each), Hub)]:
        if hub.main_hub and hub.loop is not None:
            hub.loop.run_callback_threadsafe(find)
            done.wait(_MAIN_SECONDS)
    return found[0] if found else None


class Runner:
    """The executor of blocking functions in one process."""

    def __init__(self, reactor: Reactor | None = None) -> None:
        self.pid = os.getpid()
        self._reactor = reactor

    @classmethod
    def find(cls, reactor: Reactor | None) -> Runner:
        """Return the runner for this process.

        ``reactor`` is the main thread's, if it is known.
        """
        if not is_module_patched('socket'):
            return cls()
        if reactor is None or reactor.is_inherited():
            reactor = find_main_reactor()
        return cls(reactor or current_reactor())

    @property
    def is_threaded(self) -> bool:
        """Whether functions run in native threads."""
        return self._reactor is None

    @property
    def is_inherited(self) -> bool:
        """Whether a parent of this process created the runner."""
        return self.pid != os.getpid()

    def start(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run a function in a greenlet or a thread of its own."""
        if self._reactor is None:
            self._start_thread(function, arguments)
        else:
            self._reactor.call_soon(gevent.spawn, function, *arguments)

    def _start_thread(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            _start_new_thread(function, arguments)
        except RuntimeError as error:
            # Since Python 3.12, no thread can start while the interpreter shuts down.
            if 'shutdown' not in str(error):
                raise
            function(*arguments)

    def call(self, function: Callable[[], T], timeout: float, what: str) -> T:
        """Run a function elsewhere, and return its value or raise its exception.

        Raise TimeoutError after ``timeout`` seconds; the function must have its own
        timeout, too.
        """
        done, outcome = Signal(), _Outcome()

        def run() -> None:
            try:
                outcome.value = function()
            except Exception as error:
                outcome.error = error
            done.set()

        self.start(run)
        if not done.wait(timeout + _GRACE):
            raise TimeoutError(f'{what}: timed out after {timeout:g} seconds')
        if outcome.error is not None:
            try:
                raise outcome.error
            finally:
                # Avoid a cycle: the error has the frame, and the frame the outcome.
                del outcome
        value: T = outcome.value
        return value

    def sleep(self, seconds: float) -> None:
        """Sleep in a function that ``start`` or ``call`` runs."""
        _sleep(seconds) if self._reactor is None else gevent.sleep(seconds)

    def make_mutex(self) -> Any:
        """Return a lock that may be held while its holder blocks."""
        return _allocate_lock() if self._reactor is None else gevent.lock.BoundedSemaphore(1)

    def make_semaphore(self, count: int) -> Any:
        """Return a semaphore."""
        if self._reactor is None:
            return get_original('threading', 'BoundedSemaphore')(count)
        return gevent.lock.BoundedSemaphore(count)


class _Outcome:
    value: Any = None
    error: Exception | None = None


def remaining(deadline: float) -> float:
    """Return the seconds that remain until a time of ``time.monotonic``."""
    return max(0.0, bound_time(deadline - time.monotonic()))
