"""Limits: the options that bound a connection's memory and time.

They are checked once, and shared by all sockets with the same options.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from ..driver.base import MAX_FRAGMENTS, MAX_LENGTH
from .overflow import POLICIES

__all__ = [
    'LONGEST',
    'OPTIONS',
    'Limits',
    'bound_time',
    'check_number',
    'make_limits',
]

# A slow peer has caught up when this many bytes or fewer wait for it: about as many as
# one write to a socket takes.
_LOW_WATER = 65536
# The longest time, in seconds, that a timer runs: a year. libuv's timers know no
# infinity, and an int may be too large for a float.
LONGEST = 365.0 * 24 * 60 * 60


class Limits(NamedTuple):
    """The options of ``WebSocket`` and ``Client`` that have the same meaning in both.

    With ``low_water`` bytes waiting, or fewer, ``drain`` fires, and a message is taken
    whatever its length. It follows from ``max_buffered``.
    """

    max_length: int
    max_fragments: int
    ping: float | None
    ping_timeout: float | None
    close_timeout: float
    max_buffered: float
    overflow: str
    max_queue: float
    max_queued: float
    low_water: int = 0


OPTIONS = Limits._fields[:-1]


def make_limits(
    *,
    max_length: int = MAX_LENGTH,
    max_fragments: int = MAX_FRAGMENTS,
    ping: float | None = None,
    ping_timeout: float | None = None,
    close_timeout: float = 10,
    max_buffered: float = 2**24,
    overflow: str = 'close',
    max_queue: float = 64,
    max_queued: float = 2**24,
) -> Limits:
    """Return the limits with these options.

    Raises ValueError or TypeError, naming the option, for a value that is impossible.
    """
    options = (
        max_length,
        max_fragments,
        ping,
        ping_timeout,
        close_timeout,
        max_buffered,
        overflow,
        max_queue,
        max_queued,
    )
    try:
        # The cache is quicker with arguments that have no names.
        return _make_limits(*options)
    except TypeError:
        # It may come from the cache, which takes no list, say, and names nothing.
        pass
    # Not above, where its error would have the other one as its context.
    return _make_limits.__wrapped__(*options)


@lru_cache(maxsize=64, typed=True)
def _make_limits(*options: Any) -> Limits:
    """Return one object for all sockets with these options, which are checked once."""
    limits = Limits(*options)
    for name, check in _CHECKS.items():
        check(name, getattr(limits, name))
    ping, ping_timeout = limits.ping, limits.ping_timeout
    return limits._replace(
        # A ping that is more than a year away never comes.
        ping=None if ping is None or ping > LONGEST else ping,
        ping_timeout=math.inf if ping_timeout and ping_timeout > LONGEST else ping_timeout,
        close_timeout=bound_time(limits.close_timeout),
        # Not //, which makes nan of inf.
        low_water=int(min(_LOW_WATER, limits.max_buffered / 4)),
    )


def bound_time(seconds: float) -> float:
    """Return a time in seconds that any timer can run, at most a year."""
    return min(seconds, LONGEST)


def check_number(name: str, value: object) -> None:
    """Raise TypeError for what is not a number, and ValueError for one too large."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f'{name}: expected a number, got {value!r}')
    try:
        float(value)
    except OverflowError:
        # No timer and no limit in C has room for it; a caller can use inf.
        raise ValueError(f'{name}: the number is too large') from None


def _at_least(least: int) -> Callable[[str, Any], None]:
    """Return the check of a number that must not be less."""

    def check(name: str, value: Any) -> None:
        check_number(name, value)
        if not value >= least:
            raise ValueError(f'{name}: expected at least {least}, got {value!r}')

    return check


def _check_seconds(name: str, value: Any) -> None:
    if value is not None:
        check_number(name, value)
        if not value > 0:
            raise ValueError(f'{name}: expected more than 0 seconds, or None, got {value!r}')


def _check_policy(name: str, value: Any) -> None:
    if value not in POLICIES:
        raise ValueError(f'{name}: expected one of {", ".join(POLICIES)}, got {value!r}')


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    'max_length': _at_least(0),
    'max_fragments': _at_least(1),
    'ping': _check_seconds,
    'ping_timeout': _check_seconds,
    'close_timeout': _at_least(0),
    'max_buffered': _at_least(0),
    'overflow': _check_policy,
    'max_queue': _at_least(1),
    'max_queued': _at_least(0),
}
