"""Bodies in chunks (RFC 9112 section 7.1)."""

from __future__ import annotations

import re

__all__ = ['join_chunks']

_SIZE = re.compile(rb'[0-9A-Fa-f]{1,8}')
# The longest line of a chunk's size, with its extensions.
_MAX_LINE = 256


def join_chunks(data: bytes) -> tuple[bytes, bool]:
    """Return the part of a body that has arrived, and whether nothing more follows.

    Nothing follows either where the data is not in chunks.
    """
    body = b''
    while True:
        line, end, rest = data.partition(b'\r\n')
        if not end:
            return body, len(line) > _MAX_LINE
        size = line.partition(b';')[0].strip()
        if not _SIZE.fullmatch(size) or not int(size, 16):
            return body, True
        length = int(size, 16)
        body += rest[:length]
        # The end of a line follows the chunk.
        if len(rest) < length + 2:
            return body, False
        data = rest[length + 2 :]
