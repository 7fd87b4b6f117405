"""Strategies of hypothesis for the bytes on the wire."""

from __future__ import annotations

from itertools import cycle

from hypothesis import strategies as st

from tests.support.recorder import sent
from tests.support.vectors import BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, head

#: The lengths of the reads, repeated.
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def cut(wire: bytes, sizes: list[int]) -> list[bytes]:
    """Return the wire in parts of these sizes, repeated."""
    parts, start, lengths = [], 0, cycle(sizes)
    while start < len(wire):
        size = next(lengths)
        parts.append(wire[start:start + size])
        start += size
    return parts


_controls = st.builds(sent, st.sampled_from([PING, PONG]), st.binary(max_size=125))
_closes = st.builds(
    lambda code, reason: sent(CLOSE, code.to_bytes(2, 'big') + reason.encode()[:123]),
    st.sampled_from([999, 1000, 1001, 1005, 3000, 4999]), st.text(max_size=60))


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """Return a message in fragments, with control frames between them."""
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    data = draw(st.text(max_size=80)).encode() if opcode == TEXT else draw(st.binary(max_size=200))
    pieces = cut(data, draw(sizes)) or [b'']
    wire = b''
    for index, piece in enumerate(pieces):
        wire += sent(opcode if index == 0 else CONTINUATION, piece, fin=index == len(pieces) - 1)
        wire += b''.join(draw(st.lists(_controls, max_size=1)))
    return wire


def _joined(parts: st.SearchStrategy[bytes], last: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda many, one: b''.join(many) + one, st.lists(parts, max_size=6), last)


#: The bytes that an honest client may send, up to a close or not.
valid_hybi = _joined(_messages() | _controls, st.just(b'') | _closes)

_frames_anywhere = st.builds(
    sent, st.integers(0, 15), st.binary(max_size=140), fin=st.booleans(), rsv=st.sampled_from([0, 0, 0, 0x40, 0x10]))
_bare_headers = st.builds(
    lambda first, size, length, masked: head(first, length % (256**size if size else 126), size=size, masked=masked) + KEY,
    st.integers(0, 255), st.sampled_from([0, 2, 8]), st.integers(0, 2**64 - 1), st.booleans())

#: Bytes that nobody should send: frames out of order, wrong headers, broken text,
#: noise.
hostile_hybi = _joined(_messages() | _controls | _closes | _frames_anywhere | _bare_headers, st.binary(max_size=40))

_texts = st.builds(lambda text: b'\0' + text.encode() + b'\xff', st.text(max_size=40))
_skipped = st.builds(lambda first, data: bytes((first, len(data))) + data, st.integers(0x80, 0xFE), st.binary(max_size=127))

#: The bytes that an honest client of either hixie draft may send.
valid_hixie = _joined(_texts | _skipped, st.sampled_from([b'', b'\xff\x00']))

_broken_texts = st.builds(lambda data: b'\0' + data + b'\xff', st.binary(max_size=40))
_lengths = st.builds(lambda data: bytes((0xFF,)) + data, st.binary(max_size=6))

#: The same with broken text, wrong lengths and noise.
hostile_hixie = _joined(_texts | _skipped | _broken_texts | _lengths, st.binary(max_size=40))
