"""Store: commands to Redis, each tried again until there is an answer or the time is
over.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import struct
from contextlib import suppress
from typing import Any

from .runner import Runner, make_lock, remaining

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise ImportError(
        'channels on Redis need redis-py: pip install "faye-websocket[redis]"'
    ) from error

__all__ = ['FAULTS', 'Script', 'Store', 'is_refusal']

logger = logging.getLogger('faye_websocket.channels')

#: What is raised while Redis is away, starts, or hands over to another.
FAULTS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    OSError,
)
# How many connections do commands, beside the one that listens.
_CONNECTIONS = 4
# Seconds that connecting, and one answer, may take.
_CONNECT_TIMEOUT, _ANSWER_TIMEOUT = 3.0, 5.0
# Seconds between two tries: twice as long each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
# What is not sent yet on a connection that is given up shall never be: an old command
# would come to Redis after its repetition.
_NO_LINGER = struct.pack('ii', 1, 0)


class Script:
    """A script of Redis's, known by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Store:
    """Redis at a URL, for one process."""

    def __init__(self, url: str, runner: Runner) -> None:
        self._runner = runner
        self._pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            decode_responses=False,
            socket_timeout=_ANSWER_TIMEOUT,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._lock = make_lock()
        self._slots = runner.make_semaphore(_CONNECTIONS)
        # Those that nobody uses; and all.
        self._idle: list[Any] = []
        self._all: set[Any] = set()

    def connect(self) -> Any:
        """Return a new connection, for the caller alone."""
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        with self._lock:
            self._all.add(connection)
        try:
            connection.connect()
        except BaseException:
            self.drop(connection)
            raise
        return connection

    def drop(self, connection: Any) -> None:
        """Give a connection up."""
        with self._lock:
            self._all.discard(connection)
        sock = getattr(connection, '_sock', None)
        if sock is not None and not self._runner.is_inherited:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        connection.disconnect()

    def close(self) -> None:
        """Close all connections; in a forked child its copies only."""
        with self._lock:
            connections, self._all, self._idle = self._all, set(), []
        for connection in connections:
            connection.disconnect()

    def abandon(self) -> None:
        """Close the child's copies after a fork, in which the lock may be held."""
        self._lock = make_lock()
        self.close()

    def run(self, deadline: float, what: str, *command: Any) -> Any:
        """Return Redis's reply to a command. Raises TimeoutError after the deadline."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._try(deadline, command)
            except FAULTS as error:
                if is_refusal(error) or self._runner.is_inherited:
                    raise
                if not remaining(deadline):
                    raise TimeoutError(f'{what}: Redis is away: {error}') from error
            self._runner.sleep(min(pause, remaining(deadline)))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def run_script(self, deadline: float, what: str, script: Script, *arguments: Any) -> Any:
        """Return what a script does; ``arguments`` are the number of keys, these, and
        the rest.
        """
        try:
            return self.run(deadline, what, 'EVALSHA', script.sha, *arguments)
        except redis.exceptions.NoScriptError:
            return self.run(deadline, what, 'EVAL', script.text, *arguments)

    def _try(self, deadline: float, command: tuple[Any, ...]) -> Any:
        if not self._slots.acquire(timeout=remaining(deadline)):
            raise redis.TimeoutError('others wait for it, too')
        try:
            return self._ask(command)
        finally:
            self._slots.release()

    def _ask(self, command: tuple[Any, ...]) -> Any:
        """Ask once, on a connection that is there or on a new one."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        was_idle = connection is not None
        if connection is None:
            connection = self.connect()
        try:
            connection.send_command(*command)
            answer = connection.read_response()
        except redis.ResponseError as error:
            self.drop(connection) if isinstance(error, FAULTS) else self._put_back(connection)
            raise
        except BaseException as error:
            self.drop(connection)
            if was_idle and isinstance(error, redis.ConnectionError):
                # Redis was started again since it was used last, as all that are idle.
                self._drop_idle()
            raise
        self._put_back(connection)
        return answer

    def _put_back(self, connection: Any) -> None:
        with self._lock:
            if connection in self._all:
                self._idle.append(connection)

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            self.drop(connection)


def is_refusal(error: BaseException) -> bool:
    """Return whether Redis refuses the password, which no repetition changes."""
    return isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError))
