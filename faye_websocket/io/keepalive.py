"""Keepalive: pings for a peer that may be silent, and the end for one that is.

After ``ping`` seconds a ping goes out. A peer from which no byte came within
``ping_timeout`` seconds after it is gone; any byte is a sign of life. While reading is
paused, it is enough that the peer's kernel acknowledges what is sent. A
timeout without end (``math.inf``) is for a peer that never answers: it is pinged every
``ping`` seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .reactor import Reactor
from .stream import Stream

__all__ = ['Keepalive']


class Keepalive:
    """The timer of one connection.

    Calls ``ping()`` to send one, and ``give_up()`` when the peer is gone.
    """

    __slots__ = ('_give_up', '_interval', '_ping', '_reactor', '_stream', '_timeout', '_timer')

    def __init__(
        self,
        stream: Stream,
        reactor: Reactor,
        *,
        ping: Callable[[], object],
        give_up: Callable[[], object],
        interval: float,
        timeout: float,
    ) -> None:
        self._stream = stream
        self._reactor = reactor
        self._ping = ping
        self._give_up = give_up
        self._interval = interval
        self._timeout = timeout
        self._timer: Any = None
        self._wait(interval, self._send_ping)

    def close(self) -> None:
        """Stop for good, as a timer of the loop does."""
        self._timer.close()

    def _send_ping(self) -> None:
        if self._reactor.is_inherited():
            return
        self._stream.was_heard = False
        self._ping()
        if self._timeout == math.inf:
            self._wait(self._interval, self._send_ping)
        else:
            self._wait(self._timeout, self._check)

    def _check(self) -> None:
        """Give the peer up if it has not answered in its time."""
        if self._reactor.is_inherited():
            return
        if self._stream.has_heard(self._timeout):
            self._wait(max(0, self._interval - self._timeout), self._send_ping)
        else:
            self._give_up()

    def _wait(self, seconds: float, callback: Callable[[], None]) -> None:
        """Set the timer, in place of the last one."""
        if self._timer is not None:
            self._timer.close()
        self._timer = self._reactor.loop.timer(seconds)
        self._timer.start(callback, update=True)
