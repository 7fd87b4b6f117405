"""``serve --reload``: a process that restarts itself when a file it imported changes.

``Watcher`` finds the change, and ``Successor`` replaces the process by a new one with
the same pid, which inherits the listener: clients that connect meanwhile wait, and are
not refused. ``watchfiles``, where it is installed (the extra ``reload``), says at once
that something has changed; otherwise the files are looked at twice a second. What has
changed is found by their times in either case.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent import socket
from gevent.threadpool import ThreadPool

__all__ = ['STOP_SIGNALS', 'Successor', 'Watcher', 'files_of', 'take_listener']

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# The descriptor of the listener that a successor inherits.
_LISTENER = 'FAYE_WEBSOCKET_LISTENER'
# Seconds between two looks at all files.
_INTERVAL = 0.5
# Seconds without a change after which an editor, or a version control system, is done;
# and how often they are waited for at most.
_SETTLED = 0.1
_ATTEMPTS = 50


def imported_files() -> set[str]:
    """Return the files of all modules that are imported."""
    files = (getattr(module, '__file__', None) for module in tuple(sys.modules.values()))
    return {os.path.abspath(file) for file in files if isinstance(file, str)}


def files_of(error: BaseException) -> set[str]:
    """Return the files that a traceback names, and the one that has no valid syntax."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return {os.path.abspath(file) for file in files if os.path.exists(file)}


class Watcher:
    """A look-out for changes of the files that are imported, now or later.

    A file that has changed since ``began``, the time at which the imports began, counts
    as changed. After a fault, ``suspects`` are the files that it names: then a new file
    beside any of them, or in the current directory, counts as well.
    """

    def __init__(self, began: float, suspects: Iterable[str] | None = None) -> None:
        self._pause = make_pause()
        self._suspects = None if suspects is None else imported_files().union(suspects)
        self._folders = {os.path.dirname(path) for path in suspects or ()} | {os.getcwd()}
        self._times = self._look()
        since, now = began * 1e9, time.time_ns()
        for path, changed in self._times.items():
            # A time in the future is no change, and would be found again for ever.
            if since < changed <= now:
                self._times[path] = -1

    def wait(self) -> str:
        """Block until a file has changed, and no other changes; return its path."""
        while (path := self._find_change()) is None:
            self._pause({os.path.dirname(path) for path in self._times})
        for _ in range(_ATTEMPTS):
            gevent.sleep(_SETTLED)
            if self._find_change() is None:
                break
        return path

    def _find_change(self) -> str | None:
        """Return a file that has changed since the last call, if there is one."""
        before, self._times = self._times, self._look()
        for path, changed in self._times.items():
            # A module that was imported meanwhile is no change.
            if before.get(path, None if self._suspects else changed) != changed:
                return path
        return None

    def _look(self) -> dict[str, int]:
        """Return the times of the last changes, in nanoseconds, by file."""
        files = imported_files() if self._suspects is None else self._suspects
        if self._suspects is not None:
            files = files.union(*map(_python_files, self._folders))
        return {path: _time_of(path) for path in files}


def _python_files(folder: str) -> set[str]:
    """Return the files in a folder that could be imported."""
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    return {os.path.join(folder, name) for name in names if name.endswith('.py')}


def _time_of(path: str) -> int:
    """Return the time of the file's last change, or 0 if there is no file."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def make_pause() -> Callable[[set[str]], object]:
    """Return a function that blocks until files in these folders may have changed."""
    try:
        import watchfiles
    except ModuleNotFoundError:
        return lambda folders: gevent.sleep(_INTERVAL)
    # It would report each second that nothing has happened.
    logging.getLogger('watchfiles').setLevel(logging.WARNING)
    return _Notifications(watchfiles.watch)


class _Notifications:
    """The changes of folders that ``watchfiles`` reports, in its own OS thread."""

    def __init__(self, watch: Callable[..., Any]) -> None:
        self._watch = watch
        self._pool = ThreadPool(1)
        self._folders: set[str] = set()
        self._changes: Any = None

    def __call__(self, folders: set[str]) -> None:
        """Block until there is a change, or for a second: others may be imported."""
        if folders != self._folders:
            self._folders = folders
            self._changes = self._watch(
                *filter(os.path.isdir, folders),
                watch_filter=None,
                debounce=50,
                step=10,
                rust_timeout=1000,
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
            )
        self._pool.apply(next, (self._changes, None))


class Successor:
    """The process that will replace this one, with its arguments as it began.

    Make it before the application changes the environment and the current directory.
    """

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._directory = os.getcwd()

    def start(self, listener: Any) -> None:
        """Run the exit functions, and become the successor; this does not return."""
        atexit._run_exitfuncs()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os.set_inheritable(listener.fileno(), True)
        os.chdir(self._directory)
        # A signal that arrives before the successor can handle it has to wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        os.execve(
            sys.executable,
            [sys.executable, *sys.orig_argv[1:]],
            {**self._environment, _LISTENER: str(listener.fileno())},
        )


def take_listener() -> Any:
    """Return the listener that this process inherits as a successor, or None.

    Call it when the signals are handled.
    """
    descriptor = os.environ.pop(_LISTENER, None)
    if descriptor is None:
        return None
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    listener = socket.socket(fileno=int(descriptor))
    listener.set_inheritable(False)
    return listener
