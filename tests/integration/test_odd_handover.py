"""Sockets taken from a WSGI server in odd conditions; see `tests.support.odd_apps`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.odd_apps import HINTS
from tests.support.processes import Process, own_directory
from tests.support.programs import require_module
from tests.support.servers import SERVERS, Server, serve, server_command, started
from tests.support.waiting import wait_until
from tests.support.wire import (
    CLOSE,
    RFC_6455,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    parse_frames,
    serialize_frame,
)

#: The applications that replace `wsgi.input`.
REPLACING = ('hidden', 'werkzeug', 'wsgiref', 'webtest')
EARLY = serialize_frame(TEXT, b'early')
SMUGGLED = b'GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n'
EVENTS = b'retry: 5000\r\ndata: 0\r\n\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n'
#: A request that may become a WebSocket or an event source.
ANY = (*RFC_6455, ('Origin', 'http://other.example'), ('Accept', 'text/event-stream'))
TAKEN = "this request's connection was taken before"

every_server = pytest.mark.parametrize(
    'server',
    [
        pytest.param((kind, tls), id=f'{kind}-{"tls" if tls else "plain"}')
        for kind in SERVERS
        for tls in (False, True)
    ],
    indirect=True,
)


@pytest.fixture(scope='module')
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[tuple[str, bool], Server]]:
    """The servers of this module, each started at its first use."""
    directory = tmp_path_factory.mktemp('odd')
    with ExitStack() as stack:

        class Servers(dict[tuple[str, bool], Server]):
            def __missing__(self, key: tuple[str, bool]) -> Server:
                running = serve(
                    key[0], 'tests.support.odd_apps:app', tls=key[1], tmp_path=directory
                )
                self[key] = stack.enter_context(running)
                return self[key]

        yield (pool := Servers())
        for server in pool.values():
            server.process.terminate()


@pytest.fixture
def server(
    servers: dict[tuple[str, bool], Server], request: pytest.FixtureRequest
) -> Server:
    """The server of this test."""
    return servers[request.param]


@pytest.fixture
def log_end(server: Server) -> int:
    """The length of the error log before this test."""
    return len(server.error_log())


class TestReplacedInput:
    """Middleware that replaces wsgi.input."""

    @pytest.mark.proves('H2', 'H4', 'H5', 'H3')
    @every_server
    @pytest.mark.parametrize('style', ['callback', 'greenlet'])
    @pytest.mark.parametrize('middleware', REPLACING)
    def test_a_frame_in_the_segment_of_the_handshake_arrives(
        self, server: Server, log_end: int, middleware: str, style: str
    ) -> None:
        path = f'/{middleware}/{style}/{log_end}'
        with RawClient(server, path) as client:
            head = client.handshake(EARLY)
            assert head.status == 101
            assert head.names() == {
                'upgrade',
                'connection',
                'sec-websocket-accept',
            }
            assert client.receive_frame() == Frame(TEXT, b'early')
            client.send_close(1000)
            assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
            assert client.read_to_eof() == b''
        wait_until(
            lambda: server.requests(path) == [(path, '101')], 'the access log'
        )
        assert server.error_log()[log_end:] == ''

    @pytest.mark.proves('H1')
    @every_server
    @pytest.mark.parametrize('middleware', REPLACING)
    def test_bytes_behind_the_handshake_are_not_served_as_a_request(
        self, server: Server, middleware: str
    ) -> None:
        path = f'/{middleware}/callback/smuggling'
        with RawClient(server, path) as client:
            client.handshake(SMUGGLED)
            frames, rest = parse_frames(client.read_to_eof())
        assert ([frame.code for frame in frames], rest) == ([1002], b'')
        wait_until(lambda: server.requests(path), 'the access log')
        assert server.requests('/smuggled') == []

    @pytest.mark.proves('E2')
    @every_server
    @pytest.mark.parametrize('middleware', REPLACING)
    def test_events_leave_the_server(
        self, server: Server, log_end: int, middleware: str
    ) -> None:
        with RawClient(
            server, f'/{middleware}/source', [('Accept', 'text/event-stream')]
        ) as client:
            head = client.handshake()
            # Events that are the response's iterable are chunked.
            assert (
                head.status,
                head.get('Connection'),
                head.get('Transfer-Encoding'),
            ) == (200, 'close', None)
            assert client.read_to_eof() == EVENTS
        assert server.error_log()[log_end:] == ''

    @pytest.mark.proves('S2')
    @every_server
    @pytest.mark.parametrize('middleware', REPLACING)
    def test_a_refusal_ends_the_connection(
        self, server: Server, middleware: str
    ) -> None:
        with RawClient(server, f'/{middleware}/refused', ANY) as client:
            assert client.handshake(SMUGGLED).status == 403
            assert client.read_to_eof() == b'this origin is not allowed\n'

    @pytest.mark.proves('H6')
    @every_server
    def test_is_reported_if_the_socket_cannot_be_found(
        self, server: Server, log_end: int
    ) -> None:
        with RawClient(server, '/greenlet/callback') as client:
            assert client.handshake().status == 500
        text = "wsgi.input was replaced by io.BytesIO, and the server's socket is neither"
        wait_until(
            lambda: f'UnsupportedServer: {text}' in server.error_log()[log_end:],
            'the reason',
        )
        assert 'runs under' not in server.error_log()[log_end:]


class TestEarlyHints:
    """An interim response that is sent without the application's knowledge."""

    @pytest.mark.proves('H5')
    @every_server
    @pytest.mark.parametrize('style', ['callback', 'greenlet'])
    def test_are_not_taken_for_the_response(
        self, server: Server, log_end: int, style: str
    ) -> None:
        with RawClient(server, f'/hinting/{style}') as client:
            assert client.handshake(EARLY).status == 101
            assert client.receive_frame() == Frame(TEXT, b'early')
        assert server.error_log()[log_end:] == ''

    @every_server
    def test_are_not_taken_for_the_response_of_an_event_source(self, server: Server) -> None:
        with RawClient(
            server, '/hinting/source', [('Accept', 'text/event-stream')]
        ) as client:
            head = client.handshake()
            assert (head.status, head.get('Connection')) == (200, 'close')
            assert client.read_to_eof() == EVENTS

    @pytest.mark.parametrize('server', [('gevent', False)], indirect=True)
    def test_before_it_reach_the_client(self, server: Server) -> None:
        with RawClient(server, '/hinting-first/callback') as client:
            head = client.handshake(EARLY)
            assert (head.status, head.get('Link')) == (103, HINTS[0][1])
            assert client.receive_head().status == 101
            assert client.receive_frame() == Frame(TEXT, b'early')


class TestTwoSockets:
    """Two sockets for one request."""

    @every_server
    @pytest.mark.parametrize(
        'application',
        ['two-sockets', 'socket-and-source', 'source-and-socket', 'two-sources'],
    )
    def test_are_an_error_and_the_client_gets_a_whole_response(
        self, server: Server, log_end: int, application: str
    ) -> None:
        with RawClient(server, f'/bare/{application}', ANY) as client:
            head = client.handshake()
            assert (head.status, head.get('Connection')) == (500, 'close')
            assert len(client.read_to_eof()) == int(head.get('Content-Length') or -1)
        wait_until(
            lambda: f'RuntimeError: {TAKEN}' in server.error_log()[log_end:],
            'the error',
        )

    @pytest.mark.proves('S2')
    @every_server
    def test_are_an_error_behind_a_refusal(
        self, server: Server, log_end: int
    ) -> None:
        with RawClient(server, '/bare/behind-a-refusal', ANY) as client:
            assert client.handshake(SMUGGLED).status == 500
            assert b'HTTP/1.1' not in client.read_to_eof()
        wait_until(
            lambda: f'RuntimeError: {TAKEN}' in server.error_log()[log_end:],
            'the error',
        )

    @every_server
    def test_leave_the_first_as_it_is_in_greenlet_style(
        self, server: Server, log_end: int
    ) -> None:
        with RawClient(server, '/bare/two-in-greenlet-style') as client:
            assert client.handshake().status == 101
            assert client.receive_frame().payload.startswith(TAKEN.encode())
            assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
        assert server.error_log()[log_end:] == ''

    @every_server
    def test_an_event_source_may_be_asked_for_its_response_twice(
        self, server: Server, log_end: int
    ) -> None:
        with RawClient(server, '/bare/source-twice', ANY) as client:
            assert client.handshake().status == 200
            assert client.read_to_eof() == EVENTS
        assert server.error_log()[log_end:] == ''


#: gevent.pywsgi as programs for gevent-websocket start it.
PYWSGI = """
import sys
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler
from tests.support.odd_apps import app
server = WSGIServer(('127.0.0.1', 0), app, handler_class=WebSocketHandler)
server.start()
print(f'Listening on http://127.0.0.1:{server.server_port}', file=sys.stderr)
server.serve_forever()
"""


@pytest.fixture(scope='module', params=['pywsgi', 'gunicorn'])
def left(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server in which gevent-websocket was left."""
    require_module('geventwebsocket', 'pip install gevent-websocket')
    directory = own_directory(tmp_path_factory.mktemp('left'), request.param)
    worker = 'geventwebsocket.gunicorn.workers.GeventWebSocketWorker'
    command = server_command(
        worker, 'tests.support.odd_apps:app', '127.0.0.1:0', None, directory
    )
    process = Process(
        [sys.executable, '-c', PYWSGI] if request.param == 'pywsgi' else command,
        directory,
    )
    try:
        yield started(request.param, process, None)
    finally:
        process.stop()


class TestLeftOver:
    """gevent-websocket, left in place."""

    @pytest.mark.proves('O5')
    @pytest.mark.parametrize(
        'path',
        [
            '/bare/callback',
            '/bare/greenlet',
            '/bare/refused',
            '/bare/resource',
            '/generator/callback',
        ],
    )
    def test_is_named_and_the_socket_is_closed_with_1011(
        self, left: Server, path: str
    ) -> None:
        log_end = len(left.error_log())
        with RawClient(left, path, ANY) as client:
            # The original gevent-websocket sent this.
            assert client.handshake(EARLY).status == 101
            frames, rest = parse_frames(client.read_to_eof())
        assert ([(frame.code, frame.reason) for frame in frames], rest) == (
            [(1011, 'answered by another library')],
            b'',
        )
        text = "environ['wsgi.websocket'] is a geventwebsocket.websocket.WebSocket"
        wait_until(
            lambda: left.error_log()[log_end:].count(text) >= 2,
            'a warning and the error',
        )
        assert (
            'UnsupportedServer: another library has answered'
            in left.error_log()[log_end:]
        )

    def test_is_no_obstacle_to_events(self, left: Server) -> None:
        with RawClient(
            left, '/bare/source', [('Accept', 'text/event-stream')]
        ) as client:
            assert client.handshake().status == 200
            assert client.read_to_eof() == EVENTS
