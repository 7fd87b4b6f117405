"""The options that bound a connection's memory and time, checked once and shared by all sockets that were made alike."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from ..driver.base import MAX_FRAGMENTS, MAX_LENGTH
from .overflow import POLICIES

__all__ = [
    'LONGEST',
    'Limits',
    'bound_time',
    'check_number',
    'make_limits',
]

# A slow peer has caught up when this many bytes or fewer wait for it: about what one write to a socket takes.
_LOW_WATER = 65536
# The longest time, in seconds, that a timer runs: a year. libuv's timers know no
# infinity, and an int may be too large for a float.
LONGEST = 365.0 * 24 * 60 * 60
# What each option is at least.
_LEAST = {'max_length': 0, 'max_fragments': 1, 'close_timeout': 0, 'max_buffered': 0, 'max_queue': 1, 'max_queued': 0}


class Limits(NamedTuple):
    """The options of ``WebSocket`` and ``Client`` that have the same meaning in both.

    With ``low_water`` bytes waiting, or fewer, ``drain`` fires, and a message is taken whatever its length.
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
    low_water: int


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
    """The limits with these options. Raises ValueError or TypeError that names an option with an impossible value."""
    options = (
        max_length, max_fragments, ping, ping_timeout, close_timeout, max_buffered, overflow, max_queue, max_queued
    )
    try:
        return _make_limits(*options)
    except TypeError:
        # It may come from the cache, which takes no list, say, and names nothing.
        return _make_limits.__wrapped__(*options)


@lru_cache(maxsize=64, typed=True)
def _make_limits(
    max_length: int,
    max_fragments: int,
    ping: float | None,
    ping_timeout: float | None,
    close_timeout: float,
    max_buffered: float,
    overflow: str,
    max_queue: float,
    max_queued: float,
) -> Limits:
    """One object for all sockets that are made alike, whose options are checked once."""
    numbers = {
        'max_length': max_length,
        'max_fragments': max_fragments,
        'close_timeout': close_timeout,
        'max_buffered': max_buffered,
        'max_queue': max_queue,
        'max_queued': max_queued,
    }
    for name, number in numbers.items():
        check_number(name, number)
        if not number >= _LEAST[name]:
            raise ValueError(f'{name}: expected at least {_LEAST[name]}, got {number!r}')
    for name, seconds in (('ping', ping), ('ping_timeout', ping_timeout)):
        if seconds is not None:
            check_number(name, seconds)
            if not seconds > 0:
                raise ValueError(f'{name}: expected more than 0 seconds, or None, got {seconds!r}')
    if overflow not in POLICIES:
        raise ValueError(f'overflow: expected one of {", ".join(POLICIES)}, got {overflow!r}')
    return Limits(
        max_length,
        max_fragments,
        # What would be longer than a year never comes.
        None if ping is None or ping > LONGEST else ping,
        math.inf if ping_timeout and ping_timeout > LONGEST else ping_timeout,
        bound_time(close_timeout),
        max_buffered,
        overflow,
        max_queue,
        max_queued,
        # Not //, which makes nan of inf.
        int(min(_LOW_WATER, max_buffered / 4)),
    )


def bound_time(seconds: float) -> float:
    """Return a time in seconds that any timer can run, at most a year."""
    return min(seconds, LONGEST)


def check_number(name: str, value: object) -> None:
    """Refuses what is not a number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f'{name}: expected a number, got {value!r}')
    try:
        float(value)
    except OverflowError:
        # What a timer or a limit of C cannot be; inf is the way to say it.
        raise ValueError(f'{name}: the number is too large') from None
