"""Framing, RFC 6455 section 5: bytes to frames, and frames to bytes.

The parser is fed the bytes received, cut anywhere, and returns frames in their order.
It looks at headers only, and not at the meaning of messages. It never keeps the payload
of a data frame: the bytes received so far are returned at once, as a part of the frame.
For what the peer sent it raises nothing but ``ProtocolError``.

This file is the only text of the framing. The compiled codec is this module run through
Cython, with the C types of ``codec.pxd``, and with ``_mask.pyx`` in place of ``mask``.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import ProtocolError
from . import mask
from .codes import Opcode

__all__ = [
    'Frame',
    'FrameParser',
    'apply_mask',
    'serialize_frame',
    'serialize_frame_head',
    'serialize_text',
]

RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10

_FIN = 0x80
_MASKED = 0x80
_RESERVED = 0x70
_CONTROL = 0x8
_TEXT = Opcode.TEXT
_DATA_OPCODES = (Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY)
_CONTROL_OPCODES = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
# By the size of an extended length, 2 or 8 bytes: the value of the second byte's length
# bits.
_CODES = bytes([0, 0, 126, 0, 0, 0, 0, 0, 127])
# 5.3: "The masking key is a 32-bit value"
_WRONG_KEY = 'a masking key has four bytes'


@lru_cache(maxsize=8)
def _legal_first_bytes(reserved: int) -> bytes:
    """Return a table of all first bytes, which is true for those that are legal.

    Extensions use the ``reserved`` bits of data frames.
    """
    bits = [rsv for rsv in range(0, _RESERVED + 1, RSV3) if not rsv & ~reserved]
    data = {opcode | rsv | fin for opcode in _DATA_OPCODES for rsv in bits for fin in (0, _FIN)}
    # 5.5: "All control frames [...] MUST NOT be fragmented."
    legal = data | {opcode | _FIN for opcode in _CONTROL_OPCODES}
    return bytes(first_byte in legal for first_byte in range(256))


def apply_mask(payload: bytes, masking_key: bytes) -> bytes:
    """Return ``payload`` XORed with the four bytes of ``masking_key``, repeated.

    Section 5.3. The function is its own inverse. Raise ValueError unless the key has
    four bytes.
    """
    if len(masking_key) != 4:
        raise ValueError(_WRONG_KEY)
    return mask.cut(payload, 0, len(payload), masking_key, 0)


def _size_of_length(length: int) -> int:
    """Return how many bytes of extended length a frame of this length has."""
    # 5.2: "the minimal number of bytes MUST be used to encode the length"
    return 0 if length < 126 else 2 if length < 65536 else 8


def serialize_frame_head(opcode: int, length: int) -> bytes:
    """Return the bytes before a payload of 126 bytes or more (section 5.2).

    The frame is a whole message, and is not masked.
    """
    size = _size_of_length(length)
    return bytes((opcode | _FIN, _CODES[size])) + length.to_bytes(size, 'big')


def serialize_frame(
    opcode: int, payload: bytes, fin: bool = True, rsv: int = 0, masking_key: bytes | None = None
) -> bytes:
    """Return one frame (section 5.2); ``rsv`` is a sum of RSV1, RSV2 and RSV3."""
    first = opcode | rsv | (_FIN if fin else 0)
    second = length = len(payload)
    size = _size_of_length(length)
    if size:
        second = _CODES[size]
    if masking_key is not None:
        if len(masking_key) != 4:
            raise ValueError(_WRONG_KEY)
        second |= _MASKED
    return mask.join(first, second, size, payload, masking_key)


def serialize_text(message: str, masking_key: bytes | None = None) -> bytes:
    """Return a text message in one frame, with U+FFFD for each lone surrogate."""
    return serialize_frame(_TEXT, mask.encode(message), True, 0, masking_key)


class Frame:
    """A frame, or a part of a data frame whose payload arrives in several reads.

    The parser makes them. ``length`` is the length of the payload that the header
    declares, and ``payload`` holds the unmasked bytes of this part. ``is_first`` and
    ``is_last`` say which part of its frame it is; most frames arrive in one part, which
    is both.
    """

    __slots__ = ('first_byte', 'is_first', 'is_last', 'length', 'masking_key', 'opcode', 'payload')

    first_byte: int
    opcode: int
    length: int
    masking_key: bytes | None
    payload: bytes
    is_first: bool
    is_last: bool

    @property
    def fin(self) -> bool:
        """Whether this is the last frame of its message."""
        return self.first_byte & _FIN != 0

    @property
    def rsv(self) -> int:
        """The reserved bits, as a sum of RSV1, RSV2 and RSV3."""
        return self.first_byte & _RESERVED

    @property
    def rsv1(self) -> bool:
        """The first reserved bit."""
        return self.first_byte & RSV1 != 0

    @property
    def rsv2(self) -> bool:
        """The second reserved bit."""
        return self.first_byte & RSV2 != 0

    @property
    def rsv3(self) -> bool:
        """The third reserved bit."""
        return self.first_byte & RSV3 != 0

    @property
    def masked(self) -> bool:
        """Whether the payload was masked on the wire."""
        return self.masking_key is not None

    def __repr__(self) -> str:
        return f'<Frame opcode={self.opcode} fin={self.fin} length={self.length} payload={len(self.payload)} bytes>'


def _make_frame(
    first_byte: int,
    length: int,
    masking_key: bytes | None,
    payload: bytes,
    is_first: bool,
    is_last: bool,
) -> Frame:
    """Return a frame.

    The compiled codec would make a tuple of Python integers for a call of
    ``Frame(...)``.
    """
    frame = Frame.__new__(Frame)
    frame.first_byte = first_byte
    frame.opcode = first_byte & 0x0F
    frame.length = length
    frame.masking_key = masking_key
    frame.payload = payload
    frame.is_first = is_first
    frame.is_last = is_last
    return frame


class FrameParser:
    """The parser: call ``feed(chunk)``, then ``next_frame()`` until it returns None.

    ``masked`` says whether the peer must mask its frames (section 5.1: clients must,
    servers must not). Once ``next_frame`` has returned ``None``, the buffer holds at
    most an incomplete header or control frame, of up to 139 bytes.
    """

    __slots__ = ('_buffer', '_frame', '_legal_first_bytes', '_masked', '_missing', '_position')

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._buffer = b''
        self._position = 0
        self._frame: Frame | None = None
        self._missing = 0
        self.reserve(0)

    def reserve(self, reserved: int) -> None:
        """Accept data frames with these reserved bits, which an extension uses."""
        self._legal_first_bytes = _legal_first_bytes(reserved)

    def feed(self, chunk: bytes) -> None:
        """Append the next bytes received from the peer."""
        if chunk:
            self._buffer = self._buffer[self._position :] + chunk if self._buffer else chunk
            self._position = 0

    def next_frame(self) -> Frame | None:
        """Return the next frame or part of one, or None until more is fed.

        Raise ProtocolError for an invalid header.
        """
        if self._missing:
            return self._next_part(False)
        buffer, position = self._buffer, self._position
        available = len(buffer)
        start = position + 2
        if start > available:
            return None
        first_byte, second = buffer[position], buffer[position + 1]
        if not self._legal_first_bytes[first_byte]:
            raise ProtocolError(_illegal_first_byte(first_byte))
        # 5.1: "The server MUST close the connection upon receiving a frame that is not
        # masked"; for a client it is the other way round.
        if (second >= _MASKED) != self._masked:
            raise ProtocolError(
                'unmasked frame from a client' if self._masked else 'masked frame from a server'
            )
        length = second & 0x7F
        if length > 125:
            # 5.5: "All control frames MUST have a payload length of 125 bytes or less"
            if first_byte & _CONTROL:
                raise ProtocolError('control frame is longer than 125 bytes')
            start += 2 if length == 126 else 8
            if start > available:
                return None
            length = _read_length(buffer, position + 2, start)
        masking_key = None
        if self._masked:
            start += 4
            if start > available:
                return None
            masking_key = mask.cut(buffer, start - 4, start, None, 0)
        if length > available - start:
            if first_byte & _CONTROL:
                return None
            self._frame = _make_frame(first_byte, length, masking_key, b'', True, False)
            self._missing = length
            self._position = start
            return self._next_part(True)
        end = start + length
        if end < available:
            self._position = end
        else:
            self.forget()
        return _make_frame(
            first_byte,
            length,
            masking_key,
            mask.cut(buffer, start, end, masking_key, 0),
            True,
            True,
        )

    def _next_part(self, is_first: bool) -> Frame | None:
        """Return the payload of ``self._frame`` received so far, or None.

        The first part is returned even if it is empty.
        """
        frame = self._frame
        assert frame is not None
        buffer, start = self._buffer, self._position
        size = min(self._missing, len(buffer) - start)
        if not size and not is_first:
            return None
        end = start + size
        if end < len(buffer):
            self._position = end
        else:
            self.forget()
        payload = mask.cut(buffer, start, end, frame.masking_key, frame.length - self._missing)
        self._missing -= size
        if not self._missing:
            self._frame = None
        return _make_frame(
            frame.first_byte, frame.length, frame.masking_key, payload, is_first, not self._missing
        )

    def forget(self) -> None:
        """Release the buffer, so that an idle connection does not hold old bytes."""
        self._buffer = b''
        self._position = 0


def _read_length(buffer: bytes, start: int, end: int) -> int:
    """Return the extended length in two or eight bytes of the buffer.

    Raise ProtocolError if it is not valid.
    """
    length = 0
    for index in range(start, end):
        length = length << 8 | buffer[index]
    # 5.2: "the minimal number of bytes MUST be used to encode the length", "the most
    # significant bit MUST be 0"
    if length < (126 if end - start == 2 else 65536) or length >> 63:
        raise ProtocolError('payload length is not minimal, or has its top bit set')
    return length


def _illegal_first_byte(first_byte: int) -> str:
    """Return what is wrong with the first byte of a frame."""
    opcode = first_byte & 0x0F
    # 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the
    # WebSocket Connection_."
    if opcode not in _DATA_OPCODES + _CONTROL_OPCODES:
        return f'unknown opcode {opcode}'
    # 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for
    # non-zero values."
    if first_byte & _RESERVED:
        return f'reserved bits {(first_byte & _RESERVED) >> 4:03b} set without an extension that uses them'
    return 'fragmented control frame'
