"""What every client program does besides its library's part: the messages, the check of every reply, the clock.

In:  on the command line, where the server is and what to send.  Out: one line of JSON on stdout.  A wrong reply, or none in
the measured time, ends the program with exit code 1 and says why on stderr.  It waits for its connections for as long as
whoever started it lets it.

A program makes one :class:`Echo` for each connection.  It sends ``echo.first()`` when the connection is open and, for each
reply, what ``echo.next(reply)`` returns.  So all programs pay the same for counting and checking: one call and one
comparison a message.
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

# As many different messages as a connection may have in flight, or it would not be seen that two replies were swapped.
MAX_VARIANTS = 17
CACHED_BYTES = 2**16


@dataclass(frozen=True)
class Plan:
    """What to do, in the order of the command line."""

    url: str
    connections: int
    in_flight: int
    size: int
    opcode: str
    seconds: float
    warmup: float

    @property
    def messages(self) -> list[str] | list[bytes]:
        """A few messages of the same size that differ in every byte, from their neighbours and from each other."""
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
        """The messages to send when the connection is open."""
        return [next(self._outgoing) for _ in range(self._in_flight)]

    def next(self, reply: object) -> str | bytes:
        """Check a reply; the message to send for it."""
        if reply != next(self._expected):
            fail(f'a reply is not what was sent: {reply!r:.200}')
        self.replies += 1
        return next(self._outgoing)


def are_open(echoes: list[Echo]) -> bool:
    """Has every connection had its first reply?  The warm-up begins then."""
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
