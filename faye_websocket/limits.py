"""The options that bound a connection's memory and time, checked once and shared by all sockets that were made alike."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .driver.base import MAX_FRAGMENTS, MAX_LENGTH

__all__ = ['Limits', 'make_limits']

_OVERFLOWS = ('close', 'drop', 'block')
# A slow peer has caught up when this many bytes or fewer wait for it: about what one write to a socket takes.
_LOW_WATER = 65536
# What each option is at least, if it is a number.
_LEAST = {'max_length': 0, 'max_fragments': 1, 'close_timeout': 0, 'max_buffered': 0, 'max_queue': 1}


class Limits(NamedTuple):
    """The options of ``WebSocket`` and ``Client`` that have the same meaning in both.

    With ``low_water`` bytes waiting, or fewer, ``drain`` fires, and a message is taken whatever its length.
    """

    max_length: int = MAX_LENGTH
    max_fragments: int = MAX_FRAGMENTS
    ping: float | None = None
    ping_timeout: float | None = None
    close_timeout: float = 10
    max_buffered: int = 2**24
    overflow: str = 'close'
    max_queue: int = 64
    low_water: int = _LOW_WATER


@lru_cache(maxsize=64)
def make_limits(**options: float | str | None) -> Limits:
    """The limits with these options. Raises ValueError or TypeError that names an option with an impossible value."""
    limits = Limits(**options)  # type: ignore[arg-type]
    for name, least in _LEAST.items():
        _check_number(name, getattr(limits, name), least)
    for name in ('ping', 'ping_timeout'):
        value = getattr(limits, name)
        if value is not None:
            _check_number(name, value, 0)
            if not value:
                raise ValueError(f'{name}: expected more than 0 seconds, or None')
    if limits.overflow not in _OVERFLOWS:
        raise ValueError(f'overflow: expected one of {", ".join(_OVERFLOWS)}, got {limits.overflow!r}')
    return limits._replace(low_water=min(_LOW_WATER, int(limits.max_buffered) // 4))


def _check_number(name: str, value: object, least: int) -> None:
    """Refuses what is not a number, or is too small."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f'{name}: expected a number, got {value!r}')
    if not value >= least:
        raise ValueError(f'{name}: expected at least {least}, got {value!r}')
