"""Sockets taken from a WSGI server: all bytes on the wire, and the server's logs.

Each server runs plain and with TLS, bare and inside the middleware that applications
use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import ServerPool, Setting, settings
from tests.support.endings import FAULTY, POLITE, RUDE, SMUGGLED_PATH, SUDDEN, Ending, busy
from tests.support.eventstream import EventClient
from tests.support.processes import Endpoint
from tests.support.proxies import nginx
from tests.support.servers import SERVERS, Server, serve
from tests.support.victim import victim
from tests.support.waiting import wait_until
from tests.support.wire import (
    BINARY,
    CLOSE,
    HIXIE_76,
    HIXIE_76_BODY,
    HIXIE_76_CLOSE,
    HIXIE_76_PROOF,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    http_get,
    parse_frames,
    serialize_frame,
)

everywhere = pytest.mark.parametrize('server', settings(), indirect=True)
over_tls = pytest.mark.parametrize('server', settings(tls=(True,)), indirect=True)

#: Seconds for the server to notice and to log the end of a connection.
LOG_DEADLINE = 3.0


@dataclass(frozen=True)
class Recording:
    """One complete connection: the bytes on the wire, and the server's logs."""

    ending: Ending
    frames: list[Frame]
    rest: bytes
    was_reset: bool
    complaints: list[str]
    statuses: list[str]
    smuggled: list[tuple[str, str]]
    events: list[str]


def record(ending: Ending, server: Server, path: str) -> Recording:
    """Open a socket, exchange a message, end it, and record everything."""
    log_end = len(server.error_log())
    client = bring_to_an_end(ending, server, path)
    wait_for_logs(server, path)
    frames, rest = parse_frames(client.transcript)
    return Recording(
        ending, frames, rest, client.was_reset,
        complaints=server.error_log()[log_end:].splitlines(),
        statuses=[status for _, status in server.requests(path)],
        smuggled=[request for request in server.requests() if SMUGGLED_PATH in request[0]],
        events=[event['type'] for event in server.events(path)])


def bring_to_an_end(ending: Ending, server: Server, path: str) -> RawClient:
    """Return the client of a connection that was ended in this way."""
    with RawClient(server, path) as client:
        assert client.handshake().status == 101
        client.send_frame(TEXT, b'before')
        assert client.receive_frame() == Frame(TEXT, b'before')
        ending.act(client, server)
        if ending not in SUDDEN:
            client.read_to_eof()
    return client


def wait_for_logs(server: Server, path: str) -> None:
    """Wait until the close is logged, and the server has served others since."""
    with suppress(AssertionError):
        wait_until(lambda: server.events(path, 'close') and server.requests(path), 'close', LOG_DEADLINE)
    busy(server)


def every_recording(*endings: list[Ending]) -> pytest.MarkDecorator:
    """Parametrize a test over these endings on every server."""
    values = [pytest.param((setting.values[0], ending), id=f'{setting.id}-{ending.name}')
              for setting in settings() for group in endings for ending in group]
    return pytest.mark.parametrize('recording', values, indirect=True)


@pytest.fixture(scope='module')
def recording(server_pool: ServerPool, numbers: Iterator[int], request: pytest.FixtureRequest) -> Recording:
    """The recording for a (setting, ending), made once for several tests."""
    setting, ending = request.param
    return record(ending, server_pool.get(setting), f'/recording-{next(numbers)}')


@pytest.fixture
def log_end(server: Server) -> int:
    """The length of the error log before this test."""
    return len(server.error_log())


class TestEndings:
    """Every ending, on the wire, in the logs and in the application."""

    @pytest.mark.proves('H1')
    @every_recording(POLITE, RUDE, FAULTY)
    def test_no_byte_follows_our_last_frame(self, recording: Recording) -> None:
        closing, codes = recording.frames[1:], recording.ending.codes
        assert recording.rest == b''
        assert [frame.opcode for frame in closing] in ([[CLOSE]] if codes else [[CLOSE], []])
        assert all(frame.code in codes for frame in closing if codes)

    @pytest.mark.proves('H1')
    @every_recording(POLITE, RUDE, FAULTY)
    def test_no_frame_is_served_as_a_request(self, recording: Recording) -> None:
        assert recording.smuggled == []

    @pytest.mark.proves('H1')
    @every_recording(POLITE, FAULTY)
    def test_the_stream_ends_with_fin_if_the_client_keeps_to_the_rules(self, recording: Recording) -> None:
        assert not recording.was_reset

    @pytest.mark.proves('H2')
    @every_recording(POLITE, RUDE, SUDDEN)
    def test_nothing_is_reported_as_an_error(self, recording: Recording) -> None:
        assert recording.complaints == []

    @pytest.mark.proves('C2')
    @every_recording(FAULTY)
    def test_a_handlers_exception_is_reported_once(self, recording: Recording) -> None:
        assert [line for line in recording.complaints if 'RuntimeError: on purpose' in line] == ['RuntimeError: on purpose']

    @pytest.mark.proves('H2', 'H3')
    @every_recording(POLITE, RUDE, SUDDEN, FAULTY)
    def test_the_access_log_has_one_line_with_101(self, recording: Recording) -> None:
        assert recording.statuses == ['101']

    @pytest.mark.proves('L2')
    @every_recording(POLITE, RUDE, SUDDEN, FAULTY)
    def test_the_application_sees_one_close_and_nothing_after_it(self, recording: Recording) -> None:
        assert recording.events[0] == 'open'
        assert recording.events.index('close') == len(recording.events) - 1

    @pytest.mark.proves('H2', 'H3')
    @everywhere
    def test_a_killed_client_leaves_one_line_with_101_and_no_error(
            self, server: Server, path: str, log_end: int) -> None:
        with victim(server, path) as client:
            client.kill()
        wait_for_logs(server, path)
        assert [event['type'] for event in server.events(path)] == ['open', 'message', 'close']
        assert server.requests(path) == [(path, '101')]
        assert server.error_log()[log_end:] == ''

    @pytest.mark.proves('H9')
    @everywhere
    def test_no_descriptor_is_left(self, server: Server, path: str) -> None:
        before = server.descriptors()
        for ending in [*POLITE, *RUDE, *SUDDEN] * 3:
            bring_to_an_end(ending, server, path)
        wait_until(lambda: server.descriptors() <= before, f'{before} descriptors as before')

    @pytest.mark.proves('H3')
    @everywhere
    def test_plain_requests_are_logged_as_ever(self, server: Server, path: str) -> None:
        http_get(server, path)
        wait_until(lambda: server.requests(path), 'a line')
        assert server.requests(path) == [(path, '200')]


class TestHandshake:
    """The 101 and the bytes after it."""

    @pytest.mark.proves('H5')
    @everywhere
    def test_the_101_announces_no_body(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            assert not client.handshake().names() & {'content-length', 'transfer-encoding'}

    @pytest.mark.proves('H5')
    @everywhere
    def test_the_101_has_only_the_headers_of_the_handshake(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            assert client.handshake().names() == {'upgrade', 'connection', 'sec-websocket-accept'}

    @everywhere
    def test_text_and_binary_of_every_length_form_are_echoed(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            client.handshake()
            for opcode in (TEXT, BINARY):
                for length in (0, 1, 125, 126, 65535, 65536, 1_000_000):
                    client.send_frame(opcode, b'x' * length)
                    assert client.receive_frame() == Frame(opcode, b'x' * length)

    @pytest.mark.proves('H4')
    @everywhere
    def test_a_frame_in_the_segment_of_the_handshake_arrives(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            assert client.handshake(serialize_frame(TEXT, b'early')).status == 101
            assert client.receive_frame() == Frame(TEXT, b'early')

    @pytest.mark.proves('H4')
    @everywhere
    def test_a_frame_half_in_the_segment_of_the_handshake_arrives(self, server: Server, path: str) -> None:
        frame = serialize_frame(TEXT, b'early')
        for split in range(1, len(frame)):
            with RawClient(server, f'{path}/{split}') as client:
                client.handshake(frame[:split])
                client.send(frame[split:])
                assert client.receive_frame() == Frame(TEXT, b'early')

    @pytest.mark.proves('H4')
    @everywhere
    def test_more_than_a_servers_buffer_behind_the_handshake_arrives(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            client.handshake(serialize_frame(BINARY, bytes(100_000)) + serialize_frame(TEXT, b'behind'))
            assert client.receive_frame() == Frame(BINARY, bytes(100_000))
            assert client.receive_frame() == Frame(TEXT, b'behind')

    @pytest.mark.proves('H4')
    @everywhere
    def test_a_whole_conversation_in_one_segment_is_answered(self, server: Server, path: str) -> None:
        close = serialize_frame(CLOSE, close_payload(1000))
        with RawClient(server, path) as client:
            client.handshake(serialize_frame(TEXT, b'early') + close)
            frames, rest = parse_frames(client.read_to_eof())
        assert [frame.opcode for frame in frames] == [TEXT, CLOSE]
        assert (frames[0].payload, frames[1].code, rest) == (b'early', 1000, b'')
        server.wait_for_event(path, 'close')
        assert [event['data'] for event in server.events(path, 'message')] == ['early']


class TestHixie76:
    """The eight bytes that prove a hixie-76 handshake, after its header."""

    @pytest.mark.proves('H4')
    @everywhere
    @pytest.mark.parametrize('split', range(len(HIXIE_76_BODY) + 1))
    def test_the_body_may_be_split_anywhere(self, server: Server, path: str, split: int) -> None:
        with RawClient(server, path, HIXIE_76) as client:
            assert client.handshake(HIXIE_76_BODY[:split]).status == 101
            client.send(HIXIE_76_BODY[split:])
            assert client.receive(16) == HIXIE_76_PROOF
            client.send(b'\x00hello\xff')
            assert client.receive(7) == b'\x00hello\xff'

    @pytest.mark.proves('H4')
    @everywhere
    def test_the_body_may_come_byte_by_byte(self, server: Server, path: str) -> None:
        with RawClient(server, path, HIXIE_76) as client:
            client.handshake()
            for byte in HIXIE_76_BODY:
                client.send(bytes([byte]))
                busy(server)
            assert client.receive(16) == HIXIE_76_PROOF

    @pytest.mark.proves('H4')
    @everywhere
    def test_a_frame_behind_the_body_arrives(self, server: Server, path: str) -> None:
        with RawClient(server, path, HIXIE_76) as client:
            client.handshake(HIXIE_76_BODY + b'\x00early\xff')
            assert client.receive(16 + 7) == HIXIE_76_PROOF + b'\x00early\xff'

    @pytest.mark.proves('H5')
    @everywhere
    def test_the_header_is_as_a_browser_of_2010_expects(self, server: Server, path: str) -> None:
        scheme = 'wss' if server.certificate else 'ws'
        with RawClient(server, path, HIXIE_76) as client:
            head = client.handshake(HIXIE_76_BODY)
        assert head.status_line == 'HTTP/1.1 101 WebSocket Protocol Handshake'
        assert head.headers[:2] == [('Upgrade', 'WebSocket'), ('Connection', 'Upgrade')]
        assert sorted(head.headers[2:]) == [
            ('Sec-WebSocket-Location', f'{scheme}://example.com{path}'), ('Sec-WebSocket-Origin', 'http://example.com')]

    @pytest.mark.proves('H1')
    @everywhere
    def test_no_byte_follows_our_last_frame(self, server: Server, path: str) -> None:
        with RawClient(server, path, HIXIE_76) as client:
            client.handshake(HIXIE_76_BODY)
            client.send(HIXIE_76_CLOSE + b'\r\n\r\n')
            client.read_to_eof()
        assert client.transcript == HIXIE_76_PROOF + HIXIE_76_CLOSE

    @pytest.mark.proves('H2', 'H3')
    @everywhere
    def test_it_leaves_one_line_with_101_and_no_error(self, server: Server, path: str, log_end: int) -> None:
        with RawClient(server, path, HIXIE_76) as client:
            client.handshake(HIXIE_76_BODY)
            client.send(HIXIE_76_CLOSE)
            client.read_to_eof()
        wait_for_logs(server, path)
        assert server.requests(path) == [(path, '101')]
        assert server.error_log()[log_end:] == ''


class TestTls:
    """Bytes that OpenSSL has decrypted, and that the kernel does not report."""

    @pytest.mark.proves('H7')
    @over_tls
    def test_64_messages_in_one_write_are_all_delivered(self, server: Server, path: str) -> None:
        messages = [f'message {number} {"x" * 200}'.encode() for number in range(64)]
        with RawClient(server, path) as client:
            client.handshake()
            client.send(b''.join(serialize_frame(TEXT, message) for message in messages))
            assert [client.receive_frame().payload for _ in messages] == messages

    @pytest.mark.proves('H7')
    @over_tls
    def test_64_messages_in_the_write_of_the_handshake_are_all_delivered(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            client.handshake(b''.join(serialize_frame(TEXT, b'%d' % number) for number in range(64)))
            assert [client.receive_frame().payload for _ in range(64)] == [b'%d' % number for number in range(64)]

    @pytest.mark.proves('H4', 'H7')
    @over_tls
    @pytest.mark.parametrize('sizes', [(300,) * 40, (9000,), (16000,)], ids=lambda sizes: f'{len(sizes)}x{sizes[0]}')
    def test_the_rest_of_the_record_of_the_handshake_is_delivered(
            self, server: Server, path: str, sizes: tuple[int, ...]) -> None:
        messages = [b'%03d' % number + bytes(size - 3) for number, size in enumerate(sizes)]
        with RawClient(server, path) as client:
            client.handshake(b''.join(serialize_frame(BINARY, message) for message in messages))
            assert [client.receive_frame().payload for _ in messages] == messages

    @pytest.mark.proves('H7')
    @over_tls
    def test_a_message_of_many_records_is_echoed(self, server: Server, path: str) -> None:
        with RawClient(server, path) as client:
            client.handshake()
            client.send_frame(BINARY, bytes(300_000))
            assert client.receive_frame() == Frame(BINARY, bytes(300_000))


@pytest.fixture(params=SERVERS)
def unix_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Each server on a Unix socket."""
    with serve(request.param, 'tests.support.apps:control', unix_socket=tmp_path / 's', tmp_path=tmp_path) as server:
        yield server


class TestUnixSocket:
    """A server bound to a path, as behind a proxy on its machine."""

    @pytest.mark.proves('H8')
    def test_echoes_and_closes_on_the_socket_itself(self, unix_server: Server) -> None:
        self.converse(unix_server, unix_server)

    @pytest.mark.proves('H8')
    def test_echoes_and_closes_behind_nginx(self, unix_server: Server, tmp_path: Path) -> None:
        with nginx(unix_server, tmp_path) as proxy:
            self.converse(unix_server, proxy)

    def converse(self, server: Server, endpoint: Endpoint) -> None:
        """Hold a conversation through `endpoint`, and check the logs of `server`."""
        log_end = len(server.error_log())
        with RawClient(endpoint, '/unix') as client:
            assert client.handshake(serialize_frame(TEXT, b'early')).status == 101
            assert client.receive_frame() == Frame(TEXT, b'early')
            client.send_close(1000)
            frames, rest = parse_frames(client.read_to_eof())
        assert ([frame.code for frame in frames], rest) == ([1000], b'')
        wait_until(lambda: server.requests('/unix') == [('/unix', '101')], f'one line:\n{server.access_log()}')
        assert server.error_log()[log_end:] == ''


@pytest.mark.parametrize('kind', SERVERS)
def test_nginx_in_front_of_a_tcp_port_passes_a_conversation(
        kind: str, server_pool: ServerPool, path: str, tmp_path: Path) -> None:
    server = server_pool.get(Setting(kind))
    with nginx(server, tmp_path) as proxy, RawClient(proxy, path) as client:
        client.handshake()
        client.send_frame(TEXT, b'through nginx')
        assert client.receive_frame() == Frame(TEXT, b'through nginx')
        client.send_close(1000)
        assert parse_frames(client.read_to_eof())[0][0].code == 1000


@pytest.mark.parametrize('kind', SERVERS)
def test_an_absolute_target_names_the_host(
    kind: str, tmp_path: Path
) -> None:  # RFC 9112, 3.2.2
    with serve(kind, 'tests.support.apps:where', tmp_path=tmp_path) as server:
        with RawClient(server, 'http://shop.example:81/chat?a=b') as client:
            assert client.handshake().status == 101
            assert client.receive_frame() == Frame(
                TEXT, b'ws://shop.example:81/chat?a=b'
            )
        with EventClient(server, 'http://shop.example:81/feed') as reader:
            assert reader.open().receive_event().data == 'http://shop.example:81/feed'
        with RawClient(server, '/chat') as client:
            assert client.handshake().status == 101
            assert client.receive_frame() == Frame(TEXT, b'ws://example.com/chat')
