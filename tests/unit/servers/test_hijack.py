"""Taking the connection from the server."""

from __future__ import annotations

import io
import socket as std_socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.pywsgi import WSGIHandler

from faye_websocket import EventSource, UnsupportedServer, WebSocket, register_adapter
from faye_websocket.servers.hijack import ADAPTERS, has_adapter, hijack
from faye_websocket.testing import connect
from tests.support.local import Record, joined, make_environ, serve, settle, tcp_pair, wait_until
from tests.support.wire import (
    CLOSE,
    HIXIE_76,
    HIXIE_76_BODY,
    HIXIE_76_PROOF,
    RFC_6455,
    TEXT,
    serialize_frame,
)

MESSAGE = serialize_frame(TEXT, b'early')
SUPPORTED = (
    'faye_websocket runs under gevent.pywsgi (faye-websocket serve MODULE:APP), under gunicorn with -k gevent or '
    "-k gevent_pywsgi, and under uWSGI with --gevent; for development also under flask run, Django's runserver "
    'and gunicorn with --threads; register_adapter teaches it another server')


def gunicorn_input(received: bytes) -> Any:
    """Return a wsgi.input like gunicorn's, which has read this much after the head."""
    buffer = io.BytesIO()
    buffer.write(received)
    return SimpleNamespace(reader=SimpleNamespace(unreader=SimpleNamespace(buf=buffer)))


def pywsgi_input(sock: Any) -> Any:
    """Return a wsgi.input like that of gevent.pywsgi for an upgrade request.

    It is the file from which requests are read.
    """
    return sock.makefile('rb', -1)


class TestPywsgi:
    """gevent.pywsgi, with a real server."""

    @pytest.mark.proves('H4')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_a_frame_in_the_segment_of_the_handshake_arrives(self, tls: bool) -> None:
        with serve(tls=tls) as server:
            server.open(extra_bytes=MESSAGE)
            assert server.record.wait('message').data == 'early'

    @pytest.mark.proves('H4')
    @pytest.mark.parametrize('split', range(len(MESSAGE)))
    def test_a_frame_split_anywhere_arrives(self, split: int) -> None:
        with serve() as server:
            server.open(extra_bytes=MESSAGE[:split]).send(MESSAGE[split:])
            assert server.record.wait('message').data == 'early'

    @pytest.mark.proves('H4')
    @pytest.mark.parametrize('split', range(len(HIXIE_76_BODY) + 1))
    def test_the_body_of_hixie_76_split_anywhere_arrives(self, split: int) -> None:
        with serve() as server:
            client = server.open(headers=HIXIE_76, extra_bytes=HIXIE_76_BODY[:split])
            client.send(HIXIE_76_BODY[split:])
            assert client.receive(16) == HIXIE_76_PROOF

    @pytest.mark.proves('H5')
    @pytest.mark.parametrize('headers', [RFC_6455, HIXIE_76], ids=['RFC 6455', 'hixie-76'])
    def test_the_101_announces_no_body(self, headers: Any) -> None:
        with serve() as server:
            head = server.client(headers=headers).handshake()
            assert head.status == 101
            assert not head.names() & {'content-length', 'transfer-encoding'}

    def test_the_server_makes_no_head_for_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Any] = []
        monkeypatch.setattr(WSGIHandler, 'finalize_headers', made.append)
        with serve() as server:
            server.open()
            wait_until(server.access_log.getvalue)
            assert made == []

    @pytest.mark.proves('H1')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_nothing_of_the_servers_follows_and_nothing_is_a_request(self, tls: bool) -> None:
        with serve(tls=tls) as server:
            client = server.open()
            client.send_close()
            client.send(b'GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n')
            assert [frame.opcode for frame in client.receive_frames()] == [CLOSE]
            settle()
            assert server.paths == ['/']
            assert '101' in server.access_log.getvalue()
            assert server.access_log.getvalue().count('\n') == 1

    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_the_server_goes_on_serving(self, tls: bool) -> None:
        with serve(tls=tls) as server:
            server.open()
            client = server.client(headers=[('Connection', 'close')])
            assert client.handshake().status == 200
            assert client.read_to_eof() == b'Hello'


class TestGunicorn:
    """The objects in gunicorn's environ."""

    @pytest.mark.proves('H4')
    def test_the_bytes_read_ahead_come_along_and_are_gone_from_the_server(self) -> None:
        ours, theirs = tcp_pair()
        request = gunicorn_input(MESSAGE)
        environ = make_environ(ours, **{'wsgi.input': request})
        ws = WebSocket(environ)
        record = Record(ws)
        ws(environ, lambda *arguments: None)
        ours.sendall(b'HTTP/1.1 101 Switching Protocols\r\n\r\n')
        assert record.wait('message').data == 'early'
        assert request.reader.unreader.buf.getvalue() == b''
        theirs.close()
        record.the_close()

    @pytest.mark.proves('H4')
    def test_under_gevent_pywsgi_the_socket_is_behind_the_input(self) -> None:
        ours, theirs = tcp_pair()
        theirs.sendall(b'early')
        reader = pywsgi_input(ours)
        assert reader.peek(5)[:5] == b'early'
        transport, received = hijack({'wsgi.input': SimpleNamespace(rfile=reader)})
        assert received == b'early'
        theirs.sendall(b'later')
        transport.close()
        theirs.close()
        ours.close()


def found_by(environ: dict[str, Any], **changes: Any) -> str:
    """Return the error of hijacking this environ, with a change.

    The connection is returned if it was taken.
    """
    try:
        transport, received = hijack({**environ, **changes})
    except UnsupportedServer as error:
        return str(error)
    transport.close()
    return f'taken with {received!r}'


REPLACED = (
    "wsgi.input was replaced by io.BytesIO, and the server's socket is neither behind it nor to be found from this "
    'greenlet, in which the server does not run the application: have the middleware leave wsgi.input alone, or make '
    'the handshake in the greenlet of the request')


class TestReplacedInput:
    """Middleware that replaces wsgi.input."""

    def within(self, look: Callable[[dict[str, Any]], object]) -> Any:
        """Return the result of ``look`` for the environ of a request, under
        gevent.pywsgi.
        """
        found: list[Any] = []

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            found.append(look(environ))
            start_response('204 No Content', [])
            return []

        connect(app, refused=True).close()
        return found[0]

    @pytest.mark.proves('H4')
    @pytest.mark.parametrize('is_copied', [False, True])
    def test_the_handler_of_the_request_has_the_socket(self, is_copied: bool) -> None:
        def look(environ: dict[str, Any]) -> str:
            mine = dict(environ) if is_copied else environ
            mine['wsgi.input'] = io.BytesIO()
            return found_by(mine)

        assert self.within(look) == "taken with b''"

    def test_that_of_another_request_has_not(self) -> None:
        made_up = make_environ(SERVER_SOFTWARE='gevent/26.9', **{'wsgi.input': io.BytesIO()})  # type: ignore[arg-type]
        assert self.within(lambda environ: found_by({**made_up, 'HTTP_X': 'x'})) == REPLACED

    def test_of_another_greenlet_it_is_not_to_be_found(self) -> None:
        def look(environ: dict[str, Any]) -> str:
            return str(gevent.spawn(found_by, environ, **{'wsgi.input': io.BytesIO()}).get())

        assert self.within(look) == REPLACED

    @pytest.mark.proves('H6')
    def test_is_told_of_gunicorn_too(self) -> None:
        ours, theirs = tcp_pair()
        for environ in ({'gunicorn.socket': ours}, {'gunicorn.sock': ours}):
            assert found_by(environ, **{'wsgi.input': io.BytesIO()}) == REPLACED
        assert found_by({'gunicorn.sock': ours}).startswith('wsgi.input was removed, and ')
        ours.close()
        theirs.close()

    @pytest.mark.proves('H4')
    def test_under_gunicorn_the_worker_has_the_bytes_read_ahead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = tcp_pair()
        request = gunicorn_input(b'early').reader
        request.unreader.sock = ours
        environ = make_environ(ours, **{'wsgi.input': io.BytesIO()})  # type: ignore[arg-type]

        def handle_request(req: Any) -> str:
            return found_by(environ)

        monkeypatch.setitem(globals(), '__name__', 'gunicorn.workers.base_async')
        assert handle_request(SimpleNamespace(unreader=SimpleNamespace(sock=theirs))) == REPLACED
        assert handle_request(request) == "taken with b'early'"
        assert request.unreader.buf.getvalue() == b''
        theirs.close()


class TestTakenBefore:
    """Two sockets for one connection, which is not possible."""

    TAKEN = (
        "^this request's connection was taken before, or is closed: "
        'one request can become one WebSocket or one EventSource$')

    def test_a_second_socket_raises_and_the_first_passes_the_servers_answer_on(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.ws(pair.environ, pair.response)
            for second in (WebSocket(pair.environ), EventSource(pair.environ)):
                with pytest.raises(RuntimeError, match=self.TAKEN):
                    second(pair.environ, pair.response)
            pair.respond('HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nbody')
            pair.sock.close()
            assert pair.client.receive_head().status == 500
            assert pair.client.read_to_eof() == b'body'
            assert record.the_close().code == 1006

    def test_a_socket_behind_an_event_source_raises(self) -> None:
        ours, theirs = tcp_pair()
        environ = make_environ(ours)
        es = EventSource(environ)
        es(environ, lambda *arguments: None)
        with pytest.raises(RuntimeError, match=self.TAKEN):
            WebSocket(environ).receive()
        ours.close()
        assert theirs.recv(1) == b''
        theirs.close()

    def test_a_socket_behind_a_refused_one_raises(self) -> None:
        with joined(allowed_origins=lambda origin, environ: False, headers=[*RFC_6455, ('Origin', 'http://a')]) as pair:
            pair.start_refused()
            with pytest.raises(RuntimeError, match=self.TAKEN):
                WebSocket(pair.environ)(pair.environ, pair.response)
            assert pair.client.receive_head().status == 403

    def test_a_closed_one_raises(self) -> None:
        ours, theirs = tcp_pair()
        ours.close()
        with pytest.raises(RuntimeError, match=self.TAKEN):
            hijack({'gunicorn.socket': ours})
        theirs.close()


class TestStub:
    """The objects that the server keeps."""

    def heads(self, *pieces: bytes) -> list[bytes]:
        """Return the heads that a server writes, and the bytes after them."""
        ours, theirs = tcp_pair()
        found: list[bytes] = []

        def on_head(head: bytes) -> Callable[[bytes], None]:
            found.append(head)
            return found.append

        transport, _ = hijack(make_environ(ours), on_head)
        for piece in pieces:
            ours.sendall(piece)
        ours.close()
        transport.close()
        theirs.close()
        return found

    @pytest.mark.parametrize('status', [b'103 Early Hints', b'100 Continue', b'102', b'199 X'])
    def test_an_interim_response_is_passed_over(self, status: bytes) -> None:
        interim = b'HTTP/1.1 ' + status + b'\r\nLink: </style.css>\r\n\r\n'
        final = b'HTTP/1.1 200 OK\r\n\r\n'
        for pieces in ([interim, final], [interim * 2 + final], [bytes([byte]) for byte in interim + final]):
            assert self.heads(*pieces, b'body') == [final, b'body', b'']
        assert self.heads(interim) == [b'', b'']

    @pytest.mark.parametrize('status', [b'101 Switching Protocols', b'1000', b'200 OK', b'404 HTTP/1.1 103 '])
    def test_another_one_is_not(self, status: bytes) -> None:
        head = b'HTTP/1.1 ' + status + b'\r\n\r\n'
        assert self.heads(head) == [head, b'']

    @pytest.mark.proves('H1')
    def test_reads_as_a_connection_at_its_end_and_swallows_what_is_written(self) -> None:
        ours, theirs = tcp_pair()
        transport, _ = hijack(make_environ(ours))
        buffer = bytearray(10)
        assert (ours.recv(10), ours.recv_into(buffer)) == (b'', 0)
        assert ours.send(b'abc') == 3
        ours.sendall(b'HTTP/1.1 500 Internal Server Error')
        ours.shutdown(socket.SHUT_RDWR)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'')
        stub = ours._sock
        assert (ours.fileno(), ours.family, bool(stub)) == (-1, -1, True)
        ours.close()
        stub.close()
        assert not stub
        assert transport.send(b'ours') == 4
        assert theirs.recv(100) == b'ours'
        transport.close()
        assert theirs.recv(100) == b''
        theirs.close()


class TestUnsupported:
    """Servers without a socket to take."""

    def message(self, environ: dict[str, Any]) -> str:
        """Return the error that a WebSocket of this environ raises."""
        ws = WebSocket(environ)
        with pytest.raises(UnsupportedServer) as caught:
            ws(environ, lambda *arguments: None)
        assert isinstance(caught.value, RuntimeError)
        return str(caught.value)

    @pytest.mark.proves('H6')
    def test_names_an_unknown_server(self) -> None:
        assert self.message(make_environ(SERVER_SOFTWARE='Waitress')) == (
            f'this WSGI server (Waitress) gives no access to its socket. {SUPPORTED}')

    @pytest.mark.proves('H6')
    def test_of_an_unnamed_server(self) -> None:
        assert self.message(make_environ()) == f'this WSGI server (unknown) gives no access to its socket. {SUPPORTED}'

    @pytest.mark.proves('H6')
    def test_names_the_worker_that_gunicorn_should_run(self) -> None:
        with std_socket.socket() as sock:
            assert self.message(make_environ(sock)) == (
                f'this gunicorn worker does not run on gevent: start gunicorn with -k gevent. {SUPPORTED}')

    @pytest.mark.proves('H6')
    def test_an_http_2_stream_is_never_taken(self) -> None:
        ours, theirs = tcp_pair()
        environ = make_environ(ours, SERVER_PROTOCOL='HTTP/2')
        assert not WebSocket.is_websocket(environ)
        with pytest.raises(UnsupportedServer) as caught:
            hijack(environ)
        assert str(caught.value) == (
            'an HTTP/2 stream cannot become a WebSocket: have the proxy or the server speak HTTP/1.1')
        assert ours.fileno() > 0
        ours.close()
        theirs.close()

    @pytest.mark.proves('H6')
    def test_is_told_again_when_asked_again(self) -> None:
        environ = make_environ()
        ws = WebSocket(environ)
        for _ in range(2):
            with pytest.raises(UnsupportedServer):
                ws(environ, lambda *arguments: None)


class TestAdapters:
    """Servers that users register."""

    @pytest.fixture(autouse=True)
    def restore(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forget the adapters that a test registers."""
        monkeypatch.setattr('faye_websocket.servers.hijack.ADAPTERS', ADAPTERS.copy())

    def test_those_of_the_library_are_known(self) -> None:
        assert has_adapter('gevent')
        assert has_adapter('gunicorn')
        assert not has_adapter('mine')

    @pytest.mark.parametrize('received', [b'behind', lambda: b'behind'], ids=['bytes', 'a function'])
    def test_a_new_one_is_asked(self, received: Any) -> None:
        ours, theirs = tcp_pair()
        register_adapter('mine', lambda environ: (environ['mine'], received) if 'mine' in environ else None)
        WebSocket.load_adapter('mine')
        transport, behind = hijack({'mine': ours})
        assert behind == b'behind'
        assert transport.fileno() > 0
        transport.close()
        theirs.close()

    @pytest.mark.parametrize('kind', [WebSocket, EventSource])
    @pytest.mark.parametrize('knows', [False, True], ids=['take', 'is_for'])
    def test_take_is_called_once_for_a_request(self, kind: Any, knows: bool) -> None:
        ours, theirs = tcp_pair()
        calls: list[str] = []

        def take(environ: Any) -> Any:
            calls.append('take')
            return (environ['mine'], b'') if 'mine' in environ else None

        def is_for(environ: Any) -> bool:
            calls.append('is_for')
            return 'mine' in environ

        register_adapter('mine', take, is_for=is_for if knows else None)
        environ = make_environ(mine=ours)
        socket = kind(environ)
        before = list(calls)
        socket(environ, lambda *arguments: None)
        assert sorted(calls) == (['is_for', 'take'] if knows else ['take'])
        assert 'take' not in before or not knows
        ours.close()
        theirs.close()
        settle()

    def test_take_is_not_called_for_a_request_of_another_server(self) -> None:
        register_adapter('mine', lambda environ: pytest.fail('called'), is_for=lambda environ: 'mine' in environ)
        assert found_by(make_environ(SERVER_SOFTWARE='Waitress')).startswith('this WSGI server (Waitress) gives no access')

    def test_take_may_find_nothing_after_all(self) -> None:
        register_adapter('mine', lambda environ: None, is_for=lambda environ: True)
        environ = make_environ()
        for kind in (WebSocket, EventSource):
            with pytest.raises(UnsupportedServer):
                kind(environ)(environ, lambda *arguments: None)

    def test_must_be_callable(self) -> None:
        with pytest.raises(TypeError, match='take: expected a callable, got 42'):
            register_adapter('mine', 42)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match='take: expected a callable, got None'):
            register_adapter('mine', None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match='is_for: expected a callable, got 42'):
            register_adapter('mine', lambda environ: None, is_for=42)  # type: ignore[arg-type]

    def test_an_unknown_one_cannot_be_loaded(self) -> None:
        with pytest.raises(ValueError, match="name: there is no adapter 'thin'"):
            WebSocket.load_adapter('thin')
        assert WebSocket.load_adapter('gevent') is None
