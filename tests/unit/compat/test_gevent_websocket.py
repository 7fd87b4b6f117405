"""The interface of gevent-websocket, as far as its programs rely on it."""

from __future__ import annotations

import io
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.pywsgi import WSGIServer

from faye_websocket import Client, UnsupportedServer
from faye_websocket import WebSocketError as Base
from faye_websocket.compat import gevent_websocket
from faye_websocket.compat.gevent_websocket import (
    Resource,
    WebSocketApplication,
    WebSocketError,
    WebSocketHandler,
    WebSocketMiddleware,
    WebSocketServer,
    _compat,
)
from faye_websocket.compat.gevent_websocket.exceptions import FrameTooLargeException, ProtocolError
from faye_websocket.compat.gevent_websocket.gunicorn.workers import GeventWebSocketWorker
from faye_websocket.compat.gevent_websocket.logging import create_logger
from faye_websocket.compat.gevent_websocket.protocols.base import BaseProtocol
from faye_websocket.compat.gevent_websocket.websocket import WebSocket
from faye_websocket.testing import connect
from tests.support.leftover import Theirs
from tests.support.local import Response, hub_errors, make_environ, settle, wait_until
from tests.support.wire import RFC_6455, Headers, request_head

Serve = Callable[[WebSocket], object]


class Running:
    """A server in this process."""

    def __init__(self, server: WSGIServer, errors: io.StringIO) -> None:
        self.server = server
        self.errors = errors

    def connect(self, path: str = '/', *arguments: Any, **options: Any) -> Client:
        """Return a client of the server."""
        return Client(f'ws://127.0.0.1:{self.server.server_port}{path}', *arguments, **options)

    def fetch(self, path: str = '/', headers: Headers = (('Connection', 'close'),)) -> bytes:
        """Return the response to a plain request."""
        with gevent.socket.create_connection(('127.0.0.1', self.server.server_port)) as sock:
            sock.sendall(request_head(path, [('Host', 'a'), *headers]))
            return b''.join(iter(lambda: sock.recv(65536), b''))


@contextmanager
def running(
        app: Any, kind: type[WSGIServer] = WebSocketServer, *, fails: bool = False, **options: Any) -> Iterator[Running]:
    """Run a server for this block; only with ``fails`` may the application fail."""
    server = kind(('127.0.0.1', 0), app, log=None, **options)
    server.start()
    try:
        with hub_errors() as errors:
            yield Running(server, errors)
            assert fails == (errors.getvalue() != '')
    finally:
        server.stop(timeout=1)


def of_socket(serve: Serve) -> Callable[..., list[bytes]]:
    """Return a WSGI application that passes its socket to the function."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        serve(environ['wsgi.websocket'])
        return []

    return app


def run(serve: Serve, *messages: str | bytes, **options: Any) -> list[str | bytes]:
    """Return the messages that a client receives after it has sent these."""
    with running(of_socket(serve)) as server, server.connect(**options) as client:
        for message in messages:
            client.send(message)
        return list(client)


class TestErrors:
    @pytest.mark.proves('M1')
    def test_are_os_errors_and_errors_of_this_library(self) -> None:
        for kind in (WebSocketError, ProtocolError, FrameTooLargeException):
            assert issubclass(kind, OSError)
            assert issubclass(kind, Base)


class TestSocket:
    @pytest.mark.proves('M1')
    def test_echoes(self) -> None:
        def echo(ws: WebSocket) -> None:
            for _ in range(2):
                ws.send(ws.receive())

        assert run(echo, 'text', b'\0') == ['text', b'\0']

    @pytest.mark.proves('M1')
    def test_receives_a_bytearray(self) -> None:
        assert run(lambda ws: ws.send(repr(ws.receive())), b'a') == ["bytearray(b'a')"]

    @pytest.mark.proves('M1')
    def test_receive_returns_none_at_the_end_and_then_raises(self) -> None:
        seen: list[Any] = []

        def serve(ws: WebSocket) -> None:
            seen.append((ws.closed, ws.receive(), ws.closed))
            for call in (ws.receive, lambda: ws.send(None), lambda: ws.send('x'), lambda: ws.send_frame(b'', 1)):
                with pytest.raises(WebSocketError, match='Connection is already closed'):
                    call()
            ws.close()
            seen.append('end')

        with running(of_socket(serve)) as server:
            server.connect().close()
            with server.connect():
                pass
            wait_until(lambda: 'end' in seen)
        assert seen[-2:] == [(False, None, True), 'end']

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('way', ['by the client', 'by the program'])
    def test_a_loop_that_catches_all_exceptions_lets_other_greenlets_run(self, way: str) -> None:
        over: list[bool] = []

        def serve(ws: WebSocket) -> None:
            if way == 'by the program':
                ws.close()
            while not over:
                try:
                    ws.receive()
                except WebSocketError:
                    pass

        with running(of_socket(serve)) as server:
            with server.connect():
                pass
            gevent.sleep(0.01)
            over.append(True)

    @pytest.mark.proves('M1')
    def test_is_not_closed_while_messages_are_queued(self) -> None:
        seen: list[Any] = []

        def serve(ws: WebSocket) -> None:
            wait_until(lambda: ws.stream.ready_state == ws.stream.CLOSED)
            while not ws.closed:
                seen.append(ws.receive())
                ws.send('an answer that nobody hears')
            seen.append('end')

        with running(of_socket(serve)) as server:
            with server.connect() as client:
                for text in 'abc':
                    client.send(text)
            wait_until(lambda: 'end' in seen)
        assert seen == ['a', 'b', 'c', 'end']

    @pytest.mark.proves('M1')
    def test_only_the_first_reply_to_the_last_message_is_lost_silently(self) -> None:
        errors: list[BaseException] = []

        def serve(ws: WebSocket) -> None:
            ws.receive()
            wait_until(lambda: ws.stream.ready_state == ws.stream.CLOSED)
            ws.send('once')
            try:
                ws.send('twice')
            except WebSocketError as error:
                errors.append(error)

        with running(of_socket(serve)) as server:
            with server.connect() as client:
                client.send('hello')
            wait_until(lambda: errors)
        assert str(errors[0]) == 'Socket is dead'

    @pytest.mark.proves('M1')
    def test_sends_by_type_unless_binary_is_given(self) -> None:
        def serve(ws: WebSocket) -> None:
            ws.send(bytearray(b'a'))
            ws.send([98])
            ws.send('c', True)
            ws.send(b'd', False)
            ws.send(5, binary=False)
            ws.send('')

        assert run(serve) == [b'a', b'b', b'c', 'd', '5', '']

    @pytest.mark.proves('M1')
    def test_sends_frames(self) -> None:
        pings: list[str] = []

        def serve(ws: WebSocket) -> None:
            ws.send_frame(b'text', ws.OPCODE_TEXT)
            ws.send_frame('binary', ws.OPCODE_BINARY)
            ws.stream.ping('', lambda: pings.append('pong'))
            ws.send_frame('', ws.OPCODE_PING)
            ws.send_frame('', ws.OPCODE_PONG)
            with pytest.raises(WebSocketError, match='frames of opcode 0 cannot be sent'):
                ws.send_frame('', ws.OPCODE_CONTINUATION)
            ws.receive()
            ws.send_frame(b'\x0f\xa1bye', ws.OPCODE_CLOSE)

        codes: list[Any] = []
        with running(of_socket(serve)) as server, server.connect() as client:
            client.onclose = lambda event: codes.append((event.code, event.reason))
            client.send('go on')
            assert list(client) == ['text', b'binary']
            wait_until(lambda: codes)
        assert codes == [(4001, 'bye')]
        assert pings == ['pong']

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize(
        ('arguments', 'code', 'reason'),
        [
            ((), 1000, ''),
            ((4000, b'bytes'), 4000, 'bytes'),
            ((1001, 'text'), 1001, 'text'),
            ((1000, None), 1000, ''),
            ((1005, 'may not be sent'), 1000, 'may not be sent'),
            ((1000, '\xe9' * 100), 1000, '\xe9' * 61),
        ],
    )
    def test_close_sends_its_code_and_reason(self, arguments: tuple[Any, ...], code: int, reason: str) -> None:
        ends: list[Any] = []
        with running(of_socket(lambda ws: ws.close(*arguments))) as server, server.connect() as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert (ends[0].code, ends[0].reason) == (code, reason)

    @pytest.mark.proves('M1')
    def test_a_close_frame_without_a_payload_closes_with_1000(self) -> None:
        ends: list[Any] = []
        with running(of_socket(lambda ws: ws.send_frame(b'', 8))) as server, server.connect() as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert ends[0].code == 1000

    @pytest.mark.proves('M1')
    def test_may_be_closed_by_another_greenlet(self) -> None:
        seen: list[Any] = []

        def serve(ws: WebSocket) -> None:
            gevent.spawn(ws.close)
            seen.append(ws.receive())

        assert run(serve) == []
        assert wait_until(lambda: seen) == [None]

    @pytest.mark.proves('M1')
    def test_has_the_attributes_of_its_request(self) -> None:
        def serve(ws: WebSocket) -> None:
            assert isinstance(ws.handler, WebSocketHandler)
            assert ws.environ['wsgi.websocket_version'] == '13'
            ws.send(f'{ws.path} {ws.origin} {ws.protocol} {ws.version} {ws.logger.name}')

        headers = {'Origin': 'http://a'}
        with running(of_socket(serve)) as server, server.connect('/p', headers=headers) as client:
            text = client.receive()
        name = 'faye_websocket.compat.gevent_websocket.server'
        assert text == f'/p http://a None 13 {name}'

    @pytest.mark.proves('M1')
    def test_accepts_a_long_message(self) -> None:
        assert run(lambda ws: ws.send(str(len(ws.receive() or ''))), 'x' * (2**26 + 1)) == [str(2**26 + 1)]


class TestSlowClient:
    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('end', ['reads', 'goes'])
    def test_send_returns_once_the_kernel_has_the_message(self, end: str) -> None:
        results: list[str] = []

        def serve(ws: WebSocket) -> None:
            try:
                ws.send(bytes(2**23))
                results.append('sent')
            except WebSocketError as error:
                results.append(str(error))

        with running(of_socket(serve)) as server:
            with gevent.socket.create_connection(('127.0.0.1', server.server.server_port)) as sock:
                sock.sendall(request_head('/', [('Host', 'a'), *RFC_6455]))
                sock.recv(1000)
                settle()
                assert results == []
                while end == 'reads' and not results and sock.recv(65536):
                    pass
            wait_until(lambda: results)
        assert results == ['sent' if end == 'reads' else 'Socket is dead']


class TestHandler:
    @pytest.mark.proves('M1')
    def test_serves_plain_requests(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            assert 'wsgi.websocket' not in environ
            start_response('200 OK', [])
            return [b'page']

        for kind, options in ((WebSocketServer, {}), (WSGIServer, {'handler_class': WebSocketHandler})):
            with running(app, kind, **options) as server:  # type: ignore[arg-type]
                assert b'page' in server.fetch()

    @pytest.mark.proves('M1')
    def test_refuses_a_bad_handshake(self) -> None:
        with running(of_socket(pytest.fail)) as server:  # type: ignore[arg-type]
            response = server.fetch(headers=[*RFC_6455[:3], ('Sec-WebSocket-Version', '99')])
            assert response.startswith(b'HTTP/1.1 426 ')

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('result', [None, [], [b'page'], 'generator'])
    def test_no_part_of_the_response_reaches_the_client(self, result: Any) -> None:
        closed: list[str] = []

        class Result:
            def __iter__(self) -> Iterator[bytes]:
                yield b'page'

            def close(self) -> None:
                closed.append('close')

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            start_response('200 OK', [('X-Page', 'yes')])(b'written')
            return Result() if result == 'generator' else result

        ends: list[Any] = []
        with running(app) as server, server.connect() as client:
            client.onclose = ends.append
            assert list(client) == []
            wait_until(lambda: ends)
        assert (ends[0].code, 'X-Page' in client.headers) == (1000, False)
        assert closed == (['close'] if result == 'generator' else [])

    @pytest.mark.proves('M1')
    def test_a_generator_function_is_run(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            environ['wsgi.websocket'].send('hello')
            yield b''

        with running(app) as server, server.connect() as client:
            assert client.receive() == 'hello'

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('way', ['raises', 'shows an error page'])
    def test_an_error_closes_with_1011(self, way: str) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            if way == 'raises':
                raise ValueError('a fault of the program')
            start_response('500 INTERNAL SERVER ERROR', [])
            return []

        ends: list[Any] = []
        with running(app, fails=way == 'raises') as server, server.connect() as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
            assert ('a fault of the program' in server.errors.getvalue()) == (way == 'raises')
        assert ends[0].code == 1011

    @pytest.mark.proves('M1')
    def test_a_client_that_has_gone_is_not_an_error(self) -> None:
        ended: list[str] = []

        def app(environ: dict[str, Any], start_response: Any) -> None:
            ws = environ['wsgi.websocket']
            try:
                while True:
                    ws.send(ws.receive())
            finally:
                ended.append('end')

        with running(app) as server:
            with server.connect() as client:
                client.send('a')
            wait_until(lambda: ended)

    @pytest.mark.proves('M1')
    def test_an_error_about_another_socket_closes_with_1011(self) -> None:
        def serve(ws: WebSocket) -> None:
            raise WebSocketError('of another socket')

        ends: list[Any] = []
        with running(of_socket(serve), fails=True) as server, server.connect() as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert ends[0].code == 1011

    @pytest.mark.proves('M1')
    def test_lists_its_clients(self) -> None:
        seen: list[Any] = []

        def serve(ws: WebSocket) -> None:
            clients = ws.handler.server.clients
            client = ws.handler.active_client
            client.nickname = 'ann'
            seen.append((client.ws is ws, list(clients) == [ws.handler.client_address]))
            ws.receive()
            seen.append(ws.handler.active_client.nickname)

        for kind, options in ((WebSocketServer, {}), (WSGIServer, {'handler_class': WebSocketHandler})):
            with running(of_socket(serve), kind, **options) as server:  # type: ignore[arg-type]
                with server.connect():
                    pass
                wait_until(lambda: 'ann' in seen)
                wait_until(lambda: server.server.clients == {})
            assert seen == [(True, True), 'ann']
            seen.clear()

    @pytest.mark.proves('M1')
    def test_clients_with_the_same_address_are_distinguished(self) -> None:
        seen: list[int] = []

        class Application(WebSocketApplication):
            def on_message(self, message: Any) -> None:
                clients = self.ws.handler.server.clients.values()
                assert self.ws.handler.active_client in clients
                if message is not None:
                    seen.append(len(clients))

        with connect(Resource({'/': Application})) as one, connect(Resource({'/': Application})) as two:
            for client in (one, two):
                client.send('a')
            wait_until(lambda: len(seen) == 2)
        assert seen == [2, 2]

    @pytest.mark.proves('M1')
    def test_the_logger_is_the_handlers_own_if_the_server_has_none(self) -> None:
        serve = lambda ws: ws.send(ws.logger.name)
        with running(of_socket(serve), WSGIServer, handler_class=WebSocketHandler) as server:
            client = server.connect()
            assert client.receive() == 'faye_websocket.compat.gevent_websocket.handler'

    @pytest.mark.proves('M1')
    def test_a_subclass_may_override_run_websocket(self) -> None:
        seen: list[str] = []

        class Handler(WebSocketHandler):
            def get_environ(self) -> dict[str, Any]:
                return {**super().get_environ(), 'example': 'yes'}

            def run_websocket(self) -> None:
                seen.append(self.environ['example'])
                super().run_websocket()

            def log_request(self) -> None:
                seen.append(str(self.status))

        with running(of_socket(lambda ws: ws.send('x')), WSGIServer, handler_class=Handler) as server:
            with server.connect() as client:
                assert client.receive() == 'x'
            wait_until(lambda: len(seen) == 2)
        assert seen[0] == 'yes'
        assert '101' in seen[1]

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('method', ['upgrade_websocket', 'upgrade_connection'])
    @pytest.mark.parametrize('body', [[b'no token'], None])
    def test_a_subclass_may_refuse_the_handshake(self, method: str, body: Any) -> None:
        def upgrade(self: Any) -> Any:
            if 'upgrade' in self.environ['HTTP_CONNECTION'].lower() and self.environ['QUERY_STRING'] != 'token':
                self.start_response('403 Forbidden', [])
                return body
            return getattr(WebSocketHandler, method)(self)

        handler_class = type('Handler', (WebSocketHandler,), {method: upgrade})

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            if 'wsgi.websocket' in environ:
                environ['wsgi.websocket'].send('yes')
            else:
                start_response('200 OK', [])
            return [b'a page']

        with running(app, WSGIServer, handler_class=handler_class) as server:
            refused = server.connect('/')
            refused.wait_closed(5)
            assert (refused.status, refused.body) == (403, b''.join(body or ()))
            with server.connect('/?token') as client:
                assert list(client) == ['yes']
            assert server.fetch('/').endswith(b'a page')

    @pytest.mark.proves('M1')
    def test_a_subclass_may_have_its_own_run_websocket(self) -> None:
        seen: list[Any] = []

        class Handler(WebSocketHandler):
            def run_websocket(self) -> None:
                assert self.websocket is not None
                self.server.clients = {self.client_address: gevent_websocket.Client(self.client_address, self.websocket)}
                self.application(self.environ, lambda *arguments: [])
                seen.append(self.active_client.ws is self.websocket)
                self.websocket.close()
                self.websocket = None

        with running(of_socket(lambda ws: ws.send('x')), WSGIServer, handler_class=Handler) as server:
            assert list(server.connect()) == ['x']
            wait_until(lambda: seen == [True])

    @pytest.mark.proves('M1')
    def test_a_subclass_may_prevent_the_call_of_the_application(self) -> None:
        sockets: list[Any] = []

        class Handler(WebSocketHandler):
            def run_application(self) -> None:
                self.prevent_wsgi_call = True
                super().run_application()
                sockets.append(self.websocket)

        with running(pytest.fail, WSGIServer, handler_class=Handler) as server, server.connect() as client:
            wait_until(lambda: sockets)
            sockets[0].send('hello')
            assert client.receive() == 'hello'

    @pytest.mark.proves('M1')
    def test_a_hook_may_reject_the_handshake(self) -> None:
        seen: list[Any] = []

        def hook(handler: WebSocketHandler) -> bool:
            seen.append(handler.environ['PATH_INFO'])
            return handler.environ['PATH_INFO'] == '/no'

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            if 'wsgi.websocket' in environ:
                environ['wsgi.websocket'].send('yes')
                return []
            start_response('404 Not Found', [])
            return [b'']

        with running(app, pre_start_hook=hook) as server:
            with server.connect('/yes') as client:
                assert client.receive() == 'yes'
            refused = server.connect('/no')
            refused.wait_closed(5)
            assert refused.status == 404
        assert seen == ['/yes', '/no']

    @pytest.mark.proves('M1')
    def test_debug_names_each_socket(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level('DEBUG')
        with running(of_socket(lambda ws: None), debug=True) as server, server.connect('/p') as client:
            list(client)
        assert f'ws://127.0.0.1:{server.server.server_port}/p is a WebSocket' in caplog.messages


class Recorder(WebSocketApplication):
    """An application that records its calls."""

    seen: list[Any] = []

    def on_open(self) -> None:
        self.seen.append('open')

    def on_message(self, message: Any) -> None:
        self.seen.append(message)
        if message == 'close':
            self.ws.close()

    def on_close(self, reason: Any) -> None:
        self.seen.append(('close', reason))


@pytest.fixture(autouse=True)
def forget() -> None:
    """Clear the recorded calls."""
    Recorder.seen.clear()


class TestResource:
    @pytest.mark.proves('M1')
    def test_calls_an_application_for_every_event(self) -> None:
        with running(Resource({'/': Recorder})) as server:
            with server.connect() as client:
                client.send('a')
            wait_until(lambda: ('close', None) in Recorder.seen)
        assert Recorder.seen == ['open', 'a', None, ('close', None)]

    @pytest.mark.proves('M1')
    def test_an_application_that_closes_itself_receives_no_none(self) -> None:
        with running(Resource({'/': Recorder})) as server:
            with server.connect() as client:
                client.send('close')
                list(client)
            wait_until(lambda: ('close', None) in Recorder.seen)
        assert Recorder.seen == ['open', 'close', ('close', None)]

    @pytest.mark.proves('M1')
    def test_an_application_echoes_by_default_and_is_notified_of_the_close(self) -> None:
        class Echo(WebSocketApplication):
            def on_close(self, reason: Any) -> None:
                super().on_close(reason)
                Recorder.seen.append('end')

        with running(Resource([('/', Echo)])) as server:
            with server.connect() as client:
                client.send('a')
                assert client.receive() == 'a'
            wait_until(lambda: Recorder.seen)

    @pytest.mark.proves('M1')
    def test_an_application_that_only_sends_is_notified_of_the_close(self) -> None:
        class Ticker(Recorder):
            def on_open(self) -> None:
                while True:
                    self.ws.send('tick')
                    gevent.sleep(0.001)

        with running(Resource([('/', Ticker)])) as server:
            with server.connect() as client:
                client.receive()
            wait_until(lambda: Recorder.seen)
        assert Recorder.seen == [('close', None)]

    @pytest.mark.proves('M1')
    def test_an_error_of_another_socket_is_raised(self) -> None:
        class Failing(WebSocketApplication):
            def on_message(self, message: Any) -> None:
                raise WebSocketError('of another socket')

        with running(Resource([('/', Failing)]), fails=True) as server, server.connect() as client:
            client.send('a')
            assert client.receive() is None
            assert 'of another socket' in server.errors.getvalue()

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('kind', [dict, OrderedDict, list])
    def test_distinguishes_pages_and_sockets(self, kind: Any) -> None:
        def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response('200 OK', [])
            return [b'page']

        resource = Resource(kind([('/a$', Recorder), ('/a$', page)]) if kind is list
                            else kind([('/a$', page), ('/a', Recorder)]))
        with running(resource, fails=True) as server:
            assert b'page' in server.fetch('/a')
            with server.connect('/a'):
                pass
            wait_until(lambda: 'open' in Recorder.seen)
            assert b'500' in server.fetch('/b')
            assert 'No apps defined' in server.errors.getvalue()

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('kind', [dict, list])
    def test_applications_may_be_added_later(self, kind: Any) -> None:
        apps = kind([('/a', Recorder)])
        resource = Resource(apps)
        if kind is dict:
            apps['/b'] = WebSocketApplication
        else:
            apps.append(('/b', WebSocketApplication))
        with connect(resource, '/b') as client:
            client.send('x')
            assert client.receive(timeout=5) == 'x'

    @pytest.mark.proves('M1')
    def test_has_no_applications_by_default(self) -> None:
        with pytest.raises(Exception, match='No apps defined'):
            Resource()(make_environ(headers=()), Response())

    @pytest.mark.proves('M1')
    def test_negotiates_the_subprotocol_of_its_application(self) -> None:
        class Protocol(BaseProtocol):
            PROTOCOL_NAME = 'b'

        class Application(Recorder):
            protocol_class = Protocol

            def on_open(self) -> None:
                assert isinstance(self.protocol, Protocol)
                assert self.protocol.app is self
                assert self.protocol.handler is self.ws.handler
                assert self.protocol.server is self.ws.handler.server

        with running(Resource({'/': Application})) as server, server.connect('/', ['a', 'b']) as client:
            assert client.protocol == 'b'
        assert Resource({'/': Application}).app_protocol('x') == ''

    @pytest.mark.proves('M1')
    def test_a_protocol_without_a_socket_has_no_handler(self) -> None:
        protocol = BaseProtocol(object())
        assert (protocol.handler, protocol.server) == (None, None)


class TestOtherServers:
    @pytest.mark.proves('M1')
    def test_a_resource_performs_the_handshake(self) -> None:
        with connect(Resource({'/a': Recorder}), '/a') as client:
            client.send('close')
            assert list(client) == []
        assert Recorder.seen == ['open', 'close', ('close', None)]

    @pytest.mark.proves('M1')
    def test_the_clients_are_those_of_the_server(self) -> None:
        seen: list[Any] = []

        class Application(WebSocketApplication):
            def on_open(self) -> None:
                seen.append((self.ws.handler.server, self.ws.handler.active_client.ws is self.ws))

        with running(Resource({'/': Application}), WSGIServer) as server, server.connect():
            wait_until(lambda: seen)
            assert seen == [(server.server, True)]

    @pytest.mark.proves('M1')
    def test_a_middleware_passes_its_socket_to_any_application(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            if 'wsgi.websocket' in environ:
                environ['wsgi.websocket'].send('hello')
                return []
            start_response('200 OK', [])
            return [b'page']

        with running(WebSocketMiddleware(app), WSGIServer) as server:
            with server.connect() as client:
                assert client.receive() == 'hello'
            assert b'page' in server.fetch()

    @pytest.mark.proves('M1', 'O5')
    @pytest.mark.parametrize('app', [
        lambda *request: gevent_websocket.handler.serve(pytest.fail, *request),
        WebSocketMiddleware(pytest.fail),
        Resource([('/', WebSocketApplication)]),
        Resource()], ids=['serve', 'middleware', 'resource', 'empty resource'])
    def test_the_error_for_another_librarys_socket_says_so(self, app: Any, caplog: pytest.LogCaptureFixture) -> None:
        environ = {**make_environ(), 'wsgi.websocket': Theirs()}
        with pytest.raises(UnsupportedServer, match='another library has answered'):
            app(environ, Response())
        assert (len(caplog.records), environ['wsgi.websocket'].frames) == (1, [(b'\x03\xf3answered by another library', 8)])

    @pytest.mark.proves('M1', 'O5')
    def test_a_page_under_another_librarys_handler_is_served(self) -> None:
        def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            return [b'page']

        for app in (WebSocketMiddleware(page), Resource({'/': page})):
            assert app({'PATH_INFO': '/', 'wsgi.websocket': None}, Response()) == [b'page']


class TestNames:
    @pytest.mark.proves('M1')
    def test_has_the_version_of_the_original(self) -> None:
        assert gevent_websocket.get_version() == '0.10.1'

    @pytest.mark.proves('M1')
    def test_exports_the_worker_like_the_original(self) -> None:
        assert gevent_websocket.GeventWebSocketWorker is GeventWebSocketWorker
        with pytest.raises(AttributeError, match='has no attribute'):
            gevent_websocket.Unknown  # noqa: B018

    @pytest.mark.proves('M1')
    def test_has_the_names_that_the_examples_of_the_original_import(self) -> None:
        assert list(_compat.range_type(2)) == [0, 1]
        assert list(_compat.iteritems({'a': 1})) == [('a', 1)]

    @pytest.mark.proves('M1')
    def test_creates_loggers_like_the_original(self) -> None:
        logger = create_logger('an.old.program')
        assert (logger.name, logger.level, logger.handlers) == ('an.old.program', logging.NOTSET, [])
        for _ in range(2):
            logger = create_logger('an.old.program', debug=True, format='> %(message)s')
        assert (logger.level, len(logger.handlers)) == (logging.DEBUG, 1)
        assert logger.handlers[0].format(logger.makeRecord('', 10, '', 0, 'hello', (), None)) == '> hello'
        create_logger('an.old.program')
