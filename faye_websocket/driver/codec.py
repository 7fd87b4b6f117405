"""Framing, RFC 6455 section 5: bytes to frames, frames to bytes.

In go the bytes of the wire, cut anywhere; out come frames in their order. The parser never looks past a frame's header
into what a message means, never keeps a data frame's payload (what has come of it is handed on at once, in parts), and
never raises anything but ``ProtocolError`` for what the peer sent. This file is the only text of the framing: the
compiled codec is this module run through Cython.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import ProtocolError
from .codes import Opcode

__all__ = ['Frame', 'FrameParser', 'apply_mask', 'serialize_frame']

RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10

_FIN = 0x80
_MASKED = 0x80
_RESERVED = RSV1 | RSV2 | RSV3
_CONTROL = 0x8
_DATA_OPCODES = (Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY)
_CONTROL_OPCODES = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)

_from_bytes = int.from_bytes
# Below this many bytes one XOR of two big integers is quicker than four passes of bytes.translate: 0.6 us for 125 bytes, where
# the passes take 1.2. Above it is the other way round: they take 2.5 ms for a MiB.
_TRANSLATE_FROM = 1024
# Multiplied with a masking key as a number, these repeat it so many times.
_REPEATED = [int.from_bytes(b'\1\0\0\0' * words, 'little') for words in range(_TRANSLATE_FROM // 4 + 1)]


@lru_cache(maxsize=8)
def _legal_first_bytes(reserved: int) -> frozenset[int]:
    """Every first byte that a frame may have when extensions use the ``reserved`` bits of data frames."""
    bits = [rsv for rsv in range(0, _RESERVED + 1, RSV3) if not rsv & ~reserved]
    data = {opcode | rsv | fin for opcode in _DATA_OPCODES for rsv in bits for fin in (0, _FIN)}
    # 5.5: "All control frames [...] MUST NOT be fragmented."
    return frozenset(data | {opcode | _FIN for opcode in _CONTROL_OPCODES})


@lru_cache(maxsize=256)
def _xor_table(byte: int) -> bytes:
    """What ``bytes.translate`` needs to XOR every byte with this one."""
    return bytes(value ^ byte for value in range(256))


def apply_mask(payload: bytes, masking_key: bytes) -> bytes:
    """XORs ``payload`` with the four bytes of ``masking_key``, over and over (section 5.3). Its own inverse."""
    length = len(payload)
    if length < _TRANSLATE_FROM:
        words = (length + 3) // 4
        key = _from_bytes(masking_key, 'little') * _REPEATED[words]
        return (_from_bytes(payload, 'little') ^ key).to_bytes(words * 4, 'little')[:length]
    result = bytearray(payload)
    for offset in range(4):
        result[offset::4] = result[offset::4].translate(_xor_table(masking_key[offset]))
    return bytes(result)


def serialize_frame(
    opcode: int, payload: bytes, fin: bool = True, rsv: int = 0, masking_key: bytes | None = None
) -> bytes:
    """The bytes of one frame (section 5.2); ``rsv`` is a sum of RSV1, RSV2 and RSV3."""
    first = opcode | rsv | (_FIN if fin else 0)
    length = len(payload)
    if length < 126 and masking_key is None:
        return b'%c%c%b' % (first, length, payload)
    masked = 0 if masking_key is None else _MASKED
    if length < 126:
        head = b'%c%c' % (first, masked | length)
    elif length < 65536:
        head = b'%c%c%b' % (first, masked | 126, length.to_bytes(2, 'big'))
    else:
        head = b'%c%c%b' % (first, masked | 127, length.to_bytes(8, 'big'))
    if masking_key is None:
        return head + payload
    return head + masking_key + apply_mask(payload, masking_key)


class Frame:
    """A frame, or a part of a data frame whose payload came in several reads.

    ``length`` is the payload's length that the header declares, ``payload`` the unmasked bytes of this part.
    ``is_first`` and ``is_last`` tell which part of its frame it is; most frames come in one part, which is both.
    """

    __slots__ = ('first_byte', 'is_first', 'is_last', 'length', 'masking_key', 'opcode', 'payload')

    def __init__(
        self, first_byte: int, length: int, masking_key: bytes | None, payload: bytes, is_first: bool, is_last: bool
    ) -> None:
        self.first_byte = first_byte
        self.opcode = first_byte & 0x0F
        self.length = length
        self.masking_key = masking_key
        self.payload = payload
        self.is_first = is_first
        self.is_last = is_last

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


class FrameParser:
    """Cuts the wire into frames: ``feed(chunk)``, then ``next_frame()`` until it answers ``None``.

    ``masked`` says what the peer must do (section 5.1: clients mask, servers do not). What is not used yet stays in the
    buffer: never more than a header, or a control frame, of up to 139 bytes.
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
        """Accepts data frames with these reserved bits, to which an extension has given a meaning."""
        self._legal_first_bytes = _legal_first_bytes(reserved)

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the wire."""
        rest = self._buffer[self._position:]
        self._buffer = rest + chunk if rest else chunk
        self._position = 0

    def next_frame(self) -> Frame | None:
        """The next frame or part of one, or ``None`` until more is fed. Raises ProtocolError for a bad header."""
        if self._missing:
            return self._next_part()
        buffer, position = self._buffer, self._position
        available = len(buffer)
        start = position + 2
        if start > available:
            return None
        first_byte = buffer[position]
        length = buffer[position + 1]
        if first_byte not in self._legal_first_bytes:
            raise ProtocolError(_illegal_first_byte(first_byte))
        # 5.1: "The server MUST close the connection upon receiving a frame that is not masked", and a client the other
        # way round.
        if (length >= _MASKED) is not self._masked:
            raise ProtocolError('unmasked frame from a client' if self._masked else 'masked frame from a server')
        length &= 0x7F
        if length > 125:
            # 5.5: "All control frames MUST have a payload length of 125 bytes or less"
            if first_byte & _CONTROL:
                raise ProtocolError('control frame is longer than 125 bytes')
            size = 2 if length == 126 else 8
            start += size
            if start > available:
                return None
            length = int.from_bytes(buffer[start - size:start], 'big')
            # 5.2: "the minimal number of bytes MUST be used to encode the length", "the most significant bit MUST be 0"
            if length < (126 if size == 2 else 65536) or length >> 63:
                raise ProtocolError('payload length is not minimal, or has its top bit set')
        masking_key = None
        if self._masked:
            start += 4
            if start > available:
                return None
            masking_key = buffer[start - 4:start]
        end = start + length
        if end <= available:
            payload = buffer[start:end]
            if end < available:
                self._position = end
            else:
                self._forget()
            if masking_key is not None:
                payload = apply_mask(payload, masking_key)
            return Frame(first_byte, length, masking_key, payload, True, True)
        if first_byte & _CONTROL:
            return None
        return self._first_part(Frame(first_byte, length, masking_key, b'', True, False), start)

    def _first_part(self, frame: Frame, start: int) -> Frame:
        """A data frame's header with what has come of its payload; ``_next_part`` hands on the rest."""
        frame.payload = self._unmask(self._buffer[start:], frame, 0)
        self._frame = frame
        self._missing = frame.length - len(frame.payload)
        self._forget()
        return frame

    def _next_part(self) -> Frame | None:
        """What has come since of the payload of ``self._frame``."""
        part = self._buffer[self._position:self._position + self._missing]
        if not part:
            self._forget()
            return None
        frame = self._frame
        assert frame is not None
        payload = self._unmask(part, frame, frame.length - self._missing)
        self._position += len(part)
        self._missing -= len(part)
        if not self._missing:
            self._frame = None
        return Frame(frame.first_byte, frame.length, frame.masking_key, payload, False, not self._missing)

    def _unmask(self, part: bytes, frame: Frame, offset: int) -> bytes:
        """Unmasks a part of the payload that begins ``offset`` bytes into it."""
        if frame.masking_key is None:
            return part
        turn = offset % 4
        return apply_mask(part, frame.masking_key[turn:] + frame.masking_key[:turn])

    def _forget(self) -> None:
        """Lets go of a buffer that is used up, so that an idle connection holds no bytes of its last read."""
        self._buffer = b''
        self._position = 0


def _illegal_first_byte(first_byte: int) -> str:
    """Names what is wrong with a frame's first byte."""
    opcode = first_byte & 0x0F
    # 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    if opcode not in _DATA_OPCODES + _CONTROL_OPCODES:
        return f'unknown opcode {opcode}'
    # 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
    if first_byte & _RESERVED:
        return f'reserved bits {(first_byte & _RESERVED) >> 4:03b} without an extension for them'
    return 'fragmented control frame'
