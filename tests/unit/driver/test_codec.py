"""Framing, RFC 6455 section 5: each vector in both directions, each limit from both
sides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.driver.text import encode_text
from faye_websocket.errors import ProtocolError
from tests.conftest import Cut
from tests.support.strategies import cut, sizes
from tests.support.vectors import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    VECTORS,
    Vector,
    frame,
    head,
    mask,
)

EVERY_BIT = RSV1 | RSV2 | RSV3

vectors = pytest.mark.parametrize('vector', VECTORS, ids=[vector.name for vector in VECTORS])


def parser_of(codec: ModuleType, *, masked: bool, reserved: int = 0) -> Any:
    """Return a parser that accepts these reserved bits."""
    parser = codec.FrameParser(masked=masked)
    parser.reserve(reserved)
    return parser


def parse(parser: Any, parts: Iterable[bytes]) -> list[Any]:
    """Return all frames and parts of frames in these parts of the wire."""
    frames = []
    for part in parts:
        parser.feed(part)
        while (frame := parser.next_frame()) is not None:
            frames.append(frame)
    return frames


def wholes(frames: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return the frames with their parts joined, as plain tuples."""
    result: list[tuple[Any, ...]] = []
    payload: bytes | None = None
    for each in frames:
        assert each.is_first == (payload is None)
        payload = (payload or b'') + each.payload
        if each.is_last:
            assert each.length == len(payload)
            result.append((each.opcode, payload, each.fin, each.rsv, each.masking_key))
            payload = None
    return result


class TestVectors:
    @vectors
    def test_the_bytes_parse_to_the_frame(
        self, codec: ModuleType, chunks: Cut, vector: Vector
    ) -> None:
        parser = parser_of(codec, masked=vector.masking_key is not None, reserved=EVERY_BIT)
        assert wholes(parse(parser, chunks(vector.wire))) == [
            (vector.opcode, vector.payload, vector.fin, vector.rsv, vector.masking_key)]

    @vectors
    def test_the_frame_serializes_to_the_bytes(self, codec: ModuleType, vector: Vector) -> None:
        assert codec.serialize_frame(
            vector.opcode, vector.payload, fin=vector.fin, rsv=vector.rsv, masking_key=vector.masking_key) == vector.wire

    @pytest.mark.parametrize('masked', [False, True])
    def test_all_of_them_in_one_read_come_in_their_order(self, codec: ModuleType, masked: bool) -> None:
        rows = [vector for vector in VECTORS if (vector.masking_key is not None) is masked]
        parser = parser_of(codec, masked=masked, reserved=EVERY_BIT)
        assert wholes(parse(parser, [b''.join(vector.wire for vector in rows)])) == [
            (vector.opcode, vector.payload, vector.fin, vector.rsv, vector.masking_key) for vector in rows]

    @given(
        rows=st.lists(st.tuples(
            st.sampled_from([CONTINUATION, TEXT, BINARY]) | st.sampled_from([CLOSE, PING, PONG]),
            st.binary(max_size=200), st.booleans(), st.sampled_from(range(0, EVERY_BIT + 1, RSV3))), max_size=6),
        masking_key=st.none() | st.binary(min_size=4, max_size=4), sizes=sizes)
    def test_what_is_serialized_parses_back_however_it_is_cut(
        self, codec: ModuleType, rows: list[tuple[int, bytes, bool, int]], masking_key: bytes | None, sizes: list[int]
    ) -> None:
        frames = [
            (opcode, payload[:125], True, 0, masking_key) if opcode >= CLOSE else (opcode, payload, fin, rsv, masking_key)
            for opcode, payload, fin, rsv in rows]
        wire = b''.join(
            codec.serialize_frame(opcode, payload, fin=fin, rsv=rsv, masking_key=key)
            for opcode, payload, fin, rsv, key in frames)
        parser = parser_of(codec, masked=masking_key is not None, reserved=EVERY_BIT)
        assert wholes(parse(parser, cut(wire, sizes))) == frames


class TestParser:
    def test_a_long_payload_is_returned_in_parts(self, codec: ModuleType) -> None:
        parser = parser_of(codec, masked=True)
        wire = frame(BINARY, b'abcdefgh', masking_key=KEY)
        parts = [[(each.payload, each.is_first, each.is_last) for each in parse(parser, [chunk])]
                 for chunk in (wire[:6], wire[6:9], wire[9:14])]
        assert parts == [[(b'', True, False)], [(b'abc', False, False)], [(b'defgh', False, True)]]

    def test_every_part_has_the_values_of_the_header(self, codec: ModuleType) -> None:
        parser = parser_of(codec, masked=False, reserved=RSV2)
        for each in parse(parser, [head(TEXT | RSV2, 3) + b'a', b'b', b'c']):
            assert (each.opcode, each.fin, each.rsv, each.length, each.masked) == (TEXT, False, RSV2, 3, False)

    def test_a_control_frame_is_returned_whole(self, codec: ModuleType) -> None:
        parser = parser_of(codec, masked=True)
        wire = frame(PING, b'p' * 125, masking_key=KEY)
        assert parse(parser, [wire[:5], wire[5:20], wire[20:-1]]) == []
        assert wholes(parse(parser, [wire[-1:]])) == [(PING, b'p' * 125, True, 0, KEY)]

    @pytest.mark.parametrize('length', [125, 126, 65535, 65536, 2**63 - 1])
    def test_a_header_is_read_whole_or_not_at_all(self, codec: ModuleType, length: int) -> None:
        wire = head(0x80 | BINARY, length, masked=True) + KEY
        parser = parser_of(codec, masked=True)
        assert parse(parser, [wire[:-1]]) == []
        [header] = parse(parser, [wire[-1:]])
        assert (header.length, header.payload, header.is_first, header.is_last) == (length, b'', True, False)

    def test_no_bytes_make_no_frame(self, codec: ModuleType) -> None:
        parser = parser_of(codec, masked=True)
        assert parse(parser, [b'', b'']) == []
        assert parse(parser, [frame(BINARY, b'abc', masking_key=KEY)[:-1], b'', b''])[-1].payload == b'ab'

    def test_the_bytes_after_a_payload_are_the_next_frame(self, codec: ModuleType) -> None:
        first, second = frame(TEXT, b'abc'), frame(PING, b'p')
        parser = parser_of(codec, masked=False)
        assert wholes(parse(parser, [first[:3], first[3:] + second])) == [
            (TEXT, b'abc', True, 0, None), (PING, b'p', True, 0, None)]


class TestRefusals:
    @pytest.mark.proves('S5')
    @pytest.mark.parametrize('masked', [False, True], ids=['server', 'client'])
    @pytest.mark.parametrize(('first_byte', 'text'), [
        (0x83, 'unknown opcode 3'),
        (0x87, 'unknown opcode 7'),
        (0x8B, 'unknown opcode 11'),
        (0x8F, 'unknown opcode 15'),
        (0x0F, 'unknown opcode 15'),
        (0xC3, 'unknown opcode 3'),
        (0x80 | RSV1 | TEXT, 'reserved bits 100 set without an extension that uses them'),
        (0x80 | RSV2 | BINARY, 'reserved bits 010 set without an extension that uses them'),
        (RSV3 | CONTINUATION, 'reserved bits 001 set without an extension that uses them'),
        (0x80 | RSV1 | RSV3 | PING, 'reserved bits 101 set without an extension that uses them'),
        (CLOSE, 'fragmented control frame'),
        (PING, 'fragmented control frame'),
        (PONG, 'fragmented control frame'),
    ])
    def test_refuses_a_first_byte(
        self, codec: ModuleType, chunks: Cut, masked: bool, first_byte: int, text: str
    ) -> None:
        with pytest.raises(ProtocolError) as raised:
            parse(parser_of(codec, masked=masked), chunks(head(first_byte, 0, masked=masked)))
        assert (str(raised.value), raised.value.code) == (text, 1002)

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize(('reserved', 'first_byte', 'bits'), [
        (RSV1, RSV2 | TEXT, '010'),
        (RSV1, RSV1 | RSV2 | TEXT, '110'),
        (RSV2 | RSV3, RSV1 | TEXT, '100'),
        (EVERY_BIT, 0x80 | RSV1 | PING, '100'),
    ])
    def test_refuses_reserved_bits_but_those_agreed_on(
        self, codec: ModuleType, reserved: int, first_byte: int, bits: str
    ) -> None:
        with pytest.raises(ProtocolError, match=f'^reserved bits {bits} set without an extension that uses them$'):
            parse(parser_of(codec, masked=False, reserved=reserved), [head(first_byte, 0)])

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize(('masked', 'text'), [
        (True, 'unmasked frame from a client'), (False, 'masked frame from a server')])
    def test_refuses_the_wrong_masking(
        self, codec: ModuleType, chunks: Cut, masked: bool, text: str
    ) -> None:
        with pytest.raises(ProtocolError, match=f'^{text}$'):
            parse(parser_of(codec, masked=masked), chunks(head(0x81, 0, masked=not masked)))

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize('opcode', [CLOSE, PING, PONG])
    @pytest.mark.parametrize('length', [126, 65536])
    def test_refuses_a_control_frame_of_more_than_125_bytes(
        self, codec: ModuleType, chunks: Cut, opcode: int, length: int
    ) -> None:
        with pytest.raises(ProtocolError, match='^control frame is longer than 125 bytes$'):
            parse(parser_of(codec, masked=False), chunks(head(0x80 | opcode, length)[:2]))

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize(('length', 'size'), [(0, 2), (125, 2), (0, 8), (126, 8), (65535, 8), (2**63, 8), (2**64 - 1, 8)])
    @pytest.mark.parametrize('masked', [False, True], ids=['server', 'client'])
    def test_refuses_a_length_that_is_not_minimal_or_has_the_top_bit(
        self, codec: ModuleType, chunks: Cut, length: int, size: int, masked: bool
    ) -> None:
        with pytest.raises(ProtocolError, match='^payload length is not minimal, or has its top bit set$'):
            parse(parser_of(codec, masked=masked), chunks(head(0x82, length, size=size, masked=masked)))

    def test_returns_the_frames_before_a_fault(self, codec: ModuleType) -> None:
        parser = parser_of(codec, masked=False)
        parser.feed(frame(TEXT, b'good') + b'\x83\x00')
        assert parser.next_frame().payload == b'good'
        with pytest.raises(ProtocolError):
            parser.next_frame()


class TestFrame:
    @pytest.mark.parametrize('rsv', range(0, EVERY_BIT + 1, RSV3))
    def test_knows_its_bits(self, codec: ModuleType, rsv: int) -> None:
        [each] = parse(parser_of(codec, masked=False, reserved=EVERY_BIT), [head(TEXT | rsv, 0)])
        assert (each.rsv, each.rsv1, each.rsv2, each.rsv3) == (rsv, bool(rsv & RSV1), bool(rsv & RSV2), bool(rsv & RSV3))

    @pytest.mark.parametrize('masking_key', [None, KEY])
    def test_knows_whether_it_was_masked(self, codec: ModuleType, masking_key: bytes | None) -> None:
        [each] = parse(parser_of(codec, masked=masking_key is not None), [frame(TEXT, b'a', masking_key=masking_key)])
        assert (each.masked, each.masking_key) == (masking_key is not None, masking_key)

    def test_shows_its_state(self, codec: ModuleType) -> None:
        [part] = parse(parser_of(codec, masked=False), [frame(BINARY, b'abc', fin=False)[:-1]])
        assert repr(part) == '<Frame opcode=2 fin=False length=3 payload=2 bytes>'


class TestText:
    @pytest.mark.parametrize('text', ['', 'a' * 125, 'a' * 126, 'a' * 65536, 'caf\xe9', '\u20ac' * 42, '\U0001f600', 'a\0b'])
    @pytest.mark.parametrize('masking_key', [None, KEY])
    def test_is_a_frame_of_its_utf8(self, codec: ModuleType, text: str, masking_key: bytes | None) -> None:
        assert codec.serialize_text(text, masking_key) == frame(TEXT, text.encode(), masking_key=masking_key)

    def test_has_no_surrogates(self, codec: ModuleType) -> None:
        for text in ('a\ud800b', '\udfff\xe9', '\ud83d\ude00'):
            assert codec.serialize_text(text) == frame(TEXT, encode_text(text))


class TestMask:
    @pytest.mark.parametrize('length', [0, 1, 2, 3, 4, 5, 8, 127, 2047, 2048, 2049, 2050, 2051, 65537])
    def test_follows_the_rfc_at_any_length(self, codec: ModuleType, length: int) -> None:
        payload = (bytes(range(256)) * (length // 256 + 1))[:length]
        assert codec.apply_mask(payload, KEY) == mask(payload, KEY)

    @given(payload=st.binary(max_size=5000), masking_key=st.binary(min_size=4, max_size=4))
    def test_undoes_itself(self, codec: ModuleType, payload: bytes, masking_key: bytes) -> None:
        masked = codec.apply_mask(payload, masking_key)
        assert masked == mask(payload, masking_key)
        assert codec.apply_mask(masked, masking_key) == payload


    @pytest.mark.parametrize('masking_key', [b'', b'abc', b'abcde'])
    def test_refuses_a_key_that_has_not_four_bytes(self, codec: ModuleType, masking_key: bytes) -> None:
        for use in (lambda: codec.apply_mask(b'hello', masking_key),
                    lambda: codec.serialize_frame(TEXT, b'hello', masking_key=masking_key)):
            with pytest.raises(ValueError, match='^a masking key has four bytes$'):
                use()


class TestBuffer:
    """The buffer of the parser."""

    @pytest.mark.skipif(not hasattr(sys, 'getrefcount'), reason='this interpreter counts no references')
    @pytest.mark.parametrize('masking_key', [None, KEY])
    def test_releases_bytes_that_were_parsed(self, codec: ModuleType, masking_key: bytes | None) -> None:
        parser = parser_of(codec, masked=masking_key is not None)
        wire = frame(BINARY, bytes(50_000), masking_key=masking_key)
        for chunk in (wire, wire[:100], wire[100:]):
            before = sys.getrefcount(chunk)
            parse(parser, [chunk])
            assert sys.getrefcount(chunk) == before

    def test_takes_any_bytes_to_send(self, codec: ModuleType) -> None:
        for make in (bytearray, memoryview):
            for payload in (b'abc', bytes(200), bytes(70_000)):
                assert codec.serialize_frame(BINARY, make(payload)) == frame(BINARY, payload)
                assert codec.serialize_frame(BINARY, make(payload), masking_key=KEY) == frame(
                    BINARY, payload, masking_key=KEY)
