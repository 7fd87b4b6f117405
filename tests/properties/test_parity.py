"""The pure and the compiled codec, side by side: equal frames, refusals and bytes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.errors import ProtocolError
from tests.support.forms import find_codec
from tests.support.strategies import cut, hostile_hybi, sizes, valid_hybi
from tests.support.vectors import KEY, RSV1, RSV2, RSV3, mask

pure, compiled = find_codec('pure'), find_codec('compiled')
if compiled is None:
    pytest.skip('only with both codecs; test_forms.py fails where they are required', allow_module_level=True)

EVERY_BIT = RSV1 | RSV2 | RSV3
FACTS = (
    'first_byte', 'opcode', 'length', 'masking_key', 'payload', 'is_first', 'is_last', 'fin', 'rsv', 'rsv1', 'rsv2', 'rsv3',
    'masked')
SOME = (bytes(range(256)) * 300)[:70_000]


def story(codec: ModuleType, chunks: list[bytes], masked: bool, reserved: int) -> list[Any]:
    """Return everything that a parser makes of these reads."""
    parser = codec.FrameParser(masked=masked)
    parser.reserve(reserved)
    log: list[Any] = []
    try:
        for chunk in chunks:
            parser.feed(chunk)
            while (frame := parser.next_frame()) is not None:
                facts = [getattr(frame, name) for name in FACTS]
                log.append((facts, [type(fact) for fact in facts], repr(frame)))
            log.append('read')
    except ProtocolError as error:
        log.append((type(error), str(error), error.code))
    return log


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return the bytes of an honest client, with a few of them changed."""
    wire = bytearray(draw(valid_hybi))
    for _ in range(draw(st.integers(0, 4)) if wire else 0):
        wire[draw(st.integers(0, len(wire) - 1))] = draw(st.integers(0, 255))
    return bytes(wire)


class TestParser:
    @given(wire=valid_hybi | hostile_hybi | damaged() | st.binary(max_size=300), sizes=sizes, masked=st.booleans(),
           reserved=st.sampled_from([0, RSV1, RSV2 | RSV3, EVERY_BIT]))
    def test_makes_equal_frames_however_the_bytes_are_cut(
        self, wire: bytes, sizes: list[int], masked: bool, reserved: int
    ) -> None:
        chunks = cut(wire, sizes)
        assert story(compiled, chunks, masked, reserved) == story(pure, chunks, masked, reserved)

    @given(payload_size=st.integers(0, 70_000), masking_key=st.none() | st.binary(min_size=4, max_size=4),
           count=st.integers(1, 3), sizes=st.lists(st.integers(500, 40_000), min_size=1, max_size=8))
    def test_makes_equal_frames_of_long_payloads(
        self, payload_size: int, masking_key: bytes | None, count: int, sizes: list[int]
    ) -> None:
        chunks = cut(pure.serialize_frame(2, SOME[:payload_size], masking_key=masking_key) * count, sizes)
        assert story(compiled, chunks, masking_key is not None, 0) == story(pure, chunks, masking_key is not None, 0)

    @pytest.mark.parametrize('masked', [False, True])
    def test_accepts_the_same_pairs_of_first_bytes(self, masked: bool) -> None:
        for reserved in (0, RSV1, EVERY_BIT):
            for head in range(65536):
                chunks = [head.to_bytes(2, 'big') + b'\0\0\0\0\0\1\2\3']
                assert story(compiled, chunks, masked, reserved) == story(pure, chunks, masked, reserved)


class TestSerializeFrame:
    @given(opcode=st.integers(0, 15), payload=st.binary(max_size=200), fin=st.booleans(),
           rsv=st.sampled_from(range(0, EVERY_BIT + 1, RSV3)), masking_key=st.none() | st.binary(min_size=4, max_size=4))
    def test_makes_equal_bytes(
        self, opcode: int, payload: bytes, fin: bool, rsv: int, masking_key: bytes | None
    ) -> None:
        assert compiled.serialize_frame(opcode, payload, fin, rsv, masking_key) == pure.serialize_frame(
            opcode, payload, fin, rsv, masking_key)

    @pytest.mark.parametrize('masking_key', [None, KEY])
    @pytest.mark.parametrize('lengths', [range(301), range(1015, 1035), range(65526, 65546)], ids=['short', '1024', '65536'])
    def test_makes_equal_bytes_of_every_length(self, lengths: range, masking_key: bytes | None) -> None:
        for length in lengths:
            assert compiled.serialize_frame(2, SOME[:length], masking_key=masking_key) == pure.serialize_frame(
                2, SOME[:length], masking_key=masking_key)


class TestApplyMask:
    @pytest.mark.parametrize('masking_key', [KEY, bytes(4), b'\xff' * 4, b'\0\0\0\1', b'\x80\0\0\0'])
    @pytest.mark.parametrize('lengths', [range(301), range(1015, 1035), range(65526, 65546)], ids=['short', '1024', '65536'])
    def test_is_equal_at_every_length(self, lengths: range, masking_key: bytes) -> None:
        whole = mask(SOME, masking_key)
        for length in lengths:
            assert compiled.apply_mask(SOME[:length], masking_key) == whole[:length]
            assert pure.apply_mask(SOME[:length], masking_key) == whole[:length]

    @pytest.mark.parametrize('codec', [pure, compiled], ids=['pure', 'compiled'])
    def test_is_equal_at_any_offset_in_the_buffer_and_the_payload(self, codec: ModuleType) -> None:
        payload = SOME[:400]
        wire = pure.serialize_frame(2, payload, masking_key=KEY)
        for first in range(8, 8 + 20):
            for second in range(first + 1, first + 40):
                parser = codec.FrameParser(masked=True)
                received = b''
                for chunk in (wire[:first], wire[first:second], wire[second:]):
                    parser.feed(chunk)
                    while (frame := parser.next_frame()) is not None:
                        received += frame.payload
                assert received == payload
