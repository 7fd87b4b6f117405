"""hybi-07 to RFC 6455, sections 5.4 to 5.6: messages, fragments, text, sizes and pings.
"""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver import CLOSED
from faye_websocket.errors import ProtocolError
from tests.conftest import Cut
from tests.support.recorder import (
    BufferedRecorder,
    closed,
    closing,
    connecting,
    failure,
    opened,
    sent,
)
from tests.support.vectors import BINARY, CONTINUATION, KEY, PING, PONG, RSV1, TEXT, frame, head

MAX_LENGTH = 2**26 - 1
MAX_FRAGMENTS = 16384



class TestMessages:
    def test_are_emitted(self, chunks: Cut) -> None:
        driver, io = opened()
        for chunk in chunks(sent(TEXT, 'Grüße, 世界 🎈'.encode()) + sent(BINARY, b'\xff\0') + sent(TEXT) + sent(BINARY)):
            driver.parse(chunk)
        assert io.log == [('message', 'Grüße, 世界 🎈'), ('message', b'\xff\0'), ('message', ''), ('message', b'')]

    def test_are_joined_with_control_frames_between_their_fragments(self, chunks: Cut) -> None:
        driver, io = opened()
        for chunk in chunks(
                sent(TEXT, b'a', fin=False) + sent(PING, b'1') + sent(CONTINUATION, b'', fin=False) + sent(PONG, b'2')
                + sent(CONTINUATION, b'b') + sent(BINARY, b'c')):
            driver.parse(chunk)
        assert io.log == [
            ('write', frame(PONG, b'1')), ('ping', b'1'), ('pong', b'2'), ('message', 'ab'), ('message', b'c')]

    def test_may_have_a_character_in_two_fragments(self, chunks: Cut) -> None:
        driver, io = opened()
        for chunk in chunks(
                sent(TEXT, b'\xe2', fin=False) + sent(CONTINUATION, b'\x82', fin=False) + sent(CONTINUATION, b'\xac')):
            driver.parse(chunk)
        assert io.log == [('message', '€')]

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize(('wire', 'text'), [
        (sent(CONTINUATION, b'a'), 'continuation frame without a message to continue'),
        (sent(TEXT, b'a') + sent(CONTINUATION, b'b'), 'continuation frame without a message to continue'),
        (sent(TEXT, b'a', fin=False) + sent(TEXT, b'b'), 'new message before the last one was complete'),
        (sent(TEXT, b'', fin=False) + sent(BINARY, b''), 'new message before the last one was complete'),
    ])
    def test_fail_out_of_order(self, chunks: Cut, wire: bytes, text: str) -> None:
        driver, io = opened()
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert [entry for entry in io.log if entry[0] != 'message'] == failure(1002, text)

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize(('wire', 'text'), [
        (frame(TEXT, b'a'), 'unmasked frame from a client'),
        (sent(0x3), 'unknown opcode 3'),
        (sent(0xB), 'unknown opcode 11'),
        (sent(TEXT, b'a', rsv=RSV1), 'reserved bits 100 set without an extension that uses them'),
        (sent(PING, fin=False), 'fragmented control frame'),
        (sent(PING, b'p' * 126), 'control frame is longer than 125 bytes'),
        (head(0x82, 125, size=2, masked=True), 'payload length is not minimal, or has its top bit set'),
        (head(0x82, 2**63, masked=True), 'payload length is not minimal, or has its top bit set'),
    ])
    def test_fail_when_framed_wrongly(self, chunks: Cut, wire: bytes, text: str) -> None:
        driver, io = opened()
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert io.log == failure(1002, text)
        assert (driver.ready_state, driver.was_clean) == (CLOSED, False)

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize(('data', 'known'), [
        (b'\x80', 1),                          # a continuation byte without a start
        (b'\xc0\xaf', 1),                      # overlong: two bytes for "/"
        (b'\xc1\xbf', 1),
        (b'\xe0\x80\xaf', 2),                  # three bytes for "/"
        (b'\xe0\x9f\xbf', 2),
        (b'\xf0\x80\x80\xaf', 2),              # four bytes for "/"
        (b'\xf0\x8f\xbf\xbf', 2),
        (b'\xed\xa0\x80', 2),                  # U+D800, the first surrogate
        (b'\xed\xbf\xbf', 2),                  # U+DFFF, the last one
        (b'\xf4\x90\x80\x80', 2),              # U+110000
        (b'\xf5\x80\x80\x80', 1),
        (b'\xfe', 1),
        (b'\xff', 1),
        (b'\xc3(', 2),  # another character in place of a continuation byte
        (b'\xe2\x82(', 3),
        (b'\xf0\x9f\x8e(', 4),
        ('κόσμε'.encode() + b'\xed\xa0\x80edited', 12),  # Autobahn's 6.3
    ])
    def test_fail_with_1007_as_soon_as_text_cannot_be_utf8(self, data: bytes, known: int) -> None:
        driver, io = opened()
        wire = head(0x80 | TEXT, 1000, masked=True) + KEY + sent(TEXT, data)[6:]
        start = len(wire) - len(data)
        driver.parse(wire[:start])
        for index in range(start, start + known):
            assert io.log == []
            driver.parse(wire[index:index + 1])
        assert io.log == failure(1007, 'text is not UTF-8')
        assert driver.ready_state == CLOSED

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize('data', [b'\xc3', b'\xe2\x82', b'\xf0\x9f\x8e', b'abc\xf0'])
    @pytest.mark.parametrize('is_fragmented', [False, True])
    def test_fail_with_1007_when_they_end_within_a_character(
        self, chunks: Cut, data: bytes, is_fragmented: bool
    ) -> None:
        driver, io = opened()
        wire = sent(TEXT, data, fin=False) + sent(CONTINUATION) if is_fragmented else sent(TEXT, data)
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert io.log == failure(1007, 'text is not UTF-8')

    @pytest.mark.proves('S5')
    def test_fail_with_1007_in_a_fragment_before_the_last(self, chunks: Cut) -> None:
        driver, io = opened()
        for chunk in chunks(sent(TEXT, b'a\xff', fin=False) + sent(PING)):
            driver.parse(chunk)
        assert io.log == failure(1007, 'text is not UTF-8')

    def test_do_not_affect_each_other(self) -> None:
        driver, io = opened(max_length=2, max_fragments=2)
        for _ in range(3):
            driver.parse(sent(TEXT, b'a', fin=False) + sent(CONTINUATION, b'b'))
        assert io.log == [('message', 'ab')] * 3

    def test_for_which_a_listener_raises_lose_no_bytes_after_them(self) -> None:
        driver, io = opened()
        faults = [ValueError('mine')]

        def listener(data: str) -> None:
            while faults:
                raise faults.pop()

        driver.on('message', listener)
        with pytest.raises(ValueError, match='^mine$'):
            driver.parse(sent(TEXT, b'a') + sent(TEXT, b'b') + sent(TEXT, b'c')[:4])
        driver.parse(sent(TEXT, b'c')[4:])
        assert io.log == [('message', 'a'), ('message', 'b'), ('message', 'c')]

    def test_do_not_catch_the_exception_of_a_listener(self) -> None:
        def listener(data: str) -> None:
            raise ProtocolError('of another connection')

        driver, io = opened()
        driver.on('message', listener)
        with pytest.raises(ProtocolError):
            driver.parse(sent(TEXT, b'a'))
        assert io.log == [('message', 'a')]

    def test_after_a_listener_ended_the_connection_are_not_emitted(self) -> None:
        driver, io = opened()
        driver.on('message', lambda data: driver.end('enough'))
        driver.parse(sent(TEXT, b'a') + sent(TEXT, b'b'))
        assert io.log == [('message', 'a'), ('close', 1006, 'enough')]


class TestBounds:
    @pytest.mark.proves('S4')
    @pytest.mark.parametrize('opcode', [TEXT, BINARY])
    @pytest.mark.parametrize('length', [9, 10])
    def test_a_message_of_up_to_max_length_passes(self, chunks: Cut, opcode: int, length: int) -> None:
        driver, io = opened(max_length=10)
        data = b'x' * length
        for chunk in chunks(sent(opcode, data) + sent(opcode, data[:4], fin=False) + sent(CONTINUATION, data[4:])):
            driver.parse(chunk)
        assert io.log == [('message', data.decode() if opcode == TEXT else data)] * 2

    @pytest.mark.proves('S4')
    @pytest.mark.parametrize('wire', [
        sent(BINARY, b'x' * 11),
        sent(BINARY, b'x' * 10, fin=False) + sent(CONTINUATION, b'x'),
        sent(BINARY, b'x' * 4, fin=False) + sent(CONTINUATION, b'', fin=False) + sent(CONTINUATION, b'x' * 7, fin=False),
    ])
    def test_one_byte_more_is_too_big(self, chunks: Cut, wire: bytes) -> None:
        driver, io = opened(max_length=10)
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert io.log == failure(1009, 'message too big: 11 > 10')

    def test_a_max_length_of_zero_is_possible(self) -> None:
        driver, io = opened(max_length=0)
        driver.parse(sent(TEXT) + sent(TEXT, b'x'))
        assert io.log == [('message', ''), *failure(1009, 'message too big: 1 > 0')]

    @pytest.mark.proves('S4')
    @pytest.mark.parametrize(('length', 'is_too_big'), [(MAX_LENGTH, False), (MAX_LENGTH + 1, True), (2**63 - 1, True)])
    def test_the_declared_length_is_what_counts(self, length: int, is_too_big: bool) -> None:
        driver, io = opened()
        driver.parse(head(0x80 | BINARY, length, masked=True) + KEY)
        assert io.log == (failure(1009, f'message too big: {length} > 67108863') if is_too_big else [])

    @pytest.mark.proves('S4')
    @pytest.mark.parametrize('fragments', [2, 3])
    def test_a_message_of_up_to_max_fragments_passes(self, fragments: int) -> None:
        driver, io = opened(max_fragments=3)
        middle = sent(CONTINUATION, b'a', fin=False) * (fragments - 2)
        driver.parse(sent(TEXT, b'a', fin=False) + middle + sent(CONTINUATION, b'a'))
        assert io.log == [('message', 'a' * fragments)]

    @pytest.mark.proves('S4')
    @pytest.mark.parametrize('options', [{'max_fragments': 3}, {}], ids=['small', 'default'])
    def test_one_fragment_more_is_too_many(self, options: dict[str, Any]) -> None:
        driver, io = opened(**options)
        limit = options.get('max_fragments', MAX_FRAGMENTS)
        driver.parse(sent(TEXT, b'', fin=False) + sent(CONTINUATION, b'', fin=False) * (limit - 1))
        assert io.log == []
        driver.parse(sent(CONTINUATION))
        assert io.log == failure(1009, f'message has too many fragments: {limit + 1} > {limit}')

    def test_control_frames_do_not_count_as_fragments(self) -> None:
        driver, io = opened(max_fragments=2, max_length=2)
        driver.parse(sent(TEXT, b'a', fin=False) + sent(PONG, b'pong') * 5 + sent(CONTINUATION, b'b'))
        assert io.events[-1] == ('message', 'ab')

    def test_one_message_may_come_in_any_number_of_reads(self) -> None:
        driver, io = opened(max_fragments=1)
        for chunk in (wire := sent(TEXT, b'x' * 100))[:50], wire[50:]:
            driver.parse(chunk)
        assert io.log == [('message', 'x' * 100)]


class TestPings:
    @pytest.mark.parametrize('payload', [b'', b'p', b'\xff' * 124, b'p' * 125])
    def test_are_answered(self, chunks: Cut, payload: bytes) -> None:
        driver, io = opened()
        for chunk in chunks(sent(PING, payload)):
            driver.parse(chunk)
        assert io.log == [('write', frame(PONG, payload)), ('ping', payload)]

    @pytest.mark.proves('L7', 'S8')
    def test_are_answered_before_buffered_data_by_one_pong_at_most(self) -> None:
        driver, io = opened(io=BufferedRecorder)
        driver.parse(sent(PING, b'1') + sent(PING, b'2'))
        assert [entry for entry in io.log if entry[0] != 'ping'] == [
            ('write_urgent', frame(PONG, b'1'), 'pong'), ('write_urgent', frame(PONG, b'2'), 'pong')]

    @pytest.mark.proves('L7')
    def test_of_ours_overtake_buffered_data_and_do_not_replace_each_other(self) -> None:
        driver, io = opened(io=BufferedRecorder)
        driver.ping('a')
        driver.ping('b')
        driver.pong('c')
        (_, ping_a, tag_a), (_, ping_b, tag_b), (_, pong_c, tag_c) = io.log
        assert (ping_a, ping_b, pong_c) == (frame(PING, b'a'), frame(PING, b'b'), frame(PONG, b'c'))
        assert len({tag_a, tag_b, tag_c, 'pong'}) == 4

    @pytest.mark.parametrize(('message', 'payload'), [
        ('', b''), ('é', b'\xc3\xa9'), (b'\xff', b'\xff'), (bytearray(b'x'), b'x'), ('é' * 62, b'\xc3\xa9' * 62),
        (b'p' * 125, b'p' * 125)])
    def test_accept_text_or_bytes(self, message: Any, payload: bytes) -> None:
        driver, io = opened()
        assert (driver.ping(message), driver.pong(message)) == (True, True)
        assert io.log == [('write', frame(PING, payload)), ('write', frame(PONG, payload))]

    @pytest.mark.parametrize('message', [5, [1, 2], None])
    def test_accept_nothing_else(self, message: Any) -> None:
        driver, io = opened()
        with pytest.raises(TypeError, match='message: '):
            driver.ping(message)

    @pytest.mark.parametrize(('message', 'length'), [(b'p' * 126, 126), ('é' * 63, 126), ('p' * 1000, 1000)])
    @pytest.mark.parametrize('make', [connecting, opened, closing, closed])
    @pytest.mark.parametrize('command', ['ping', 'pong'])
    def test_of_more_than_125_bytes_raise(self, message: Any, length: int, make: Any, command: str) -> None:
        driver, _ = make()
        with pytest.raises(ValueError, match=f'^message: a control frame holds at most 125 bytes, not {length}$'):
            getattr(driver, command)(message)

    def test_call_their_callback_at_the_pong(self) -> None:
        driver, io = opened()
        calls: list[str] = []
        driver.ping('a', lambda: calls.append('a'))
        driver.ping('b')
        driver.ping('c', lambda: calls.append('c'))
        driver.ping('d', lambda: calls.append('d'))
        driver.parse(sent(PONG, b'x'))
        driver.parse(sent(PONG, b'b'))
        assert calls == []
        driver.parse(sent(PONG, b'c') + sent(PONG, b'a') + sent(PONG, b'd') + sent(PONG, b'd'))
        assert calls == ['c', 'd']
        assert io.events == [('pong', name) for name in (b'x', b'b', b'c', b'a', b'd', b'd')]

    def test_with_equal_payloads_call_their_callbacks_in_order(self) -> None:
        driver, _ = opened()
        calls: list[int] = []
        for number in range(3):
            driver.ping('', lambda number=number: calls.append(number))
        driver.parse(sent(PONG) * 2)
        assert calls == [0, 1]
