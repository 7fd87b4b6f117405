"""The cases of websocket-driver-ruby's spec, run on the drivers of this library.

A class is a ``describe``, and a test is an ``it``, with its name. A comment explains
each deliberate difference, which docs/porting-from-ruby.rst lists, too.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest

from faye_websocket import Client, ConnectError
from faye_websocket.driver import CLOSED, CLOSING, CONNECTING, OPEN, Driver, client
from faye_websocket.driver.proxy import Proxy
from tests.support.local import joined
from tests.support.recorder import Recorder, connecting
from tests.support.scripted import answering, scripted
from tests.support.vectors import frame, mask

GET = {
    'REQUEST_METHOD': 'GET',
    'SERVER_PROTOCOL': 'HTTP/1.1',
    'SCRIPT_NAME': '',
    'PATH_INFO': '/socket',
    'QUERY_STRING': '',
    'wsgi.url_scheme': 'http',
    'HTTP_HOST': 'www.example.com',
    'HTTP_CONNECTION': 'Upgrade',
    'HTTP_UPGRADE': 'WebSocket',
    'HTTP_ORIGIN': 'http://www.example.com',
}
DRAFT_75 = GET
DRAFT_76 = {
    **GET,
    'HTTP_SEC_WEBSOCKET_KEY1': '1   38 wZ3f9 23O0 3l 0r',
    'HTTP_SEC_WEBSOCKET_KEY2': '27   0E 6 2  1665:< ;U 1H',
}
BODY = bytes([0x91, 0x25, 0x3E, 0xD3, 0xA9, 0xE7, 0x6A, 0x88])
PROOF = b'\xb4\x9cn@S\x04\x04&\xe5\x1b\xbfl\xb7\x9f\x1d\xf9'
HYBI = {**GET, 'HTTP_SEC_WEBSOCKET_KEY': 'JFBCWHksyIpXV+6Wlq/9pw==', 'HTTP_SEC_WEBSOCKET_VERSION': '13'}
HEAD_75 = (
    b'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n'
    b'WebSocket-Origin: http://www.example.com\r\nWebSocket-Location: ws://www.example.com/socket\r\n\r\n')
HEAD_76 = (
    b'HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Origin: http://www.example.com\r\nSec-WebSocket-Location: ws://www.example.com/socket\r\n\r\n')
HEAD = [
    b'HTTP/1.1 101 Switching Protocols', b'Upgrade: websocket', b'Connection: Upgrade',
    b'Sec-WebSocket-Accept: JdiiuafpBKRqD7eol0y4vJDTsTs=']

HELLO = b'Hello'
APPLE = 'Apple = \uf8ff'
APPLE_BYTES = b'Apple = \xef\xa3\xbf'
CLOSE_FRAME = b'\x88\x04\x03\xe9OK'

State = tuple[Driver, Recorder]


def head(*lines: bytes) -> bytes:
    """Return the header of a response."""
    return b'\r\n'.join([*HEAD, *lines, b'', b''])


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Return a frame from a client."""
    return frame(opcode, payload, fin=fin, masking_key=b'\x11\xfe\x2c\x00')


def started(environ: dict[str, str], **options: Any) -> State:
    """Return an open driver, and its empty log."""
    driver, io = connecting(environ, **options)
    driver.start()
    if environ is DRAFT_76:
        driver.parse(BODY)
    io.log.clear()
    return driver, io


def messages(io: Recorder) -> list[Any]:
    """Return the messages received."""
    return [entry[1] for entry in io.log if entry[0] == 'message']


def is_fault(io: Recorder, *texts: str) -> bool:
    """Return whether the last events are an error with these texts, and the close."""
    return [entry[0] for entry in io.events[-2:]] == ['error', 'close'] and all(text in str(io.log) for text in texts)


both_drafts = pytest.mark.parametrize('environ', [DRAFT_75, DRAFT_76], ids=['draft-75', 'draft-76'])


@pytest.mark.proves('Y1')
@both_drafts
class TestDraft75ProtocolInTheOpenStateParse:
    @pytest.mark.parametrize(('case', 'chunks', 'expected'), [
        ('parses text frames', [b'\0Hello\xff'], ['Hello']),
        ('parses multiple frames from the same packet', [b'\0Hello\xff\0Hello\xff'], ['Hello', 'Hello']),
        ('parses text frames beginning 0x00-0x7F', [b'\x66Hello\xff'], ['Hello']),
        ('ignores frames with a length header', [b'\x80\x02He\0Hello\xff'], ['Hello']),
        ('parses multibyte text frames', [b'\0' + APPLE_BYTES + b'\xff'], [APPLE]),
        ('parses frames received in several packets', [b'\0Apple', b' = \xef\xa3\xbf\xff'], [APPLE]),
        ('parses fragmented frames', [b'\0Hel', b'lo\xff'], ['Hello']),
    ])
    def test_case(self, environ: dict[str, str], case: str, chunks: list[bytes], expected: list[str]) -> None:
        driver, io = started(environ)
        for chunk in chunks:
            driver.parse(chunk)
        assert messages(io) == expected

    def test_is_not_trapped_by_the_parser(self, environ: dict[str, str]) -> None:
        driver, _ = started(environ)
        driver.on('message', fail)
        with pytest.raises(RuntimeError, match='an error'):
            driver.parse(b'\0Hello\xff')

    def test_parses_text_frames_without_dropping_input(self, environ: dict[str, str]) -> None:
        driver, io = started(environ)
        driver.on('message', fail)
        for chunk in (b'\0Hello\xff\0W', b'orld\xff'):
            with pytest.raises(RuntimeError):
                driver.parse(chunk)
        assert messages(io) == ['Hello', 'World']


def fail(*_: object) -> None:
    """Raise an error, as a listener with a fault does."""
    raise RuntimeError('an error')


@pytest.mark.proves('Y1')
@both_drafts
class TestDraft75ProtocolInTheOpenState:
    def test_frame_formats_the_given_string_as_a_websocket_frame(self, environ: dict[str, str]) -> None:
        driver, io = started(environ)
        driver.text('Hello')
        assert io.written == b'\0Hello\xff'

    def test_frame_encodes_multibyte_characters_correctly(self, environ: dict[str, str]) -> None:
        driver, io = started(environ)
        driver.text(APPLE)
        assert io.written == b'\0' + APPLE_BYTES + b'\xff'

    def test_frame_returns_true(self, environ: dict[str, str]) -> None:
        assert started(environ)[0].text('lol') is True

    def test_ping_does_not_write_to_the_socket_and_returns_false(self, environ: dict[str, str]) -> None:
        driver, io = started(environ)
        assert (driver.ping(), io.log) == (False, [])

    def test_close_triggers_the_onclose_event_and_changes_the_state_to_closed(self, environ: dict[str, str]) -> None:
        driver, io = started(environ)
        assert driver.close() is True
        if environ is DRAFT_76:
            # The draft has the client reply, which Ruby does not wait for.
            assert (driver.ready_state, io.events) == (CLOSING, [])
            driver.parse(b'\xff\0')
        assert (driver.ready_state, io.events) == (CLOSED, [('close', 1005, '')])

    def test_closed_close_does_not_write_returns_false_and_leaves_the_state(self, environ: dict[str, str]) -> None:
        driver, io = started(environ)
        driver.close()
        driver.parse(b'\xff\0')
        io.log.clear()
        assert (driver.close(), driver.ready_state, io.log) == (False, CLOSED, [])


@pytest.mark.proves('Y1')
class TestDraft75InTheConnectingState:
    def test_starts_in_the_connecting_state(self) -> None:
        assert connecting(DRAFT_75)[0].ready_state == CONNECTING

    def test_start_writes_the_handshake_response_to_the_socket(self) -> None:
        driver, io = connecting(DRAFT_75)
        driver.start()
        assert io.written == HEAD_75

    def test_start_returns_true_triggers_the_onopen_event_and_sets_state_and_version(self) -> None:
        driver, io = connecting(DRAFT_75)
        assert driver.start() is True
        assert (io.events, driver.ready_state, driver.version) == ([('open',)], OPEN, 'hixie-75')

    def test_frame_does_not_write_to_the_socket_and_returns_true(self) -> None:
        driver, io = connecting(DRAFT_75)
        assert (driver.text('Hello, world'), io.log) == (True, [])

    def test_frame_queues_the_frames_until_the_handshake_has_been_sent(self) -> None:
        driver, io = connecting(DRAFT_75)
        driver.text('Hi')
        driver.start()
        assert io.written == HEAD_75 + b'\0Hi\xff'


@pytest.mark.proves('Y1')
class TestDraft76InTheConnectingState:
    def test_starts_in_the_connecting_state(self) -> None:
        assert connecting(DRAFT_76)[0].ready_state == CONNECTING

    def test_start_writes_the_handshake_response_to_the_socket(self) -> None:
        driver, io = connecting(DRAFT_76)
        assert driver.start() is True
        driver.parse(BODY)
        assert io.written == HEAD_76 + PROOF

    def test_start_triggers_the_onopen_event_and_sets_state_and_version(self) -> None:
        driver, io = connecting(DRAFT_76)
        driver.start()
        driver.parse(BODY)
        assert (io.events, driver.ready_state, driver.version) == ([('open',)], OPEN, 'hixie-76')

    def test_with_an_invalid_key_header(self) -> None:
        # The response also has the header Connection: close, and our own text.
        driver, io = connecting({**DRAFT_76, 'HTTP_SEC_WEBSOCKET_KEY1': '2 L785 8o% s9Sy9@V. 4<1P5'})
        driver.start()
        assert io.written.startswith(b'HTTP/1.1 400 Bad Request\r\n')
        assert is_fault(io, 'the key ', 'number')
        assert driver.ready_state == CLOSED

    def test_frame_does_not_write_to_the_socket_and_returns_true(self) -> None:
        driver, io = connecting(DRAFT_76)
        assert (driver.text('Hello, world'), io.log) == (True, [])

    def test_frame_queues_the_frames_until_the_handshake_has_been_sent(self) -> None:
        driver, io = connecting(DRAFT_76)
        driver.text('Hi')
        driver.start()
        driver.parse(BODY)
        assert io.written == HEAD_76 + PROOF + b'\0Hi\xff'


@pytest.mark.proves('Y1')
class TestDraft76WithNoRequestBody:
    def test_start_writes_the_handshake_response_with_no_body(self) -> None:
        driver, io = connecting(DRAFT_76)
        driver.start()
        assert io.log == [('write', HEAD_76)]

    def test_start_does_not_trigger_the_onopen_event_and_leaves_the_state(self) -> None:
        driver, io = connecting(DRAFT_76)
        driver.start()
        assert (io.events, driver.ready_state) == ([], CONNECTING)

    def test_when_the_request_body_is_received(self) -> None:
        # It sends the proof and the queued messages, and opens.
        driver, io = connecting(DRAFT_76)
        driver.start()
        driver.text('hello')
        io.log.clear()
        driver.parse(BODY)
        assert (io.written, driver.ready_state, io.events) == (PROOF + b'\0hello\xff', OPEN, [('open',)])


@pytest.mark.proves('Y1')
class TestDraft76InTheOpenState:
    def test_parse_closes_the_socket_if_a_close_frame_is_received(self) -> None:
        driver, io = started(DRAFT_76)
        driver.parse(b'\xff\0')
        assert (io.events, driver.ready_state) == ([('close', 1005, '')], CLOSED)

    def test_close_writes_a_close_message_to_the_socket(self) -> None:
        driver, io = started(DRAFT_76)
        driver.close()
        assert io.written == b'\xff\0'


@pytest.mark.proves('Y1')
class TestHybiInTheConnectingState:
    def test_starts_in_the_connecting_state(self) -> None:
        assert connecting(HYBI)[0].ready_state == CONNECTING

    def test_start_writes_the_handshake_response_to_the_socket(self) -> None:
        driver, io = connecting(HYBI)
        driver.start()
        assert io.written == head()

    def test_start_returns_true_triggers_the_onopen_event_and_sets_state_and_version(self) -> None:
        driver, io = connecting(HYBI)
        assert driver.start() is True
        assert (io.events, driver.ready_state, driver.version) == ([('open',)], OPEN, 'hybi-13')

    def test_with_subprotocols(self) -> None:
        driver, io = connecting({**HYBI, 'HTTP_SEC_WEBSOCKET_PROTOCOL': 'foo, bar, xmpp'}, protocols=['xmpp'])
        driver.start()
        assert (io.written, driver.protocol) == (head(b'Sec-WebSocket-Protocol: xmpp'), 'xmpp')

    def test_with_invalid_extensions(self) -> None:
        # The close event has 1006: there was no connection that could end with 1002.
        driver, io = connecting({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'x-webkit- -frame'})
        assert driver.start() is False
        assert io.written.startswith(b'HTTP/1.1 400 Bad Request\r\n')
        assert is_fault(io, 'Sec-WebSocket-Extensions')
        assert driver.ready_state == CLOSED

    def test_with_custom_headers(self) -> None:
        # They are set by an option, not by a method, and come last.
        driver, io = connecting(HYBI, headers=[('Authorization', 'Bearer WAT')])
        driver.start()
        assert io.written == head(b'Authorization: Bearer WAT')

    @pytest.mark.parametrize(('command', 'wire'), [('text', b'\x81\x02Hi'), ('ping', b'\x89\x02Hi'), ('pong', b'\x8a\x02Hi')])
    def test_frame_ping_and_pong_do_not_write_return_true_and_are_queued(self, command: str, wire: bytes) -> None:
        driver, io = connecting(HYBI)
        assert (getattr(driver, command)('Hi'), io.log) == (True, [])
        driver.start()
        assert io.written == head() + wire

    def test_close_does_not_write_anything_and_returns_true(self) -> None:
        # Ruby closes at once, so that the client never receives a response. This
        # library sends the response, and closes then.
        driver, io = connecting(HYBI)
        assert (driver.close(), io.log, driver.ready_state) == (True, [], CONNECTING)
        driver.start()
        assert (io.written, driver.ready_state) == (head() + b'\x88\x02\x03\xe8', CLOSING)


UNMASKED = [
    ('parses unmasked text frames', [b'\x81\x05Hello'], ['Hello']),
    ('parses unmasked binary frames', [b'\x82\x05Hello'], [b'Hello']),
    ('parses multiple frames from the same packet', [b'\x81\x05Hello\x81\x05Hello'], ['Hello', 'Hello']),
    ('parses empty text frames', [b'\x81\x00'], ['']),
    ('parses fragmented text frames', [b'\x01\x03Hel', b'\x80\x02lo'], ['Hello']),
    ('parses unmasked multibyte text frames', [b'\x81\x0b' + APPLE_BYTES], [APPLE]),
    ('parses frames received in several packets', [b'\x81\x0b' + APPLE_BYTES[:4], APPLE_BYTES[4:]], [APPLE]),
    ('parses fragmented multibyte text frames', [b'\x01\x0a' + APPLE_BYTES[:10], b'\x80\x01\xbf'], [APPLE]),
    ('parses unmasked medium-length text frames', [b'\x81\x7e\x00\xc8' + HELLO * 40], ['Hello' * 40]),
]
MASKED = [
    ('parses masked text frames', [masked(1, HELLO)], ['Hello']),
    ('parses masked empty text frames', [masked(1, b'')], ['']),
    ('parses masked fragmented text frames', [masked(1, b'H', fin=False), masked(0, b'ello')], ['Hello']),
    ('parses masked multibyte text frames', [masked(1, APPLE_BYTES)], [APPLE]),
    ('parses masked fragmented multibyte text frames',
     [masked(1, APPLE_BYTES[:10], fin=False), masked(0, b'\xbf')], [APPLE]),
    ('parses masked medium-length text frames', [masked(1, HELLO * 40)], ['Hello' * 40]),
]


@pytest.mark.proves('Y1')
class TestHybiInTheOpenStateParse:
    @pytest.mark.parametrize(('case', 'chunks', 'expected'), UNMASKED)
    def test_unmasked(self, case: str, chunks: list[bytes], expected: list[Any]) -> None:
        # The client's driver parses it: the server's requires masking, as a server of
        # Ruby's does.
        driver, io = opened_client()
        for chunk in chunks:
            driver.parse(chunk)
        assert messages(io) == expected

    @pytest.mark.parametrize(('case', 'chunks', 'expected'), MASKED)
    def test_masked(self, case: str, chunks: list[bytes], expected: list[Any]) -> None:
        driver, io = started(HYBI)
        for chunk in chunks:
            driver.parse(chunk)
        assert messages(io) == expected

    def test_closes_the_socket_if_the_frame_has_an_unrecognized_opcode(self) -> None:
        driver, io = started(HYBI)
        driver.parse(masked(3, b''))
        assert io.written[:1] + io.written[2:4] == b'\x88\x03\xea'
        assert is_fault(io, '3')
        assert (io.events[-1][1], driver.ready_state) == (1002, CLOSED)

    def test_closes_the_socket_if_a_close_frame_is_received(self) -> None:
        # The code is echoed, but not the reason.
        driver, io = started(HYBI)
        driver.parse(masked(8, b'\x03\xe8Hello'))
        assert (io.written, io.events[-1], driver.ready_state) == (b'\x88\x02\x03\xe8', ('close', 1000, 'Hello'), CLOSED)

    def test_returns_an_error_for_too_large_frames(self) -> None:
        driver, io = started(HYBI)
        driver.parse(b'\x81\xff\0\0\0\0\x40\0\0\0' + bytes(4))
        assert is_fault(io, 'too big: 1073741824')
        assert (io.events[-1][1], driver.ready_state) == (1009, CLOSED)

    def test_replies_to_pings_with_a_pong_and_triggers_the_onping_event(self) -> None:
        driver, io = started(HYBI)
        driver.parse(masked(9, b'OHAI'))
        assert (io.written, io.events) == (b'\x8a\x04OHAI', [('ping', b'OHAI')])

    def test_is_not_trapped_by_the_parser(self) -> None:
        driver, _ = started(HYBI)
        driver.on('message', fail)
        with pytest.raises(RuntimeError, match='an error'):
            driver.parse(masked(1, b'He'))

    def test_parses_unmasked_text_frames_without_dropping_input(self) -> None:
        driver, io = started(HYBI)
        driver.on('message', fail)
        second = masked(1, b'World')
        for chunk in (masked(1, HELLO) + second[:2], second[2:]):
            with pytest.raises(RuntimeError):
                driver.parse(chunk)
        assert messages(io) == ['Hello', 'World']


@pytest.mark.proves('Y1')
class TestHybiInTheOpenState:
    @pytest.mark.parametrize(('case', 'command', 'arguments', 'wire'), [
        ('formats the given string as a WebSocket frame', 'text', ['Hello'], b'\x81\x05Hello'),
        ('formats a binary string as a binary WebSocket frame', 'binary', [b'Hel'], b'\x82\x03Hel'),
        ('encodes multibyte characters correctly', 'text', [APPLE], b'\x81\x0b' + APPLE_BYTES),
        ('encodes medium-length strings using extra length bytes', 'text', ['Hello' * 40], b'\x81\x7e\x00\xc8' + HELLO * 40),
        ('encodes close frames with an error code', 'close', [1002, 'Hello'], b'\x88\x07\x03\xeaHello'),
        ('encodes pong frames', 'pong', [''], b'\x8a\x00'),
        ('writes a ping frame to the socket', 'ping', ['mic check'], b'\x89\x09mic check'),
        ('writes a pong frame to the socket', 'pong', ['mic check'], b'\x8a\x09mic check'),
        ('writes a close frame to the socket', 'close', [1003, '<%= reasons %>'], b'\x88\x10\x03\xeb<%= reasons %>'),
    ])
    def test_writes_and_returns_true(self, case: str, command: str, arguments: list[Any], wire: bytes) -> None:
        driver, io = started(HYBI)
        assert (getattr(driver, command)(*arguments), io.written) == (True, wire)

    def test_formats_a_byte_array_as_a_binary_websocket_frame(self) -> None:
        # The socket takes one, and the driver bytes.
        with joined() as pair:
            ws, peer = pair.open()
            assert ws.send([72, 101, 108]) is True
            assert peer.receive_frame()[:2] == (2, b'Hel')

    def test_ping_runs_the_given_callback_on_matching_pong(self) -> None:
        replies: list[bool] = []
        driver, io = started(HYBI)
        driver.ping('Hi', lambda: replies.append(True))
        driver.parse(masked(10, b'Hi'))
        assert (replies, io.events) == ([True], [('pong', b'Hi')])

    def test_ping_does_not_run_the_callback_on_non_matching_pong(self) -> None:
        replies: list[bool] = []
        driver, _ = started(HYBI)
        driver.ping('Hi', lambda: replies.append(True))
        driver.parse(masked(10, b'wat'))
        assert replies == []

    def test_close_does_not_trigger_onclose_or_onerror_and_changes_the_state_to_closing(self) -> None:
        driver, io = started(HYBI)
        driver.close()
        assert (io.events, driver.ready_state) == ([], CLOSING)

    def test_when_masking_is_required(self) -> None:
        # The code is 1002, as section 5.1 requires; Ruby closes with 1003.
        driver, io = started(HYBI)
        driver.parse(b'\x81\x05Hello')
        assert messages(io) == []
        assert is_fault(io, 'mask')
        assert io.events[-1][1] == 1002


@pytest.mark.proves('Y1')
@pytest.mark.parametrize('state', ['closing', 'closed'])
class TestHybiInTheClosingAndTheClosedState:
    @pytest.mark.parametrize('command', ['text', 'ping', 'pong', 'close'])
    def test_does_not_write_to_the_socket_and_returns_false(self, state: str, command: str) -> None:
        driver, io = started(HYBI)
        driver.close()
        if state == 'closed':
            driver.parse(masked(8, b'\x03\xea'))
        before = driver.ready_state
        io.log.clear()
        arguments = ['dropped'] if command != 'close' else []
        assert (getattr(driver, command)(*arguments), io.log, driver.ready_state) == (False, [], before)


@pytest.mark.proves('Y1')
class TestHybiInTheClosingState:
    def receive(self, *payloads: bytes) -> State:
        driver, io = started(HYBI)
        driver.close()
        io.log.clear()
        for payload in payloads:
            driver.parse(masked(8, payload))
        return driver, io

    def test_receiving_a_close_frame(self) -> None:
        # It closes once, and writes no other close frame.
        driver, io = self.receive(b'\x03\xe9OK', b'\x03\xe9OK')
        assert (io.log, driver.ready_state) == ([('close', 1001, 'OK')], CLOSED)

    def test_receiving_a_close_frame_with_a_too_short_payload(self) -> None:
        # The event has a reason, unlike that of Ruby.
        driver, io = self.receive(b'\x03')
        assert (io.events[-1][:2], driver.ready_state) == (('close', 1002), CLOSED)

    def test_receiving_a_close_frame_with_no_code(self) -> None:
        # The code is 1005, as section 7.1.5 requires; Ruby's is 1000.
        driver, io = self.receive(b'')
        assert (io.events, driver.ready_state) == ([('close', 1005, '')], CLOSED)


KEY = base64.b64decode('2vBVWg4Qyk3ZoM/5d3QD9Q==')
REQUEST = [
    b'GET /socket HTTP/1.1', b'Host: www.example.com', b'Upgrade: websocket', b'Connection: Upgrade',
    b'Sec-WebSocket-Key: 2vBVWg4Qyk3ZoM/5d3QD9Q==', b'Sec-WebSocket-Version: 13']
RESPONSE = (
    b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Accept: QV3I5XUXU2CdhtjixE7QCkCcMZM=\r\n\r\n')


class WithURL(Recorder):
    """An io for the driver of a client."""

    def __init__(self, url: str) -> None:
        super().__init__({})
        self.url = url


def new_client(url: str = 'ws://www.example.com/socket', protocols: Any = (), **options: Any) -> tuple[Any, WithURL]:
    """Return a driver of a client before its start."""
    io = WithURL(url)
    driver = client(io, protocols, random=lambda size: KEY, **options)
    io.watch(driver)
    return driver, io


def opened_client(*arguments: Any, response: bytes = RESPONSE) -> tuple[Any, WithURL]:
    """Return a driver of a client that has received a response."""
    driver, io = new_client(*arguments)
    driver.start()
    io.log.clear()
    driver.parse(response)
    return driver, io


@pytest.mark.proves('Y1')
class TestClientInTheBeginningState:
    def test_starts_in_no_state(self) -> None:
        # There are four states, as in the DOM.
        assert new_client()[0].ready_state == CONNECTING

    def test_close_changes_the_state_to_closed(self) -> None:
        # A driver queues the close; only the client gives up at once, which is tested
        # in test_can_be_closed_before_connecting.
        driver, io = new_client()
        assert (driver.close(), io.log) == (True, [])

    @pytest.mark.parametrize(('case', 'arguments', 'options', 'changed', 'added'), [
        ('writes the handshake request to the socket', [], {}, None, []),
        ('with subprotocols', ['ws://www.example.com/socket', ['foo', 'bar', 'xmpp']], {}, None,
         [b'Sec-WebSocket-Protocol: foo, bar, xmpp']),
        ('with basic auth', ['ws://user:pass@www.example.com/socket'], {}, None, [b'Authorization: Basic dXNlcjpwYXNz']),
        ('with an explicit port', ['ws://www.example.com:3000/socket'], {}, b'Host: www.example.com:3000', []),
        ('with a wss: URL', ['wss://www.example.com/socket'], {}, None, []),
        ('with a wss: URL and explicit port', ['wss://www.example.com:3000/socket'], {}, b'Host: www.example.com:3000', []),
        ('with custom headers', [], {'headers': {'User-Agent': 'Chrome'}}, None, [b'User-Agent: Chrome']),
    ])
    def test_start_writes(self, case: str, arguments: Any, options: Any, changed: bytes | None, added: list[bytes]) -> None:
        driver, io = new_client(*arguments, **options)
        assert driver.start() is True
        lines = [REQUEST[0], changed or REQUEST[1], *REQUEST[2:], *added, b'', b'']
        assert (io.written, driver.ready_state) == (b'\r\n'.join(lines), CONNECTING)

    def test_with_an_invalid_url(self) -> None:
        with pytest.raises(ValueError, match='url: the scheme must be ws or wss'):
            new_client('stream.wikimedia.org/rc')


@pytest.mark.proves('Y1')
class TestClientUsingAProxy:
    # The request has neither Connection nor Proxy-Connection, and has the port in Host,
    # as RFC 9110 requires.
    def test_sends_a_connect_request(self) -> None:
        io = Recorder({})
        Proxy(io, 'www.example.com:80', {'User-Agent': 'Chrome'}).start()
        assert io.written == (
            b'CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com:80\r\nUser-Agent: Chrome\r\n\r\n')

    def test_sends_an_authenticated_connect_request(self) -> None:
        # The URL of the proxy is an option of ``Client``.
        with scripted(answering(b'HTTP/1.1 407 No\r\n\r\n')) as server, pytest.raises(ConnectError, match='407'), \
                Client('ws://www.example.com/', proxy=server.origin.replace('//', '//user:pass@')):
            pytest.fail('there is no connection')
        assert server.headers()['proxy-authorization'] == 'Basic dXNlcjpwYXNz'

    @pytest.mark.parametrize(('case', 'response', 'event'), [
        ("emits a 'connect' event when the proxy connects", b'HTTP/1.1 200 OK\r\n\r\n', 'connect'),
        ("emits an 'error' event if the proxy does not connect", b'HTTP/1.1 403 Forbidden\r\n\r\n', 'error'),
    ])
    def test_receiving_a_response(self, case: str, response: bytes, event: str) -> None:
        io = Recorder({})
        proxy = Proxy(io, 'www.example.com:80')
        io.watch(proxy)
        proxy.parse(response)
        assert [entry[0] for entry in io.log] == [event]


@pytest.mark.proves('Y1')
class TestClientInTheConnectingState:
    def test_with_a_valid_response(self) -> None:
        driver, io = opened_client()
        assert (io.events, driver.ready_state, driver.status) == ([('open',)], OPEN, 101)
        assert ('Upgrade', 'websocket') in driver.headers

    def test_with_a_valid_response_followed_by_a_frame(self) -> None:
        driver, io = opened_client(response=RESPONSE + b'\x81\x02Hi')
        assert (io.events, driver.ready_state) == ([('open',), ('message', 'Hi')], OPEN)

    @pytest.mark.parametrize(('case', 'old', 'new', 'text'), [
        ('with a bad status code', b'101', b'4', '4'),
        ('with a bad Upgrade header', b'websocket', b'wrong', 'Upgrade'),
        ('with a bad Accept header', b'QV3', b'wrong', 'Sec-WebSocket-Accept'),
        ('with invalid subprotocols', b'\r\n\r\n', b'\r\nSec-WebSocket-Protocol: irc\r\n\r\n', 'irc'),
    ])
    def test_changes_the_state_to_closed(self, case: str, old: bytes, new: bytes, text: str) -> None:
        # The code is 1006, because the connection was never open.
        driver, io = opened_client('ws://a/', ['foo', 'xmpp'], response=RESPONSE.replace(old, new))
        assert is_fault(io, text)
        assert (io.events[-1][1], driver.ready_state, driver.protocol) == (1006, CLOSED, '')

    def test_with_valid_subprotocols(self) -> None:
        response = RESPONSE.replace(b'\r\n\r\n', b'\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n')
        driver, io = opened_client('ws://a/', ['foo', 'xmpp'], response=response)
        assert (io.events, driver.ready_state, driver.protocol) == ([('open',)], OPEN, 'xmpp')


def test_the_masks_here_equal_those_of_the_support_module() -> None:
    assert masked(1, b'a')[-1:] == mask(b'a', b'\x11\xfe\x2c\x00')
