"""Inflater: DEFLATE undone, message by message, and never further than it may go.

It holds one of zlib's objects, which remembers the window from message to message (context takeover). What cannot be inflated
is an InvalidData, what becomes too long a MessageTooBig, raised while it grows: a message that is small when compressed costs
no more than ``max_length`` and one step of the way there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress

from ..errors import InvalidData, MessageTooBig

__all__ = ['Inflater']

# RFC 7692 section 7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload".
_TAIL = b'\x00\x00\xff\xff'
# An empty block, the last one of all.
_END = b'\x03\x00'
# How many octets zlib is given at a time, since it copies those that it has no room to inflate; and how many it may make.
_INPUT = 2**16
_OUTPUT = 2**20
# RFC 7692 section 7.2.3.4 allows blocks with BFINAL set. A new inflater for each must not be had for two octets without end.
_MAX_FINAL_BLOCKS = 64


class Inflater:
    """The receiver's end of one sender's deflater; ``bits`` is the size of the window, from 8 to 15."""

    __slots__ = ('_bits', '_zlib')

    def __init__(self, bits: int) -> None:
        # A smaller window saves nothing, and what some deflaters make for 8 needs 9.
        self._bits = max(bits, 9)
        self._zlib = zlib.decompressobj(-self._bits)

    def inflate(self, data: bytes, max_length: int) -> bytes:
        """The message that was compressed to ``data``."""
        parts: list[bytes] = []
        try:
            is_too_big, fault = self._inflate(data, parts, max_length), ''
        except zlib.error as error:
            is_too_big, fault = False, str(error)
        # Outside of the "except", and without the parts: an error remembers where it came from, and would keep megabytes.
        if is_too_big:
            parts.clear()
            raise MessageTooBig(f'message too big: more than {max_length} bytes when inflated')
        if fault:
            parts.clear()
            raise InvalidData(f'message cannot be inflated: {fault}')
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def check_end(self) -> None:
        """Raises InvalidData when the last message was cut off. It is the end of the inflater, too."""
        with suppress(zlib.error):
            self._zlib.decompress(_END)
        if not self._zlib.eof:
            raise InvalidData('message cannot be inflated: it is incomplete')

    def _inflate(self, data: bytes, parts: list[bytes], max_length: int) -> bool:
        """Adds the message to ``parts``; True when it is too big. Raises zlib.error."""
        left, final_blocks, missing = max_length + 1, 0, len(data)
        for piece in _pieces(data):
            missing -= _INPUT
            waiting, is_done = piece, False
            while not is_done:
                # The option takes any number, of which infinity is one.
                room = int(min(left, _OUTPUT))
                part = self._zlib.decompress(waiting, room)
                parts.append(part)
                left -= len(part)
                if left < 1:
                    return True
                if self._zlib.eof:
                    waiting = self._zlib.unused_data
                    final_blocks += 1
                    if final_blocks > _MAX_FINAL_BLOCKS:
                        raise zlib.error(f'more than {_MAX_FINAL_BLOCKS} final blocks')
                    # Like the sender's deflater after such a block, the next one begins with an empty window.
                    self._zlib = zlib.decompressobj(-self._bits)
                    # A sender that leaves out the octet behind the block has left out
                    # nothing that is missed. Only the last piece has the tail: at the
                    # end of another one the same octets begin a block.
                    is_done = not waiting or (missing <= 0 and waiting == _TAIL)
                else:
                    # With no room left zlib may still have something to say, even when it has read all.
                    waiting, is_done = self._zlib.unconsumed_tail, len(part) < room
        return False


def _pieces(data: bytes) -> Iterable[bytes]:
    """The compressed message with its tail, in pieces of a bounded size."""
    if len(data) < _INPUT:
        return (data + _TAIL,)
    starts = range(0, len(data), _INPUT)
    return (data[start:start + _INPUT] + (_TAIL if start == starts[-1] else b'') for start in starts)
