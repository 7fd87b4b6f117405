"""Waiting for a real condition, never for time to pass: every wait has a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')

#: Seconds after which a condition that has not come true is a failure.
DEADLINE = 10.0

#: Seconds between two looks at a condition.
INTERVAL = 0.01

#: How often what must not take longer than some seconds is measured.
ATTEMPTS = 3


def wait_until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """The first true value of `condition()`; an AssertionError naming `what` when it does not come in time."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'not within {deadline} s: {what}')
        time.sleep(INTERVAL)


def until_in_time(measure: Callable[[], T], is_in_time: Callable[[T], bool]) -> T:
    """The first measurement in time, or the last: a busy machine makes anything late, and what is slow is late each time."""
    for _ in range(ATTEMPTS - 1):
        measured = measure()
        if is_in_time(measured):
            return measured
    return measure()
