"""Waiting for conditions, never for time to pass. Every wait has a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')

#: The seconds after which a condition that is still false is a failure.
DEADLINE = 10.0

#: The seconds between two checks of a condition.
INTERVAL = 0.01

#: The number of times that a slow measurement is repeated.
ATTEMPTS = 3


def wait_until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Return the first true value of ``condition()``.

    Raise AssertionError, naming ``what``, if there is none in time.
    """
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'not within {deadline} s: {what}')
        time.sleep(INTERVAL)


def until_in_time(measure: Callable[[], T], is_in_time: Callable[[T], bool]) -> T:
    """Return the first measurement in time, or the last one.

    A busy machine may delay any measurement. Code that is too slow is late every time.
    """
    for _ in range(ATTEMPTS - 1):
        measured = measure()
        if is_in_time(measured):
            return measured
    return measure()
