"""Extensions in the drivers of both ends: permessage-deflate, alone and beside another.
"""

from __future__ import annotations

import gc
import math
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.driver import CLOSED, OPEN
from faye_websocket.driver.base import SharedMessage
from faye_websocket.extensions import InvalidData, Message, PermessageDeflate
from tests.conftest import Cut
from tests.support import recorder
from tests.support.recorder import close_frame, failure, sent
from tests.support.requests import HIXIE_75, HYBI
from tests.support.strategies import cut, sizes
from tests.support.vectors import BINARY, CONTINUATION, PING, PONG, RSV1, RSV2, TEXT, frame
from tests.unit.driver import test_client

NAME = 'permessage-deflate'
NO_CONTEXT = f'{NAME}; server_no_context_takeover; client_no_context_takeover'
HELLO = bytes.fromhex('f248cdc9c90700')
HELLO_AGAIN = bytes.fromhex('f200110000')


class Reversed:
    """An extension with RSV2 that reverses every binary message.

    It raises for the message X.
    """

    name = 'x-reversed'
    rsv2 = True
    rsv1 = rsv3 = False

    def __init__(self, fault: type[Exception] = RuntimeError) -> None:
        self.fault = fault

    def create_client_session(self) -> Reversed:
        return self

    def create_server_session(self, offers: list[Any]) -> Reversed:
        return self

    def generate_offer(self) -> list[dict[str, Any]]:
        return [{'whole': True}, {}]

    def generate_response(self) -> dict[str, Any]:
        return {'whole': True}

    def activate(self, parameters: dict[str, Any]) -> bool:
        return parameters == {'whole': True}

    def process_outgoing_message(self, message: Message) -> Message:
        if message.data == b'X':
            raise self.fault('an X')
        if message.opcode == BINARY:
            message.data, message.rsv2 = message.data[::-1], True
        return message

    def process_incoming_message(self, message: Message) -> Message:
        if message.rsv2:
            message.rsv2 = False
            message = self.process_outgoing_message(message)
            message.rsv2 = False
        return message

    def close(self) -> None:
        """Do nothing."""


class Long:
    """An extension that makes every message longer, and is its own session."""

    name = 'x-long'
    rsv1 = rsv2 = rsv3 = False

    def create_server_session(self, offers: list[Any]) -> Long:
        return self

    def generate_response(self) -> dict[str, Any]:
        return {}

    def process_incoming_message(self, message: Message) -> Message:
        message.data *= 2
        return message

    def close(self) -> None:
        """Do nothing."""


def server(offer: str = NAME, extensions: Any = None, **options: Any) -> tuple[Any, Any]:
    """Return the open driver of a server with extensions, and its recorder."""
    extensions = [PermessageDeflate(threshold=0)] if extensions is None else extensions
    return recorder.opened({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': offer}, extensions=extensions, **options)


def client(answer: str = NAME, extensions: Any = None, **options: Any) -> tuple[Any, Any]:
    """Return the open driver of a client with extensions, and its recorder."""
    extensions = [PermessageDeflate(threshold=0)] if extensions is None else extensions
    driver, io = test_client.started(extensions=extensions, **options)
    driver.parse(f'{test_client.ACCEPTED}Sec-WebSocket-Extensions: {answer}\r\n\r\n'.encode())
    assert driver.ready_state == OPEN
    io.log.clear()
    return driver, io


#: Level, memory level and strategy: stored, the smallest blocks, and those with the
#: longest codes, by zlib's Z_FIXED, a name that PyPy does not have.
WORST_SETTINGS = [(0, 9, 0), (1, 1, 0), (1, 4, 4), (9, 9, 0)]


def deflated(data: bytes, level: int = 9, mem_level: int = 8, strategy: int = 0) -> bytes:
    """Return the data as a new deflater compresses it."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, mem_level, strategy)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def mask_of(wire: bytes, start: int = 2) -> bytes:
    """Return the masking key of a short frame."""
    return wire[start:start + 4]


class TestServer:
    @pytest.mark.proves('D3')
    def test_answers_the_offer(self) -> None:
        driver, io = recorder.connecting(
            {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': f'{NAME}; client_max_window_bits'}, extensions=[PermessageDeflate()])
        driver.start()
        assert b'\r\nSec-WebSocket-Extensions: permessage-deflate\r\n' in io.written
        assert driver.extensions == NAME

    @pytest.mark.proves('D2', 'D3')
    def test_sends_no_header_for_an_offer_it_declines(self) -> None:
        driver, io = recorder.connecting(
            {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': f'{NAME}; server_max_window_bits=16'}, extensions=[PermessageDeflate()])
        driver.start()
        assert b'Sec-WebSocket-Extensions' not in io.written
        driver.parse(sent(TEXT, HELLO, rsv=RSV1))
        assert io.log[-3:] == failure(1002, 'reserved bits 100 set without an extension that uses them')

    def test_inflates_incoming_messages(self, chunks: Cut) -> None:
        driver, io = server()
        wire = sent(TEXT, HELLO, rsv=RSV1) + sent(BINARY, HELLO_AGAIN, rsv=RSV1) + sent(TEXT, b'plain')
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert io.log == [('message', 'Hello'), ('message', b'Hello'), ('message', 'plain')]

    def test_inflates_fragments_with_control_frames_between_them(self, chunks: Cut) -> None:
        driver, io = server()
        wire = (sent(TEXT, HELLO[:3], rsv=RSV1, fin=False) + sent(PING, HELLO) + sent(CONTINUATION, b'', fin=False)
                + sent(CONTINUATION, HELLO[3:]) + sent(TEXT, HELLO_AGAIN, rsv=RSV1))
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert io.log == [
            ('write', frame(PONG, HELLO)), ('ping', HELLO), ('message', 'Hello'), ('message', 'Hello')]

    @pytest.mark.proves('D5')
    def test_sends_each_message_in_one_frame_and_control_frames_as_they_are(self) -> None:
        driver, io = server()
        assert (driver.text('Hello'), driver.binary(b'Hello'), driver.ping(b'Hello')) == (True, True, True)
        driver.close(1000, 'Hello')
        assert io.log == [
            ('write', frame(TEXT, HELLO, rsv=RSV1)), ('write', frame(BINARY, HELLO_AGAIN, rsv=RSV1)),
            ('write', frame(PING, b'Hello')), ('write', close_frame(1000, 'Hello'))]

    @pytest.mark.proves('D5')
    def test_keeps_the_order_of_compressed_and_other_messages(self) -> None:
        driver, io = server(extensions=[PermessageDeflate(threshold=5)])
        for text in ('Hello', 'Hey', 'Hello'):
            driver.text(text)
        assert io.written == (
            frame(TEXT, HELLO, rsv=RSV1) + frame(TEXT, b'Hey') + frame(TEXT, HELLO_AGAIN, rsv=RSV1))

    @pytest.mark.proves('D5')
    def test_sends_a_large_message_in_one_frame(self) -> None:
        data = random.Random(1).randbytes(300_000)
        driver, io = server()
        driver.binary(data)
        [(_, wire)] = io.log
        assert wire[:2] == bytes((0x80 | RSV1 | BINARY, 127)) and len(wire) == 10 + int.from_bytes(wire[2:10], 'big')

    @pytest.mark.proves('D4')
    @pytest.mark.parametrize('offer', [NAME, NO_CONTEXT])
    def test_releases_zlib_objects_when_it_is_closed(self, offer: str) -> None:
        before = zlib_objects()
        driver, _ = server(offer)
        assert zlib_objects() == before
        driver.parse(sent(TEXT, HELLO, rsv=RSV1))
        driver.text('Hello')
        assert zlib_objects() - before == (2 if offer == NAME else 0)
        driver.end()
        assert zlib_objects() == before


def zlib_objects() -> int:
    """Count the zlib objects that all sessions hold."""
    gc.collect()
    held = [(getattr(each, '_deflater', None), getattr(each, '_inflater', None)) for each in gc.get_objects()
            if type(each).__name__ in ('_Session', '_ClientSession')]
    return sum(part is not None for pair in held for part in pair)


class TestClient:
    def test_offers_and_agrees(self) -> None:
        assert 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n' in test_client.request(
            extensions=[PermessageDeflate()])
        driver, _ = client(f'{NAME}; client_max_window_bits=10')
        assert driver.extensions == f'{NAME}; client_max_window_bits=10'

    def test_offers_nothing_without_extensions(self) -> None:
        assert 'Sec-WebSocket-Extensions' not in test_client.request(extensions=[])

    def test_sends_no_header_for_extensions_that_offer_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Reversed, 'create_client_session', lambda self: None)
        assert 'Sec-WebSocket-Extensions' not in test_client.request(extensions=[Reversed()])

    def test_uses_no_extension_if_the_server_accepts_none(self) -> None:
        driver, io = test_client.opened(extensions=[PermessageDeflate(threshold=0)])
        driver.parse(frame(TEXT, b'Hello'))
        driver.text('Hello')
        assert (driver.extensions, io.log[0], io.written[:2]) == ('', ('message', 'Hello'), b'\x81\x85')

    @pytest.mark.proves('D2')
    @pytest.mark.parametrize(('extensions', 'answer', 'text'), [
        ([PermessageDeflate()], 'foo',
         "to accept 'permessage-deflate; client_max_window_bits', got 'foo': foo was not offered, or is accepted twice"),
        ([PermessageDeflate()], f'{NAME}; server_max_window_bits=7',
         "to accept 'permessage-deflate; client_max_window_bits', got 'permessage-deflate; server_max_window_bits=7': "
         'the parameters of permessage-deflate do not match the offer'),
        ([PermessageDeflate()], ';', "to accept 'permessage-deflate; client_max_window_bits', got ';': "
         'malformed Sec-WebSocket-Extensions header at character 0'),
        ([], NAME, "to be none, got 'permessage-deflate'"),
    ])
    def test_refuses_what_was_not_offered(self, extensions: Any, answer: str, text: str, chunks: Cut) -> None:
        driver, io = test_client.started(extensions=extensions)
        for chunk in chunks(f'{test_client.ACCEPTED}Sec-WebSocket-Extensions: {answer}\r\n\r\n'.encode()):
            driver.parse(chunk)
        text = f'handshake failed: expected Sec-WebSocket-Extensions {text}'
        assert io.log == [('error', 'HandshakeError', text), ('close', 1006, text)]
        assert (driver.ready_state, driver.extensions) == (CLOSED, '')

    def test_compresses_and_inflates_messages(self, chunks: Cut) -> None:
        driver, io = client()
        for chunk in chunks(frame(TEXT, HELLO, rsv=RSV1) + frame(BINARY, HELLO_AGAIN, rsv=RSV1)):
            driver.parse(chunk)
        assert io.log == [('message', 'Hello'), ('message', b'Hello')]
        driver.text('Hello')
        wire = io.log[-1][1]
        assert wire == frame(TEXT, HELLO, rsv=RSV1, masking_key=mask_of(wire))


ends = pytest.mark.parametrize(('end', 'make'), [
    pytest.param(server, sent, id='server'), pytest.param(client, frame, id='client')])


def test_a_client_cannot_be_opened_twice() -> None:
    driver, _ = client()
    assert driver.start() is False


@ends
class TestFaults:
    """Faults of the peer's, at either end."""

    def test_broken_data_closes_with_1007(self, end: Any, make: Any) -> None:
        driver, io = end()
        driver.parse(make(TEXT, b'\xff\xff', rsv=RSV1))
        text = 'message cannot be inflated: Error -3 while decompressing data: invalid block type'
        assert io.events == [('error', 'InvalidData', text), ('close', 1007, text)]

    def test_inflated_text_that_is_not_utf8_closes_with_1007(self, end: Any, make: Any) -> None:
        driver, io = end()
        driver.parse(make(TEXT, deflated(b'\xff'), rsv=RSV1))
        assert io.events == [('error', 'InvalidData', 'text is not UTF-8'), ('close', 1007, 'text is not UTF-8')]

    @pytest.mark.proves('D1')
    @pytest.mark.parametrize('pieces', [1, 3])
    def test_a_message_exactly_at_the_limit_passes(self, end: Any, make: Any, pieces: int) -> None:
        driver, io = end(max_length=1000)
        driver.parse(fragments(make, deflated(b'x' * 1000), pieces))
        assert io.log == [('message', b'x' * 1000)]

    @pytest.mark.proves('D1')
    @pytest.mark.parametrize('pieces', [1, 3])
    def test_a_message_that_inflates_beyond_it_closes_with_1009(self, end: Any, make: Any, pieces: int) -> None:
        driver, io = end(max_length=1000)
        driver.parse(fragments(make, deflated(b'x' * 1001), pieces))
        text = 'message too big: more than 1000 bytes when inflated'
        assert io.events == [('error', 'MessageTooBig', text), ('close', 1009, text)]

    @pytest.mark.proves('D1', 'S4')
    @pytest.mark.parametrize('pieces', [1, 3])
    def test_compressed_data_beyond_it_is_not_even_inflated(self, end: Any, make: Any, pieces: int) -> None:
        driver, io = end(max_length=10)
        driver.parse(fragments(make, HELLO * 9, pieces))
        assert io.events[-1] == ('close', 1009, f'message too big: {63 if pieces == 1 else 42} > 10')

    @pytest.mark.proves('D1a')
    @pytest.mark.parametrize('pieces', [1, 3])
    @pytest.mark.parametrize('settings', WORST_SETTINGS)
    @pytest.mark.parametrize('size', [0, 1, 10, 1000, 2**16])
    def test_data_that_cannot_be_compressed_passes_up_to_the_limit(
        self, end: Any, make: Any, pieces: int, settings: Any, size: int
    ) -> None:
        data = random.Random(size).randbytes(size)
        wire = fragments(make, deflated(data, *settings), pieces)
        driver, io = end(max_length=size)
        driver.parse(wire)
        assert io.log == [('message', data)]
        driver, io = end(max_length=size - 1) if size else (driver, io)
        driver.parse(wire)
        assert io.events[-1][1] == (1009 if size else data)

    @pytest.mark.proves('D1a')
    def test_a_sender_may_flush_at_the_end_of_each_frame(
        self, end: Any, make: Any
    ) -> None:
        data = random.Random(1).randbytes(1000)
        deflater = zlib.compressobj(0, wbits=-15)
        parts = [
            deflater.compress(data[start : start + 10])
            + deflater.flush(zlib.Z_SYNC_FLUSH)
            for start in range(0, 1000, 10)
        ]
        parts[-1] = parts[-1][:-4]
        assert sum(map(len, parts)) > 1900
        wire = b''.join(
            make(
                CONTINUATION if index else BINARY,
                part,
                rsv=0 if index else RSV1,
                fin=index == len(parts) - 1,
            )
            for index, part in enumerate(parts)
        )
        driver, io = end(max_length=1000)
        driver.parse(wire)
        assert io.log == [('message', data)]

    @pytest.mark.proves('D1a', 'S4')
    @pytest.mark.parametrize(
        ('length', 'is_too_big'), [(1140, False), (1141, False), (1142, True)]
    )
    def test_the_limit_of_the_declared_length_is_that_of_zlib(
        self, end: Any, make: Any, length: int, is_too_big: bool
    ) -> None:
        driver, io = end(max_length=1000)
        driver.parse(make(BINARY, bytes(length), rsv=RSV1)[:14])
        assert io.events[-1:] == ([('close', 1009, f'message too big: {length} > 1000')] if is_too_big else [])

    @pytest.mark.proves('D1a')
    def test_an_uncompressed_message_has_no_such_margin(
        self, end: Any, make: Any
    ) -> None:
        driver, io = end(max_length=1000)
        driver.parse(make(BINARY, bytes(1001)))
        assert io.events[-1] == ('close', 1009, 'message too big: 1001 > 1000')

    @pytest.mark.proves('D1a')
    @pytest.mark.parametrize('limit', [math.inf, 2**63])
    def test_the_limit_may_be_any_number(
        self, end: Any, make: Any, limit: float
    ) -> None:
        driver, io = end(max_length=limit)
        driver.parse(make(BINARY, deflated(b'x'), rsv=RSV1))
        assert io.log == [('message', b'x')]
        masked = make(CONTINUATION, b'')[1]
        driver.parse(
            make(BINARY, b'x', rsv=RSV1, fin=False)
            + bytes((0x80, masked | 127))
            + (2**63 - 1).to_bytes(8, 'big')
        )
        assert len(io.log) == 1

    def test_the_error_does_not_keep_the_message(self, end: Any, make: Any) -> None:
        errors: list[Any] = []
        driver, _ = end(max_length=10)
        driver.on('error', errors.append)
        driver.parse(make(TEXT, deflated(b'x' * 1001), rsv=RSV1))
        assert (errors[0].__traceback__, errors[0].__context__) == (None, None)

    def test_the_reserved_bit_belongs_to_the_first_frame_of_a_message(self, end: Any, make: Any) -> None:
        driver, io = end()
        driver.parse(make(TEXT, HELLO[:3], rsv=RSV1, fin=False) + make(CONTINUATION, HELLO[3:], rsv=RSV1))
        assert io.events[-1] == ('close', 1002, 'reserved bits on a continuation frame')

    @pytest.mark.parametrize('wire', [(CONTINUATION, b''), (TEXT, HELLO)])
    def test_frames_out_of_order_close_with_1002(self, end: Any, make: Any, wire: Any) -> None:
        driver, io = end()
        if wire[0] == TEXT:
            driver.parse(make(TEXT, HELLO[:3], rsv=RSV1, fin=False))
        driver.parse(make(*wire, rsv=RSV1 if wire[0] == TEXT else 0))
        assert io.events[-1][:2] == ('close', 1002)

    def test_other_reserved_bits_close_with_1002(self, end: Any, make: Any) -> None:
        driver, io = end()
        driver.parse(make(TEXT, HELLO, rsv=RSV1 | RSV2))
        assert io.events[-1] == ('close', 1002, 'reserved bits 110 set without an extension that uses them')

    @given(st.binary(max_size=60), sizes)
    def test_noise_is_a_message_or_a_documented_error(self, end: Any, make: Any, noise: bytes, sizes: list[int]) -> None:
        driver, io = end(max_length=1000)
        for chunk in cut(make(BINARY, noise, rsv=RSV1) + make(BINARY, HELLO, rsv=RSV1), sizes):
            driver.parse(chunk)
        assert {event[0] for event in io.events} <= {'message', 'error', 'close'}
        assert all(event[1] in (1007, 1009) for event in io.events if event[0] == 'close')


def fragments(make: Any, data: bytes, pieces: int) -> bytes:
    """Return a compressed binary message in this number of frames."""
    size = -(-len(data) // pieces)
    parts = [data[start:start + size] for start in range(0, len(data), size)]
    return b''.join(
        make(CONTINUATION if index else BINARY, part, rsv=0 if index else RSV1, fin=index == len(parts) - 1)
        for index, part in enumerate(parts))


class TestTwoExtensions:
    """permessage-deflate beside an extension that uses RSV2."""

    EXTENSIONS = (Reversed(), PermessageDeflate(threshold=0))
    AGREED = f'x-reversed; whole, {NAME}'

    def test_are_agreed_on_and_both_work_on_every_message(self, chunks: Cut) -> None:
        assert ('Sec-WebSocket-Extensions: x-reversed; whole, x-reversed, permessage-deflate; client_max_window_bits\r\n'
                in test_client.request(extensions=self.EXTENSIONS))
        one, one_io = client(self.AGREED, self.EXTENSIONS)
        two, two_io = server('x-reversed; whole, x-reversed, permessage-deflate', self.EXTENSIONS)
        assert one.extensions == two.extensions == self.AGREED
        one.binary(b'olleH')
        wire = one_io.written
        assert wire == frame(BINARY, HELLO, rsv=RSV1 | RSV2, masking_key=mask_of(wire))
        for chunk in chunks(wire):
            two.parse(chunk)
        two.text('Hello')
        two.binary(b'olleH')
        assert two_io.events == [('message', b'olleH')]
        assert two_io.written == frame(TEXT, HELLO, rsv=RSV1) + frame(BINARY, HELLO_AGAIN, rsv=RSV1 | RSV2)
        for chunk in chunks(two_io.written):
            one.parse(chunk)
        assert one_io.events == [('message', 'Hello'), ('message', b'olleH')]

    def test_one_alone_may_be_agreed_on(self) -> None:
        driver, io = server('x-reversed', self.EXTENSIONS)
        driver.binary(b'olleH')
        assert (driver.extensions, io.written) == ('x-reversed; whole', frame(BINARY, b'Hello', rsv=RSV2))


class TestAFaultyExtension:
    """An extension that raises ends its own connection, and nothing else."""

    def test_fails_the_connection_of_an_incoming_message(self, caplog: pytest.LogCaptureFixture) -> None:
        driver, io = server('x-reversed', [Reversed()])
        driver.parse(sent(BINARY, b'X', rsv=RSV2) + sent(TEXT, b'more'))
        assert io.log == [
            ('error', 'ExtensionFailure', 'an extension failed'), ('write', close_frame(1011, 'an extension failed')),
            ('close', 1011, 'an extension failed')]
        assert caplog.messages == ['an extension failed to process an incoming message']

    def test_may_raise_an_error_with_its_own_code_and_text(self) -> None:
        driver, io = server('x-reversed', [Reversed(InvalidData)])
        driver.parse(sent(BINARY, b'X', rsv=RSV2))
        assert io.log == failure(1007, 'an X')

    @pytest.mark.parametrize('send', [lambda driver: driver.binary(b'X'), lambda driver: driver.text('X')])
    def test_fails_the_connection_of_an_outgoing_message(self, send: Any, caplog: pytest.LogCaptureFixture) -> None:
        driver, io = server('x-reversed', [Reversed()])
        assert send(driver) is False
        assert io.log[-2:] == [
            ('write', close_frame(1011, 'an extension failed')), ('close', 1011, 'an extension failed')]
        assert (send(driver), caplog.messages) == (False, ['an extension failed to process an outgoing message'])

    @pytest.mark.proves('D1')
    def test_cannot_make_a_message_too_long(self) -> None:
        driver, io = server('x-long', [Long()], max_length=10)
        driver.parse(sent(TEXT, b'12345') + sent(TEXT, b'123456'))
        assert io.log == [('message', '1234512345'), *failure(1009, 'message too big: 12 > 10')]


class TestSharedMessages:
    """Messages of ``broadcast``: connections on which they become equal bytes share a
    frame.
    """

    def test_are_one_frame_for_all_servers_without_extensions(self) -> None:
        for data, wire in (('h\u00e9', frame(TEXT, 'h\u00e9'.encode())), (b'\xff', frame(BINARY, b'\xff'))):
            message, written = SharedMessage(data), []
            for _ in range(2):
                driver, io = recorder.opened()
                assert driver.send_shared(message) is True
                written.append(io.log[0][1])
            assert written == [wire, wire]
            assert written[0] is written[1]

    def test_are_one_compressed_frame_without_context_takeover(self) -> None:
        message, written = SharedMessage('Hello'), []
        for _ in range(2):
            driver, io = server(NO_CONTEXT)
            assert driver.send_shared(message) is True
            written.append(io.log[0][1])
        assert written[0] == frame(TEXT, HELLO, rsv=RSV1)
        assert written[0] is written[1]

    def test_are_compressed_for_each_with_context_takeover(self) -> None:
        message, (driver, io) = SharedMessage('Hello'), server()
        assert (driver.send_shared(message), driver.send_shared(message), message.frames) == (True, True, {})
        assert io.written == frame(TEXT, HELLO, rsv=RSV1) + frame(TEXT, HELLO_AGAIN, rsv=RSV1)

    @pytest.mark.proves('S10')
    def test_are_masked_for_each_client(self) -> None:
        message, keys = SharedMessage(b'Hello'), set()
        for _ in range(2):
            driver, io = test_client.opened()
            assert driver.send_shared(message) is True
            keys.add(mask_of(io.written))
            assert io.written == frame(BINARY, b'Hello', masking_key=mask_of(io.written))
        assert (len(keys), message.frames) == (2, {})

    def test_are_text_in_the_hixie_versions(self) -> None:
        driver, io = recorder.opened(HIXIE_75)
        assert (driver.send_shared(SharedMessage('hi')), driver.send_shared(SharedMessage(b'hi'))) == (True, False)
        assert io.written == b'\x00hi\xff'

    def test_are_not_sent_once_it_is_closed(self) -> None:
        driver, io = recorder.closed()
        assert (driver.send_shared(SharedMessage('hi')), io.log) == (False, [])

    def test_are_not_sent_by_an_extension_that_fails(self) -> None:
        reversed_ = Reversed()
        reversed_.broadcast_key = 'reversed'  # type: ignore[attr-defined]
        message, (driver, _) = SharedMessage('X'), server('x-reversed', [reversed_])
        assert (driver.send_shared(message), message.frames, driver.ready_state) == (False, {}, CLOSED)
