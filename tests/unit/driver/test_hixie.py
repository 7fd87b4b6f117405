"""The server's end of the two hixie drafts: their common behaviour, then each by
itself.
"""

from __future__ import annotations

import gc
import io
import weakref
from typing import Any

import pytest

from faye_websocket.driver import CLOSED, CLOSING, CONNECTING, OPEN
from faye_websocket.errors import HandshakeError, ProtocolError
from tests.conftest import Cut
from tests.support.recorder import closed, connecting, opened
from tests.support.requests import HIXIE_75, HIXIE_76, HIXIE_76_BODY, HIXIE_76_PROOF, without
from tests.support.wire import HIXIE_76_CLOSE

HEAD_75 = (
    'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n'
    'WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n')
HEAD_76 = (
    'HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n'
    'Sec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: ws://example.com/demo\r\n')

both = pytest.mark.parametrize('environ', [HIXIE_75, HIXIE_76], ids=['hixie-75', 'hixie-76'])
both_heads = pytest.mark.parametrize(
    ('environ', 'head'), [(HIXIE_75, HEAD_75), (HIXIE_76, HEAD_76)], ids=['hixie-75', 'hixie-76'])


def failure(code: int, text: str) -> list[tuple[Any, ...]]:
    """Return the log of a connection that fails because of the peer's bytes.

    The drafts have no close codes, so that nothing is written.
    """
    name = {1002: 'ProtocolError', 1007: 'InvalidData', 1009: 'MessageTooBig'}[code]
    return [('error', name, text), ('close', code, text)]


class TestConnecting:
    @both_heads
    def test_answers_with_the_headers_of_the_draft_in_their_order(self, environ: dict[str, str], head: str) -> None:
        driver, io = connecting(environ)
        assert driver.start() is True
        assert io.log[0] == ('write', f'{head}\r\n'.encode())

    @both_heads
    def test_adds_the_applications_headers(self, environ: dict[str, str], head: str) -> None:
        driver, io = connecting(environ, headers=[('Set-Cookie', 'a=1')])
        driver.start()
        assert io.written.decode() == f'{head}Set-Cookie: a=1\r\n\r\n'

    @both_heads
    def test_echoes_no_origin_where_there_is_none(self, environ: dict[str, str], head: str) -> None:
        driver, io = connecting(without(environ, 'HTTP_ORIGIN'))
        driver.start()
        assert io.written.decode() == ''.join(line for line in head.splitlines(True) if 'Origin' not in line) + '\r\n'

    @both
    def test_its_location_has_the_scheme_of_the_request(self, environ: dict[str, str]) -> None:
        driver, io = connecting({**environ, 'wsgi.url_scheme': 'https', 'QUERY_STRING': 'a=%20', 'PATH_INFO': '/caf\xc3\xa9'})
        driver.start()
        assert b'WebSocket-Location: wss://example.com/caf%C3%A9?a=%20\r\n' in io.written

    @pytest.mark.parametrize(('environ', 'header', 'answer'), [
        (HIXIE_75, 'HTTP_WEBSOCKET_PROTOCOL', b'\r\nWebSocket-Protocol: chat\r\n'),
        (HIXIE_76, 'HTTP_SEC_WEBSOCKET_PROTOCOL', b'\r\nSec-WebSocket-Protocol: chat\r\n'),
    ])
    def test_agrees_on_a_subprotocol(self, environ: dict[str, str], header: str, answer: bytes) -> None:
        driver, io = connecting({**environ, header: 'chat'}, protocols=['chat'])
        driver.start()
        assert (driver.protocol, answer in io.written) == ('chat', True)

    @both
    def test_sends_the_queued_messages_when_it_opens(self, environ: dict[str, str]) -> None:
        driver, io = connecting(environ)
        assert (driver.text('hi'), driver.close()) == (True, True)
        driver.start()
        driver.parse(HIXIE_76_BODY if environ is HIXIE_76 else b'')
        if environ is HIXIE_76:
            assert io.log[2:] == [('write', b'\0hi\xff'), ('write', HIXIE_76_CLOSE), ('open',)]
        else:
            assert io.log[1:] == [('write', b'\0hi\xff'), ('close', 1005, '')]


class TestConnecting75:
    def test_opens_at_once(self) -> None:
        driver, io = connecting(HIXIE_75)
        driver.start()
        assert (io.events, driver.ready_state, driver.version) == ([('open',)], OPEN, 'hixie-75')

    def test_ignores_bytes_before_the_start(self) -> None:
        driver, io = connecting(HIXIE_75)
        driver.parse(b'\0early\xff')
        driver.start()
        assert io.events == [('open',)]

    def test_closes_cleanly_when_the_connection_ends(self) -> None:
        driver, io = connecting(HIXIE_75)
        driver.end()
        assert io.log == [('close', 1005, '')]


class TestConnecting76:
    @pytest.mark.proves('H4')
    def test_sends_the_head_at_once_and_the_proof_when_the_body_is_there(self, chunks: Cut) -> None:
        driver, io = connecting(HIXIE_76)
        driver.start()
        assert (driver.ready_state, driver.version, io.events) == (CONNECTING, 'hixie-76', [])
        io.log.clear()
        for chunk in chunks(HIXIE_76_BODY[:-1]):
            driver.parse(chunk)
        assert io.log == []
        driver.parse(HIXIE_76_BODY[-1:])
        assert io.log == [('write', HIXIE_76_PROOF), ('open',)]
        assert driver.ready_state == OPEN

    @pytest.mark.proves('S9')
    def test_keeps_nothing_of_the_request_while_it_waits_for_the_body(self) -> None:
        body = io.BytesIO()
        gone = weakref.ref(body)
        driver, recorder = connecting({**HIXIE_76, 'wsgi.input': body})
        driver.io = recorder
        del body, recorder.environ
        assert gone() is not None
        driver.start()
        gc.collect()
        assert gone() is None
        driver.parse(HIXIE_76_BODY)
        assert recorder.written.endswith(HIXIE_76_PROOF)

    def test_sends_nothing_before_the_start(self) -> None:
        driver, io = connecting(HIXIE_76)
        driver.parse(HIXIE_76_BODY)
        assert io.log == []

    @pytest.mark.proves('H4')
    def test_parses_the_bytes_after_the_body(self, chunks: Cut) -> None:
        driver, io = connecting(HIXIE_76)
        driver.start()
        for chunk in chunks(HIXIE_76_BODY + b'\0hi\xff' + HIXIE_76_CLOSE):
            driver.parse(chunk)
        assert io.log[1:] == [
            ('write', HIXIE_76_PROOF), ('open',), ('message', 'hi'), ('write', HIXIE_76_CLOSE), ('close', 1005, '')]

    @pytest.mark.parametrize('number', [1, 2])
    @pytest.mark.parametrize('key', [
        '',
        '12998',                       # no spaces
        ' P ',                         # no digits
        '5  5',                        # 55 / 2
        '4294967296 ',                 # 2**32
        '8589934592  ',
        '1' * 21 + ' ',                # more digits than any key has
        '\u0661 ',                     # a digit, but not in ASCII
    ])
    def test_refuses_a_key_without_a_number(self, number: int, key: str) -> None:
        driver, io = connecting({**HIXIE_76, f'HTTP_SEC_WEBSOCKET_KEY{number}': key})
        text = f'the key {key!r} does not encode a number'
        assert driver.start() is False
        assert io.written.startswith(b'HTTP/1.1 400 Bad Request\r\n')
        assert io.events == [('error', 'HandshakeError', text), ('close', 1006, text)]

    @pytest.mark.parametrize('number', [1, 2])
    def test_refuses_a_missing_key(self, number: int) -> None:
        driver, _ = connecting(without(HIXIE_76, f'HTTP_SEC_WEBSOCKET_KEY{number}'))
        with pytest.raises(HandshakeError, match="^the key '' does not encode a number$"):
            driver.check()

    def test_shows_no_more_than_80_characters_of_a_key(self) -> None:
        driver, _ = connecting({**HIXIE_76, 'HTTP_SEC_WEBSOCKET_KEY1': 'x' * 81})
        with pytest.raises(HandshakeError, match=f"^the key '{'x' * 80}' does not encode a number$"):
            driver.check()

    @pytest.mark.parametrize('key', ['4294967295 ', ' 0', '00000000000000000001 ', '1 \u0661'])
    def test_accepts_any_number_of_32_bits(self, key: str) -> None:
        driver, _ = connecting({**HIXIE_76, 'HTTP_SEC_WEBSOCKET_KEY1': key})
        driver.check()

    @pytest.mark.parametrize('reason', ['', 'handshake timeout'])
    def test_says_1006_when_the_connection_ends(self, reason: str) -> None:
        driver, io = connecting(HIXIE_76)
        driver.start()
        driver.parse(HIXIE_76_BODY[:7])
        io.log.clear()
        driver.end(reason)
        assert io.log == [('close', 1006, reason)]

    def test_loses_no_input_to_a_listener(self) -> None:
        driver, io = connecting(HIXIE_76)
        driver.on('open', lambda: 1 / 0)
        driver.start()
        with pytest.raises(ZeroDivisionError):
            driver.parse(HIXIE_76_BODY + b'\0a\xff')
        driver.parse(b'\0b\xff')
        assert io.events == [('open',), ('message', 'a'), ('message', 'b')]


@both
class TestOpen:
    def test_sends_text_and_nothing_else(self, environ: dict[str, str]) -> None:
        driver, io = opened(environ)
        assert driver.text('Grüße') is True
        assert [driver.binary(b'a'), driver.ping('a', lambda: None), driver.pong('a')] == [False] * 3
        assert io.log == [('write', b'\0Gr\xc3\xbc\xc3\x9fe\xff')]
        assert (driver.can_ping, driver.extensions) == (False, '')

    def test_receives_text(self, environ: dict[str, str], chunks: Cut) -> None:
        driver, io = opened(environ)
        for chunk in chunks('\0Grüße, 世界 🎈'.encode() + b'\xff\0\xff\0b\xff'):
            driver.parse(chunk)
        assert io.log == [('message', 'Grüße, 世界 🎈'), ('message', ''), ('message', 'b')]

    @pytest.mark.parametrize('frame_type', [0x01, 0x66, 0x7F])
    def test_receives_text_behind_any_type_without_a_length(
        self, environ: dict[str, str], chunks: Cut, frame_type: int
    ) -> None:  # Ruby's driver has a spec for 0x66.
        driver, io = opened(environ)
        for chunk in chunks(bytes((frame_type,)) + b'Hello\xff\0b\xff'):
            driver.parse(chunk)
        assert io.log == [('message', 'Hello'), ('message', 'b')]

    @pytest.mark.parametrize('skipped', [
        b'\x80\x00', b'\x80\x03abc', b'\xfe\x01\0', b'\xff\x02\0\xff', b'\x80\x80\x80\x02ab', b'\xff\x81\x00' + b'x' * 128,
        b'\x80\x7f' + b'\xff' * 127])
    def test_skips_frames_with_a_length(self, environ: dict[str, str], chunks: Cut, skipped: bytes) -> None:
        driver, io = opened(environ)
        for chunk in chunks(b'\0a\xff' + skipped + b'\0b\xff'):
            driver.parse(chunk)
        assert io.log == [('message', 'a'), ('message', 'b')]

    @pytest.mark.proves('S4', 'S5')
    @pytest.mark.parametrize(('wire', 'code', 'text'), [
        (b'\x66' + b'x' * 11 + b'\xff', 1009, 'message too big: more than 10 bytes'),
        (b'\x66\xc0\xaf\xff', 1007, 'text is not UTF-8'),
        (b'\0\xc0\xaf\xff', 1007, 'text is not UTF-8'),
        (b'\0\xed\xa0\x80\xff', 1007, 'text is not UTF-8'),
        (b'\0\xe2\x82\xff', 1007, 'text is not UTF-8'),
        (b'\0' + b'x' * 11 + b'\xff', 1009, 'message too big: more than 10 bytes'),
        (b'\0' + b'x' * 50 + b'\xff', 1009, 'message too big: more than 10 bytes'),
        (b'\x80\x0b', 1009, 'message too big: more than 10 bytes'),
        (b'\xff\x81\x00', 1009, 'message too big: more than 10 bytes'),
        (b'\x80\xff\xff\xff\x7f', 1009, 'message too big: more than 10 bytes'),
    ])
    def test_fails(
        self, environ: dict[str, str], chunks: Cut, wire: bytes, code: int, text: str
    ) -> None:
        driver, io = opened(environ, max_length=10)
        for chunk in chunks(wire + b'\0late\xff'):
            driver.parse(chunk)
        assert io.log == failure(code, text)
        assert (driver.ready_state, driver.was_clean) == (CLOSED, False)

    @pytest.mark.proves('S4')
    @pytest.mark.parametrize('length', [9, 10])
    def test_accepts_texts_of_up_to_max_length(self, environ: dict[str, str], chunks: Cut, length: int) -> None:
        driver, io = opened(environ, max_length=10)
        for chunk in chunks(b'\x80' + bytes((length,)) + b'x' * length + b'\0' + b'x' * length + b'\xff'):
            driver.parse(chunk)
        assert io.log == [('message', 'x' * length)]

    @pytest.mark.proves('S4')
    def test_fails_before_the_end_of_a_text_that_is_too_big(self, environ: dict[str, str]) -> None:
        driver, io = opened(environ, max_length=10)
        driver.parse(b'\0' + b'x' * 10)
        assert io.log == []
        driver.parse(b'x')
        assert io.log == failure(1009, 'message too big: more than 10 bytes')

    @pytest.mark.proves('S4')
    @pytest.mark.parametrize(('digits', 'is_too_big'), [(8, False), (9, False), (10, True)])
    def test_accepts_a_length_of_up_to_nine_digits(
        self, environ: dict[str, str], chunks: Cut, digits: int, is_too_big: bool
    ) -> None:
        driver, io = opened(environ)
        for chunk in chunks(b'\x80' + b'\x80' * (digits - 1) + b'\x01x\0a\xff'):
            driver.parse(chunk)
        assert io.log == (failure(1009, 'message too big: more than 67108863 bytes') if is_too_big else [('message', 'a')])

    @pytest.mark.parametrize('error', [
        UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'mine'),
        ProtocolError('mine'),
    ], ids=['UnicodeDecodeError', 'ProtocolError'])
    def test_does_not_catch_the_exception_of_a_listener(self, environ: dict[str, str], error: Exception) -> None:
        def listener(data: str) -> None:
            raise error

        driver, io = opened(environ)
        driver.on('message', listener)
        with pytest.raises(type(error), match='mine'):
            driver.parse(b'\0a\xff')
        assert io.log == [('message', 'a')]

    def test_loses_no_input_to_a_listener(self, environ: dict[str, str]) -> None:
        driver, io = opened(environ)
        driver.on('message', lambda data: 1 / len(data))
        with pytest.raises(ZeroDivisionError):
            driver.parse(b'\0\xff\0b\xff\0c')
        driver.parse(b'\xff')
        assert io.log == [('message', ''), ('message', 'b'), ('message', 'c')]

    def test_emits_nothing_after_a_listener_ended_the_connection(self, environ: dict[str, str]) -> None:
        driver, io = opened(environ)
        driver.on('message', lambda data: driver.fail(1011, 'enough'))
        driver.parse(b'\0a\xff\0b\xff')
        assert io.log == [('message', 'a'), ('close', 1011, 'enough')]

    @pytest.mark.proves('L4')
    def test_says_1006_when_the_connection_is_lost(self, environ: dict[str, str]) -> None:
        driver, io = opened(environ)
        driver.end('reset')
        assert (io.log, driver.was_clean) == ([('close', 1006, 'reset')], False)


class TestOpen75:
    def test_closes_without_a_handshake(self) -> None:
        driver, io = opened(HIXIE_75)
        assert driver.close(1000, 'bye') is True
        assert (io.log, driver.ready_state, driver.was_clean) == ([('close', 1005, '')], CLOSED, True)

    def test_is_closed_by_the_end_of_the_connection(self) -> None:
        driver, io = opened(HIXIE_75)
        driver.end()
        assert (io.log, driver.was_clean) == ([('close', 1005, '')], True)

    def test_has_no_closing_frame(self, chunks: Cut) -> None:
        driver, io = opened(HIXIE_75)
        for chunk in chunks(HIXIE_76_CLOSE + b'\0a\xff'):
            driver.parse(chunk)
        assert io.log == [('message', 'a')]

    def test_lets_its_owner_answer_what_came_before_the_end(self) -> None:
        driver, io = opened(HIXIE_75)
        driver.on('ending', lambda: driver.text('last'))
        driver.parse(b'\0\xc0\xff')
        assert io.log == [('write', b'\0last\xff'), *failure(1007, 'text is not UTF-8')]

    def test_shows_its_state(self) -> None:
        assert repr(opened(HIXIE_75)[0]) == "<Draft75 hixie-75 OPEN protocol=''>"


class TestOpen76:
    def test_answers_the_peers_close(self, chunks: Cut) -> None:
        driver, io = opened(HIXIE_76)
        for chunk in chunks(HIXIE_76_CLOSE + b'\0late\xff'):
            driver.parse(chunk)
        assert io.log == [('write', HIXIE_76_CLOSE), ('close', 1005, '')]
        assert (driver.ready_state, driver.was_clean) == (CLOSED, True)

    def test_lets_its_owner_answer_what_came_before_the_end(self) -> None:
        driver, io = opened(HIXIE_76)
        driver.on('ending', lambda: driver.text('last'))
        driver.parse(HIXIE_76_CLOSE)
        assert io.log == [('write', b'\0last\xff'), ('write', HIXIE_76_CLOSE), ('close', 1005, '')]

    def test_lets_its_owner_hold_the_end_back(self) -> None:
        driver, io = opened(HIXIE_76)
        driver.on('ending', lambda: setattr(driver, 'is_paused', True))
        driver.parse(HIXIE_76_CLOSE + b'\0late\xff')
        assert io.log == []
        assert driver.finish_ending() is True
        assert io.log == [('write', HIXIE_76_CLOSE), ('close', 1005, '')]

    def test_closes_and_waits_for_the_peer(self) -> None:
        driver, io = opened(HIXIE_76)
        assert driver.close(1000, 'bye') is True
        assert (io.log, driver.ready_state) == ([('write', HIXIE_76_CLOSE)], CLOSING)

    @pytest.mark.proves('L4')
    def test_says_1006_without_a_closing_handshake(self) -> None:
        driver, io = opened(HIXIE_76)
        driver.end()
        assert (io.log, driver.was_clean) == ([('close', 1006, '')], False)


class TestClosing76:
    def test_ends_with_the_peers_close(self, chunks: Cut) -> None:
        driver, io = opened(HIXIE_76)
        driver.close()
        io.log.clear()
        for chunk in chunks(HIXIE_76_CLOSE):
            driver.parse(chunk)
        assert (io.log, driver.was_clean) == ([('close', 1005, '')], True)

    @pytest.mark.proves('L6')
    def test_sends_nothing_more(self) -> None:
        driver, io = opened(HIXIE_76)
        driver.close()
        io.log.clear()
        assert (driver.text('a'), driver.close(), io.log) == (False, False, [])


@both
class TestClosed:
    @pytest.mark.proves('L2', 'L6')
    def test_does_nothing_more(self, environ: dict[str, str]) -> None:
        driver, io = closed(environ)
        assert [driver.text('a'), driver.close(), driver.start()] == [False] * 3
        driver.parse(b'\0late\xff')
        driver.fail(1011, 'late')
        driver.end()
        assert io.log == []
