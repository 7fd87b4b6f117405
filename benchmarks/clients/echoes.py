"""The parts that all client programs share: messages, the check of replies, the clock.

A program gets the server's address and the messages to send from the command line, and
prints one line of JSON. It fails with exit code 1 and a text on stderr if a reply is
wrong, or none arrives within the measured time. It waits for its connections without a
limit; the program that has started it sets one.

A program makes one :class:`Echo` for each connection. It sends ``echo.first()`` when
the connection is open and, for each reply, the return value of ``echo.next(reply)``. So
counting and checking cost all programs equally: one call and one comparison a message.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, fields
from itertools import cycle
from typing import NoReturn

__all__ = ['Echo', 'Meter', 'Plan', 'are_open', 'fail', 'read_plan']

# The number of different messages: as many as a connection may have in flight, so that
# two replies that were swapped are detected.
MAX_VARIANTS = 17
CACHED_BYTES = 2**16


@dataclass(frozen=True)
class Plan:
    """The measurement to make, in the order of the command line."""

    url: str
    connections: int
    in_flight: int
    size: int
    opcode: str
    seconds: float
    warmup: float

    @property
    def messages(self) -> list[str] | list[bytes]:
        """Some messages of equal length.

        They differ in every byte, also from their neighbours.
        """
        count = max(2, min(MAX_VARIANTS, CACHED_BYTES // max(self.size, 1)))
        if self.opcode == 'text':
            letters = ''.join(map(chr, range(ord(' '), ord('~') + 1)))
            return [(letters[3 * i:] + letters * (self.size // len(letters) + 1))[:self.size] for i in range(count)]
        octets = bytes(range(256))
        return [(octets[7 * i:] + octets * (self.size // len(octets) + 1))[:self.size] for i in range(count)]


def read_plan() -> Plan:
    """Read the command line."""
    return Plan(*({'int': int, 'float': float}.get(str(field.type), str)(value)
                  for field, value in zip(fields(Plan), sys.argv[1:], strict=True)))


def fail(why: str) -> NoReturn:
    """End the program, whatever thread this is."""
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


class Echo:
    """The messages of one connection."""

    __slots__ = ('_expected', '_in_flight', '_outgoing', 'replies')

    def __init__(self, plan: Plan) -> None:
        self.replies = 0
        self._in_flight = plan.in_flight
        self._outgoing = cycle(plan.messages)
        self._expected = cycle(plan.messages)

    def first(self) -> list[str | bytes]:
        """Return the messages to send when the connection is open."""
        return [next(self._outgoing) for _ in range(self._in_flight)]

    def next(self, reply: object) -> str | bytes:
        """Check a reply; the message to send for it."""
        if reply != next(self._expected):
            fail(f'a reply is not what was sent: {reply!r:.200}')
        self.replies += 1
        return next(self._outgoing)


def are_open(echoes: list[Echo]) -> bool:
    """Return whether every connection has had its first reply, so that the warm-up
    begins.
    """
    return all(echo.replies for echo in echoes)


class Meter:
    """Counts what all connections did between its making and ``print``."""

    def __init__(self, echoes: list[Echo]) -> None:
        self._echoes = echoes
        self._before = [echo.replies for echo in echoes]
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()

    def print(self) -> None:
        """Print the measurement."""
        seconds = time.perf_counter() - self._began
        cpu_seconds = time.process_time() - self._cpu_began
        counts = [echo.replies - before for echo, before in zip(self._echoes, self._before, strict=True)]
        if not any(counts):
            fail('no reply came in the measured time')
        print(json.dumps({
            'messages_per_second': sum(counts) / seconds,
            'messages': sum(counts),
            'seconds': seconds,
            'cpu_seconds': cpu_seconds,
            'silent_connections': counts.count(0),
        }), flush=True)
