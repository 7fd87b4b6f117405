"""A raw TCP connection: the request cut anywhere, then each version of the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket import PermessageDeflate
from faye_websocket.driver import CLOSED, CLOSING, CONNECTING, OPEN, server
from faye_websocket.errors import HandshakeError
from faye_websocket.http.url import determine_url
from tests.conftest import Cut
from tests.support.recorder import BufferedRecorder, Recorder, sent
from tests.support.requests import ACCEPT, HIXIE_76_BODY, HIXIE_76_PROOF, HYBI_HEAD
from tests.support.vectors import BINARY, CLOSE, PING, PONG, TEXT, frame

ACCEPTED = (
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    f'Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n').encode()
HIXIE_75_HEAD = b'GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n'
HIXIE_76_HEAD = HIXIE_75_HEAD[:-2] + (
    b'Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n')


def listening(io: type[Recorder] = Recorder, **options: Any) -> tuple[Any, Recorder]:
    """Return the driver of a server without a request, and its recorder."""
    recorder = io({})
    driver = server(recorder, **options)
    recorder.watch(driver)
    return driver, recorder


def refusal(status: str, text: str) -> bytes:
    """Return a complete HTTP error."""
    return (f'HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n'
            f'Content-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n{text}\n').encode()


class TestConnecting:
    @pytest.mark.proves('H4')
    def test_opens_by_itself_and_parses_the_bytes_after_the_request(self, chunks: Cut) -> None:
        driver, io = listening()
        for chunk in chunks(HYBI_HEAD + sent(TEXT, b'hi') + sent(PING)):
            driver.parse(chunk)
        assert io.log == [
            ('connect',), ('write', ACCEPTED), ('open',), ('message', 'hi'), ('write', frame(PONG, b'')), ('ping', b'')]
        assert (driver.ready_state, driver.version, driver.protocol) == (OPEN, 'hybi-13', '')

    def test_speaks_hixie_75(self, chunks: Cut) -> None:
        driver, io = listening()
        for chunk in chunks(HIXIE_75_HEAD + b'\0hi\xff'):
            driver.parse(chunk)
        assert io.events == [('connect',), ('open',), ('message', 'hi')]
        assert driver.version == 'hixie-75'

    @pytest.mark.proves('H4')
    def test_speaks_hixie_76(self, chunks: Cut) -> None:
        driver, io = listening()
        for chunk in chunks(HIXIE_76_HEAD + HIXIE_76_BODY + b'\0hi\xff'):
            driver.parse(chunk)
        assert io.log[2:] == [('write', HIXIE_76_PROOF), ('open',), ('message', 'hi')]
        assert driver.version == 'hixie-76'

    def test_ignores_empty_lines_before_the_request(
        self, chunks: Cut
    ) -> None:  # RFC 9112, 2.2
        driver, io = listening()
        for chunk in chunks(b'\r\n\r\n' + HYBI_HEAD + sent(TEXT, b'hi')):
            driver.parse(chunk)
        assert io.log == [('connect',), ('write', ACCEPTED), ('open',), ('message', 'hi')]

    @pytest.mark.parametrize('head', [HYBI_HEAD, HIXIE_75_HEAD])
    def test_uses_the_host_of_an_absolute_target(
        self, head: bytes
    ) -> None:  # RFC 9112, 3.2.2
        driver, io = listening()
        driver.parse(head.replace(b'GET /demo', b'GET http://shop.example:81/demo'))
        assert (driver.environ['HTTP_HOST'], driver.environ['PATH_INFO']) == (
            'shop.example:81',
            '/demo',
        )
        assert determine_url(driver.environ) == 'ws://shop.example:81/demo'
        assert ('open',) in io.log

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize(
        ('header', 'value'),
        [
            ('Connection', ', Upgrade,'),
            ('Upgrade', 'websocket,'),
            ('Sec-WebSocket-Version', ',13,'),
            ('Sec-WebSocket-Protocol', ',, chat ,'),
            ('Sec-WebSocket-Extensions', 'permessage-deflate,'),
            ('Sec-WebSocket-Extensions', ', permessage-deflate'),
            ('Sec-WebSocket-Extensions', ','),
        ],
    )
    def test_ignores_empty_elements(self, header: str, value: str) -> None:
        lines = [
            line
            for line in HYBI_HEAD.decode().split('\r\n')[:-2]
            if not line.startswith(f'{header}:')
        ]
        driver, io = listening(protocols=['chat'], extensions=[PermessageDeflate()])
        driver.parse('\r\n'.join([*lines, f'{header}: {value}', '', '']).encode())
        assert io.events == [('connect',), ('open',)]
        assert (driver.version, driver.protocol, driver.extensions) == (
            'hybi-13',
            'chat' if 'chat' in value else '',
            'permessage-deflate' if 'perm' in value else '',
        )

    @pytest.mark.parametrize(('secure', 'location'), [(False, b'ws://example.com/demo'), (True, b'wss://example.com/demo')])
    def test_its_location_is_secure_if_the_option_says_so(self, secure: bool, location: bytes) -> None:
        driver, io = listening(secure=secure)
        driver.parse(HIXIE_75_HEAD)
        assert b'WebSocket-Location: ' + location in io.written

    def test_passes_its_options_to_the_version(self) -> None:
        driver, io = listening(protocols=iter(['chat']), max_length=1, headers=[('X-Test', '1')])
        driver.parse(HYBI_HEAD.replace(b'\r\n\r\n', b'\r\nSec-WebSocket-Protocol: chat\r\n\r\n') + sent(TEXT, b'hi'))
        assert driver.protocol == 'chat'
        assert b'Sec-WebSocket-Protocol: chat\r\nX-Test: 1\r\n\r\n' in io.written
        assert io.events[-1] == ('close', 1009, 'message too big: 2 > 1')

    def test_shows_the_request_before_it_is_answered(self) -> None:
        seen = []
        driver, io = listening()
        assert (driver.environ, driver.version, driver.protocol, driver.ready_state) == ({}, '', '', CONNECTING)
        driver.on('connect', lambda: seen.append((driver.environ['PATH_INFO'], driver.ready_state, io.written)))
        driver.parse(HYBI_HEAD)
        assert seen == [('/demo', CONNECTING, b'')]

    @pytest.mark.proves('S2')
    def test_is_refused_by_a_listener_of_connect(self) -> None:
        driver, io = listening()
        driver.on('connect', lambda: driver.refuse(HandshakeError('403 Forbidden', 'not from there')))
        driver.parse(HYBI_HEAD + sent(TEXT, b'late'))
        assert io.written == refusal('403 Forbidden', 'not from there')
        assert io.events == [('connect',), ('error', 'HandshakeError', 'not from there'), ('close', 1006, 'not from there')]

    def test_is_refused_before_the_request_is_complete(self) -> None:
        driver, io = listening()
        driver.parse(HYBI_HEAD[:20])
        driver.refuse(HandshakeError('503 Service Unavailable', 'full'))
        driver.refuse(HandshakeError('503 Service Unavailable', 'full'))
        driver.parse(HYBI_HEAD[20:])
        assert io.log == [
            ('write', refusal('503 Service Unavailable', 'full')), ('error', 'HandshakeError', 'full'), ('close', 1006, 'full')]
        assert driver.ready_state == CLOSED

    @pytest.mark.proves('S2', 'S9')
    @pytest.mark.parametrize(('request_', 'status', 'text'), [
        (b'HELLO\r\n\r\n', '400 Bad Request', "malformed request line 'HELLO'"),
        (b'GET / HTTP/1.1\r\nHost\r\n\r\n', '400 Bad Request', "malformed header line 'Host'"),
        (b'GET / HTTP/1.1\r\nHost: h\r\n\r\n', '400 Bad Request', 'the Upgrade header does not contain websocket'),
        (b'GET / HTTP/1.0\r\n\r\n', '400 Bad Request', 'a WebSocket handshake requires HTTP/1.1'),
        (b'GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\n 2\r\n\r\n', '400 Bad Request', "malformed header line ' 2'"),
        (b'GET / HTTP/1.1\r\nHost: a/b?c#d\r\n\r\n', '400 Bad Request',
         "the Host header is not a valid host: 'a/b?c#d'"),
        (b'GET http://h/ HTTP/1.1\r\nHost: a/b?c#d\r\n\r\n', '400 Bad Request',
         "the Host header is not a valid host: 'a/b?c#d'"),
        (b'GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n', '400 Bad Request',
         "the Host header is not a valid host: 'u@h'"),
        (b'GET http://h/ HTTP/1.1\r\n\r\n', '400 Bad Request', 'the Host header is missing'),
        (b'GET http:/// HTTP/1.1\r\nHost: h\r\n\r\n', '400 Bad Request', 'the Host header is missing'),
        (b'x' * 32768, '431 Request Header Fields Too Large', 'head is longer than 32768 bytes'),
    ])
    def test_refuses_a_request_that_is_not_a_handshake(
        self, chunks: Cut, request_: bytes, status: str, text: str
    ) -> None:
        driver, io = listening()
        for chunk in chunks(request_ + sent(TEXT, b'late')):
            driver.parse(chunk)
        assert io.written == refusal(status, text)
        assert io.events[-2:] == [('error', 'HandshakeError', text), ('close', 1006, text)]

    def test_sends_the_queued_messages_when_it_opens(self) -> None:
        driver, io = listening()
        assert [driver.text('a'), driver.binary(b'b'), driver.ping('c'), driver.pong(), driver.close(3000, 'd')] == [True] * 5
        assert io.log == []
        driver.parse(HYBI_HEAD)
        assert io.log[2:-1] == [('write', each) for each in (
            frame(TEXT, b'a'), frame(BINARY, b'b'), frame(PING, b'c'), frame(PONG, b''), frame(CLOSE, b'\x0b\xb8d'))]
        assert driver.ready_state == CLOSING

    @pytest.mark.parametrize('command', ['ping', 'pong'])
    def test_raises_at_once_for_a_ping_that_is_too_long(self, command: str) -> None:
        driver, _ = listening()
        with pytest.raises(ValueError, match='^message: a control frame holds at most 125 bytes, not 126$'):
            getattr(driver, command)('p' * 126)

    @pytest.mark.parametrize('reason', ['', 'timeout'])
    def test_says_1006_when_the_connection_is_lost(self, reason: str) -> None:
        driver, io = listening()
        driver.parse(HYBI_HEAD[:-1])
        driver.end(reason)
        driver.end()
        driver.parse(HYBI_HEAD[-1:])
        assert (io.log, driver.ready_state) == ([('close', 1006, reason)], CLOSED)
        assert (driver.text('late'), driver.close()) == (False, False)

    def test_loses_no_input_to_a_listener(self) -> None:
        driver, io = listening()
        driver.on('open', lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            driver.parse(HYBI_HEAD + sent(TEXT, b'a'))
        driver.parse(sent(TEXT, b'b'))
        assert io.events == [('connect',), ('open',), ('message', 'a'), ('message', 'b')]

    @pytest.mark.proves('L6')
    def test_sends_nothing_after_close(self) -> None:
        driver, _ = listening()
        assert (driver.close(), driver.text('late'), driver.close()) == (True, False, False)

    def test_fails_without_writing(self) -> None:
        driver, io = listening()
        driver.fail(1011, 'no')
        driver.end()
        assert (io.written, io.events[0][0], len(io.events), io.events[0][2]) == (b'', 'close', 1, 'no')

    def test_shows_its_state(self) -> None:
        driver, _ = listening()
        assert repr(driver) == '<Server None>'
        driver.parse(HYBI_HEAD)
        assert repr(driver) == "<Server <Hybi hybi-13 OPEN protocol=''>>"


class TestOpen:
    def test_does_what_its_version_does(self) -> None:
        driver, io = listening()
        driver.parse(HYBI_HEAD)
        io.log.clear()
        assert [driver.text('a'), driver.binary(b'b'), driver.ping('c', lambda: None), driver.pong()] == [True] * 4
        driver.parse(sent(PONG, b'c'))
        assert driver.close() is True
        driver.parse(sent(CLOSE, b'\x03\xe8'))
        assert io.written == (
            frame(TEXT, b'a') + frame(BINARY, b'b') + frame(PING, b'c') + frame(PONG, b'') + frame(CLOSE, b'\x03\xe8'))
        assert io.events == [('pong', b'c'), ('close', 1000, '')]
        assert (driver.text('late'), driver.ready_state) == (False, CLOSED)

    def test_echoes_by_the_two_lines_of_the_documentation(self) -> None:
        driver, io = listening()
        driver.on('message', driver.text)
        driver.parse(HYBI_HEAD + sent(TEXT, b'hi'))
        assert io.log[-1] == ('write', frame(TEXT, b'hi'))

    def test_says_1006_when_the_connection_is_lost(self) -> None:
        driver, io = listening()
        driver.parse(HYBI_HEAD)
        driver.end('reset')
        assert io.events[-1] == ('close', 1006, 'reset')

    @pytest.mark.proves('L7')
    def test_answers_a_ping_before_buffered_data(self) -> None:
        driver, io = listening(BufferedRecorder)
        driver.parse(HYBI_HEAD + sent(PING, b'p') + sent(CLOSE))
        assert io.log[3:] == [
            ('write_urgent', frame(PONG, b'p'), 'pong'), ('ping', b'p'), ('write_last', frame(CLOSE, b'')), ('close', 1005, '')]

    def test_knows_how_it_closed(self) -> None:
        driver, _ = listening()
        assert (driver.was_clean, driver.extensions) == (False, '')
        driver.parse(HYBI_HEAD)
        assert (driver.was_clean, driver.extensions) == (False, '')
        driver.parse(sent(CLOSE))
        assert driver.was_clean is True

    def test_fails_on_its_owners_behalf(self) -> None:
        driver, io = listening()
        driver.parse(HYBI_HEAD)
        io.log.clear()
        driver.fail(1011, 'no')
        assert io.log == [('write', frame(CLOSE, b'\x03\xf3no')), ('close', 1011, 'no')]
