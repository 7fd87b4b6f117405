"""The interfaces of simple-websocket, and of flask-sock, which builds on it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from flask import Blueprint, Flask, abort, request
from gevent.pywsgi import WSGIServer

from faye_websocket import HandshakeError, WebSocket, WebSocketError
from faye_websocket.compat import flask_sock, simple_websocket
from faye_websocket.compat.flask_sock import Sock
from faye_websocket.compat.simple_websocket import Client, ConnectionClosed, ConnectionError, Server
from faye_websocket.compat.simple_websocket import ws as ws_module
from faye_websocket.testing import connect
from tests.support.inside import connection_of
from tests.support.local import Response, hub_errors, make_environ, wait_until
from tests.support.scripted import acceptance, accepting, scripted
from tests.support.wire import BINARY, CLOSE, PING, TEXT, close_payload, serialize_frame


class Application:
    """A WSGI application that runs a function of a Server, and keeps its errors."""

    def __init__(self, serve: Any, **options: Any) -> None:
        self.serve = serve
        self.options = options
        self.errors: list[BaseException] = []
        self.sockets: list[Server] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        try:
            self.sockets.append(Server.accept(environ, **self.options))
            self.serve(self.sockets[-1])
        except (ConnectionClosed, ConnectionError) as error:
            self.errors.append(error)
        start_response('200 OK', [])
        return [b'']

    @property
    def error(self) -> Any:
        """The first error, once there is one."""
        return wait_until(lambda: self.errors)[0]


class Silent:
    """A writer that sends nothing."""

    def write(self, data: bytes) -> None:
        """Drop it."""


class TestErrors:
    @pytest.mark.proves('M1')
    def test_are_runtime_errors_of_this_library(self) -> None:
        for error in (ConnectionClosed(), ConnectionError(403)):
            assert isinstance(error, RuntimeError)
            assert isinstance(error, WebSocketError)

    @pytest.mark.proves('M1')
    def test_have_the_texts_of_the_original(self) -> None:
        assert str(ConnectionClosed(1000, 'bye')) == 'Connection closed: 1000 bye'
        assert (ConnectionClosed().reason, ConnectionClosed().message) == (1005, None)
        assert (str(ConnectionError(403)), ConnectionError(403).status_code) == ('Connection error: 403', 403)


class TestServer:
    @pytest.mark.proves('M1')
    def test_sends_bytes_as_they_are_and_anything_else_as_text(self) -> None:
        def serve(ws: Server) -> None:
            for data in ('text', b'bytes', None, 5, {'a': 1}, bytearray(b'x')):
                ws.send(data)
            ws.close()

        with connect(Application(serve)) as client:
            assert list(client) == ['text', b'bytes', 'None', '5', "{'a': 1}", "bytearray(b'x')"]

    @pytest.mark.proves('M1')
    def test_send_waits_until_a_slow_client_has_read(self) -> None:
        sent: list[int] = []

        def serve(ws: Server) -> None:
            ws.send(bytes(2**23))
            sent.append(1)
            ws.close()

        with connect(Application(serve), max_queued=0, max_length=2**24) as client:
            assert sent == []
            assert len(client.receive(timeout=5) or '') == 2**23
            wait_until(lambda: sent)

    @pytest.mark.proves('M1')
    def test_receive_returns_all_queued_messages_before_it_raises(self) -> None:
        seen: list[Any] = []

        def serve(ws: Server) -> None:
            wait_until(lambda: not ws.connected)
            seen.extend([ws.receive(), ws.receive(timeout=0)])
            for call in (ws.receive, lambda: ws.receive(0), lambda: ws.send('x'), ws.close):
                with pytest.raises(ConnectionClosed, match='^Connection closed: 4000 bye$'):
                    call()
            seen.append((ws.close_reason == 4000, ws.close_message))
            ws.receive()

        app = Application(serve)
        with connect(app) as client:
            client.send('a')
            client.send('b')
            client.close(4000, 'bye')
            assert (app.error.reason, app.error.message) == (4000, 'bye')
        assert seen == ['a', 'b', (True, 'bye')]

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('way', ['by the client', 'by the program'])
    def test_a_loop_that_catches_all_exceptions_lets_other_greenlets_run(self, way: str) -> None:
        over: list[bool] = []

        def serve(ws: Server) -> None:
            if way == 'by the program':
                ws.close()
            while not over:
                try:
                    ws.receive()
                except ConnectionClosed:
                    pass

        with connect(Application(serve)):
            pass
        gevent.sleep(0.01)
        over.append(True)

    @pytest.mark.proves('M1')
    def test_a_waiting_receive_raises_when_the_connection_closes(self) -> None:
        app = Application(lambda ws: ws.receive(timeout=5))
        with connect(app) as client:
            client.close()
            assert app.error.reason == 1000

    @pytest.mark.proves('M1')
    def test_a_close_without_a_reason_has_an_empty_message(self) -> None:
        app = Application(lambda ws: ws.receive())
        with connect(app) as client:
            client.close(4000)
            assert (app.error.reason, app.error.message) == (4000, '')
        assert app.sockets[0].close_message == ''

    @pytest.mark.proves('M1')
    def test_a_lost_connection_is_reported_as_1005(self) -> None:
        app = Application(lambda ws: ws.receive())
        client = connect(app)
        connection_of(client).abort('gone')
        assert (app.error.reason, app.error.message) == (1005, None)

    @pytest.mark.proves('M1')
    def test_receive_returns_none_after_its_timeout(self) -> None:
        def serve(ws: Server) -> None:
            ws.send([ws.receive(timeout=0), ws.receive(timeout=0.001)])
            while (message := ws.receive(timeout=0)) is None:
                pass
            ws.send(message)
            ws.close()

        with connect(Application(serve)) as client:
            client.send('hello') if client.receive() == '[None, None]' else pytest.fail('another text')
            assert list(client) == ['hello']

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize(
        ('arguments', 'code', 'reason'),
        [((), 1000, ''), ((4000, 'enough'), 4000, 'enough'), ((1006, '\xe9' * 100), 1000, '\xe9' * 61)],
    )
    def test_every_call_raises_after_close(self, arguments: Any, code: int, reason: str) -> None:
        def serve(ws: Server) -> None:
            ws.close(*arguments)
            for call in (ws.receive, lambda: ws.send('x'), ws.close):
                with pytest.raises(ConnectionClosed, match='^Connection closed: 1005 $'):
                    call()

        ends: list[Any] = []
        with connect(Application(serve)) as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert (ends[0].code, ends[0].reason) == (code, reason)

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize(
        ('known', 'chosen'),
        [(None, None), ('b', 'b'), (['c', 'b'], 'b'), (['b', 'a'], 'a'), (['c'], None)],
    )
    def test_chooses_the_clients_first_known_subprotocol(self, known: Any, chosen: Any) -> None:
        app = Application(lambda ws: ws.close(), subprotocols=known)
        with connect(app, protocols=['a', 'b']) as client:
            assert client.protocol == (chosen or '')
        assert app.sockets[0].subprotocol == chosen

    @pytest.mark.proves('M1')
    def test_a_subclass_may_choose_the_subprotocol(self) -> None:
        seen: list[Any] = []

        class Last(Server):
            def choose_subprotocol(self, request: ws_module.Request) -> str:
                seen.append(request)
                return request.subprotocols[-1]

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            Last(environ).close()
            start_response('200 OK', [])
            return []

        with connect(app, '/p', protocols=['a', 'b']) as client:
            assert client.protocol == 'b'
        assert seen[0][:3] == ('localhost', '/p', ['a', 'b'])
        assert ('Upgrade', 'websocket') in seen[0].extra_headers

    @pytest.mark.proves('M1')
    def test_accepts_options_without_an_effect(self) -> None:
        options = {'receive_bytes': 1, 'thread_class': int, 'event_class': int, 'selector_class': int}
        app = Application(lambda ws: ws.close(), ping_interval=25, max_message_size=10, **options)
        with connect(app):
            pass
        server = app.sockets[0]
        assert server.environ['PATH_INFO'] == '/'
        assert server.is_server
        assert (server.receive_bytes, server.ping_interval, server.max_message_size) == (1, 25, 10)

    @pytest.mark.proves('M1')
    def test_has_the_address_of_the_client(self) -> None:
        app = Application(lambda ws: ws.send(ws.sock.getpeername()))
        environ = {'REMOTE_ADDR': '10.0.0.1', 'REMOTE_PORT': '4711'}
        with connect(lambda its, start_response: app({**its, **environ}, start_response)) as client:
            assert client.receive() == "('10.0.0.1', 4711)"
        assert ws_module.Peer({}).getpeername() == ('', 0)

    @pytest.mark.proves('M1')
    def test_may_end_its_request_with_an_ordinary_response(self) -> None:
        app = Application(lambda ws: ws.close())
        with connect(app):
            pass
        assert app.sockets[0].mode == 'werkzeug'

    @pytest.mark.proves('M1')
    def test_a_message_beyond_the_limit_closes_with_1009(self) -> None:
        app = Application(lambda ws: ws.receive(), max_message_size=5)
        with connect(app) as client:
            client.send('123456')
            assert app.error.reason == 1009

    @pytest.mark.proves('M1')
    def test_a_client_that_answers_no_ping_is_given_up(self) -> None:
        app = Application(lambda ws: ws.receive(), ping_interval=0.05)
        with connect(app) as client:
            # Its answers are dropped before the driver sends them.
            connection_of(client)._driver.io = Silent()
            assert app.error.reason == 1005

    @pytest.mark.proves('M1')
    def test_a_bad_handshake_is_a_connection_error(self) -> None:
        app = Application(pytest.fail)
        list(app(make_environ(headers=()), Response()))
        assert app.error.status_code == 400

    @pytest.mark.proves('M1')
    def test_an_incomplete_handshake_has_the_status_400(self) -> None:
        assert ws_module._status_code(ws_module.HandshakeError('', 'gone')) == 400  # type: ignore[attr-defined]

    @pytest.mark.proves('M1')
    def test_a_server_without_a_socket_is_a_runtime_error(self) -> None:
        with pytest.raises(RuntimeError, match='gives no access to its socket'):
            Server(make_environ())

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('status', ['200 OK', '204 No Content'])
    def test_a_successful_response_after_the_handshake_closes_the_socket(
            self, status: str, caplog: pytest.LogCaptureFixture) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            Server(environ)
            start_response(status, [])
            return [b'']

        ends: list[Any] = []
        with connect(app) as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert (ends[0].code, caplog.records) == (1000, [])

    @pytest.mark.proves('M1')
    def test_an_error_response_after_the_handshake_is_a_failure(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            Server(environ)
            start_response('500 Internal Server Error', [])
            return [b'']

        ends: list[Any] = []
        with pytest.raises(HandshakeError, match='500 Internal'), connect(app) as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert ends[0].code == 1011


def serve_here(app: Any) -> Iterator[str]:
    """Yield the URL of a server of this process."""
    server = WSGIServer(('127.0.0.1', 0), app, log=None)
    server.start()
    try:
        with hub_errors():
            yield f'ws://127.0.0.1:{server.server_port}'
    finally:
        server.stop(timeout=1)


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of a server that echoes.

    It sends the subprotocol at /protocol, and refuses every request at /no.
    """

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ['PATH_INFO'] == '/no':
            start_response('403 Forbidden', [])
            return [b'']
        try:
            ws = Server(environ, subprotocols=['a'])
            ws.send(environ.get('HTTP_X_A'))
            while True:
                ws.send(ws.receive())
        except ConnectionClosed:
            start_response('200 OK', [])
        return [b'']

    yield from serve_here(app)


class TestClient:
    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('headers', [{'X-A': 'b'}, [('X-A', 'b')], None])
    def test_exchanges_messages_with_a_server(self, url: str, headers: Any) -> None:
        ws = Client.connect(url, headers=headers, receive_bytes=10, thread_class=int, event_class=int)
        assert ws.receive() == str('b' if headers else None)
        ws.send(b'x')
        assert (ws.receive(), ws.connected, ws.is_server) == (b'x', True, False)
        ws.close()
        assert not ws.connected
        with pytest.raises(ConnectionClosed):
            ws.send('x')

    @pytest.mark.proves('M1')
    def test_receives_what_came_before_the_close(self) -> None:
        frames = (TEXT, b'hello'), (PING, b'x'), (BINARY, b'hello'), (CLOSE, close_payload(4000, 'bye'))
        with scripted(accepting(b''.join(serialize_frame(*frame, masked=False) for frame in frames))) as server:
            ws = Client.connect(server.url)
            assert (ws.receive(), ws.receive()) == ('hello', b'hello')
            for call in (ws.receive, ws.close, lambda: ws.send('x')):
                with pytest.raises(ConnectionClosed, match='^Connection closed: 4000 bye$'):
                    call()

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize(('payload', 'code'), [(b'', 1005), (close_payload(4000), 4000)])
    def test_a_close_without_a_reason_has_an_empty_message(self, payload: bytes, code: int) -> None:
        with scripted(accepting(serialize_frame(CLOSE, payload, masked=False))) as server:
            ws = Client.connect(server.url)
            with pytest.raises(ConnectionClosed, match=f'^Connection closed: {code} $') as caught:
                ws.receive()
            assert (caught.value.reason, caught.value.message) == (code, '')

    @pytest.mark.proves('M1')
    def test_a_lost_connection_is_reported_as_1005(self) -> None:
        with scripted(lambda sock, head: sock.sendall(acceptance(head) + serialize_frame(TEXT, b'x', masked=False))) as server:
            ws = Client.connect(server.url)
            assert ws.receive() == 'x'
            with pytest.raises(ConnectionClosed) as caught:
                ws.receive()
            assert (caught.value.reason, caught.value.message) == (1005, None)

    @pytest.mark.proves('M1')
    def test_accepts_http_schemes(self, url: str) -> None:
        ws = Client(url.replace('ws:', 'http:'))
        assert ws.receive() == 'None'

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('subprotocols', ['a', ['a', 'b']])
    def test_has_the_negotiated_subprotocol(self, url: str, subprotocols: Any) -> None:
        ws = Client(url, subprotocols)
        assert (ws.subprotocol, Client(url).subprotocol) == ('a', None)

    @pytest.mark.proves('M1')
    def test_a_refused_handshake_is_a_connection_error(self, url: str) -> None:
        with pytest.raises(ConnectionError, match='Connection error: 403') as caught:
            Client(f'{url}/no')
        assert caught.value.status_code == 403

    @pytest.mark.proves('M1')
    def test_a_refused_connection_is_a_connection_refused_error(self) -> None:
        with socket.create_server(('127.0.0.1', 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            Client(f'ws://127.0.0.1:{port}/')

    @pytest.mark.proves('M1')
    def test_a_connect_error_without_a_cause_is_an_os_error(self) -> None:
        error = ws_module._network_error(ws_module.ConnectError('connecting timed out'))  # type: ignore[attr-defined]
        assert (type(error), str(error)) == (OSError, 'connecting timed out')

    @pytest.mark.proves('M1')
    def test_accepts_an_ssl_context(self, url: str) -> None:
        with pytest.raises(OSError, match='(?i)wrong version|record layer'):
            Client(url.replace('ws:', 'wss:'), ssl_context=ssl.create_default_context())


@pytest.fixture
def flask_app() -> Flask:
    """A Flask application."""
    app = Flask(__name__)
    app.config['SOCK_SERVER_OPTIONS'] = {'subprotocols': ['a']}
    return app


class TestSock:
    @pytest.mark.proves('M1')
    def test_calls_the_handler_with_the_socket_and_the_arguments(self, flask_app: Flask) -> None:
        sock = Sock(flask_app)

        @sock.route('/room/<name>')
        def room(ws: Server, name: str) -> None:
            ws.send(f'{name} {ws.subprotocol} {request.path}')

        ends: list[Any] = []
        with connect(flask_app, '/room/x', protocols=['a']) as client:
            client.onclose = ends.append
            assert list(client) == ['x a /room/x']
            wait_until(lambda: ends)
        assert ends[0].code == 1000
        assert room.__name__ == 'room'

    @pytest.mark.proves('M1')
    def test_routes_may_be_added_before_the_application(self, flask_app: Flask) -> None:
        sock = Sock()

        @sock.route('/a')
        def a(ws: Server) -> None:
            ws.send('a')

        @sock.route('/b')
        def b(ws: Server) -> None:
            ws.send('b')

        assert (sock.app, sock.bp is None) == (None, False)
        sock.init_app(flask_app)
        assert sock.app is flask_app
        for name in 'ab':
            with connect(flask_app, f'/{name}') as client:
                assert list(client) == [name]

    @pytest.mark.proves('M1')
    def test_serves_a_blueprint(self, flask_app: Flask) -> None:
        bp, sock = Blueprint('bp', __name__), Sock()

        @sock.route('/a', bp=bp)
        def a(ws: Server) -> None:
            ws.send('a')

        assert sock.bp is None
        sock.init_app(flask_app)
        flask_app.register_blueprint(bp, url_prefix='/bp')
        with connect(flask_app, '/bp/a') as client:
            assert list(client) == ['a']

    @pytest.mark.proves('M1')
    def test_a_client_that_closes_is_not_an_error(self, flask_app: Flask, caplog: pytest.LogCaptureFixture) -> None:
        ended: list[Any] = []
        flask_app.teardown_request(ended.append)

        @Sock(flask_app).route('/')
        def echo(ws: Server) -> None:
            while True:
                ws.send(ws.receive())

        with connect(flask_app) as client:
            client.send('x')
            assert client.receive() == 'x'
            assert ended == []
        wait_until(lambda: ended)
        assert ended == [None]
        assert caplog.records == []

    @pytest.mark.proves('M1')
    def test_an_exception_closes_with_1011_and_is_in_the_log(
            self, flask_app: Flask, caplog: pytest.LogCaptureFixture) -> None:
        @Sock(flask_app).route('/')
        def fail(ws: Server) -> None:
            raise ValueError('a fault')

        ends: list[Any] = []
        with pytest.raises(ValueError, match='^a fault$'), connect(flask_app) as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert ends[0].code == 1011
        assert [record.exc_info is None for record in caplog.records] == [False, True]
        assert "failed: ValueError('a fault') (its traceback, if any, is in the log of" in caplog.text

    @pytest.mark.proves('M1')
    def test_before_request_may_refuse_the_handshake(self, flask_app: Flask) -> None:
        flask_app.before_request(lambda: abort(403))
        Sock(flask_app).route('/')(pytest.fail)
        assert connect(flask_app, refused=True).status == 403

    @pytest.mark.proves('M1')
    def test_rejects_a_bad_handshake_with_426(self, flask_app: Flask) -> None:
        Sock(flask_app).route('/')(pytest.fail)
        environ = make_environ(SERVER_NAME='a', SERVER_PORT='80', **{'wsgi.input': None, 'wsgi.errors': None})  # type: ignore[arg-type]
        environ['HTTP_SEC_WEBSOCKET_VERSION'] = '99'
        response = Response()
        assert b''.join(flask_app(environ, response)) == b"version '99' is not supported\n"
        assert response.status.startswith('426 ')

    @pytest.mark.proves('M1')
    def test_has_the_names_of_the_original(self) -> None:
        assert flask_sock.ConnectionClosed is simple_websocket.ConnectionClosed
        assert ws_module.Server is Server
        assert issubclass(ws_module._ServerSocket, WebSocket)
