"""IncomingMessage: a message that arrives in several frames, or in several reads.

It is given the parts of its frames, checks each before keeping it, and returns the data
of the message when that is complete. For faults of the peer's it raises ProtocolError.
"""

from __future__ import annotations

import codecs

from ..errors import InvalidData, MessageTooBig, ProtocolError
from .codec import Frame
from .codes import Opcode

__all__ = ['IncomingMessage']

CONTINUATION, TEXT = Opcode.CONTINUATION, Opcode.TEXT

# The greatest number of bytes by which a short block is longer than its data, with the
# empty block of a flush behind it.
_FLUSH = 12

# A part of this length or more is kept as an object of its own.
_LARGE_PART = 4096

_UTF8 = codecs.getincrementaldecoder('utf-8')


class IncomingMessage:
    """A message of at most ``max_length`` bytes and ``max_fragments`` frames.

    ``opcode`` and ``rsv`` are those of its first frame.
    """

    __slots__ = (
        '_fragments',
        '_length',
        '_max_fragments',
        '_max_length',
        '_parts',
        '_validator',
        'opcode',
        'rsv',
    )

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
        """Check the header of a frame against the message so far.

        Raise ProtocolError if the frame is out of place, and MessageTooBig if the
        message has become too long.
        """
        if frame.opcode != CONTINUATION:
            # 5.4: "The fragments of one message MUST NOT be interleaved between the
            # fragments of another message"
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
            raise MessageTooBig(
                f'message has too many fragments: {self._fragments} > {self._max_fragments}'
            )

    def _may_be_deflated(self) -> bool:
        """Return whether a message of ``max_length`` can be this long when deflated.

        The limit is that of zlib's deflateBound() in the worst of its settings, 12.7 %
        more. To it are added the bytes of an empty block for each frame, since a sender
        may flush at the end of each. The inflated length is counted while inflating.
        """
        limit = self._max_length
        expansion = (limit >> 3) + (limit >> 8) + (limit >> 9)
        most = limit + expansion + _FLUSH * self._fragments
        return self.rsv != 0 and bool(self._length <= most)

    def add(self, payload: bytes, is_end: bool) -> None:
        """Keep a part of the message.

        Raise InvalidData as soon as a text cannot be UTF-8 any more (section 8.1).
        """
        _keep(self._parts, payload)
        if self._validator is not None:
            _validate(self._validator, payload, is_end)

    def data(self) -> bytes:
        """Return the data of all parts."""
        return b''.join(self._parts)


def _keep(parts: list[bytes | bytearray], payload: bytes) -> None:
    """Append to the parts of a message.

    A large part is kept without copying it. Small ones are joined, because every object
    takes another 40 bytes.
    """
    if len(payload) >= _LARGE_PART:
        parts.append(payload)
    elif parts and isinstance(parts[-1], bytearray) and len(parts[-1]) < 16 * _LARGE_PART:
        parts[-1] += payload
    else:
        parts.append(bytearray(payload))


def _validate(validator: codecs.IncrementalDecoder, data: bytes, is_end: bool) -> None:
    """Raise InvalidData as soon as no continuation can make the text valid UTF-8."""
    try:
        validator.decode(data, is_end)
    except UnicodeDecodeError:
        raise InvalidData('text is not UTF-8') from None
    # The decoder waits for the third byte of a surrogate, for the sake of its error
    # handlers, although no third byte can make it valid.
    waiting, _ = validator.getstate()
    if waiting[:1] == b'\xed' and waiting[1:2] >= b'\xa0':
        raise InvalidData('text is not UTF-8')
