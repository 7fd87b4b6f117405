"""Servers that give each request an OS thread, in this process; patched is nothing."""

from __future__ import annotations

import io
import logging
import os
import selectors
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from werkzeug.serving import make_server

from faye_websocket import EventSource, WebSocket, broadcast, close_all
from faye_websocket.eventsource.response_carrier import ResponseCarrier
from faye_websocket.io.shutdown import open_sockets
from faye_websocket.servers import threaded
from faye_websocket.servers.gthread import GTHREAD
from faye_websocket.servers.hijack import find_adapter, hijack
from faye_websocket.servers.runserver import RUNSERVER
from faye_websocket.servers.threaded import ThreadSocket, ended_descriptor, lend
from tests.support.certificates import session_certificate
from tests.support.local import make_environ, tcp_pair
from tests.support.processes import Endpoint
from tests.support.waiting import wait_until
from tests.support.wire import RFC_6455, TEXT, Frame, RawClient, http_get, serialize_frame

pytestmark = [pytest.mark.threads, pytest.mark.usefixtures('registry'), pytest.mark.proves('V1')]

KINDS = ('werkzeug', 'werkzeug tls', 'runserver')
kinds = pytest.mark.parametrize('kind', KINDS)
App = Callable[..., Any]


@pytest.fixture(autouse=True)
def same_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo afterwards what a server that is patched changes in the hub."""
    hub = gevent.get_hub()
    monkeypatch.setattr(hub, 'NOT_ERROR', hub.NOT_ERROR)


@contextmanager
def serve(kind: str, app: App, **options: Any) -> Iterator[Endpoint]:
    """Run a development server in a thread until the block ends."""
    certificate = session_certificate() if 'tls' in kind else None
    server = make_django(app, **options) if kind == 'runserver' else make_werkzeug(app, certificate, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Endpoint(('127.0.0.1', server.server_address[1]), certificate)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_werkzeug(app: App, certificate: Any, threaded: bool = True) -> Any:
    """Return Werkzeug's server."""
    pair = (certificate.certfile, certificate.keyfile) if certificate else None
    return make_server('127.0.0.1', 0, app, threaded=threaded, ssl_context=pair)


def make_django(app: App, threaded: bool = True) -> Any:
    """Return the server of runserver, without a project."""
    from django.core.servers.basehttp import WSGIRequestHandler, WSGIServer

    bases = (socketserver.ThreadingMixIn, WSGIServer) if threaded else (WSGIServer,)
    server = type('WSGIServer', bases, {'daemon_threads': True})(('127.0.0.1', 0), WSGIRequestHandler)
    server.set_app(app)
    return server


class App101:
    """An application that keeps its sockets and their close events."""

    def __init__(self, view: App | None = None) -> None:
        self.view = view
        self.sockets: list[WebSocket] = []
        self.codes: list[int] = []
        self.threads: list[Any] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if not WebSocket.is_websocket(environ):
            start_response('200 OK', [('Content-Length', '4')])
            return [b'page']
        self.threads.append(threading.current_thread())
        ws = WebSocket(environ)
        self.sockets.append(ws)
        ws.on('close', lambda event: self.codes.append(event.code))
        if self.view is not None:
            return self.view(ws, environ, start_response)
        ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)

    def wait(self, *codes: int) -> None:
        """Wait for these close events, and the end of all threads."""
        wait_until(lambda: self.codes == list(codes), f'{codes}, not {self.codes}')
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


def finish(client: RawClient, code: int = 1000) -> None:
    """Complete a closing handshake that the server has begun, and read to the end."""
    assert client.receive_frame().code == code
    client.send_close(code)
    assert client.read_to_eof() == b''
    client.close()


@kinds
def test_serves_until_the_connection_is_over(kind: str, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # It looks often.
    monkeypatch.setattr(threaded, '_LONG', 0.01)
    app = App101()
    with serve(kind, app) as server, RawClient(server) as client:
        head = client.handshake(serialize_frame(TEXT, b'early'))
        assert (head.status, head.get('Upgrade')) == (101, 'websocket')
        assert client.receive_frame() == Frame(TEXT, b'early')
        assert http_get(server)[1] == b'page'
        client.send_close()
        assert client.receive_frame().code == 1000
        assert client.read_to_eof() == b''
        client.close()
        app.wait(1000)
    assert 'Traceback' not in capfd.readouterr().err


@kinds
def test_sends_and_closes_from_other_threads(kind: str) -> None:
    app = App101()
    with serve(kind, app) as server, RawClient(server) as one, RawClient(server) as two:
        assert [client.handshake().status for client in (one, two)] == [101, 101]
        wait_until(lambda: [ws.ready_state for ws in app.sockets] == [1, 1], 'both open')
        assert broadcast(app.sockets, 'news') == 2
        assert one.receive_frame() == two.receive_frame() == Frame(TEXT, b'news')
        app.sockets[0].close(3000)
        closing = threading.Thread(target=lambda: close_all(1001))
        closing.start()
        for code in (one.receive_frame().code, two.receive_frame().code):
            assert code in (3000, 1001)
        one.send_close()
        two.send_close()
        one.close()
        two.close()
        closing.join(10)
        wait_until(lambda: len(app.codes) == 2, 'the close events')
        app.wait(*app.codes)


@kinds
def test_gives_the_socket_back_for_another_response(kind: str) -> None:
    def view(ws: WebSocket, environ: Any, start_response: Any) -> Any:
        list(ws(environ, lambda *arguments: lambda data: None))
        start_response('403 Forbidden', [('Content-Length', '3')])
        return [b'no!']

    app = App101(view)
    with serve(kind, app) as server, RawClient(server) as client:
        head = client.handshake()
        assert (head.status, head.get('Connection')) == (403, 'close')
        assert client.read_to_eof() == b'no!'
        app.wait(1006)


@kinds
def test_answers_a_refused_handshake_and_closes(kind: str) -> None:
    app = App101()
    headers = [('Sec-WebSocket-Version', '99') if name == 'Sec-WebSocket-Version' else (name, value)
               for name, value in RFC_6455]
    with serve(kind, app) as server, RawClient(server, headers=headers) as client:
        head = client.handshake(b'GET / HTTP/1.1\r\nHost: example.com\r\n\r\n')
        assert (head.status, head.get('Connection')) == (426, 'close')
        assert b'page' not in client.read_to_eof()
        client.close()
        app.wait(1006)


@kinds
def test_runs_greenlet_style_whose_end_the_exit_waits_for(kind: str) -> None:
    ends: list[str] = []

    def view(ws: WebSocket, environ: Any, start_response: Any) -> Any:
        with ws:
            for message in ws:
                ws.send(message)
        gevent.sleep(0.1)
        ends.append('end')
        return ws(environ, start_response)

    app = App101(view)
    with serve(kind, app) as server, RawClient(server) as client:
        assert client.handshake().status == 101
        client.send_frame(TEXT, b'hello')
        assert client.receive_frame() == Frame(TEXT, b'hello')
        answering = threading.Thread(target=finish, args=(client, 1001))
        answering.start()
        open_sockets.exit(10)
        assert ends == ['end']
        answering.join(10)
        app.wait(1001)


@kinds
@pytest.mark.parametrize('error', [RuntimeError('a fault'), ConnectionResetError()])
def test_closes_with_1011_when_a_view_raises_late(kind: str, error: Exception) -> None:
    def view(ws: WebSocket, environ: Any, start_response: Any) -> Any:
        ws.receive()
        raise error

    app = App101(view)
    with serve(kind, app) as server, RawClient(server) as client:
        client.handshake()
        client.send_frame(TEXT, b'hello')
        finish(client, 1011)
        app.wait(1011)


def test_one_request_has_one_connection() -> None:
    errors: list[Exception] = []

    def view(ws: WebSocket, environ: Any, start_response: Any) -> Any:
        body = ws(environ, start_response)
        try:
            WebSocket(environ)(environ, start_response)
        except RuntimeError as error:
            errors.append(error)
        return body

    app = App101(view)
    with serve('werkzeug', app) as server, RawClient(server) as client:
        assert client.handshake().status == 101
        client.send_close()
        client.read_to_eof()
        client.close()
        app.wait(1000)
    assert "this request's connection was taken before" in str(errors)


@pytest.mark.parametrize('kind', ['werkzeug', 'runserver'])
def test_warns_of_a_server_with_one_thread(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    app = App101()
    with serve(kind, app, threaded=False) as server, RawClient(server) as client:
        assert client.handshake().status == 101
        client.send_close()
        client.read_to_eof()
        client.close()
        wait_until(lambda: app.codes == [1000], 'the end')
        assert http_get(server)[1] == b'page'
    texts = [record.getMessage() for record in caplog.records if record.name == 'faye_websocket.server']
    assert [text.partition(',')[0] for text in texts] == ['this server has one thread']


def test_the_main_thread_keeps_its_hub() -> None:
    app = App101()
    server = make_werkzeug(app, None, threaded=False)
    client = RawClient(Endpoint(('127.0.0.1', server.server_port)))
    received: list[Frame] = []

    def talk() -> None:
        client.handshake()
        client.send_frame(TEXT, b'hello')
        received.append(client.receive_frame())
        client.send_close()
        client.read_to_eof()
        client.close()

    thread = threading.Thread(target=talk)
    thread.start()
    hub = gevent.get_hub()
    server.handle_request()
    thread.join(10)
    client.close()
    server.server_close()
    assert (received, app.codes) == ([Frame(TEXT, b'hello')], [1000])
    assert gevent.get_hub() is hub
    assert not hub.dead


def test_threads_that_only_raise_leave_no_descriptors() -> None:
    def view(ws: WebSocket, environ: Any, start_response: Any) -> Any:
        raise RuntimeError('a fault')

    app = App101(view)
    with serve('werkzeug', app) as server:
        def raise_often() -> None:
            for _ in range(10):
                with RawClient(server) as client:
                    assert client.handshake().status == 500

        count = lambda: len(os.listdir('/proc/self/fd'))
        raise_often()
        most = count() + 6
        raise_often()
        # The last threads may still be ending.
        wait_until(lambda: count() <= most, 'the descriptors back')


def test_an_event_source_stays_a_response() -> None:
    carriers: list[object] = []

    def app(environ: Any, start_response: Any) -> Any:
        events = EventSource(environ)
        carriers.append(events._carrier)
        events.send('hello')
        events.close()
        return events(environ, start_response)

    for kind in ('werkzeug', 'runserver'):
        with serve(kind, app) as server:
            assert b'data: hello' in http_get(server)[1]
    assert [type(carrier) for carrier in carriers] == [ResponseCarrier] * 2


def test_a_server_that_is_patched_ends_quietly_at_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = gevent.get_hub()
    monkeypatch.setattr(hub, 'NOT_ERROR', (SystemExit,))
    with gevent_socket.socket() as sock:
        for _ in range(2):
            assert lend(sock, is_alone=False) is sock
    assert list(hub.NOT_ERROR) == [SystemExit, KeyboardInterrupt]


class TestStubbedSocket:
    def test_is_at_its_end_and_swallows(self) -> None:
        ours, theirs = socket.socketpair()
        transport = ThreadSocket(ours, is_alone=False).detach_leaving_stub(lambda head: None)
        buffer = bytearray(10)
        assert (ours.recv(10), ours.recv_into(buffer)) == (b'', 0)
        with selectors.DefaultSelector() as selector:
            selector.register(ours, selectors.EVENT_READ)
            assert selector.select(0)
        assert ours.fileno() == ended_descriptor()
        assert ours.send(b'abc') == 3
        ours.sendall(b'abc')
        ours.shutdown(socket.SHUT_RDWR)
        ours.setblocking(True)
        ours.settimeout(1)
        with pytest.raises(RuntimeError, match='taken before'):
            ThreadSocket(ours, is_alone=False).detach_leaving_stub(None)
        transport.close()
        ours.close()
        assert theirs.recv(10) == b''
        theirs.close()

    def test_a_closed_socket_cannot_be_taken(self) -> None:
        ours, theirs = socket.socketpair()
        ours.close()
        theirs.close()
        with pytest.raises(RuntimeError, match='or is closed'):
            ThreadSocket(ours, is_alone=False).detach_leaving_stub(None)

    @pytest.mark.parametrize('tls', [False, True])
    def test_ends_the_connection_when_another_thread_closes_it(self, tls: bool) -> None:
        heads: list[bytes] = []
        certificate = session_certificate()
        ours, theirs = socket.socketpair()
        if tls:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certfile, certificate.keyfile)
            ours = context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False)
        transport = ThreadSocket(ours, is_alone=False).detach_leaving_stub(heads.append)
        thread = threading.Thread(target=ours.close)
        thread.start()
        thread.join()
        assert theirs.recv(10) == b''
        assert heads == []
        transport.close()
        ours.close()
        theirs.close()

    def test_may_have_ended_before(self) -> None:
        lender = socket.socket()
        connection = threaded._Borrowed(lender, False)
        threaded._end(connection, socket.SHUT_RDWR)
        connection.close()


class TestGthread:
    """gunicorn's thread worker, by what it has on the stack."""

    def find(self, sock: Any, environ: Any, threads: int = 8) -> tuple[Any, Any, Any]:
        """Return what is found, the response and the reader."""
        import gunicorn.workers.gthread  # noqa: F401

        names: dict[str, Any] = {'__name__': 'gunicorn.workers.gthread'}
        exec('def handle_request(self, req, conn, resp, call): return call()', names)
        reader = make('Reader', buf=io.BytesIO())
        reader.buf.write(b'early')
        response = make('Response', closed=False)
        response.force_close = lambda: setattr(response, 'closed', True)
        found = names['handle_request'](
            make('Worker', cfg=make('Config', threads=threads)), make('Request', unreader=reader),
            make('Connection', sock=sock), response, lambda: GTHREAD.find_socket(environ))
        return found, response, reader

    @pytest.mark.parametrize(('threads', 'is_alone'), [(8, False), (1, True)])
    def test_has_what_was_read_ahead(self, threads: int, is_alone: bool) -> None:
        ours, theirs = socket.socketpair()
        environ = {'gunicorn.socket': ours}
        assert GTHREAD.holds_thread(environ)
        found, response, reader = self.find(ours, environ, threads)
        assert (type(found[0]), found[0]._is_alone) == (ThreadSocket, is_alone)
        assert (found[1](), response.closed, reader.buf.getvalue()) == (b'early', True, b'')
        ours.close()
        theirs.close()

    def test_of_gevent_has_a_socket_that_leaves(self) -> None:
        ours, theirs = tcp_pair()
        environ = {'gunicorn.socket': ours}
        assert not GTHREAD.holds_thread(environ)
        assert self.find(ours, environ)[0][0] is ours
        ours.close()
        theirs.close()

    def test_has_no_other_requests_socket(self) -> None:
        assert self.find(object(), {'gunicorn.socket': object()})[0] is None
        assert self.find(object(), {})[0] is None
        assert GTHREAD.find_socket({'gunicorn.socket': object()}) is None

    def test_is_not_there_unless_it_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.delitem(sys.modules, 'gunicorn.workers.gthread', raising=False)
        assert GTHREAD.find_socket({'gunicorn.socket': object()}) is None


def make(name: str, **values: Any) -> Any:
    """Return an object with these attributes."""
    return type(name, (), values)()


class TestPatchedWerkzeug:
    def test_has_a_descriptor_to_ask_for(self) -> None:
        ours, theirs = tcp_pair()
        environ = make_environ(**{'werkzeug.socket': ours})
        assert find_adapter(environ) is not None
        transport, received = hijack(environ)
        assert (ours.fileno(), received) == (ended_descriptor(), b'')
        assert isinstance(ours, gevent_socket.socket)
        transport.close()
        ours.close()
        theirs.close()


class TestRunserver:
    def test_is_not_wsgirefs(self) -> None:
        from wsgiref.simple_server import WSGIRequestHandler, make_server

        found: list[Any] = []

        def app(environ: Any, start_response: Any) -> Any:
            found.extend([RUNSERVER.find_socket(environ), RUNSERVER.holds_thread(environ)])
            start_response('200 OK', [])
            return []

        class Quiet(WSGIRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                """Do nothing."""

        with make_server('127.0.0.1', 0, app, handler_class=Quiet) as server:
            thread = threading.Thread(target=http_get, args=(Endpoint(('127.0.0.1', server.server_port)),))
            thread.start()
            server.handle_request()
            thread.join()
        assert found == [None, False]

    def test_has_no_socket_for_another_request(self) -> None:
        found: list[Any] = []

        def app(environ: Any, start_response: Any) -> Any:
            found.append(RUNSERVER.find_socket({'HTTP_HOST': 'elsewhere.example'}))
            start_response('200 OK', [('Content-Length', '0')])
            return []

        logging.getLogger('django.server').setLevel(logging.CRITICAL)
        with serve('runserver', app) as server:
            http_get(server)
        assert found == [None]
