"""Taking the connection out of the server's hands."""

from __future__ import annotations

import io
import socket as std_socket
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import socket
from gevent.pywsgi import WSGIHandler

from faye_websocket import UnsupportedServer, WebSocket, register_adapter
from faye_websocket.hijack import ADAPTERS, hijack, is_adapter
from tests.support.local import Record, make_environ, serve, settle, tcp_pair, wait_until
from tests.support.wire import CLOSE, HIXIE_76, HIXIE_76_BODY, HIXIE_76_PROOF, RFC_6455, TEXT, serialize_frame

MESSAGE = serialize_frame(TEXT, b'early')
SUPPORTED = (
    'faye_websocket runs under gevent.pywsgi (faye-websocket serve MODULE:APP), under gunicorn with -k gevent or '
    '-k gevent_pywsgi, and under uWSGI with --gevent; register_adapter teaches it another server')


def gunicorn_input(received: bytes) -> Any:
    """A wsgi.input like gunicorn's, which has read this much past the head."""
    buffer = io.BytesIO()
    buffer.write(received)
    return SimpleNamespace(reader=SimpleNamespace(unreader=SimpleNamespace(buf=buffer)))


def pywsgi_input(sock: Any) -> Any:
    """A wsgi.input like that of gevent.pywsgi for an upgrade request: the file that requests are read from."""
    return sock.makefile('rb', -1)


class TestPywsgi:
    """gevent.pywsgi, with a real server."""

    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_a_frame_in_the_segment_of_the_handshake_arrives(self, tls: bool) -> None:  # H4
        with serve(tls=tls) as server:
            server.open(extra_bytes=MESSAGE)
            assert server.record.wait('message').data == 'early'

    @pytest.mark.parametrize('split', range(len(MESSAGE)))
    def test_a_frame_split_anywhere_arrives(self, split: int) -> None:  # H4
        with serve() as server:
            server.open(extra_bytes=MESSAGE[:split]).send(MESSAGE[split:])
            assert server.record.wait('message').data == 'early'

    @pytest.mark.parametrize('split', range(len(HIXIE_76_BODY) + 1))
    def test_the_body_of_hixie_76_split_anywhere_arrives(self, split: int) -> None:  # H4
        with serve() as server:
            client = server.open(headers=HIXIE_76, extra_bytes=HIXIE_76_BODY[:split])
            client.send(HIXIE_76_BODY[split:])
            assert client.receive(16) == HIXIE_76_PROOF

    @pytest.mark.parametrize('headers', [RFC_6455, HIXIE_76], ids=['RFC 6455', 'hixie-76'])
    def test_the_101_announces_no_body(self, headers: Any) -> None:  # H5
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

    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_nothing_of_the_servers_follows_and_nothing_is_a_request(self, tls: bool) -> None:  # H1
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
    """What gunicorn hands over in its environ."""

    def test_the_bytes_read_ahead_come_along_and_are_gone_from_the_server(self) -> None:  # H4
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

    def test_under_gevent_pywsgi_the_socket_is_behind_the_input(self) -> None:  # H4
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


class TestStub:
    """What is left in the server's hands."""

    def test_reads_as_a_connection_at_its_end_and_swallows_what_is_written(self) -> None:  # H1
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
    """Where there is no socket to take."""  # H6

    def message(self, environ: dict[str, Any]) -> str:
        """The text of the error that a WebSocket of this environ raises."""
        ws = WebSocket(environ)
        with pytest.raises(UnsupportedServer) as caught:
            ws(environ, lambda *arguments: None)
        assert isinstance(caught.value, RuntimeError)
        return str(caught.value)

    def test_names_an_unknown_server(self) -> None:  # H6
        assert self.message(make_environ(SERVER_SOFTWARE='Waitress')) == (
            f'this WSGI server (Waitress) gives no access to its socket. {SUPPORTED}')

    def test_of_an_unnamed_server(self) -> None:  # H6
        assert self.message(make_environ()) == f'this WSGI server (unknown) gives no access to its socket. {SUPPORTED}'

    def test_names_the_worker_that_gunicorn_should_run(self) -> None:  # H6
        with std_socket.socket() as sock:
            assert self.message(make_environ(sock)) == (
                f'this gunicorn worker does not run on gevent: start gunicorn with -k gevent. {SUPPORTED}')

    def test_names_a_server_for_werkzeug(self) -> None:  # H6
        assert self.message(make_environ(**{'werkzeug.socket': object()})) == (
            f"Werkzeug's development server does not run on gevent. {SUPPORTED}")

    def test_an_http_2_stream_is_never_taken(self) -> None:  # H6
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

    def test_is_told_again_when_asked_again(self) -> None:  # H6
        environ = make_environ()
        ws = WebSocket(environ)
        for _ in range(2):
            with pytest.raises(UnsupportedServer):
                ws(environ, lambda *arguments: None)


class TestAdapters:
    """Servers that users teach the library."""

    @pytest.fixture(autouse=True)
    def restore(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Forgets what a test registers."""
        monkeypatch.setattr('faye_websocket.hijack.ADAPTERS', ADAPTERS.copy())

    def test_those_of_the_library_are_known(self) -> None:
        assert is_adapter('gevent')
        assert is_adapter('gunicorn')
        assert not is_adapter('mine')

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

    def test_must_be_callable(self) -> None:
        with pytest.raises(TypeError, match='take: expected a callable, got 42'):
            register_adapter('mine', 42)  # type: ignore[arg-type]

    def test_an_unknown_one_cannot_be_loaded(self) -> None:
        with pytest.raises(ValueError, match="name: there is no adapter 'thin'"):
            WebSocket.load_adapter('thin')
        assert WebSocket.load_adapter('gevent') is None
