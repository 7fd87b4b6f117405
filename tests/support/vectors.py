"""Frames and their bytes: each of VECTORS is parsed to the frame, and serialized back.

``frame`` implements the wire format once more, in plain terms of RFC 6455 section 5.2.
It shares no code with the codec.
"""

from __future__ import annotations

from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
KEY = b'\x37\xfa\x21\x3d'


class Vector(NamedTuple):
    """A frame: its bytes, and their meaning."""

    name: str
    wire: bytes
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masking_key: bytes | None = None


def mask(payload: bytes, masking_key: bytes) -> bytes:
    """Return a masked payload.

    Section 5.3: "j = i MOD 4, transformed-octet-i = original-octet-i XOR
    masking-key-octet-j".
    """
    return bytes(byte ^ masking_key[index % 4] for index, byte in enumerate(payload))


def head(first_byte: int, length: int, *, size: int | None = None, masked: bool = False) -> bytes:
    """Return a header up to the masking key.

    The length takes ``size`` further bytes (0, 2, 8), by default as few as possible.
    """
    if size is None:
        size = 0 if length < 126 else 2 if length < 65536 else 8
    second = {0: length, 2: 126, 8: 127}[size]
    return bytes((first_byte, second | (0x80 if masked else 0))) + (length.to_bytes(size, 'big') if size else b'')


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masking_key: bytes | None = None) -> bytes:
    """Return the bytes of a frame."""
    start = head((0x80 if fin else 0) | rsv | opcode, len(payload), masked=masking_key is not None)
    return start + (payload if masking_key is None else masking_key + mask(payload, masking_key))


def _of_length(length: int, start: bytes) -> list[Vector]:
    """Return a payload of this length, as a server and as a client sends it."""
    payload = (bytes(range(256)) * (length // 256 + 1))[:length]
    masked_start = start[:1] + bytes((start[1] | 0x80,)) + start[2:] + KEY
    return [
        Vector(f'{length} bytes', start + payload, BINARY, payload),
        Vector(f'{length} bytes, masked', masked_start + mask(payload, KEY), BINARY, payload, masking_key=KEY),
    ]


VECTORS = [
    # RFC 6455 section 5.7
    Vector('text', bytes.fromhex('81 05 48 65 6c 6c 6f'), TEXT, b'Hello'),
    Vector('masked text', bytes.fromhex('81 85 37 fa 21 3d 7f 9f 4d 51 58'), TEXT, b'Hello', masking_key=KEY),
    Vector('first fragment', bytes.fromhex('01 03 48 65 6c'), TEXT, b'Hel', fin=False),
    Vector('last fragment', bytes.fromhex('80 02 6c 6f'), CONTINUATION, b'lo'),
    Vector('ping', bytes.fromhex('89 05 48 65 6c 6c 6f'), PING, b'Hello'),
    Vector('masked pong', bytes.fromhex('8a 85 37 fa 21 3d 7f 9f 4d 51 58'), PONG, b'Hello', masking_key=KEY),
    Vector('256 bytes of binary', bytes.fromhex('82 7e 01 00') + bytes(256), BINARY, bytes(256)),
    Vector('64 KiB of binary', bytes.fromhex('82 7f 00 00 00 00 00 01 00 00') + bytes(65536), BINARY, bytes(65536)),
    # cases that section 5.7 leaves out
    Vector('middle fragment', bytes.fromhex('00 01 6c'), CONTINUATION, b'l', fin=False),
    Vector('empty text', bytes.fromhex('81 00'), TEXT, b''),
    Vector('empty masked text', bytes.fromhex('81 80 37 fa 21 3d'), TEXT, b'', masking_key=KEY),
    Vector('empty close', bytes.fromhex('88 00'), CLOSE, b''),
    Vector('close', bytes.fromhex('88 05 03 e8') + b'bye', CLOSE, b'\x03\xe8bye'),
    Vector('longest ping', bytes.fromhex('89 7d') + b'p' * 125, PING, b'p' * 125),
    Vector('longest masked ping', bytes.fromhex('89 fd 37 fa 21 3d') + mask(b'p' * 125, KEY), PING, b'p' * 125,
           masking_key=KEY),
    Vector('a key of zeros', bytes.fromhex('82 83 00 00 00 00 61 62 63'), BINARY, b'abc', masking_key=bytes(4)),
    Vector('first reserved bit', bytes.fromhex('c1 01 61'), TEXT, b'a', rsv=RSV1),
    Vector('second reserved bit', bytes.fromhex('22 01 61'), BINARY, b'a', fin=False, rsv=RSV2),
    Vector('third reserved bit', bytes.fromhex('90 01 61'), CONTINUATION, b'a', rsv=RSV3),
    Vector('every reserved bit', bytes.fromhex('f1 01 61'), TEXT, b'a', rsv=RSV1 | RSV2 | RSV3),
    *_of_length(124, bytes.fromhex('82 7c')),
    *_of_length(125, bytes.fromhex('82 7d')),
    *_of_length(126, bytes.fromhex('82 7e 00 7e')),
    *_of_length(127, bytes.fromhex('82 7e 00 7f')),
    *_of_length(65535, bytes.fromhex('82 7e ff ff')),
    *_of_length(65536, bytes.fromhex('82 7f 00 00 00 00 00 01 00 00')),
    *_of_length(65537, bytes.fromhex('82 7f 00 00 00 00 00 01 00 01')),
]
