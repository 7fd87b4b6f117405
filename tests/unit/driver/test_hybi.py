"""hybi-07 to RFC 6455, sections 5.5.1 and 7: sending, and all ways to close, by state.
"""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver import CLOSED, CLOSING
from faye_websocket.driver.control_frames import check_close
from tests.conftest import Cut
from tests.support.recorder import (
    BufferedRecorder,
    Recorder,
    close_frame,
    closed,
    closing,
    failure,
    opened,
    sent,
    sent_close,
)
from tests.support.requests import HYBI
from tests.support.vectors import BINARY, CLOSE, PING, PONG, TEXT, frame


class TestOpen:
    def test_sends_messages(self) -> None:
        driver, io = opened()
        assert (driver.text('Grüße'), driver.binary(b'\xff'), driver.text('x' * 70000)) == (True, True, True)
        assert io.log == [
            ('write', frame(TEXT, 'Grüße'.encode())), ('write', frame(BINARY, b'\xff')), ('write', frame(TEXT, b'x' * 70000))]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize('code', [1000, 1001, 1002, 1003, 1007, 1008, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
    def test_echoes_the_code_of_the_peers_close(self, chunks: Cut, code: int) -> None:
        driver, io = opened()
        for chunk in chunks(sent_close(code, b'bye')):
            driver.parse(chunk)
        assert io.log == [('write', close_frame(code)), ('close', code, 'bye')]
        assert (driver.ready_state, driver.was_clean) == (CLOSED, True)

    @pytest.mark.proves('L4')
    def test_answers_a_close_without_a_code_and_says_1005(self, chunks: Cut) -> None:
        driver, io = opened()
        for chunk in chunks(sent(CLOSE)):
            driver.parse(chunk)
        assert io.log == [('write', frame(CLOSE, b'')), ('close', 1005, '')]
        assert driver.was_clean is True

    @pytest.mark.proves('L7')
    def test_answers_a_close_before_buffered_data(self) -> None:
        driver, io = opened(io=BufferedRecorder)
        driver.parse(sent_close(1000))
        assert io.log == [('write_last', close_frame(1000)), ('close', 1000, '')]

    @pytest.mark.parametrize('reason', [b'', b'r' * 122, b'r' * 123, 'é'.encode() * 61])
    def test_reports_the_reason_of_the_peer(self, reason: bytes) -> None:
        driver, io = opened()
        driver.parse(sent_close(4000, reason))
        assert io.events == [('close', 4000, reason.decode())]

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize('code', [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
    def test_fails_with_1002_when_a_close_code_may_not_be_sent(self, code: int) -> None:
        driver, io = opened()
        driver.parse(sent_close(code, b'bye'))
        assert io.log == failure(1002, 'close frame without a valid code')
        assert driver.was_clean is False

    @pytest.mark.proves('S5')
    def test_fails_with_1002_when_a_close_frame_has_one_byte(self) -> None:
        driver, io = opened()
        driver.parse(sent(CLOSE, b'\x03'))
        assert io.log == failure(1002, 'close frame without a valid code')

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize('reason', [b'\xff', b'bye\xe2\x82', b'\xed\xa0\x80'])
    def test_fails_with_1007_when_a_reason_is_not_utf8(self, reason: bytes) -> None:
        driver, io = opened()
        driver.parse(sent_close(1000, reason))
        assert io.log == failure(1007, 'the reason is not UTF-8')

    @pytest.mark.proves('L7')
    def test_fails_before_buffered_data(self) -> None:
        driver, io = opened(io=BufferedRecorder)
        driver.parse(sent(0x3))
        text = 'unknown opcode 3'
        assert io.log == [('error', 'ProtocolError', text), ('write_last', close_frame(1002, text)), ('close', 1002, text)]

    @pytest.mark.proves('L2')
    @pytest.mark.parametrize('wire', [sent(0x3), sent(TEXT, b'\xff')])
    def test_fails_though_the_listener_of_error_raises(self, wire: bytes) -> None:
        driver, io = opened()
        driver.on('error', lambda error: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            driver.parse(wire)
        assert (driver.ready_state, io.log[-1][0]) == (CLOSED, 'close')

    @pytest.mark.proves('H1')
    def test_sends_one_close_frame_though_the_listener_of_error_closes(self) -> None:
        driver, io = opened()
        driver.on('error', lambda error: driver.close(1000, 'mine'))
        driver.parse(sent(0x3))
        assert io.log[1:] == [('write', close_frame(1000, 'mine')), ('close', 1002, 'unknown opcode 3')]

    @pytest.mark.parametrize('wire', [sent_close(1000), sent(0x3), sent(CLOSE, b'\x03')])
    def test_lets_its_owner_answer_what_came_before_the_end(self, wire: bytes) -> None:
        driver, io = opened()
        driver.on('ending', lambda: driver.text('last'))
        driver.parse(wire)
        assert io.written.startswith(frame(TEXT, b'last') + frame(CLOSE, b'')[:1])

    @pytest.mark.parametrize('wire', [sent_close(1000), sent(0x3), sent(CLOSE, b'\x03')])
    def test_lets_its_owner_hold_the_end_back(self, wire: bytes) -> None:
        driver, io = opened()
        driver.on('ending', lambda: setattr(driver, 'is_paused', True))
        driver.parse(wire + sent(TEXT, b'late'))
        assert io.log == []
        assert driver.text('last')
        assert driver.finish_ending() is True
        assert io.written.startswith(frame(TEXT, b'last') + frame(CLOSE, b'')[:1])
        assert (driver.ready_state, driver.is_paused, io.log[-1][0]) == (CLOSED, False, 'close')

    def test_has_no_end_to_finish_that_was_not_held_back(self) -> None:
        driver, io = opened()
        driver.is_paused = True
        driver.parse(sent(TEXT, b'kept'))
        assert driver.finish_ending() is False
        driver.parse(b'')
        assert io.log == [('message', 'kept')]

    @pytest.mark.proves('L2')
    def test_forgets_an_end_that_was_held_back_when_the_connection_is_lost(self) -> None:
        driver, io = opened()
        driver.on('ending', lambda: setattr(driver, 'is_paused', True))
        driver.parse(sent_close(1000))
        driver.end('lost')
        assert driver.finish_ending() is False
        assert io.log == [('close', 1006, 'lost')]

    @pytest.mark.proves('L2')
    def test_ignores_bytes_after_a_close(self, chunks: Cut) -> None:
        driver, io = opened()
        for chunk in chunks(sent_close(1000) + sent(TEXT, b'late') + sent(PING) + b'\xff\xff'):
            driver.parse(chunk)
        assert io.log == [('write', close_frame(1000)), ('close', 1000, '')]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize(('reason', 'cut'), [
        ('', ''),
        ('r' * 122, 'r' * 122),
        ('r' * 123, 'r' * 123),
        ('r' * 124, 'r' * 123),
        ('é' * 61, 'é' * 61),
        ('é' * 62, 'é' * 61),
        ('r' + 'é' * 61, 'r' + 'é' * 61),
        ('r' + '€' * 41, 'r' + '€' * 40),
        ('🎈' * 31, '🎈' * 30),
    ])
    def test_cuts_a_reason_where_a_character_ends(self, reason: str, cut: str) -> None:
        driver, io = opened()
        driver.fail(1011, reason)
        other, other_io = opened()
        other.close(1011, reason)
        assert io.log == [('write', close_frame(1011, cut)), ('close', 1011, reason)]
        assert other_io.log == [('write', close_frame(1011, cut))]

    def test_closes_and_waits_for_the_peer(self) -> None:
        driver, io = opened()
        assert driver.close(3000, 'done') is True
        assert (driver.ready_state, io.log) == (CLOSING, [('write', close_frame(3000, 'done'))])

    def test_closes_with_1000(self) -> None:
        driver, io = opened()
        driver.close()
        assert io.log == [('write', close_frame(1000))]

    def test_closes_after_buffered_data(self) -> None:
        driver, io = opened(io=BufferedRecorder)
        driver.close()
        assert io.log == [('write', close_frame(1000))]

    @pytest.mark.proves('L4')
    def test_closes_without_a_code_for_1005(self) -> None:
        driver, io = opened()
        driver.close(1005, 'not on the wire')
        assert io.log == [('write', frame(CLOSE, b''))]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize('code', [1006, 1015])
    @pytest.mark.parametrize('command', ['close', 'fail'])
    def test_never_sends_a_code_that_must_not_be_sent(self, code: int, command: str) -> None:
        driver, io = opened()
        getattr(driver, command)(code, 'lost')
        assert io.log[0] == ('write', frame(CLOSE, b''))

    def test_fails_on_its_owners_behalf(self) -> None:
        driver, io = opened()
        driver.fail(1013, 'slow consumer')
        assert io.log == [('write', close_frame(1013, 'slow consumer')), ('close', 1013, 'slow consumer')]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize('reason', ['', 'reset'])
    def test_says_1006_when_the_connection_is_lost(self, reason: str) -> None:
        driver, io = opened()
        driver.parse(sent(TEXT, b'half')[:7])
        driver.end(reason)
        assert (io.log, driver.was_clean) == ([('close', 1006, reason)], False)

    def test_shows_its_state(self) -> None:
        driver, _ = opened({**HYBI, 'HTTP_SEC_WEBSOCKET_PROTOCOL': 'chat'}, protocols=['chat'])
        assert repr(driver) == "<Hybi hybi-13 OPEN protocol='chat'>"


class TestClosing:
    @pytest.mark.parametrize(('wire', 'event'), [
        (sent_close(1000), ('close', 1000, 'done')),
        (sent_close(1000, b'fine'), ('close', 1000, 'fine')),
        (sent_close(4000, b'other'), ('close', 4000, 'other')),
        (sent(CLOSE), ('close', 1005, 'done')),
    ])
    def test_ends_with_the_peers_close(self, chunks: Cut, wire: bytes, event: tuple[Any, ...]) -> None:
        driver, io = closing()
        for chunk in chunks(wire):
            driver.parse(chunk)
        assert io.log == [event]
        assert (driver.ready_state, driver.was_clean) == (CLOSED, True)

    @pytest.mark.parametrize('version', ['13', '8', '7'])
    def test_answers_pings(self, version: str) -> None:  # RFC 6455, 5.5.2
        driver, io = closing(
            {**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': version}, BufferedRecorder
        )
        driver.parse(sent(PING, b'p') + sent_close(1000) + sent(PING, b'late'))
        assert io.log == [
            ('write_urgent', frame(PONG, b'p'), 'pong'),
            ('ping', b'p'),
            ('close', 1000, 'done'),
        ]

    @pytest.mark.proves('L6')
    def test_sends_nothing_more(self) -> None:
        driver, io = closing()
        assert [driver.text('a'), driver.binary(b'a'), driver.ping(), driver.pong(), driver.close()] == [False] * 5
        assert io.log == []

    def test_says_1006_when_the_peer_does_not_answer(self) -> None:
        driver, io = closing()
        driver.end('close timeout')
        assert (io.log, driver.was_clean) == ([('close', 1006, 'close timeout')], False)

    @pytest.mark.proves('H1')
    def test_fails_without_another_close_frame(self) -> None:
        driver, io = closing(io=BufferedRecorder)
        driver.fail(1013, 'slow consumer')
        assert io.log == [('close', 1013, 'slow consumer')]

    @pytest.mark.proves('H1')
    @pytest.mark.parametrize('wire', [sent(0x3), sent(TEXT, b'\xff'), sent(CLOSE, b'\x03')])
    def test_sends_no_second_close_frame(self, wire: bytes) -> None:
        driver, io = closing()
        driver.parse(wire)
        assert (io.written, io.events[-1][0]) == (b'', 'close')


class TestClosed:
    @pytest.mark.proves('L2', 'L6')
    def test_does_nothing_more(self) -> None:
        driver, io = closed()
        assert [driver.text('a'), driver.binary(b'a'), driver.ping(), driver.pong(), driver.close()] == [False] * 5
        assert driver.start() is False
        driver.parse(sent(TEXT, b'late'))
        driver.fail(1011, 'late')
        driver.end()
        assert (io.log, driver.ready_state) == ([], CLOSED)

    @pytest.mark.proves('L2')
    @pytest.mark.parametrize('ending', [
        lambda driver: driver.end(),
        lambda driver: driver.fail(1011, ''),
        lambda driver: driver.parse(sent_close(1000)),
        lambda driver: driver.parse(sent(0x3)),
        lambda driver: (driver.close(), driver.parse(sent_close(1000))),
        lambda driver: (driver.close(), driver.end()),
        lambda driver: (driver.parse(sent_close(1000)), driver.end(), driver.close()),
    ])
    def test_emits_close_once_and_last(self, ending: Any) -> None:
        driver, io = opened()
        ending(driver)
        driver.end()
        assert [entry[0] for entry in io.log].count('close') == 1
        assert io.log[-1][0] == 'close'

    def test_keeps_no_callback(self) -> None:
        driver, io = opened()
        calls: list[str] = []
        driver.ping('a', lambda: calls.append('a'))
        driver.end()
        driver.parse(sent(PONG, b'a'))
        assert calls == []


@pytest.mark.parametrize('io', [Recorder, BufferedRecorder])
def test_writes_to_the_io_that_is_set(io: type[Recorder]) -> None:
    driver, first = opened()
    assert driver.io is first
    driver.io = second = io(HYBI)
    assert driver.io is second
    driver.text('hi')
    assert (first.log, second.log) == ([], [('write', frame(TEXT, b'hi'))])


class TestCheckClose:
    @pytest.mark.parametrize(('code', 'reason'), [(1000, ''), (1001, 'r' * 123), (4999, 'é' * 61)])
    def test_allows(self, code: int, reason: str) -> None:
        check_close(code, reason, server=True)

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize(('code', 'server'), [
        (999, True), (1002, True), (1006, True), (1001, False), ('1000', True), (None, True)])
    def test_refuses_a_code(self, code: Any, server: bool) -> None:
        with pytest.raises(ValueError) as raised:
            check_close(code, '', server=server)
        assert str(raised.value) == f'code: {code!r} cannot be sent by an application'

    @pytest.mark.parametrize('reason', [b'bye', None, 5])
    def test_refuses_a_reason_that_is_not_text(self, reason: Any) -> None:
        with pytest.raises(TypeError) as raised:
            check_close(1000, reason, server=True)
        assert str(raised.value) == f'reason: expected a str, got {reason!r}'

    @pytest.mark.parametrize(('reason', 'length'), [('r' * 124, 124), ('é' * 62, 124)])
    def test_refuses_a_reason_of_more_than_123_bytes(self, reason: str, length: int) -> None:
        with pytest.raises(ValueError) as raised:
            check_close(1000, reason, server=True)
        assert str(raised.value) == f'reason: a close frame holds at most 123 bytes, not {length}'
