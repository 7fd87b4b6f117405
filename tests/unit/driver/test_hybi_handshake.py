"""hybi-07 to RFC 6455, sections 4 and 9: the opening handshake, refusals, and
extensions.
"""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver import CLOSED, CLOSING, CONNECTING, OPEN
from faye_websocket.errors import HandshakeError, ProtocolError
from faye_websocket.extensions import Message
from tests.conftest import Cut
from tests.support.recorder import close_frame, connecting, failure, opened, sent
from tests.support.requests import ACCEPT, HYBI, KEY, without
from tests.support.vectors import BINARY, CONTINUATION, PING, PONG, RSV1, RSV2, TEXT, frame

ACCEPTED = (
    f'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n')

any_version = pytest.mark.parametrize(('number', 'version'), [('13', 'hybi-13'), ('8', 'hybi-08'), ('7', 'hybi-07')])


class TestConnecting:
    def test_answers_the_key_of_the_rfc(self) -> None:
        driver, io = connecting()
        assert driver.start() is True
        assert io.log == [('write', f'{ACCEPTED}\r\n'.encode()), ('open',)]
        assert (driver.ready_state, driver.protocol, driver.extensions, driver.was_clean) == (OPEN, '', '', False)

    @any_version
    def test_answers_each_version_as_itself(self, number: str, version: str) -> None:
        driver, io = connecting({**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': number})
        assert (driver.start(), driver.version, io.written) == (True, version, f'{ACCEPTED}\r\n'.encode())

    def test_starts_once(self) -> None:
        driver, io = opened()
        assert driver.start() is False
        assert io.log == []

    def test_checking_a_request_changes_nothing(self) -> None:
        driver, io = connecting()
        driver.check()
        assert (driver.ready_state, io.log) == (CONNECTING, [])

    @pytest.mark.parametrize(('offered', 'supported', 'chosen'), [
        ('chat, superchat', ['superchat', 'chat'], 'chat'),
        ('mqtt, superchat', ['superchat', 'chat'], 'superchat'),
        (' chat ', ['chat'], 'chat'),
        ('Chat', ['chat'], ''),
        ('mqtt', ['chat'], ''),
        ('chat', [], ''),
        ('', ['chat'], ''),
    ])
    def test_chooses_the_first_of_the_clients_subprotocols_that_it_supports(
        self, offered: str, supported: list[str], chosen: str
    ) -> None:
        driver, io = connecting({**HYBI, 'HTTP_SEC_WEBSOCKET_PROTOCOL': offered}, protocols=iter(supported))
        driver.start()
        assert driver.protocol == chosen
        assert io.written.decode() == ACCEPTED + (f'Sec-WebSocket-Protocol: {chosen}\r\n' if chosen else '') + '\r\n'

    def test_adds_the_applications_headers(self) -> None:
        driver, io = connecting(headers=[('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')])
        driver.start()
        assert io.written.decode() == ACCEPTED + 'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n'

    @pytest.mark.proves('S3')
    @pytest.mark.parametrize('version', ['14', '0', '', '13, 13', '013'])
    def test_refuses_another_version_and_names_those_it_has(self, version: str) -> None:
        driver, io = connecting({**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': version})
        text = f'version {version!r} is not supported'
        assert driver.start() is False
        assert io.written.decode() == (
            'HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\n'
            f'Content-Length: {len(text) + 1}\r\nConnection: close\r\nSec-WebSocket-Version: 13, 8, 7\r\n\r\n{text}\n')
        assert io.events == [('error', 'HandshakeError', text), ('close', 1006, text)]

    @pytest.mark.proves('S3')
    def test_refuses_a_key_without_a_version(self) -> None:
        driver, _ = connecting(without(HYBI, 'HTTP_SEC_WEBSOCKET_VERSION'))
        with pytest.raises(HandshakeError, match='^version None is not supported$') as raised:
            driver.check()
        assert raised.value.status == '426 Upgrade Required'

    @pytest.mark.proves('S3')
    @pytest.mark.parametrize('key', [
        None, '', KEY[:-1], KEY + '=', 'A' + KEY, KEY[:-3] + '===', KEY.replace('G', '-'), KEY + '\n', f'{KEY}, {KEY}'])
    def test_refuses_a_key_that_is_not_sixteen_bytes_in_base64(self, key: str | None) -> None:
        environ = {name: value for name, value in {**HYBI, 'HTTP_SEC_WEBSOCKET_KEY': key}.items() if value is not None}
        driver, io = connecting(environ)
        text = 'Sec-WebSocket-Key is not sixteen bytes in base64'
        assert driver.start() is False
        assert io.written.decode() == (
            'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n'
            f'Content-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n{text}\n')
        assert io.events == [('error', 'HandshakeError', text), ('close', 1006, text)]

    def test_refuses_extensions_that_are_not_a_list(self) -> None:
        driver, io = connecting({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'a; =1'})
        driver.start()
        assert io.events[-1] == ('close', 1006, 'malformed Sec-WebSocket-Extensions header at character 2')

    def test_ignores_bytes_before_the_start(self) -> None:
        driver, io = connecting()
        driver.parse(sent(TEXT, b'early'))
        driver.start()
        assert io.events == [('open',)]

    def test_sends_the_queued_messages_when_it_opens(self) -> None:
        driver, io = connecting()
        assert (driver.text('a'), driver.binary(b'b')) == (True, True)
        assert (driver.ping('c'), driver.pong('d'), driver.close(1000, 'e')) == (True, True, True)
        assert io.log == []
        driver.start()
        assert io.log[1:] == [
            ('write', frame(TEXT, b'a')), ('write', frame(BINARY, b'b')), ('write', frame(PING, b'c')),
            ('write', frame(PONG, b'd')), ('write', close_frame(1000, 'e')), ('open',)]
        assert driver.ready_state == CLOSING

    @pytest.mark.proves('B1')
    def test_keeps_the_order_of_messages(self) -> None:
        driver, io = connecting()
        driver.text('first')
        driver.on('open', lambda: driver.text('second'))
        driver.start()
        assert io.written.endswith(frame(TEXT, b'first') + frame(TEXT, b'second'))

    @pytest.mark.proves('L6')
    def test_sends_nothing_after_close(self) -> None:
        driver, _ = connecting()
        assert [driver.close(), driver.text('late'), driver.close()] == [True, False, False]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize('reason', ['', 'timeout'])
    def test_says_1006_when_the_connection_is_lost(self, reason: str) -> None:
        driver, io = connecting()
        driver.text('queued')
        driver.end(reason)
        assert driver.text('late') is False
        assert io.log == [('close', 1006, reason)]

    @pytest.mark.proves('L2')
    @pytest.mark.parametrize('command', ['end', 'fail'])
    def test_does_not_start_once_it_has_ended(self, command: str) -> None:
        driver, io = connecting()
        driver.on('close', lambda code, reason: io.log.clear())
        getattr(driver, command)(*([1011, 'no'] if command == 'fail' else []))
        assert (driver.start(), driver.ready_state, io.log) == (False, CLOSED, [])

    def test_fails_without_a_close_frame(self) -> None:
        driver, io = connecting()
        driver.fail(1011, 'no')
        assert io.log == [('close', 1011, 'no')]

    @pytest.mark.proves('L2')
    @pytest.mark.parametrize('command', ['ping', 'pong', 'close'])
    def test_sends_nothing_more_once_the_io_has_ended_it(self, command: str) -> None:
        driver, io = connecting()
        driver.text('a')
        getattr(driver, command)()
        write = io.write

        def break_at_a(data: bytes) -> None:
            write(data)
            if data == frame(TEXT, b'a'):
                driver.end('broken pipe')

        io.write = break_at_a  # type: ignore[method-assign]
        driver.start()
        driver.end()
        assert io.log[1:] == [('write', frame(TEXT, b'a')), ('close', 1006, 'broken pipe')]

    @pytest.mark.proves('L2')
    def test_emits_no_refusal_after_the_connection_was_lost(self) -> None:
        driver, io = connecting()
        driver.end()
        driver.refuse(HandshakeError('403 Forbidden', 'not from there'))
        assert io.events == [('close', 1006, '')]

    def test_is_refused_by_its_owner(self) -> None:
        driver, io = connecting()
        driver.refuse(HandshakeError('403 Forbidden', 'not from there', (('X-Why', 'origin'),)))
        assert io.written == (
            b'HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 15\r\n'
            b'Connection: close\r\nX-Why: origin\r\n\r\nnot from there\n')
        assert io.events == [('error', 'HandshakeError', 'not from there'), ('close', 1006, 'not from there')]
        assert driver.start() is False

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('value', ['a\r\nb: c', 'a\nb', 'a\0b'])
    def test_refuses_a_header_that_ends_its_line(self, value: str) -> None:
        with pytest.raises(ValueError, match='headers: '):
            connecting(headers=[('X-Test', value)])


class Shift:
    """An extension that adds to every byte.

    It marks the messages that it has changed with a reserved bit.
    """

    def __init__(self, name: str = 'shift', by: int = 1, rsv: int = RSV1, response: dict[str, Any] | None = None) -> None:
        self.name, self.by, self.rsv, self.response = name, by, rsv, response or {}
        self.rsv1, self.rsv2, self.rsv3 = bool(rsv & RSV1), bool(rsv & RSV2), False
        self.offers: list[Any] = []
        self.closed = 0

    def create_server_session(self, offers: list[Any]) -> Shift:
        self.offers = offers
        return self

    def generate_response(self) -> dict[str, Any]:
        return self.response

    def process_incoming_message(self, message: Message) -> Message:
        if message.rsv & self.rsv:
            if message.data == b'broken':
                raise ProtocolError('cannot shift that')
            message.data = bytes((byte - self.by) % 256 for byte in message.data)
        return message

    def process_outgoing_message(self, message: Message) -> Message:
        message.rsv |= self.rsv
        message.data = bytes((byte + self.by) % 256 for byte in message.data)
        return message

    def close(self) -> None:
        self.closed += 1


class TestExtensions:
    OFFER = {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'other, shift; a=1, shift'}

    def test_agrees_on_an_extension_that_the_client_offers(self) -> None:
        shift = Shift(response={'by': '1', 'quietly': True})
        driver, io = connecting(self.OFFER, extensions=[shift])
        driver.start()
        assert shift.offers == [{'a': '1'}, {}]
        assert driver.extensions == 'shift; by=1; quietly'
        assert io.written.decode() == ACCEPTED + 'Sec-WebSocket-Extensions: shift; by=1; quietly\r\n\r\n'

    @pytest.mark.proves('D3')
    @pytest.mark.parametrize('environ', [HYBI, {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'other'}])
    def test_sends_no_header_without_agreement(self, environ: dict[str, str]) -> None:
        driver, io = connecting(environ, extensions=[Shift()])
        driver.start()
        assert (driver.extensions, io.written.decode()) == ('', f'{ACCEPTED}\r\n')
        driver.text('plain')
        assert io.log[-1] == ('write', frame(TEXT, b'plain'))

    def test_changes_messages_both_ways(self, chunks: Cut) -> None:
        driver, io = opened(self.OFFER, extensions=[Shift()])
        for chunk in chunks(sent(TEXT, b'ij', rsv=RSV1) + sent(BINARY, b'hi') + sent(BINARY, b'i', rsv=RSV1, fin=False)
                            + sent(PING) + sent(CONTINUATION, b'j')):
            driver.parse(chunk)
        driver.binary(b'hi')
        assert io.log == [
            ('message', 'hi'), ('message', b'hi'), ('write', frame(PONG, b'')), ('ping', b''), ('message', b'hi'),
            ('write', frame(BINARY, b'ij', rsv=RSV1))]

    def test_checks_text_after_the_extension_has_processed_it(self, chunks: Cut) -> None:
        driver, io = opened(self.OFFER, extensions=[Shift()])
        for chunk in chunks(sent(TEXT, b'\xff', rsv=RSV1)):
            driver.parse(chunk)
        assert io.log == failure(1007, 'text is not UTF-8')

    def test_accepts_text_that_is_utf8_only_after_the_extension(self, chunks: Cut) -> None:
        driver, io = opened(self.OFFER, extensions=[Shift()])
        wire = bytes((byte + 1) % 256 for byte in '€'.encode())
        for chunk in chunks(sent(TEXT, wire, rsv=RSV1)):
            driver.parse(chunk)
        assert io.log == [('message', '€')]

    def test_fails_with_the_error_of_the_extension(self) -> None:
        driver, io = opened(self.OFFER, extensions=[Shift()])
        driver.parse(sent(BINARY, b'broken', rsv=RSV1))
        assert io.log == failure(1002, 'cannot shift that')

    @pytest.mark.proves('S5')
    def test_refuses_reserved_bits_that_no_extension_uses(self) -> None:
        driver, io = opened(self.OFFER, extensions=[Shift()])
        driver.parse(sent(BINARY, b'', rsv=RSV2))
        assert io.log == failure(1002, 'reserved bits 010 set without an extension that uses them')

    @pytest.mark.proves('S5')
    def test_refuses_reserved_bits_on_a_continuation(self) -> None:
        driver, io = opened(self.OFFER, extensions=[Shift()])
        driver.parse(sent(BINARY, b'a', fin=False) + sent(CONTINUATION, b'b', rsv=RSV1))
        assert io.log == failure(1002, 'reserved bits on a continuation frame')

    def test_ends_with_the_connection(self) -> None:
        shift = Shift()
        driver, _ = opened(self.OFFER, extensions=[shift])
        driver.end()
        driver.end()
        assert shift.closed == 1
