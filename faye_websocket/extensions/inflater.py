"""Inflater: the decompression of messages, with a limit on their length.

It holds a zlib object, which keeps the window from one message to the next (context
takeover). Data that cannot be inflated raises InvalidData. A message that becomes too
long raises MessageTooBig while it grows: however well it was compressed, it takes no
more than ``max_length`` bytes and one step beyond.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress

from ..errors import InvalidData, MessageTooBig

__all__ = ['Inflater']

# RFC 7692 section 7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the
# payload".
_TAIL = b'\x00\x00\xff\xff'
# An empty block that is marked as the last one of the stream.
_END = b'\x03\x00'
# The length of the pieces that zlib is given: it copies the input for which there is no
# room in the output. And the length of the output of one step.
_INPUT = 2**16
_OUTPUT = 2**20
# RFC 7692 section 7.2.3.4 allows blocks with BFINAL set. Each costs a new inflater, of
# which a peer could demand one for every two bytes.
_MAX_FINAL_BLOCKS = 64


class Inflater:
    """The inflater for one sender's deflater.

    ``bits`` is the size of the window, from 8 to 15.
    """

    __slots__ = ('_bits', '_zlib')

    def __init__(self, bits: int) -> None:
        # A smaller window saves no memory, and some deflaters use one of 9 bits where 8
        # were agreed on.
        self._bits = max(bits, 9)
        self._zlib = zlib.decompressobj(-self._bits)

    def inflate(self, data: bytes, max_length: int) -> bytes:
        """Return the message that was compressed to ``data``.

        Raise MessageTooBig if it has more than ``max_length`` bytes, and InvalidData if
        it cannot be inflated.
        """
        parts: list[bytes] = []
        try:
            is_too_big, fault = self._inflate(data, parts, max_length), ''
        except zlib.error as error:
            is_too_big, fault = False, str(error)
        # Raise outside of the "except", and without the parts: an error refers to the
        # frame that raised it, and would keep megabytes alive.
        if is_too_big:
            parts.clear()
            raise MessageTooBig(f'message too big: more than {max_length} bytes when inflated')
        if fault:
            parts.clear()
            raise InvalidData(f'message cannot be inflated: {fault}')
        return parts[0] if len(parts) == 1 else b''.join(parts)

    def check_end(self) -> None:
        """Raise InvalidData if the last message was cut off.

        The inflater is of no use after it.
        """
        with suppress(zlib.error):
            self._zlib.decompress(_END)
        if not self._zlib.eof:
            raise InvalidData('message cannot be inflated: it is incomplete')

    def _inflate(self, data: bytes, parts: list[bytes], max_length: int) -> bool:
        """Append the message to ``parts``, and return whether it is too big.

        Raise zlib.error if it cannot be inflated.
        """
        left, final_blocks, missing = max_length + 1, 0, len(data)
        for piece in _pieces(data):
            missing -= _INPUT
            waiting, is_done = piece, False
            while not is_done:
                # Any number is a legal option, infinity included.
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
                    # After such a block the sender's deflater begins with an empty
                    # window, and so does the next inflater.
                    self._zlib = zlib.decompressobj(-self._bits)
                    # A sender may leave out the byte behind the block; nothing is
                    # missing then. Only the last piece ends with the tail: at the end
                    # of another one, bytes that look like it begin a block.
                    is_done = not waiting or (missing <= 0 and waiting == _TAIL)
                else:
                    # If the output is full, zlib may have more to return, even after it
                    # has read all input.
                    waiting, is_done = self._zlib.unconsumed_tail, len(part) < room
        return False


def _pieces(data: bytes) -> Iterable[bytes]:
    """Return the compressed message, with its tail, in pieces of a limited length."""
    if len(data) < _INPUT:
        return (data + _TAIL,)
    starts = range(0, len(data), _INPUT)
    return (
        data[start : start + _INPUT] + (_TAIL if start == starts[-1] else b'') for start in starts
    )
