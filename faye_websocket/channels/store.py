"""Store: commands to Redis, each retried until there is a reply or its time is over."""

from __future__ import annotations

# Python imports it when the first name is resolved: a fork by another thread during
# that would leave the import's lock held in the child.
import encodings.idna  # noqa: F401
import hashlib
import logging
import socket
import ssl
import struct
from contextlib import suppress
from typing import Any

import redis

from .routes import FAULTS, Address, find_route, is_moved
from .runner import Runner, make_lock, remaining

__all__ = ['Script', 'Store', 'is_refusal']

logger = logging.getLogger('faye_websocket.channels')

# The number of connections for commands, in addition to the one that listens.
_CONNECTIONS = 4
# Seconds between two attempts, doubled after each attempt.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
# Unsent data of a connection that is dropped must never be sent: an old command would
# reach Redis after its repetition.
_NO_LINGER = struct.pack('ii', 1, 0)


class Script:
    """A script for Redis, which is identified by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Store:
    """The connections of one process to the Redis at a URL."""

    def __init__(self, url: str, runner: Runner) -> None:
        self._runner = runner
        self._route = find_route(url)
        self._lock = make_lock()
        self._slots = runner.make_semaphore(_CONNECTIONS)
        # The connections that are not in use, by their server; and all connections.
        self._idle: dict[Address | None, list[Any]] = {}
        self._all: set[Any] = set()

    def connect(self, address: Address | None = None) -> Any:
        """Return a new connection for the exclusive use of the caller."""
        connection = self._route.open(address)
        with self._lock:
            self._all.add(connection)
        try:
            connection.connect()
            self._route.check(connection)
        except BaseException:
            self._route.forget()
            self.drop(connection)
            raise
        return connection

    def drop(self, connection: Any) -> None:
        """Close a connection, and discard its unsent data."""
        with self._lock:
            self._all.discard(connection)
        sock = getattr(connection, '_sock', None)
        if sock is not None and not self._runner.is_inherited:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        connection.disconnect()

    def close(self) -> None:
        """Close all connections; in a forked child, only its copies of them."""
        with self._lock:
            connections, self._all, self._idle = self._all, set(), {}
        for connection in connections:
            connection.disconnect()

    def abandon(self) -> None:
        """Close a forked child's copies, whose lock may have been held at the fork."""
        self._lock = make_lock()
        self.close()

    def run(self, deadline: float, what: str, *command: Any) -> Any:
        """Return Redis's reply to a command. Raise TimeoutError after the deadline."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return self._try(deadline, command)
            except FAULTS as error:
                if is_refusal(error) or self._runner.is_inherited:
                    raise
                if not remaining(deadline):
                    raise TimeoutError(f'{what}: Redis is unavailable: {error}') from error
            self._runner.sleep(min(pause, remaining(deadline)))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def run_script(self, deadline: float, what: str, script: Script, *arguments: Any) -> Any:
        """Return the result of a script.

        ``arguments`` are the number of keys, the keys, and the script's arguments.
        """
        try:
            return self.run(deadline, what, 'EVALSHA', script.sha, *arguments)
        except redis.exceptions.NoScriptError:
            return self.run(deadline, what, 'EVAL', script.text, *arguments)

    def _try(self, deadline: float, command: tuple[Any, ...]) -> Any:
        if not self._slots.acquire(timeout=remaining(deadline)):
            raise redis.TimeoutError('all connections are in use')
        try:
            return self._ask(self._route.find(command), command)
        except redis.ResponseError as error:
            if 'unauthenticated' in str(error):
                # The reply to a command that is too long without a password.
                raise redis.AuthenticationError('Authentication required.') from error
            if not is_moved(error):
                raise
            self._route.moved()
            raise redis.ConnectionError(str(error)) from error
        finally:
            self._slots.release()

    def _ask(self, address: Address | None, command: tuple[Any, ...]) -> Any:
        """Send a command once, on an idle connection or a new one."""
        with self._lock:
            idle = self._idle.get(address)
            connection = idle.pop() if idle else None
        was_idle = connection is not None
        if connection is None:
            connection = self.connect(address)
        try:
            connection.send_command(*command)
            answer = connection.read_response()
        except redis.ResponseError as error:
            if isinstance(error, FAULTS):
                self.drop(connection)
            else:
                self._put_back(address, connection)
            raise
        except BaseException as error:
            self.drop(connection)
            if was_idle and isinstance(error, redis.ConnectionError):
                # Redis has restarted since the idle connections were last used.
                self._drop_idle(address)
            raise
        self._put_back(address, connection)
        return answer

    def _put_back(self, address: Address | None, connection: Any) -> None:
        with self._lock:
            if connection in self._all:
                self._idle.setdefault(address, []).append(connection)

    def _drop_idle(self, address: Address | None) -> None:
        with self._lock:
            idle = self._idle.pop(address, [])
        for connection in idle:
            self.drop(connection)


def is_refusal(error: BaseException) -> bool:
    """Return whether a password or certificate is refused, which no retry changes."""
    return isinstance(
        error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)
    ) or isinstance(error.__context__, ssl.SSLCertVerificationError)
