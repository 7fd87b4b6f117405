"""The command line of the servers in Python: a port, then the words for a peer's
features.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ['DEFLATE', 'MAX_SIZE', 'Options', 'read_options']

# Equal for all peers: aiohttp has no other level than 1, and 15 bits and level 8 are
# zlib's defaults for window and memory.
DEFLATE = {'level': 1, 'window_bits': 15, 'mem_level': 8}

# Above all that is sent here.
MAX_SIZE = 256 * 1024 * 1024


@dataclass(frozen=True)
class Options:
    """The features of a server besides its echo; ``ping`` is in seconds."""

    port: int
    deflate: bool
    broadcast: bool
    loop: bool
    ping: float | None


def read_options() -> Options:
    """Read the command line."""
    port, *words = sys.argv[1:]
    values = dict(word.partition('=')[::2] for word in words)
    ping = values.get('ping')
    return Options(int(port), 'deflate' in values, 'broadcast' in values, 'loop' in values, float(ping) if ping else None)
