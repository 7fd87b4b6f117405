"""The scenarios that can be measured, their groups, and their notation.

An echo is written *connections* x *in flight* x *size*, with ``K`` or ``M`` for the
size, and the type of the messages behind a colon: ``64x16x125``, ``4x1x1M:binary``,
``64x1x1K:deflate``. ``handshakes:64`` connects, closes and begins again.
``broadcast:1000x1K`` sends a message of 1 KiB to a server, which sends it to all of its
1,000 connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ['GROUPS', 'Scenario', 'parse_scenario', 'parse_scenarios']

UNITS = {'': 1, 'K': 1024, 'M': 1024 * 1024}
ECHO = re.compile(r'(?P<connections>\d+)x(?P<in_flight>\d+)x(?P<size>\d+)(?P<unit>[KM]?)(:(?P<payload>text|binary|deflate))?')
HANDSHAKES = re.compile(r'handshakes:(?P<connections>\d+)')
BROADCAST = re.compile(r'broadcast:(?P<connections>\d+)x(?P<size>\d+)(?P<unit>[KM]?)(:(?P<payload>deflate))?')

# Any other can be spelled out.
GROUPS = {
    'default': ('64x1x125', '64x16x125'),
    'small': ('1x1x125', '64x1x32', '64x1x125', '1000x1x125', '64x16x125', '4x64x125'),
    'large': ('64x1x8K', '64x1x64K:binary', '4x1x1M:binary'),
    'deflate': ('64x1x1K:deflate',),
    'handshakes': ('handshakes:64',),
    'clients': ('1x1x125', '1x16x125', '64x1x125', '64x16x125', '1x1x64K:binary', '1x1x1M:binary'),
}
GROUPS['all'] = GROUPS['small'] + GROUPS['large'] + GROUPS['deflate'] + GROUPS['handshakes']


@dataclass(frozen=True)
class Scenario:
    """One thing to measure; ``name`` is how the user asks for it."""

    name: str
    connections: int
    in_flight: int = 1
    size: int = 0
    payload: str = 'text'
    unit: str = 'messages'
    mode: str = 'echo'

    @property
    def is_deflated(self) -> bool:
        """Is permessage-deflate to be agreed on?"""
        return self.payload == 'deflate'

    @property
    def opcode(self) -> str:
        """The type of the messages on the wire; deflated ones are JSON."""
        return 'binary' if self.payload == 'binary' else 'text'

    @property
    def description(self) -> str:
        """The scenario in words."""
        many = f'{self.connections:,} connection{"s" if self.connections > 1 else ""}'
        if self.mode == 'handshakes':
            return f'handshakes, {many} at a time'
        unit, factor = next(((unit, factor) for unit, factor in (('MiB', 2**20), ('KiB', 2**10))
                             if self.size and self.size % factor == 0), ('B', 1))
        what = f'{self.size // factor} {unit} of {"deflated JSON" if self.is_deflated else self.payload}'
        return f'{what} to all of {many}' if self.mode == 'broadcast' else f'{what}, {self.in_flight} in flight on {many}'

    @property
    def options(self) -> list[str]:
        """The load generator's options."""
        numbers = {'connections': self.connections, 'in-flight': self.in_flight, 'size': self.size}
        options = [f'--mode={self.mode}', *(f'--{name}={number}' for name, number in numbers.items())]
        return [*options, '--deflate'] if self.is_deflated else [*options, f'--opcode={self.opcode}']


def parse_scenario(name: str) -> Scenario:
    """Read one scenario.  Raises ValueError."""
    if match := ECHO.fullmatch(name):
        size = int(match['size']) * UNITS[match['unit']]
        return Scenario(name, int(match['connections']), int(match['in_flight']), size, match['payload'] or 'text')
    if match := HANDSHAKES.fullmatch(name):
        return Scenario(name, int(match['connections']), unit='handshakes', mode='handshakes')
    if match := BROADCAST.fullmatch(name):
        size = int(match['size']) * UNITS[match['unit']]
        return Scenario(name, int(match['connections']), size=size, payload=match['payload'] or 'text', mode='broadcast')
    raise ValueError(f'{name!r} is neither a scenario like 64x16x125, 4x1x1M:binary, 64x1x1K:deflate, handshakes:64 or '
                     f'broadcast:1000x1K nor one of the groups {", ".join(GROUPS)}')


def parse_scenarios(names: str) -> list[Scenario]:
    """Return the scenarios and groups of ``--scenarios``, separated by commas.

    Raise ValueError for an unknown name.
    """
    parts = [part.strip() for part in names.split(',')]
    expanded = [name for part in parts for name in GROUPS.get(part, (part,))]
    return [parse_scenario(name) for name in dict.fromkeys(expanded)]
