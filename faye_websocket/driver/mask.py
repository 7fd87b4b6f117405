"""The functions of the codec that process every byte of a payload.

The compiled codec uses those of ``_mask.pyx`` instead. Masking is the XOR with four
bytes, repeated (RFC 6455 section 5.3), and is its own inverse.
"""

from __future__ import annotations

from functools import lru_cache

from .text import encode_text

__all__ = ['cut', 'encode', 'join']

_from_bytes = int.from_bytes
# Below this number of bytes, one XOR of two big integers is quicker than four passes of
# bytes.translate: 0.6 us for 125 bytes, where the passes take 1.2. Above it, the passes
# are quicker: they take 2.5 ms for a MiB.
_TRANSLATE_FROM = 1024
# By number of words: the factor that repeats a masking key, taken as a number, that
# many times.
_REPEATED = [
    int.from_bytes(b'\1\0\0\0' * words, 'little') for words in range(_TRANSLATE_FROM // 4 + 1)
]


@lru_cache(maxsize=256)
def _xor_table(byte: int) -> bytes:
    """Return the table for ``bytes.translate`` that XORs every byte with this one."""
    return bytes(value ^ byte for value in range(256))


def cut(buffer: bytes, start: int, end: int, masking_key: bytes | None, offset: int) -> bytes:
    """Return the bytes from ``start`` to ``end``, unmasked if there is a key.

    They begin ``offset`` bytes into their payload.
    """
    if masking_key is None:
        return buffer[start:end]
    if offset:
        masking_key = masking_key[offset % 4 :] + masking_key[: offset % 4]
    length = end - start
    if length < _TRANSLATE_FROM:
        words = (length + 3) // 4
        key = _from_bytes(masking_key, 'little') * _REPEATED[words]
        return (_from_bytes(buffer[start:end], 'little') ^ key).to_bytes(words * 4, 'little')[
            :length
        ]
    result = bytearray(buffer[start:end])
    for index in range(4):
        result[index::4] = result[index::4].translate(_xor_table(masking_key[index]))
    return bytes(result)


#: The function that encodes a text as a payload for ``join``. A function around it
#: would cost time for every message.
encode = encode_text


def join(first: int, second: int, size: int, payload: bytes, masking_key: bytes | None) -> bytes:
    """Return a frame from its first two bytes, its masking key and its payload.

    The length of the payload is written in ``size`` bytes behind the first two.
    """
    if masking_key is None and not size:
        return b'%c%c%b' % (first, second, payload)
    length = len(payload)
    head = b'%c%c%b' % (first, second, length.to_bytes(size, 'big') if size else b'')
    if masking_key is None:
        return head + payload
    return head + masking_key + cut(payload, 0, length, masking_key, 0)
