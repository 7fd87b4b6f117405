"""IncomingMessage: a message of which a part has come, in several frames or in several reads.

In go the parts of its frames, each checked before any of it is kept; out comes the data of the message, when it is whole. What
the peer does wrong raises a ProtocolError.
"""

from __future__ import annotations

import codecs

from ..errors import InvalidData, MessageTooBig, ProtocolError
from .codec import Frame
from .codes import Opcode

__all__ = ['IncomingMessage']

CONTINUATION, TEXT = Opcode.CONTINUATION, Opcode.TEXT

# How many octets more than its data a short block takes at most, with the empty one of
# a flush behind it.
_FLUSH = 12

# From so many bytes on, a part of a message is kept as it came.
_LARGE_PART = 4096

_UTF8 = codecs.getincrementaldecoder('utf-8')


class IncomingMessage:
    """A message of up to ``max_length`` bytes in ``max_fragments`` frames; ``opcode`` and ``rsv`` are its first frame's."""

    __slots__ = ('_fragments', '_length', '_max_fragments', '_max_length', '_parts', '_validator', 'opcode', 'rsv')

    def __init__(self, max_length: int, max_fragments: int) -> None:
        self._max_length = max_length
        self._max_fragments = max_fragments
        self.opcode = 0
        self.rsv = 0
        self._length = 0
        self._fragments = 0
        self._parts: list[bytes | bytearray] = []
        self._validator: codecs.IncrementalDecoder | None = None

    def begin_frame(self, frame: Frame) -> None:
        """Checks the place of a frame, and the size of the message so far."""
        if frame.opcode != CONTINUATION:
            # 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message"
            if self.opcode:
                raise ProtocolError('new message before the last one was complete')
            self.opcode = frame.opcode
            self.rsv = frame.rsv
            if self.opcode == TEXT and not self.rsv:
                self._validator = _UTF8()
        elif not self.opcode:
            raise ProtocolError('continuation frame without a message to continue')
        elif frame.rsv:
            raise ProtocolError('reserved bits on a continuation frame')
        self._length += frame.length
        self._fragments += 1
        if self._length > self._max_length and not self._may_be_deflated():
            raise MessageTooBig(f'message too big: {self._length} > {self._max_length}')
        if self._fragments > self._max_fragments:
            raise MessageTooBig(f'message has too many fragments: {self._fragments} > {self._max_fragments}')

    def _may_be_deflated(self) -> bool:
        """Return whether a message of ``max_length`` can be this long when deflated.

        The bound is that of zlib's deflateBound() in the worst of its settings, 12.7 %
        more, with the octets of an empty block for each frame, since a sender may flush
        at the end of each. The inflated length is counted while it grows.
        """
        limit = self._max_length
        expansion = (limit >> 3) + (limit >> 8) + (limit >> 9)
        most = limit + expansion + _FLUSH * self._fragments
        return self.rsv != 0 and bool(self._length <= most)

    def add(self, payload: bytes, is_end: bool) -> None:
        """Keeps a part. 8.1: a peer that sends invalid UTF-8 is failed, here as soon as it can be known."""
        _keep(self._parts, payload)
        if self._validator is not None:
            _validate(self._validator, payload, is_end)

    def data(self) -> bytes:
        """All parts."""
        return b''.join(self._parts)


def _keep(parts: list[bytes | bytearray], payload: bytes) -> None:
    """Adds to the parts of a message: a large one as it is, without a copy, small ones together: each costs 40 bytes more."""
    if len(payload) >= _LARGE_PART:
        parts.append(payload)
    elif parts and isinstance(parts[-1], bytearray) and len(parts[-1]) < 16 * _LARGE_PART:
        parts[-1] += payload
    else:
        parts.append(bytearray(payload))


def _validate(validator: codecs.IncrementalDecoder, data: bytes, is_end: bool) -> None:
    """Raises InvalidData as soon as no continuation can make UTF-8 of the text so far."""
    try:
        validator.decode(data, is_end)
    except UnicodeDecodeError:
        raise InvalidData('text is not UTF-8') from None
    # For the sake of its error handlers the decoder waits for the third byte of a surrogate, which nothing can mend.
    waiting, _ = validator.getstate()
    if waiting[:1] == b'\xed' and waiting[1:2] >= b'\xa0':
        raise InvalidData('text is not UTF-8')
