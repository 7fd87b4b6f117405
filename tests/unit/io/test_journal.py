"""The lines that the log has of connections and of their faults."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import gevent
import gevent.event
import pytest
from flask import Flask, request
from gevent import socket
from gevent.pywsgi import WSGIServer

import faye_websocket
from faye_websocket import (
    EventSource,
    PermessageDeflate,
    SocketMiddleware,
    WebSocket,
    broadcast,
    metrics,
)
from faye_websocket.io.connection import Connection
from faye_websocket.testing import connect
from tests.support.inside import carrier_of, connection_of
from tests.support.local import (
    LocalServer,
    Record,
    Response,
    joined,
    make_environ,
    reset,
    run_threads,
    serve,
    settle,
    tcp_pair,
)
from tests.support.wire import (
    HIXIE_76,
    HIXIE_76_BODY,
    HIXIE_76_CLOSE,
    RFC_6455,
    TEXT,
    serialize_frame,
)

EVIL = ('Origin', 'http://evil.example')
OLD = [*(pair for pair in RFC_6455 if pair[0] != 'Sec-WebSocket-Version'), ('Sec-WebSocket-Version', '99')]
#: Of a line: what differs each time it is run.
VARIABLE = re.compile(r':\d{4,5}\b|after \d+\.\d{3} s')


@pytest.fixture(params=[logging.INFO, logging.DEBUG], ids=['INFO', 'DEBUG'])
def lines(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """A function that returns the lines at INFO and above, without what varies."""
    caplog.set_level(request.param, 'faye_websocket')

    def find() -> list[str]:
        settle()
        return [shorten(record) for record in caplog.records if record.levelno >= logging.INFO]

    return find


@pytest.fixture
def frames(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """A function that returns the lines of frames, without their beginning."""
    caplog.set_level(logging.DEBUG, 'faye_websocket')
    yield lambda: [record.getMessage().partition(': ')[2] for record in frames_in(caplog)]


def frames_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if getattr(record, 'socket_event', '') == 'frame']


def shorten(record: logging.LogRecord) -> str:
    return f'{record.name.rpartition(".")[2]} {VARIABLE.sub("", record.getMessage())}'


def echo(ws: WebSocket) -> None:
    ws.onmessage = lambda event: ws.send(event.data)


def fail(ws: WebSocket) -> None:
    ws.onmessage = lambda event: 1 / 0


def close_by_peer(server: LocalServer) -> None:
    client = server.open('/a%20b%0Ac?token=secret')
    client.send_frame(TEXT, b'hi')
    client.send_close(1000, 'bye\n2026 INFO forged')
    client.read_to_eof()


def close_by_application(server: LocalServer) -> None:
    client = server.open('/x')
    server.ws.close(3000, 'done')
    client.receive_frame()
    client.send_close(3000)
    client.read_to_eof()


def stop(server: LocalServer) -> None:
    client = server.open('/x')
    server.wsgi._stop_event.set()
    client.receive_frame()
    client.send_close(1001)
    client.read_to_eof()


def send(data: bytes) -> Callable[[LocalServer], None]:
    def act(server: LocalServer) -> None:
        server.open('/x').send(data)
        server.record.the_close()

    return act


def be_gone(server: LocalServer) -> None:
    reset(server.open('/x'))
    server.record.the_close()


def be_silent(server: LocalServer) -> None:
    server.open('/x')
    server.record.the_close()


def be_slow(server: LocalServer) -> None:
    server.open('/x')
    while server.ws.send(bytes(100000)):
        pass
    server.record.the_close()


def make_it_fail(server: LocalServer) -> None:
    client = server.open('/x?token=secret')
    client.send(serialize_frame(TEXT, b'hello'))
    client.receive_frame()
    client.send_close(1011)
    client.read_to_eof()


def be_refused(headers: Any) -> Callable[[LocalServer], None]:
    def act(server: LocalServer) -> None:
        client = server.client('/x?token=secret', headers)
        client.handshake()
        client.read_to_eof()

    return act


OPEN = 'server open /x from 127.0.0.1: hybi-13'


def closed(text: str, received: str = '0 messages (0 bytes)', sent: str = '0 messages (133 bytes)') -> str:
    return f'server closed /x from 127.0.0.1: {text} , received {received}, sent {sent}'


CAUSES: list[tuple[str, Callable[[LocalServer], None], dict[str, Any], list[str]]] = [
    ('1000 by the peer', close_by_peer, {'setup': echo}, [
        'server open /a%20b%0Ac from 127.0.0.1: hybi-13',
        "server closed /a%20b%0Ac from 127.0.0.1: 1000 'bye\\n2026 INFO forged' by peer , "
        'received 1 messages (36 bytes), sent 1 messages (137 bytes)']),
    ('3000 by the application', close_by_application, {}, [
        OPEN, closed("3000 'done' by application", '0 messages (8 bytes)', '0 messages (137 bytes)')]),
    ('1001', stop, {}, [OPEN, closed("1001 '' by faye_websocket", '0 messages (8 bytes)')]),
    ('1002', send(b'\x83\x80\0\0\0\0'), {}, [
        OPEN, closed("1002 'unknown opcode 3' by faye_websocket", '0 messages (6 bytes)', '0 messages (149 bytes)')]),
    ('1006', be_gone, {}, [
        OPEN, closed("1006 '[Errno 104] Connection reset by peer' by peer", sent='0 messages (129 bytes)')]),
    ('1007', send(serialize_frame(TEXT, b'\xff')), {}, [
        OPEN, closed("1007 'text is not UTF-8' by faye_websocket", '0 messages (7 bytes)', '0 messages (150 bytes)')]),
    ('1009', send(serialize_frame(TEXT, b'12345')), {'max_length': 4}, [
        OPEN, closed("1009 'message too big: 5 > 4' by faye_websocket", '0 messages (11 bytes)', '0 messages (155 bytes)')]),
    ('1011', make_it_fail, {'setup': fail}, [
        OPEN, 'server message handler of ws://example.com/x raised',
        closed("1011 'internal error' by faye_websocket", '1 messages (19 bytes)', '0 messages (147 bytes)')]),
    ('ping timeout', be_silent, {'ping': 0.05, 'ping_timeout': 0.05}, [
        OPEN, closed("1006 'ping timeout' by faye_websocket", sent='0 messages (131 bytes)')]),
    ('another origin', be_refused([*RFC_6455, EVIL]), {'allowed_origins': 'same-origin'}, [
        "server refused /x from 127.0.0.1: 403 'this origin is not allowed'"]),
    ('a bad version', be_refused(OLD), {}, ["server refused /x from 127.0.0.1: 426 \"version '99' is not supported\""]),
]


@pytest.mark.proves('O4')
class TestServer:
    @pytest.mark.parametrize(('act', 'options', 'expected'), [row[1:] for row in CAUSES], ids=[row[0] for row in CAUSES])
    def test_has_one_line_for_the_beginning_and_one_for_each_end(
            self, act: Callable[[LocalServer], None], options: dict[str, Any], expected: list[str],
            lines: Callable[[], list[str]]) -> None:
        with serve(**options) as server:
            act(server)
        assert lines() == expected

    def test_says_that_a_slow_consumer_is_given_up(self, lines: Callable[[], list[str]]) -> None:
        with serve(max_buffered=200000) as server:
            be_slow(server)
        opened, warning, end = lines()
        assert opened == OPEN
        assert re.fullmatch(
            r'server ws://example.com/x is a slow consumer: given up with \d+ bytes waiting', warning)
        assert end.startswith("server closed /x from 127.0.0.1: 1013 'slow consumer' by faye_websocket ")

    def test_has_the_end_of_a_handshake_that_failed(self, lines: Callable[[], list[str]]) -> None:
        with joined() as pair:
            pair.ws(pair.environ, pair.response)
            pair.respond('HTTP/1.1 500 Oh\r\n\r\n')
            pair.sock.close()
        with joined(HIXIE_76) as pair:
            pair.start()
            pair.client.finish_sending()
            Record(pair.ws).the_close()
        assert lines() == ["server failed / from unix: 'the application gave another response'",
                           "server failed / from unix: 'the connection was lost'"]

    def test_has_a_socket_that_was_closed_before_it_was_open(self, lines: Callable[[], list[str]]) -> None:
        with joined() as pair:
            pair.ws.close()
            _, client = pair.open()
            client.receive_frame()
            client.send_close(1000)
            client.read_to_eof()
        assert [line.split()[1] for line in lines()] == ['open', 'closed']

    def test_names_a_peer_by_its_address_and_port(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, 'faye_websocket')
        for others, expected in [
                ({'REMOTE_ADDR': '10.0.0.7', 'REMOTE_PORT': '81'}, '10.0.0.7:81'),
                ({'REMOTE_ADDR': '::1', 'REMOTE_PORT': '81'}, '[::1]:81'),
                ({'REMOTE_ADDR': ''}, 'unix'), ({'REMOTE_ADDR': 'x\n1.2.3.4'}, 'x%0A1.2.3.4')]:
            environ = {**make_environ(headers=()), **others, 'SCRIPT_NAME': '/app', 'PATH_INFO': '/caf\xc3\xa9 50%'}
            WebSocket(environ)(environ, Response())
            record = caplog.records[-1]
            assert (record.peer, record.path) == (expected, '/app/caf%C3%A9%2050%25')  # type: ignore[attr-defined]

    def test_finds_the_port_where_the_server_does_not_say_it(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, 'faye_websocket')
        for is_gone in (False, True):
            ours, theirs = tcp_pair()
            port = theirs.getsockname()[1]
            environ = make_environ(ours, REMOTE_ADDR='127.0.0.1')
            ws = WebSocket(environ)
            if is_gone:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
                theirs.close()
            ws.receive(timeout=0) if is_gone else ws._start()
            assert caplog.records[-1 - is_gone].peer == ('127.0.0.1' if is_gone else f'127.0.0.1:{port}')  # type: ignore[attr-defined]
            theirs.close()
            ours.close()
            settle()

    def test_counts_what_is_broadcast_and_what_threads_send(self, lines: Callable[[], list[str]]) -> None:
        with serve() as server:
            client = server.open('/x')
            assert broadcast([server.ws], 'all') == 1
            run_threads(lambda: server.ws.send('from a thread'))
            for _ in range(2):
                client.receive_frame()
            client.send(serialize_frame(8, b'\x03\xe8') + serialize_frame(TEXT, b'late'))
            client.read_to_eof()
        assert 'sent 2 messages' in lines()[-1]

    def test_drops_from_the_count_what_comes_after_close(self, lines: Callable[[], list[str]]) -> None:
        with serve() as server:
            client = server.open('/x')
            server.ws.close()
            client.send(serialize_frame(TEXT, b'late'))
            client.send_close(1000)
            client.read_to_eof()
            assert server.ws.send('later') is False
            assert broadcast([server.ws], 'later') == 0
        assert 'received 0 messages (18 bytes)' in lines()[-1]

    def test_counts_beside_metrics(self, lines: Callable[[], list[str]]) -> None:
        counters = metrics.enable()
        before = counters.server.messages_received
        try:
            with serve(echo) as server:
                close_by_peer(server)
        finally:
            metrics.disable()
        assert lines()[-1].endswith('received 1 messages (36 bytes), sent 1 messages (137 bytes)')
        assert counters.server.messages_received == before + 1

    def test_goes_on_where_a_filter_raises(self, lines: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
        def is_broken(record: logging.LogRecord) -> bool:
            raise LookupError('a fault of the filter')

        logger = logging.getLogger('faye_websocket.server')
        logger.addFilter(is_broken)
        try:
            with serve(echo) as server:
                client = server.open('/x')
                client.send_frame(TEXT, b'hi')
                assert client.receive_frame().payload == b'hi'
        finally:
            logger.removeFilter(is_broken)
        assert 'LookupError: a fault of the filter' in capsys.readouterr().err
        assert lines() == []

    @pytest.mark.parametrize('level', [logging.WARNING, logging.CRITICAL])
    def test_costs_nothing_where_the_level_is_off(self, level: int, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(level, 'faye_websocket')
        assert type(connection_of(WebSocket(make_environ()))) is Connection


@pytest.mark.proves('O4')
class TestClient:
    def test_has_its_lines_without_query_and_password(self, lines: Callable[[], list[str]]) -> None:
        with serve(echo) as server:
            url = f'ws://me:secret@127.0.0.1:{server.wsgi.server_port}/chat?token=secret'
            with faye_websocket.Client(url) as ws:
                ws.send('hello')
                assert ws.receive(timeout=5) == 'hello'
        mine = [line for line in lines() if line.startswith('client')]
        assert mine == [
            'client open ws://127.0.0.1/chat at 127.0.0.1: hybi-13',
            "client closed ws://127.0.0.1/chat at 127.0.0.1: 1000 '' by application , "
            'received 1 messages (140 bytes), sent 1 messages (208 bytes)'.replace('208', mine[1].split('(')[2].split()[0])]

    def test_has_a_line_for_a_refusal_and_for_a_failure(self, lines: Callable[[], list[str]]) -> None:
        with serve(allowed_origins=[]) as server:
            url = f'ws://127.0.0.1:{server.wsgi.server_port}/chat'
            assert faye_websocket.Client(url, headers=dict([EVIL])).wait_closed(5)
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            assert faye_websocket.Client(f'ws://127.0.0.1:{unused.getsockname()[1]}/').wait_closed(5)
        refused, failed = [line for line in lines() if line.startswith('client')]
        assert refused.startswith('client refused ws://127.0.0.1/chat at 127.0.0.1: 403 ')
        assert failed.startswith("client failed ws://127.0.0.1/ at -: 'connecting to 127.0.0.1")

    def test_names_a_unix_socket(self, lines: Callable[[], list[str]]) -> None:
        with connect(lambda environ, start_response: WebSocket(environ)(environ, start_response)):
            pass
        assert 'client open ws://localhost/ at unix: hybi-13' in lines()


@pytest.mark.proves('O4')
class TestEventSource:
    def test_on_a_socket_has_its_lines(self, lines: Callable[[], list[str]]) -> None:
        def app(environ: Any, start_response: Any) -> Any:
            es = EventSource(environ)
            es.send('hello')
            gevent.spawn(es.close)
            return es(environ, start_response)

        ours, theirs = tcp_pair()
        gevent.spawn(WSGIServer(('127.0.0.1', 0), app, log=None).handle, ours, ('127.0.0.1', 7))
        with theirs:
            theirs.sendall(b'GET /feed?x=1 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n')
            while theirs.recv(65536):
                pass
        opened, end = lines()
        assert opened == 'eventsource open /feed from 127.0.0.1:7: eventsource'
        assert end.startswith("eventsource closed /feed from 127.0.0.1:7: 1000 '' by application , received 0 messages (")

    @pytest.mark.parametrize(('act', 'end'), [
        (lambda carrier: carrier.close(1000, ''), "1000 '' by application"),
        (lambda carrier: carrier.stop(), "1001 '' by faye_websocket"),
        (lambda carrier: carrier.failed(), "1011 'internal error' by faye_websocket"),
        (lambda carrier: carrier.abort('close timeout'), "1006 'close timeout' by faye_websocket"),
        (lambda carrier: carrier.end(), "1006 '' by peer")], ids=['close', 'stop', 'fault', 'abort', 'gone'])
    def test_in_a_response_has_its_lines(self, act: Callable[[Any], None], end: str, lines: Callable[[], list[str]]) -> None:
        es = EventSource(make_environ())
        es.send('hello')
        body = es(make_environ(), Response())
        assert next(iter(body)) == b'retry: 5000\r\ndata: hello\r\n\r\n'
        act(carrier_of(es))
        assert list(body) == []
        body.close()  # type: ignore[attr-defined]
        assert es.send('late') is False
        assert lines() == [
            'eventsource open / from unix: eventsource',
            f'eventsource closed / from unix: {end} , received 0 messages (0 bytes), sent 1 messages (28 bytes)']

    def test_that_is_slow_has_a_warning(self, lines: Callable[[], list[str]]) -> None:
        es = EventSource(make_environ(), max_buffered=10)
        body = iter(es(make_environ(), Response()))
        next(body)
        assert [es.send('x' * 100), es.send('x' * 100)] == [True, False]
        assert list(body) == [b': slow consumer\r\n']
        _, warning, end = lines()
        assert warning == 'eventsource http://example.com/ is a slow consumer: given up with 110 bytes waiting'
        assert "1013 'slow consumer' by faye_websocket" in end

    def test_that_never_began_has_failed(self, lines: Callable[[], list[str]]) -> None:
        EventSource(make_environ())(make_environ(), Response()).close()  # type: ignore[attr-defined]
        assert lines() == ["eventsource failed / from unix: 'the connection was lost'"]


@pytest.mark.proves('O4')
class TestFrames:
    def test_are_written_in_both_directions(self, frames: Callable[[], list[str]]) -> None:
        with serve(echo) as server:
            client = server.open('/x')
            client.send(serialize_frame(TEXT, b'he', fin=False) + serialize_frame(0, b'llo'))
            client.receive_frame()
            client.send_close(1000)
            client.read_to_eof()
        assert frames() == [
            "received TEXT fin=0 rsv=000 2 bytes b'he'", "received CONTINUATION fin=1 rsv=000 3 bytes b'llo'",
            "sent TEXT fin=1 rsv=000 5 bytes b'hello'", "received CLOSE fin=1 rsv=000 2 bytes b'\\x03\\xe8'",
            "sent CLOSE fin=1 rsv=000 2 bytes b'\\x03\\xe8'"]

    def test_are_shown_in_part_and_once(self, frames: Callable[[], list[str]]) -> None:
        with serve(echo) as server:
            client = server.open('/x')
            data = serialize_frame(2, bytes(20000))
            client.send(data[:1000])
            settle()
            client.send(data[1000:])
            assert client.receive_frame().payload == bytes(20000)
        shown = f'BINARY fin=1 rsv=000 20000 bytes {bytes(64)!r}'
        assert frames() == [f'received {shown}', f'sent {shown}']

    def test_that_are_compressed_have_a_reserved_bit(self, frames: Callable[[], list[str]]) -> None:
        with serve(echo, extensions=[PermessageDeflate()]) as server:
            url = f'ws://127.0.0.1:{server.wsgi.server_port}/'
            with faye_websocket.Client(url, extensions=[PermessageDeflate()]) as ws:
                ws.send('hello' * 100)
                assert ws.receive(timeout=5) == 'hello' * 100
        assert len([line for line in frames() if 'TEXT fin=1 rsv=100' in line]) == 4

    def test_that_are_none_are_named_once(self, frames: Callable[[], list[str]]) -> None:
        with serve() as server:
            client = server.open('/x')
            client.send(b'\x83\x80\0\0\0\0')
            client.receive_frame()
            client.send(b'\x83\x80\0\0\0\0')
            server.record.the_close()
        assert frames()[0] == 'received no frame: unknown opcode 3'
        assert [line.split()[1] for line in frames()] == ['no', 'CLOSE']

    def test_of_older_versions_are_pieces(self, frames: Callable[[], list[str]]) -> None:
        with serve(echo) as server:
            client = server.client('/', HIXIE_76)
            client.handshake(HIXIE_76_BODY)
            client.receive(16)
            client.send(b'\0hello\xff')
            client.receive(7)
            client.send(HIXIE_76_CLOSE)
            client.read_to_eof()
        assert r"received 7 bytes b'\x00hello\xff'" in frames()
        assert r"sent 7 bytes b'\x00hello\xff'" in frames()

    def test_behind_a_head_in_pieces_are_found(self, frames: Callable[[], list[str]]) -> None:
        ours, theirs = socket.socketpair()
        client = faye_websocket.Client('ws://localhost/', socket=ours)
        record = Record(client)  # type: ignore[arg-type]
        head = theirs.recv(65536).decode()
        key = re.search(r'Key: (\S+)', head)
        assert key is not None
        accept = faye_websocket.driver.hybi.accept_key(key[1])
        text = (f'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
                f'Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n').encode()
        for piece in (text[:40], text[40:-2], text[-2:] + b'\x81\x02hi'):
            theirs.sendall(piece)
            settle()
        assert record.wait('message').data == 'hi'
        theirs.close()
        record.the_close()
        assert frames()[0] == "received TEXT fin=1 rsv=000 2 bytes b'hi'"

    def test_of_one_connection_are_picked_by_a_filter(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, 'faye_websocket')

        def only_room_7(record: logging.LogRecord) -> bool:
            return record.levelno > logging.DEBUG or getattr(record, 'path', '') == '/rooms/7'

        logger = logging.getLogger('faye_websocket.server')
        logger.addFilter(only_room_7)
        try:
            with serve(echo) as server:
                for path in ('/rooms/7', '/rooms/8'):
                    client = server.open(path)
                    client.send_frame(TEXT, b'hi')
                    client.receive_frame()
        finally:
            logger.removeFilter(only_room_7)
        paths = [record.path for record in frames_in(caplog)]  # type: ignore[attr-defined]
        assert paths == ['/rooms/7'] * 2


@pytest.mark.proves('O4', 'C2')
class TestFaults:
    def test_of_a_handler_outside_of_its_view_come_with_a_hint(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Flask('shop')

        @app.route('/', websocket=True)
        def enter() -> WebSocket:
            ws = WebSocket(request.environ)
            ws.onmessage = lambda event: ws.send(request.path)
            return ws

        with pytest.raises(RuntimeError, match='outside of'), connect(app, '/?token=secret') as ws:
            ws.send('where?')
            ws.wait_closed(5)
        [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert record.name == 'faye_websocket.server'
        assert record.getMessage() == (
            'message handler of ws://localhost/ raised. A handler runs when the request is over: make the socket with '
            'context=contextvars.copy_context(), and it runs in the context of the view')
        assert record.exc_info is not None

    def test_of_the_middlewares_handler_and_of_a_context_have_no_query(self, caplog: pytest.LogCaptureFixture) -> None:
        def handle(ws: WebSocket) -> None:
            ws.onmessage = lambda event: 1 / 0
            if ws.environ['QUERY_STRING'] == 'now':
                raise RuntimeError('at once')

        app = SocketMiddleware(lambda environ, start_response: [], {'/': handle}, context=copy_context())
        for query, error in (('now', RuntimeError), ('later', ZeroDivisionError)):
            with pytest.raises(error), connect(app, f'/?{query}') as ws:
                ws.send('x')
                ws.wait_closed(5)
        messages = [(record.name, record.getMessage()) for record in caplog.records]
        assert messages == [('faye_websocket.server', 'handler of ws://localhost/ raised'),
                            ('faye_websocket.server', 'message handler of ws://localhost/ raised')]
