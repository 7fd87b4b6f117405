"""permessage-deflate (RFC 7692): its options, its negotiation, and its messages."""

from __future__ import annotations

import random
import zlib
from types import TracebackType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.errors import InvalidData, MessageTooBig
from faye_websocket.extensions import Message, PermessageDeflate, Pipeline
from tests.support.inside import zlib_objects_of
from tests.support.vectors import RSV1

#: The offers of browsers.
CHROMIUM = 'permessage-deflate; client_max_window_bits'
FIREFOX = SAFARI = 'permessage-deflate'
OLD_SAFARI = 'x-webkit-deflate-frame'
NAME = 'permessage-deflate'

HELLO = bytes.fromhex('f248cdc9c90700')
#: Text that is worth compressing.
TEXT = b'{"id": 1, "name": "somebody", "tags": ["a", "b"]}' * 40


def answer(offer: str, **options: Any) -> str:
    """Return the response of a server to an offer."""
    return Pipeline([PermessageDeflate(**options)]).generate_response(offer)


def server(offer: str = NAME, **options: Any) -> Pipeline:
    """Return the pipeline of a server that has agreed."""
    pipeline = Pipeline([PermessageDeflate(threshold=0, **options)])
    assert pipeline.generate_response(offer)
    return pipeline


def offering(**options: Any) -> tuple[str, Pipeline]:
    """Return an offer, and the pipeline of the client that makes it."""
    pipeline = Pipeline([PermessageDeflate(**{'threshold': 0, **options})])
    return pipeline.generate_offer(), pipeline


def client(answer: str = NAME, **options: Any) -> Pipeline:
    """Return the pipeline of a client that has agreed."""
    _, pipeline = offering(**options)
    pipeline.activate(answer)
    return pipeline


def outgoing(pipeline: Pipeline, data: bytes, opcode: int = 1) -> Message:
    return pipeline.process_outgoing_message(Message(opcode, data, 0))


def incoming(pipeline: Pipeline, data: bytes, max_length: int = 2**20, rsv: int = RSV1) -> bytes:
    message = pipeline.process_incoming_message(Message(1, data, rsv, max_length))
    assert message.rsv == 0
    return message.data


class TestOptions:
    @pytest.mark.parametrize(('options', 'error', 'text'), [
        ({'no_context_takeover': 1}, TypeError, 'no_context_takeover: expected True or False, got 1'),
        ({'request_no_context_takeover': None}, TypeError, 'request_no_context_takeover: expected True or False, got None'),
        ({'max_window_bits': 7}, ValueError, 'max_window_bits: expected 8 to 15, got 7'),
        ({'max_window_bits': 16}, ValueError, 'max_window_bits: expected 8 to 15, got 16'),
        ({'max_window_bits': True}, TypeError, 'max_window_bits: expected an integer, got True'),
        ({'request_max_window_bits': '9'}, TypeError, "request_max_window_bits: expected an integer, got '9'"),
        ({'request_max_window_bits': 0}, ValueError, 'request_max_window_bits: expected 8 to 15, got 0'),
        ({'level': -2}, ValueError, 'level: expected -1 to 9, got -2'),
        ({'level': 10}, ValueError, 'level: expected -1 to 9, got 10'),
        ({'level': 1.0}, TypeError, 'level: expected an integer, got 1.0'),
        ({'mem_level': 0}, ValueError, 'mem_level: expected 1 to 9, got 0'),
        ({'mem_level': 10}, ValueError, 'mem_level: expected 1 to 9, got 10'),
        ({'threshold': -1}, ValueError, 'threshold: expected 0 to 9223372036854775807, got -1'),
        ({'threshold': '1'}, TypeError, "threshold: expected an integer, got '1'"),
    ])
    def test_are_checked(self, options: dict[str, Any], error: type[Exception], text: str) -> None:
        with pytest.raises(error) as caught:
            PermessageDeflate(**options)
        assert str(caught.value) == text

    def test_must_be_named(self) -> None:
        with pytest.raises(TypeError):
            PermessageDeflate(True)

    def test_are_in_its_repr(self) -> None:
        assert repr(PermessageDeflate(level=1)) == '<PermessageDeflate level=1 mem_level=8 threshold=128>'


class TestServer:
    @pytest.mark.proves('D2', 'D3')
    @pytest.mark.parametrize(('offer', 'options', 'response'), [
        # the offers of browsers
        (CHROMIUM, {}, NAME),
        (FIREFOX, {}, NAME),
        (SAFARI, {}, NAME),
        (OLD_SAFARI, {}, ''),
        (f'{OLD_SAFARI}, {NAME}', {}, NAME),
        ('', {}, ''),
        # each parameter, requested by the client
        (f'{NAME}; server_no_context_takeover', {}, f'{NAME}; server_no_context_takeover'),
        (f'{NAME}; client_no_context_takeover', {}, f'{NAME}; client_no_context_takeover'),
        (f'{NAME}; server_max_window_bits=10', {}, f'{NAME}; server_max_window_bits=10'),
        (f'{NAME}; server_max_window_bits="10"', {}, f'{NAME}; server_max_window_bits=10'),
        (f'{NAME}; server_max_window_bits=8', {}, f'{NAME}; server_max_window_bits=8'),
        (f'{NAME}; server_max_window_bits=15', {}, f'{NAME}; server_max_window_bits=15'),
        (f'{NAME}; client_max_window_bits=10', {}, f'{NAME}; client_max_window_bits=10'),
        (f'{NAME}; client_max_window_bits=8', {}, f'{NAME}; client_max_window_bits=8'),
        # and by the server; the response to an offer without client_max_window_bits
        # must not have it
        (FIREFOX, {'no_context_takeover': True}, f'{NAME}; server_no_context_takeover'),
        (FIREFOX, {'request_no_context_takeover': True}, f'{NAME}; client_no_context_takeover'),
        (FIREFOX, {'max_window_bits': 10}, f'{NAME}; server_max_window_bits=10'),
        (FIREFOX, {'request_max_window_bits': 10}, NAME),
        (CHROMIUM, {'request_max_window_bits': 10}, f'{NAME}; client_max_window_bits=10'),
        # and by both: the smaller one is used
        (f'{NAME}; server_max_window_bits=10', {'max_window_bits': 12}, f'{NAME}; server_max_window_bits=10'),
        (f'{NAME}; server_max_window_bits=12', {'max_window_bits': 10}, f'{NAME}; server_max_window_bits=10'),
        (f'{NAME}; client_max_window_bits=10', {'request_max_window_bits': 12}, f'{NAME}; client_max_window_bits=10'),
        (f'{NAME}; client_max_window_bits=12', {'request_max_window_bits': 10}, f'{NAME}; client_max_window_bits=10'),
        # the first offer that can be accepted
        (f'{NAME}; server_max_window_bits=7, {NAME}; client_no_context_takeover, {NAME}', {},
         f'{NAME}; client_no_context_takeover'),
        (', '.join([f'{NAME}; server_max_window_bits=16'] * 49 + [NAME]), {}, NAME),
    ])
    def test_answers(self, offer: str, options: dict[str, Any], response: str) -> None:
        assert answer(offer, **options) == response

    @pytest.mark.proves('D2')
    @pytest.mark.parametrize('parameters', [
        *(f'{name}_max_window_bits={value}' for name in ('server', 'client')
          for value in ('7', '16', '99999', '""', '0', '-9', '09', '+9', '9.0', 'x', '"9 "', '"\xd9\xa9"')),
        'server_max_window_bits',
        *(f'{name}_no_context_takeover={value}' for name in ('server', 'client') for value in ('1', 'true', '""')),
        'server_max_window_bits=9; server_max_window_bits=9',
        'client_max_window_bits; client_max_window_bits',
        'client_max_window_bits; client_max_window_bits=9',
        'server_no_context_takeover; server_no_context_takeover',
        'unknown', 'unknown=1', 'Server_no_context_takeover', 'server_no_context_takeover; unknown',
    ])
    def test_declines_offers_that_it_does_not_understand(self, parameters: str) -> None:
        try:
            assert answer(f'{NAME}; {parameters}') == ''
        except ValueError as error:
            assert str(error).startswith('malformed Sec-WebSocket-Extensions header')
        else:
            assert answer(f'{NAME}; {parameters}, {NAME}') == NAME

    @pytest.mark.proves('D2')
    @given(st.lists(st.tuples(
        st.sampled_from(['server_no_context_takeover', 'client_no_context_takeover', 'server_max_window_bits',
                         'client_max_window_bits', 'unknown']),
        st.sampled_from(['', '=8', '=9', '=12', '=15', '=16', '=""', '="10"', '=x'])), max_size=5),
        st.booleans(), st.booleans(), st.none() | st.integers(8, 15), st.none() | st.integers(8, 15))
    def test_never_answers_more_than_was_offered(
            self, offer: list[tuple[str, str]], own: bool, peer: bool, own_bits: int | None,
            peer_bits: int | None) -> None:
        header = '; '.join([NAME, *(name + value for name, value in offer)])
        response = answer(
            header, no_context_takeover=own, max_window_bits=own_bits, request_no_context_takeover=peer,
            request_max_window_bits=peer_bits)
        names = [name for name, _ in offer]
        if response:
            agreed = dict(part.partition('=')[::2] for part in response.split('; ')[1:])
            offered = {name: value.strip('="') for name, value in offer}
            for bits in ('server_max_window_bits', 'client_max_window_bits'):
                assert int(agreed.get(bits, 15)) <= int(offered.get(bits) or 15)
            assert 'client_max_window_bits' in names or 'client_max_window_bits' not in agreed
            assert 'server_no_context_takeover' not in names or agreed['server_no_context_takeover'] == ''
            assert len(names) == len(set(names)) and 'unknown' not in names


class TestClient:
    @pytest.mark.parametrize(('options', 'offer'), [
        ({}, CHROMIUM),
        ({'no_context_takeover': True}, f'{NAME}; client_no_context_takeover; client_max_window_bits'),
        ({'max_window_bits': 10}, f'{NAME}; client_max_window_bits=10'),
        ({'request_no_context_takeover': True, 'request_max_window_bits': 9},
         f'{NAME}; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits'),
    ])
    def test_offers(self, options: dict[str, Any], offer: str) -> None:
        assert offering(**options)[0] == offer

    @pytest.mark.parametrize(('options', 'parameters'), [
        ({}, ''),
        ({}, '; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=15'),
        ({'no_context_takeover': True}, ''),
        ({'max_window_bits': 10}, ''),
        ({'max_window_bits': 10}, '; client_max_window_bits=10'),
        ({'max_window_bits': 10}, '; client_max_window_bits=9'),
        ({'request_no_context_takeover': True}, '; server_no_context_takeover'),
        ({'request_max_window_bits': 10}, '; server_max_window_bits=10'),
        ({'request_max_window_bits': 15}, ''),
        ({'request_max_window_bits': 10}, '; server_max_window_bits="9"'),
    ])
    def test_takes(self, options: dict[str, Any], parameters: str) -> None:
        pipeline = client(NAME + parameters, **options)
        assert (pipeline.header, pipeline.reserved) == (NAME + parameters.replace('"', ''), RSV1)

    @pytest.mark.proves('D2')
    @pytest.mark.parametrize(('options', 'parameters'), [
        ({}, 'client_max_window_bits'),
        ({}, 'server_max_window_bits'),
        ({}, 'server_max_window_bits=7'),
        ({}, 'client_max_window_bits=16'),
        ({}, 'server_no_context_takeover=1'),
        ({}, 'client_no_context_takeover; client_no_context_takeover'),
        ({}, 'unknown'),
        ({'max_window_bits': 10}, 'client_max_window_bits=11'),
        ({'request_no_context_takeover': True}, 'client_no_context_takeover'),
        ({'request_max_window_bits': 10}, 'server_max_window_bits=11'),
        ({'request_max_window_bits': 10}, 'server_no_context_takeover'),
    ])
    def test_refuses(self, options: dict[str, Any], parameters: str) -> None:
        with pytest.raises(ValueError, match='^the parameters of permessage-deflate do not match the offer$'):
            client(f'{NAME}; {parameters}', **options)


@pytest.mark.parametrize('end', [server, client])
class TestExamplesOfTheStandard:
    """The examples of RFC 7692 section 7.2.3, byte for byte.

    They are inflated, and compressed where zlib makes equal bytes.
    """

    def test_a_compressed_message(self, end: Any) -> None:
        assert outgoing(end(), b'Hello').data == HELLO
        assert outgoing(end(), b'Hello').rsv == RSV1
        assert incoming(end(), HELLO) == b'Hello'

    def test_sharing_the_window(self, end: Any) -> None:
        sender, receiver = end(), end()
        first, second = outgoing(sender, b'Hello').data, outgoing(sender, b'Hello').data
        assert (first, second) == (HELLO, bytes.fromhex('f200110000'))
        assert [incoming(receiver, data) for data in (first, second)] == [b'Hello', b'Hello']

    def test_not_sharing_the_window(self, end: Any) -> None:
        sender = end(f'{NAME}; server_no_context_takeover; client_no_context_takeover')
        assert [outgoing(sender, b'Hello').data for _ in range(3)] == [HELLO] * 3
        assert [incoming(sender, HELLO) for _ in range(3)] == [b'Hello'] * 3

    def test_a_block_without_compression(self, end: Any) -> None:
        wire = bytes.fromhex('000500faff48656c6c6f00')
        assert incoming(end(), wire) == b'Hello'
        assert outgoing(end(level=0), b'Hello').data == wire

    @pytest.mark.parametrize('parameters', ['', '; server_no_context_takeover; client_no_context_takeover'])
    def test_a_final_block(self, end: Any, parameters: str) -> None:
        receiver = end(NAME + parameters)
        final = bytes.fromhex('f348cdc9c9070000')
        # The byte after the final block may be missing, too.
        assert [incoming(receiver, wire) for wire in (final, HELLO, final[:-1], final, HELLO)] == [b'Hello'] * 5

    def test_two_blocks_in_one_message(self, end: Any) -> None:
        assert incoming(end(), bytes.fromhex('f248050000 00ffff cac9c90700')) == b'Hello'

    @pytest.mark.parametrize('parameters', ['', '; server_no_context_takeover; client_no_context_takeover'])
    def test_an_empty_message(self, end: Any, parameters: str) -> None:
        pipeline = end(NAME + parameters)
        for _ in range(2):
            message = outgoing(pipeline, b'')
            assert (message.data, message.rsv) == (b'\x00', RSV1)
            assert incoming(pipeline, b'\x00') == b''
            # zlib's output for no data at the beginning of a stream.
            assert incoming(pipeline, b'\x02\x00') == b''
        assert incoming(pipeline, outgoing(pipeline, b'Hello').data) == b'Hello'


class TestMessages:
    @pytest.mark.proves('D5')
    def test_below_the_threshold_are_sent_uncompressed(self) -> None:
        pipeline = client(threshold=5)
        for data, rsv in ((b'1234', 0), (b'12345', RSV1), (b'', 0)):
            assert outgoing(pipeline, data).rsv == rsv

    def test_that_are_not_compressed_are_received_unchanged(self) -> None:
        pipeline = server()
        assert incoming(pipeline, HELLO, rsv=0) == HELLO
        assert incoming(pipeline, HELLO) == b'Hello'

    @pytest.mark.proves('D4')
    def test_go_through_zlib_from_the_first_one_until_the_end(self) -> None:
        pipeline = server()
        [session] = pipeline._sessions
        assert zlib_objects_of(session) == (None, None)
        incoming(pipeline, outgoing(pipeline, b'Hello').data)
        assert None not in zlib_objects_of(session)
        pipeline.close()
        assert zlib_objects_of(session) == (None, None)

    @pytest.mark.proves('D4')
    def test_leave_no_zlib_objects_without_context_takeover(self) -> None:
        pipeline = server(f'{NAME}; server_no_context_takeover; client_no_context_takeover')
        [session] = pipeline._sessions
        incoming(pipeline, outgoing(pipeline, b'Hello').data)
        assert zlib_objects_of(session) == (None, None)

    def test_do_not_refer_to_those_of_other_connections(self) -> None:
        one = server(no_context_takeover=True)
        two = client(no_context_takeover=True)
        three = server(no_context_takeover=True, level=9)
        for pipeline in (one, two, three, one):
            assert zlib.decompress(outgoing(pipeline, TEXT).data + b'\x00\x00\xff\xff\x03\x00', wbits=-15) == TEXT

    def test_cannot_read_those_of_other_connections(self) -> None:
        parameters = f'{NAME}; client_no_context_takeover'
        other, pipeline = server(parameters), server(parameters)
        deflater = zlib.compressobj(wbits=-15, zdict=b'Hello')
        wire = deflater.compress(b'Hello') + deflater.flush(zlib.Z_SYNC_FLUSH)
        assert incoming(other, HELLO) == b'Hello'
        with pytest.raises(InvalidData):
            incoming(pipeline, wire[:-4])

    @pytest.mark.parametrize('bits', range(8, 16))
    @pytest.mark.parametrize('context', [True, False])
    def test_stay_within_the_window_agreed_on(self, bits: int, context: bool) -> None:
        offer = f'{NAME}; server_max_window_bits={bits}' + ('' if context else '; server_no_context_takeover')
        pipeline = server(offer)
        # Byte by byte, zlib's inflater has nothing but its window to look back to.
        inflater = zlib.decompressobj(wbits=-bits)
        pattern = bytes(range(200)) * 200 + bytes(1000) + TEXT * 9
        for data in (pattern, pattern):
            wire, message = outgoing(pipeline, data).data + b'\x00\x00\xff\xff', bytearray()
            while wire or len(message) < len(data):
                message += inflater.decompress(wire, 1)
                wire = inflater.unconsumed_tail
            assert message == data

    def test_have_equal_keys_on_sessions_that_make_equal_bytes(self) -> None:
        bare = f'{NAME}; server_no_context_takeover'
        keys = [pipeline.broadcast_key for pipeline in (
            server(bare), server(no_context_takeover=True), server(f'{bare}; client_no_context_takeover'),
            client(f'{NAME}; client_no_context_takeover'))]
        assert keys == keys[:1] * 4
        others = [pipeline.broadcast_key for pipeline in (
            server(bare, level=1), server(bare, mem_level=1), server(f'{bare}; server_max_window_bits=9'))]
        assert len({*others, keys[0]}) == 4
        assert (server().broadcast_key, client().broadcast_key) == (None, None)


class TestIncoming:
    """Faults in incoming messages."""

    @pytest.mark.parametrize('parameters', ['', '; server_no_context_takeover; client_no_context_takeover'])
    @pytest.mark.parametrize('wire', [b'', b'\xff', b'\x07', HELLO[:3] + b'\xff' * 3, b'\x00' * 5, b'\x03\x00' * 65])
    def test_is_reported(self, parameters: str, wire: bytes) -> None:
        pipeline = server(NAME + parameters)
        with pytest.raises(InvalidData, match='^message cannot be inflated: '):
            incoming(pipeline, wire)
            incoming(pipeline, HELLO)

    def test_is_reported_at_once_for_a_message_that_is_cut_off(self) -> None:
        pipeline = server(f'{NAME}; client_no_context_takeover')
        with pytest.raises(InvalidData, match='^message cannot be inflated: it is incomplete$'):
            incoming(pipeline, b'\x00\x10\x00\xef\xffHe')

    def test_may_have_many_final_blocks_but_not_any_number(self) -> None:
        assert incoming(server(), b'\x03\x00' * 64 + b'\x00') == b''
        with pytest.raises(InvalidData, match='^message cannot be inflated: more than 64 final blocks$'):
            incoming(server(), b'\x03\x00' * 65 + b'\x00')

    @pytest.mark.proves('D1')
    @pytest.mark.parametrize('size', [1, 127, 2**16, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
    def test_may_inflate_to_the_limit_and_not_beyond(self, size: int) -> None:
        for data in (bytes(size), (TEXT * (size // len(TEXT) + 1))[:size]):
            wire = outgoing(client(), data).data
            assert incoming(server(), wire, size) == data
            with pytest.raises(MessageTooBig, match=f'^message too big: more than {size - 1} bytes when inflated$'):
                incoming(server(), wire, size - 1)

    @pytest.mark.proves('D1')
    @pytest.mark.parametrize('size', [2**16 - 1, 2**16, 2**16 + 1, 2**18])
    def test_is_joined_from_pieces(self, size: int) -> None:
        data = random.Random(size).randbytes(size)
        wires = [outgoing(client(level=level), data).data for level in (0, -1)]
        for wire in (*wires, wires[0][:size]):
            assert incoming(server(), wire, size)[:size - 100] == data[:size - 100]

    @pytest.mark.parametrize('parameters', ['', '; client_no_context_takeover'])
    def test_may_have_a_block_that_begins_like_the_tail(
        self, parameters: str
    ) -> None:  # RFC 7692, 7.2.3.4
        # A final block that ends up to four bytes before the end of a piece. The rest
        # of the piece looks like the tail, and is the head of a block.
        data = stored(bytes(65527), final=True) + stored(b'x' * 0xFF00) + b'\x00'
        assert data[65532:65536] == b'\x00\x00\xff\xff'
        assert incoming(server(NAME + parameters), data) == bytes(65527) + b'x' * 0xFF00

    @pytest.mark.parametrize('final', [False, True])
    @pytest.mark.parametrize(
        'end',
        [
            2**16 - 5,
            2**16 - 4,
            2**16 - 1,
            2**16,
            2**16 + 1,
            2**17 - 4,
            2**17,
            2**17 + 4,
        ],
    )
    @pytest.mark.parametrize('rest', [b'', b'\x00', b'abc'])
    def test_may_have_blocks_that_end_anywhere(
        self, end: int, rest: bytes, final: bool
    ) -> None:  # RFC 7692, 7.2.3.4
        first = min(end - 5, 65535)
        sizes = [first, end - first - 10] if end - first > 10 else [first]
        data = b''.join(stored(bytes(size), final=final) for size in sizes)
        data += stored(rest, final=final) if rest else b''
        for wire in (data + b'\x00', data):
            if wire is not data or final:
                assert incoming(server(), wire) == bytes(sum(sizes)) + rest

    @pytest.mark.proves('D1')
    def test_the_limit_may_be_any_number(self) -> None:
        for limit in (5, 5.0, 5.5, float('inf')):
            assert incoming(server(), HELLO, limit) == b'Hello'  # type: ignore[arg-type]
        for limit in (4, 4.0, 4.5):
            with pytest.raises(MessageTooBig, match=f'^message too big: more than {limit} bytes when inflated$'):
                incoming(server(), HELLO, limit)  # type: ignore[arg-type]

    def test_must_be_empty_if_the_limit_is_zero(self) -> None:
        assert incoming(server(), b'\x00', 0) == b''
        with pytest.raises(MessageTooBig):
            incoming(server(), HELLO, 0)

    def test_is_not_kept_by_the_error(self) -> None:
        with pytest.raises(MessageTooBig) as caught:
            incoming(server(), outgoing(client(), bytes(2**20)).data, 2**20 - 1)
        trace: TracebackType | None = caught.tb
        while trace is not None:
            for value in trace.tb_frame.f_locals.values():
                assert not isinstance(value, (bytes, list)) or len(value) < 2**16
            trace = trace.tb_next


def stored(data: bytes, final: bool = False) -> bytes:
    """Return one block of DEFLATE that is not compressed (RFC 1951, 3.2.4)."""
    return bytes((final,)) + len(data).to_bytes(2, 'little') + (len(data) ^ 0xFFFF).to_bytes(2, 'little') + data


# hypothesis looks into the code of what it calls; PyPy's own methods have none.
def repeat(data: bytes, times: int) -> bytes:
    """Return the data as many times."""
    return data * times


parameters = st.fixed_dictionaries({}, optional={
    'no_context_takeover': st.booleans(), 'request_no_context_takeover': st.booleans(),
    'max_window_bits': st.integers(8, 15), 'request_max_window_bits': st.integers(8, 15),
    'level': st.integers(-1, 9), 'mem_level': st.integers(1, 9), 'threshold': st.integers(0, 40)})
messages = st.lists(st.binary(max_size=60) | st.builds(repeat, st.binary(max_size=20), st.integers(0, 5000)), max_size=6)


def joined(options: dict[str, Any], others: dict[str, Any]) -> tuple[Pipeline, Pipeline]:
    """Return the pipelines of a client and a server that have agreed."""
    offer, one = offering(**options)
    two = Pipeline([PermessageDeflate(**others)])
    one.activate(two.generate_response(offer))
    assert one.header == two.header != ''
    return one, two


class TestAnything:
    @given(parameters, parameters, messages, messages)
    def test_is_inflated_to_the_original(
            self, options: dict[str, Any], others: dict[str, Any], there: list[bytes], back: list[bytes]) -> None:
        one, two = joined(options, others)
        for sender, receiver, sent in ((one, two, there), (two, one, back)):
            for data in sent:
                message = outgoing(sender, data)
                message.max_length = len(data)
                assert receiver.process_incoming_message(message).data == data

    @given(parameters, messages, st.randoms(use_true_random=False))
    def test_broken_raises_a_documented_error(self, options: dict[str, Any], sent: list[bytes], random: Any) -> None:
        one, two = joined(options, {})
        for data in sent:
            wire = bytearray(outgoing(one, data).data) or bytearray(1)
            for _ in range(random.randint(0, 3)):
                wire[random.randrange(len(wire))] = random.randrange(256)
            del wire[random.randint(0, 2 * len(wire)):]
            try:
                assert len(incoming(two, bytes(wire), 1000)) <= 1000
            except (InvalidData, MessageTooBig):
                break
