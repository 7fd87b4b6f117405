"""The driver of a client: its request, its reaction to responses, and its messages."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest

from faye_websocket.driver import CLOSED, CLOSING, CONNECTING, OPEN
from faye_websocket.driver.client import Client, client
from tests.conftest import Cut
from tests.support.recorder import BufferedRecorder, Recorder, sent
from tests.support.vectors import BINARY, CLOSE, PING, PONG, TEXT, frame, mask
from tests.support.wire import ACCEPT, KEY

#: RFC 6455, 1.3: the nonce of its example.
NONCE = b'the sample nonce'
REQUEST = (
    f'GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    f'Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n').encode()
ACCEPTED = (
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    f'Sec-WebSocket-Accept: {ACCEPT}\r\n')
RESPONSE = f'{ACCEPTED}\r\n'.encode()
OURS = [
    'Host', 'Upgrade', 'Connection', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version', 'Sec-WebSocket-Protocol',
    'Sec-WebSocket-Extensions']


class WithURL(Recorder):
    """The ``io`` of a client's driver."""

    def __init__(self, url: str) -> None:
        super().__init__({})
        self.url = url


class BufferedWithURL(BufferedRecorder):
    """The ``io`` of a client's driver that buffers what is written."""

    def __init__(self, url: str) -> None:
        super().__init__({})
        self.url = url


def connecting(
        url: str = 'ws://server.example.com/chat', *arguments: Any, io: Any = WithURL, **options: Any) -> tuple[Client, Any]:
    """Return a driver that was not started, and its recorder."""
    recorder = io(url)
    driver = client(recorder, *arguments, random=lambda size: NONCE[:size], **options)
    recorder.watch(driver)
    return driver, recorder


def started(*arguments: Any, **options: Any) -> tuple[Client, Any]:
    """Return a driver that has sent its request, and its recorder with an empty log."""
    driver, recorder = connecting(*arguments, **options)
    assert driver.start() is True
    recorder.log.clear()
    return driver, recorder


def opened(*arguments: Any, **options: Any) -> tuple[Client, Any]:
    """Return an open driver, and its recorder with an empty log."""
    driver, recorder = started(*arguments, **options)
    driver.parse(RESPONSE)
    assert driver.ready_state == OPEN
    recorder.log.clear()
    return driver, recorder


def request(*arguments: Any, **options: Any) -> str:
    """Return the request that a driver sends."""
    driver, recorder = connecting(*arguments, **options)
    driver.start()
    return str(recorder.written.decode('latin-1'))


def unmasked(data: bytes) -> bytes:
    """Return a short frame of a client as a server would have sent it."""
    assert data[1] & 0x80, 'a client masks its frames'
    assert data[1] & 0x7F < 126
    return bytes((data[0], data[1] & 0x7F)) + mask(data[6:], data[2:6])


def failed(error: str, status: str = 'HandshakeError') -> list[tuple[Any, ...]]:
    """Return the log of a handshake that failed."""
    return [('error', status, error), ('close', 1006, error)]


class TestRequest:
    def test_is_that_of_the_example_in_the_rfc(self) -> None:
        driver, io = connecting()
        assert driver.start() is True
        assert io.log == [('write', REQUEST + b'\r\n')]
        assert (driver.ready_state, driver.version, driver.status, driver.headers) == (CONNECTING, 'hybi-13', None, [])
        assert driver.start() is False
        assert len(io.log) == 1

    def test_has_the_callers_headers_last_and_in_order(self) -> None:
        text = request(
            'ws://bob:secret@server.example.com/chat', ['a', 'b'], headers=[('X-B', '1'), ('Cookie', 'c'), ('X-A', '2')])
        assert text == (REQUEST + (
            b'Sec-WebSocket-Protocol: a, b\r\nAuthorization: Basic Ym9iOnNlY3JldA==\r\n'
            b'X-B: 1\r\nCookie: c\r\nX-A: 2\r\n\r\n')).decode()

    @pytest.mark.proves('K4')
    @pytest.mark.parametrize(('url', 'line', 'host'), [
        ('ws://example.com', '/', 'example.com'),
        ('ws://example.com:80/a?b=c', '/a?b=c', 'example.com'),
        ('ws://example.com:443', '/', 'example.com:443'),
        ('wss://example.com:443', '/', 'example.com'),
        ('wss://example.com:80', '/', 'example.com:80'),
        ('ws://EXAMPLE.com:8080', '/', 'example.com:8080'),
        ('ws://[::1]', '/', '[::1]'),
        ('ws://[::1]:9292/', '/', '[::1]:9292'),
        ('ws://b\xfccher.example/', '/', 'xn--bcher-kva.example'),
        ('ws://example.com?x', '/?x', 'example.com'),
        ('ws://example.com/\xe9%20"', '/%C3%A9%20%22', 'example.com'),
    ])
    def test_names_target_and_host(self, url: str, line: str, host: str) -> None:
        assert request(url).startswith(f'GET {line} HTTP/1.1\r\nHost: {host}\r\n')

    @pytest.mark.proves('K4')
    @pytest.mark.parametrize(('userinfo', 'credentials'), [
        ('bob:secret', 'bob:secret'), ('bob', 'bob:'), ('b%40b:s%3Ac%C3%A9', 'b@b:s:c\xe9'), (':', ':')])
    def test_turns_userinfo_into_basic_credentials(self, userinfo: str, credentials: str) -> None:
        encoded = base64.b64encode(credentials.encode()).decode()
        assert 'Authorization' not in request('ws://@example.com/')
        assert f'\r\nAuthorization: Basic {encoded}\r\n' in request(f'ws://{userinfo}@example.com/')

    def test_prefers_the_callers_authorization(self) -> None:
        text = request('ws://bob:secret@example.com/', headers={'authorization': 'Bearer x'})
        assert 'authorization: Bearer x\r\n' in text
        assert 'Basic' not in text

    @pytest.mark.proves('S10')
    def test_has_a_new_key_each_time_from_the_systems_random_source(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def ask() -> bytes:
            recorder = WithURL('ws://h/')
            client(recorder).start()
            return recorder.written

        assert len({ask() for _ in range(10)}) == 10
        monkeypatch.setattr(os, 'urandom', lambda size: b'\1' * size)
        assert b'\r\nSec-WebSocket-Key: AQEBAQEBAQEBAQEBAQEBAQ==\r\n' in ask()

    @pytest.mark.proves('K6')
    @pytest.mark.parametrize('name', [name for known in OURS for name in (known, known.lower())])
    def test_does_not_let_the_caller_set_headers_of_the_handshake(self, name: str) -> None:
        with pytest.raises(ValueError, match=f'^headers: {name} is set by the handshake$'):
            connecting(headers={name: 'x'})

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('text', ['a\r\nB: c', 'a\n', 'a\r', 'a\0'])
    def test_refuses_headers_that_end_their_line(self, text: str) -> None:
        for headers in ({'X': text}, {text: 'x'}):
            with pytest.raises(ValueError, match=r'^headers: '):
                connecting(headers=headers)
        with pytest.raises(ValueError, match=r'^protocols: '):
            connecting('ws://h/', [text])
        with pytest.raises(ValueError, match=r'^url: '):
            connecting(f'ws://h/{text}')

    @pytest.mark.parametrize(('protocols', 'text'), [
        (['a', 'a'], 'protocols: a subprotocol is named more than once'),
        ('a, b, a', 'protocols: a subprotocol is named more than once'),
        ([''], "protocols: '' is not a subprotocol name"),
        (['a b'], "protocols: 'a b' is not a subprotocol name"),
        (['a,b'], "protocols: 'a,b' is not a subprotocol name"),
        ('a, b c', "protocols: 'b c' is not a subprotocol name"),
        (['\xe9'], "protocols: '\xe9' is not a subprotocol name"),
        ([1], 'protocols: 1 is not a subprotocol name'),
        ([None], 'protocols: None is not a subprotocol name'),
    ])
    def test_refuses_subprotocols(self, protocols: Any, text: str) -> None:
        with pytest.raises(ValueError) as raised:
            connecting('ws://h/', protocols)
        assert str(raised.value) == text

    @pytest.mark.parametrize('protocols', ['a, b', ['a', 'b'], ('a', 'b')])
    def test_accepts_subprotocols_as_a_list_or_a_string(self, protocols: Any) -> None:
        assert '\r\nSec-WebSocket-Protocol: a, b\r\n' in request('ws://h/', protocols)

    def test_accepts_subprotocols_from_an_iterator(self) -> None:
        assert '\r\nSec-WebSocket-Protocol: a, b\r\n' in request('ws://h/', iter(['a', 'b']))

    @pytest.mark.parametrize('protocols', ['', (), None])
    def test_offers_no_subprotocol_when_there_is_none(self, protocols: Any) -> None:
        assert 'Protocol' not in request('ws://h/', protocols)


class TestConnecting:
    @pytest.mark.proves('K1')
    def test_opens_and_parses_the_bytes_after_the_response(self, chunks: Cut) -> None:
        driver, io = started()
        for chunk in chunks(RESPONSE + frame(TEXT, b'hi') + frame(BINARY, b'\0') + frame(CLOSE, b'\x03\xe8bye')):
            driver.parse(chunk)
        assert io.events == [('open',), ('message', 'hi'), ('message', b'\0'), ('close', 1000, 'bye')]
        assert unmasked(io.written) == frame(CLOSE, b'\x03\xe8')
        assert (driver.status, driver.ready_state, driver.was_clean) == (101, CLOSED, True)

    @pytest.mark.proves('K2')
    def test_shows_the_response(self, chunks: Cut) -> None:
        driver, io = started()
        for chunk in chunks(f'{ACCEPTED}Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n'.encode()):
            driver.parse(chunk)
        assert (driver.status, driver.body, driver.ready_state) == (101, b'', OPEN)
        assert driver.headers[-2:] == [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')]
        assert io.log == [('open',)]

    @pytest.mark.parametrize('response', [
        RESPONSE.replace(b'Upgrade: websocket', b'UPGRADE: WebSocket'),
        RESPONSE.replace(b'Connection: Upgrade', b'connection: keep-alive, upgrade'),
        RESPONSE.replace(b'Connection: Upgrade', b'Connection: keep-alive\r\nConnection: UPGRADE'),
        RESPONSE.replace(b'101 Switching Protocols', b'101'),
        RESPONSE.replace(b'101 Switching Protocols', b'101 '),
        RESPONSE.replace(b'HTTP/1.1', b'HTTP/1.0'),
        RESPONSE.replace(b'\r\n\r\n', b'\r\nContent-Length: 0\r\nSec-WebSocket-Extensions:\r\n\r\n'),
    ])
    def test_accepts_every_response_that_the_rfc_accepts(self, response: bytes) -> None:
        driver, io = started()
        driver.parse(response)
        assert io.log == [('open',)]

    @pytest.mark.parametrize('protocol', ['a', 'b'])
    def test_accepts_a_subprotocol_that_it_offered(self, protocol: str) -> None:
        driver, io = started('ws://h/', ['a', 'b'])
        driver.parse(f'{ACCEPTED}Sec-WebSocket-Protocol: {protocol}\r\n\r\n'.encode())
        assert (io.log, driver.protocol, driver.extensions) == ([('open',)], protocol, '')

    @pytest.mark.parametrize('response', [RESPONSE, f'{ACCEPTED}Sec-WebSocket-Protocol:\r\n\r\n'.encode()])
    def test_fails_when_the_server_names_no_subprotocol(self, chunks: Cut, response: bytes) -> None:
        driver, io = started('ws://h/', ['a', 'b'])
        for chunk in chunks(response + frame(TEXT, b'hi')):
            driver.parse(chunk)
        got = None if response is RESPONSE else ''
        assert io.log == failed(f'handshake failed: expected Sec-WebSocket-Protocol to be a or b, got {got!r}')
        assert (driver.ready_state, driver.protocol) == (CLOSED, '')

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize(
        'interim',
        [
            ['100 Continue'],
            ['102 Processing'],
            ['103 Early Hints\r\nLink: </a.css>; rel=preload'],
            ['103 Early Hints', '100', '199 What'],
            ['100 Continue'] * 16,
        ],
    )
    def test_skips_interim_responses(
        self, chunks: Cut, interim: list[str]
    ) -> None:
        driver, io = started()
        heads = ''.join(f'HTTP/1.1 {each}\r\n\r\n' for each in interim).encode()
        for chunk in chunks(heads + RESPONSE + frame(TEXT, b'hi')):
            driver.parse(chunk)
        assert io.log == [('open',), ('message', 'hi')]
        assert (driver.status, [name for name, _ in driver.headers]) == (
            101,
            ['Upgrade', 'Connection', 'Sec-WebSocket-Accept'],
        )

    @pytest.mark.proves('K9', 'K2')
    def test_shows_the_refusal_after_an_interim_response(
        self, chunks: Cut
    ) -> None:
        driver, io = started()
        for chunk in chunks(
            b'HTTP/1.1 103 Early Hints\r\nA: 1\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno'
        ):
            driver.parse(chunk)
        assert io.log == failed(
            'handshake failed: expected status 101, got 404 Not Found'
        )
        assert (driver.headers, driver.body) == ([('Content-Length', '2')], b'no')

    @pytest.mark.proves('K9')
    def test_waits_for_the_response_after_an_interim_one(self) -> None:
        driver, io = started()
        driver.parse(b'HTTP/1.1 100 Continue\r\n\r\n')
        assert (io.log, driver.status) == ([], None)
        driver.end()
        assert io.log == failed('handshake failed: the connection was closed before a response arrived')

    @pytest.mark.proves('S9')
    def test_limits_the_number_of_interim_responses(self, chunks: Cut) -> None:
        driver, io = started()
        for chunk in chunks(b'HTTP/1.1 102 Processing\r\n\r\n' * 17 + RESPONSE):
            driver.parse(chunk)
        assert io.log == failed('more than 16 interim responses, the last with status 102')

    @pytest.mark.proves('S9')
    def test_an_interim_response_may_be_as_long_as_any_other(self) -> None:
        driver, io = started()
        driver.parse(b'HTTP/1.1 103 Early Hints\r\nLink: ' + b'x' * 32768)
        assert io.log == failed('head is longer than 32768 bytes')

    @pytest.mark.proves('K9')
    def test_unfolds_lines(self, chunks: Cut) -> None:
        driver, io = started('ws://h/', ['a'])
        response = (
            ACCEPTED.replace('Connection: ', 'Connection: keep-alive,\r\n\t')
            + 'Sec-WebSocket-Protocol:\r\n a\r\n\r\n'
        )
        for chunk in chunks(response.encode()):
            driver.parse(chunk)
        assert (io.log, driver.protocol) == ([('open',)], 'a')
        assert ('Connection', 'keep-alive, Upgrade') in driver.headers

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize(
        ('old', 'new'),
        [
            ('Upgrade: websocket', 'Upgrade: , websocket,'),
            ('Connection: Upgrade', 'Connection: ,Upgrade, ,'),
            ('\r\n\r\n', '\r\nSec-WebSocket-Extensions: , ,\r\n\r\n'),
        ],
    )
    def test_ignores_empty_elements(
        self, chunks: Cut, old: str, new: str
    ) -> None:
        driver, io = started()
        for chunk in chunks(RESPONSE.decode().replace(old, new, 1).encode()):
            driver.parse(chunk)
        assert io.log == [('open',)]

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize(('old', 'new', 'text'), [
        ('Upgrade: websocket\r\n', '', 'expected Upgrade to be websocket, got None'),
        ('Upgrade: websocket', 'Upgrade: h2c', "expected Upgrade to be websocket, got 'h2c'"),
        ('Upgrade: websocket', 'Upgrade: websocket, h2c', "expected Upgrade to be websocket, got 'websocket, h2c'"),
        ('Connection: Upgrade\r\n', '', 'expected Connection to be Upgrade, got None'),
        ('Connection: Upgrade', 'Connection: close', "expected Connection to be Upgrade, got 'close'"),
        (f'Sec-WebSocket-Accept: {ACCEPT}\r\n', '', f'expected Sec-WebSocket-Accept to be {ACCEPT}, got None'),
        (ACCEPT, ACCEPT.lower(), f'expected Sec-WebSocket-Accept to be {ACCEPT}, got {ACCEPT.lower()!r}'),
        (ACCEPT, f'{ACCEPT}\r\nSec-WebSocket-Accept: {ACCEPT}',
         f"expected Sec-WebSocket-Accept to be {ACCEPT}, got '{ACCEPT}, {ACCEPT}'"),
        ('\r\n\r\n', '\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n',
         "expected Sec-WebSocket-Extensions to be none, got 'permessage-deflate'"),
        ('\r\n\r\n', '\r\nSec-WebSocket-Protocol: chat\r\n\r\n', "expected Sec-WebSocket-Protocol to be none, got 'chat'"),
        ('\r\n\r\n', '\r\nSec-WebSocket-Protocol:\r\n\r\n', "expected Sec-WebSocket-Protocol to be none, got ''"),
    ])
    def test_refuses_every_response_that_the_rfc_refuses(self, chunks: Cut, old: str, new: str, text: str) -> None:
        driver, io = started()
        for chunk in chunks(RESPONSE.decode().replace(old, new, 1).encode() + frame(TEXT, b'hi')):
            driver.parse(chunk)
        assert io.log == failed(f'handshake failed: {text}')
        assert (driver.status, driver.ready_state) == (101, CLOSED)

    @pytest.mark.parametrize('protocol', ['c', 'A', 'a, b'])
    def test_refuses_a_subprotocol_that_it_did_not_offer(self, protocol: str) -> None:
        driver, io = started('ws://h/', ['a', 'b'])
        driver.parse(f'{ACCEPTED}Sec-WebSocket-Protocol: {protocol}\r\n\r\n'.encode())
        assert io.log == failed(f'handshake failed: expected Sec-WebSocket-Protocol to be a or b, got {protocol!r}')

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize('status', [
        '200 OK', '301 Moved Permanently', '401 Unauthorized', '403 Forbidden', '404 Not Found', '500 Internal Server Error'])
    def test_shows_a_refusal(self, chunks: Cut, status: str) -> None:
        driver, io = started()
        for chunk in chunks(f'HTTP/1.1 {status}\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nno!\nmore'.encode()):
            driver.parse(chunk)
        assert io.log == failed(f'handshake failed: expected status 101, got {status}')
        assert (driver.status, driver.body[:4], driver.ready_state) == (int(status[:3]), b'no!\n', CLOSED)
        assert driver.headers == [('Location', '/x'), ('Content-Length', '4')]

    @pytest.mark.proves('K2')
    def test_gives_the_error_the_status(self) -> None:
        errors: list[Any] = []
        driver, _ = started()
        driver.on('error', errors.append)
        driver.parse(b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
        assert [error.status for error in errors] == ['404 Not Found']

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize('length', ['0', '3', '1023', '1024', '1025', '99999999', '9' * 5000, 'x', '-1', '\xb2'])
    def test_waits_for_the_body_up_to_1_kib(self, chunks: Cut, length: str) -> None:
        driver, io = started()
        expected = min(int(length), 1024) if length.isdecimal() and len(length) < 1000 else 1024
        driver.parse(f'HTTP/1.1 500\r\nContent-Length: {length}\r\n\r\n'.encode('latin-1'))
        if expected:
            driver.parse(b'x' * (expected - 1))
            assert io.log == []
            driver.parse(b'x')
        assert io.log == failed('handshake failed: expected status 101, got 500')
        assert driver.body == b'x' * expected
        driver.parse(b'more')
        assert len(io.log) == 2

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize('head', [
        b'204 No Content', b'304 Not Modified', b'204 No Content\r\nTransfer-Encoding: chunked'])
    def test_waits_for_no_body_where_there_is_none(self, head: bytes) -> None:
        driver, io = started()
        driver.parse(b'HTTP/1.1 ' + head + b'\r\n\r\n')
        assert io.log[-1][:2] == ('close', 1006)

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize(('body', 'expected'), [
        (b'3\r\nsor\r\n2;a=b\r\nry\r\n0\r\n\r\n', b'sorry'),
        (b'0\r\n\r\n', b''),
        (b'3\r\nabc\r\nno size\r\n', b'abc'),
        (b'1\r\nx\r\n' * 2000, b'x' * 1024),
        (b'1;' + b'x' * 200 + b'\r\ny\r\n', None),
        (b'1' * 300, b''),
    ])
    def test_joins_the_chunks_of_a_body(self, chunks: Cut, body: bytes, expected: bytes | None) -> None:
        driver, io = started()
        for chunk in chunks(b'HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n' + body):
            driver.parse(chunk)
        assert bool(io.log) is (expected is not None)
        assert driver.body == (b'y' if expected is None else expected)

    @pytest.mark.proves('K2')
    def test_bounds_the_chunks_of_a_body(self) -> None:
        driver, io = started()
        driver.parse(b'HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n')
        for _ in range(41):
            assert io.log == []
            driver.parse(b'1;' + b'x' * 195 + b'\r\ny\r\n')
        assert len(io.log) == 2

    @pytest.mark.proves('K2')
    def test_keeps_1_kib_of_a_longer_body(self, chunks: Cut) -> None:
        driver, io = started()
        for chunk in chunks(b'HTTP/1.1 500 Oops\r\n\r\n' + b'x' * 5000):
            driver.parse(chunk)
        assert (driver.body, len(io.log)) == (b'x' * 1024, 2)

    @pytest.mark.proves('K2')
    def test_the_end_of_the_connection_ends_the_body(self) -> None:
        driver, io = started()
        driver.parse(b'HTTP/1.1 500 Oops\r\n\r\nsorry')
        assert io.log == []
        driver.end()
        assert io.log == failed('handshake failed: expected status 101, got 500 Oops')
        assert driver.body == b'sorry'

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize('response', [b'', b'HTTP/1.1 101 Switching', RESPONSE[:-1]])
    @pytest.mark.parametrize(('reason', 'shown'), [
        ('', 'the connection was closed'), ('handshake timeout', 'handshake timeout')])
    def test_says_why_there_is_no_response(self, response: bytes, reason: str, shown: str) -> None:
        driver, io = started()
        driver.parse(response)
        driver.end(reason)
        assert io.log == failed(f'handshake failed: {shown} before a response arrived')
        assert driver.status is None
        driver.end()
        driver.give_up(ValueError('again'))
        assert len(io.log) == 2

    @pytest.mark.proves('K2', 'S9')
    @pytest.mark.parametrize(('response', 'text'), [
        (b'SSH-2.0-OpenSSH\r\n\r\n', "expected an HTTP response, got 'SSH-2.0-OpenSSH'"),
        (b'HTTP/2 101\r\n\r\n', "expected an HTTP response, got 'HTTP/2 101'"),
        (b'HTTP/1.1 101 OK\r\nno header\r\n\r\n', "malformed header line 'no header'"),
        (b'x' * 32768, 'head is longer than 32768 bytes'),
        (b'HTTP/1.1 101 OK\r\n' + b'A: 1\r\n' * 6000, 'head is longer than 32768 bytes'),
        (b'HTTP/1.1 101 OK\r\n' + b'A: 1\r\n' * 101 + b'\r\n', 'head has more than 100 headers'),
    ])
    def test_refuses_garbage(self, chunks: Cut, response: bytes, text: str) -> None:
        driver, io = started()
        for chunk in chunks(response):
            driver.parse(chunk)
        assert io.log == failed(text)
        assert driver.status is None

    def test_queues_messages_until_it_is_open(self) -> None:
        driver, io = started()
        assert driver.text('hi') is driver.binary(b'\1') is driver.ping('p') is True
        assert io.log == []
        driver.parse(RESPONSE)
        frames = [unmasked(entry[1]) for entry in io.log[:-1]]
        assert frames == [frame(TEXT, b'hi'), frame(BINARY, b'\1'), frame(PING, b'p')]
        assert io.log[-1] == ('open',)

    def test_closes_once_it_is_open(self) -> None:
        driver, io = started()
        assert driver.close(1000, 'done') is True
        driver.parse(RESPONSE)
        assert driver.ready_state == CLOSING
        driver.parse(frame(CLOSE, b'\x03\xe8'))
        assert io.events == [('open',), ('close', 1000, 'done')]

    def test_keeps_queued_messages_when_it_restarts(self) -> None:
        driver, io = started()
        driver.text('hi')
        driver.close(1000)
        driver.parse(b'HTTP/1.1 302 Found\r\nContent-Length: 9\r\n\r\nmo')
        assert (driver.status, driver.body) == (302, b'mo')
        io.log.clear()
        driver.restart('ws://other.example/path', {'X': 'y'}, lambda size: NONCE)
        assert (driver.status, driver.body, driver.headers) == (None, b'', [])
        driver.start()
        head = io.log.pop(0)[1].decode()
        assert head.startswith('GET /path HTTP/1.1\r\nHost: other.example\r\n')
        assert '\r\nX: y\r\n' in head
        driver.parse(RESPONSE)
        assert [unmasked(entry[1]) for entry in io.log if entry[0] == 'write'] == [
            frame(TEXT, b'hi'), frame(CLOSE, b'\x03\xe8')]

    @pytest.mark.proves('S10')
    def test_makes_a_new_key_when_it_restarts(self) -> None:
        driver, io = started()
        driver.restart('ws://other.example/', None)
        driver.start()
        assert b'Sec-WebSocket-Key: ' in io.written
        assert KEY.encode() not in io.written

    def test_ignores_bytes_before_it_was_started(self) -> None:
        driver, io = connecting()
        driver.parse(RESPONSE)
        assert (io.log, driver.status) == ([], None)

    def test_is_given_up(self) -> None:
        driver, io = started()
        driver.give_up(ValueError('no'))
        assert io.log == failed('no', 'ValueError')


class TestRedirect:
    @pytest.mark.parametrize('status', [301, 302, 303, 307, 308])
    def test_asks_its_owner(self, chunks: Cut, status: int) -> None:
        seen: list[str] = []
        driver, io = started(redirect=lambda location: seen.append(location) or True)
        for chunk in chunks(f'HTTP/1.1 {status} Go\r\nLocation: ws://b/\r\n\r\n'.encode()):
            driver.parse(chunk)
        assert (seen, io.log, driver.status) == (['ws://b/'], [], status)

    @pytest.mark.parametrize(('head', 'count'), [
        ('302 Found\r\nLocation: /x', 1), ('302 Found\r\nLocation:', 0), ('302 Found', 0), ('200 OK\r\nLocation: /x', 0),
        ('304 Not Modified\r\nLocation: /x', 0)])
    def test_is_a_refusal_unless_the_owner_follows(self, head: str, count: int) -> None:
        seen: list[str] = []
        driver, io = started(redirect=seen.append)
        driver.parse(f'HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n'.encode())
        assert len(seen) == count
        assert io.log == failed(f'handshake failed: expected status 101, got {head.partition(chr(13))[0]}')


class TestOpen:
    @pytest.mark.proves('S10')
    def test_masks_each_message_with_a_new_key(self) -> None:
        driver, io = opened()
        for _ in range(20):
            driver.text('hi')
        assert {unmasked(entry[1]) for entry in io.log} == {frame(TEXT, b'hi')}
        assert len({entry[1][2:6] for entry in io.log}) == 20

    def test_masks_every_kind_of_frame(self) -> None:
        driver, io = opened()
        driver.binary(b'\0')
        driver.ping('p')
        driver.pong('q')
        driver.parse(frame(PING, b'r'))
        driver.close(3000, 'x')
        assert [unmasked(entry[1]) for entry in io.log if entry[0] == 'write'] == [
            frame(BINARY, b'\0'), frame(PING, b'p'), frame(PONG, b'q'), frame(PONG, b'r'), frame(CLOSE, b'\x0b\xb8x')]

    def test_masks_frames_that_overtake_others(self) -> None:
        driver, io = opened(io=BufferedWithURL)
        driver.parse(frame(PING, b'r') + frame(CLOSE, b'\x03\xe8'))
        assert [(entry[0], unmasked(entry[1])) for entry in io.log if entry[0].startswith('write')] == [
            ('write_urgent', frame(PONG, b'r')), ('write_last', frame(CLOSE, b'\x03\xe8'))]

    @pytest.mark.proves('S5')
    @pytest.mark.parametrize('wire', [sent(TEXT, b'hi'), sent(BINARY), sent(PING), sent(CLOSE)])
    def test_refuses_masked_frames(self, chunks: Cut, wire: bytes) -> None:
        driver, io = opened()
        for chunk in chunks(wire):
            driver.parse(chunk)
        name, error, text = io.log[0]
        assert (name, error) == ('error', 'ProtocolError')
        assert 'masked' in text
        assert unmasked(io.written) == frame(CLOSE, b'\x03\xea' + text.encode())
        assert io.log[2:] == [('close', 1002, text)]

    def test_limits_the_length_of_messages(self) -> None:
        driver, io = opened(max_length=2, max_fragments=2)
        driver.parse(frame(TEXT, b'ab') + frame(TEXT, b'abc'))
        assert io.events[-1] == ('close', 1009, 'message too big: 3 > 2')

    def test_matches_a_pong_to_its_ping(self) -> None:
        driver, _ = opened()
        seen: list[int] = []
        driver.ping('p', lambda: seen.append(1))
        driver.parse(frame(PONG, b'p'))
        assert seen == [1]

    @pytest.mark.proves('L4')
    @pytest.mark.parametrize(('reason', 'code'), [('', 1006), ('reset', 1006)])
    def test_ends_with_the_connection(self, reason: str, code: int) -> None:
        driver, io = opened()
        driver.end(reason)
        assert io.log == [('close', code, reason)]
        assert driver.was_clean is False

    def test_is_not_started_again(self) -> None:
        driver, io = opened()
        assert driver.start() is False
        assert io.log == []
        assert repr(driver) == "<Client hybi-13 OPEN protocol=''>"
