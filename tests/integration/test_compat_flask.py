"""Programs for flask-sock, simple-websocket and flask-sockets with new import lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.old import (
    ORIGINALS,
    has_no_traceback,
    interpreter,
    only_ours,
    open_client,
    serve_old,
    server_fixture,
    wait_for_output,
    write_program,
)
from tests.support.processes import environment
from tests.support.servers import Server
from tests.support.waiting import wait_until
from tests.support.wire import (
    BINARY,
    CLOSE,
    RFC_6455,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    http_get,
    serialize_frame,
)

BYE = close_payload(1000, 'bye')
# flask-sockets needs the Werkzeug of 2020.
HAS_FLASK_SOCKETS = not ORIGINALS or 'oldvenv1' in ORIGINALS
OURS = ['gevent_pywsgi'] if not ORIGINALS else []

sock = server_fixture('sock', ['program', 'gevent', *OURS, 'flask run', 'gthread'])
chat = server_fixture('sockets_chat', ['program', 'flask_sockets', *(() if ORIGINALS else ('gevent', 'gevent_pywsgi'))])


def cookie(server: Server) -> tuple[str, str]:
    """Return the Cookie header of a visitor of the page."""
    head, _ = http_get(server, '/')
    value = head.get('Set-Cookie')
    assert value is not None
    return 'Cookie', value.partition(';')[0]


class TestFlaskSock:
    @pytest.mark.proves('M1')
    def test_echoes_and_ends_without_a_traceback(self, sock: Server) -> None:
        with open_client(sock, '/echo') as client:
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            client.send_frame(CLOSE, BYE)
            assert client.receive_frame().opcode == CLOSE
            if not ORIGINALS:
                assert client.read_to_eof() == b''
        with open_client(sock, '/echo') as client:
            client.reset()
        if not ORIGINALS:
            wait_for_output(sock, 'teardown /echo None')
            assert has_no_traceback(sock)

    @pytest.mark.proves('M1')
    @only_ours
    def test_answers_what_comes_with_the_close_frame(self, sock: Server) -> None:
        with open_client(sock, '/echo') as client:
            frames = [(TEXT, b'a'), (BINARY, b'b'), (CLOSE, BYE)]
            client.send(b''.join(serialize_frame(*frame) for frame in frames))
            assert [client.receive_frame() for _ in range(2)] == [Frame(TEXT, b'a'), Frame(BINARY, b'b')]
            assert client.receive_frame().code == 1000

    @pytest.mark.proves('M1')
    def test_gives_arguments_of_the_url(self, sock: Server) -> None:
        with open_client(sock, '/room/lobby/6') as client:
            assert client.receive_frame() == Frame(TEXT, b'lobby 7')
            assert client.receive_frame().code == 1000
            client.send_close()
            if not ORIGINALS:
                assert client.read_to_eof() == b''

    @pytest.mark.proves('M1')
    def test_serves_a_blueprint(self, sock: Server) -> None:
        with open_client(sock, '/bp/echo') as client:
            client.send_frame(TEXT, b'x')
            assert client.receive_frame() == Frame(TEXT, b'bp x')

    @pytest.mark.proves('M1')
    def test_polls_and_sends_the_text_of_anything(self, sock: Server) -> None:
        with open_client(sock, '/poll') as client:
            received = [client.receive_frame() for _ in range(5)]
        texts = [b'[None, None]', b'None', b'5', b"{'a': 1}"]
        assert received == [*(Frame(TEXT, text) for text in texts), Frame(BINARY, b'\0')]

    @pytest.mark.proves('M1')
    def test_has_the_session_and_the_subprotocol(self, sock: Server) -> None:
        headers = cookie(sock), ('Sec-WebSocket-Protocol', 'c, a, b')
        with open_client(sock, '/tell?user=bob', *headers) as client:
            assert client.receive_frame() == Frame(TEXT, b"['ann', 'bob', 'a', True]")

    @pytest.mark.proves('M1')
    def test_may_be_refused_before(self, sock: Server) -> None:
        with RawClient(sock, '/refused') as client:
            assert client.handshake().status == 403

    @pytest.mark.proves('M1')
    def test_raises_once_closed(self, sock: Server) -> None:
        with open_client(sock, '/close') as client:
            close = client.receive_frame()
            assert (close.code, close.reason) == (4002, 'enough')
            client.send_frame(CLOSE, close.payload)
        wait_for_output(sock, 'closed True\nclosed True\nclosed True\n')

    @pytest.mark.proves('M1')
    def test_delivers_all_messages_before_the_end(self, sock: Server) -> None:
        with open_client(sock, '/end') as client:
            assert client.receive_frame() == Frame(TEXT, b'ready')
            frames = [(TEXT, b'a'), (BINARY, b'b'), (TEXT, b'c'), (CLOSE, BYE)]
            client.send(b''.join(serialize_frame(*frame) for frame in frames))
            wait_for_output(sock, "end ['a', b'b', 'c'] 1000 bye Connection closed: 1000 bye")
        with open_client(sock, '/end') as client:
            client.receive_frame()
            client.reset()
        wait_for_output(sock, 'end [] 1005 None Connection closed: 1005')
        if not ORIGINALS:
            wait_for_output(sock, 'teardown /end None')

    @pytest.mark.proves('M1')
    @only_ours
    def test_a_message_beyond_the_limit_closes_with_1009(self, sock: Server) -> None:
        with open_client(sock, '/echo') as client:
            client.send_frame(TEXT, bytes(1001))
            assert client.receive_frame().code == 1009

    @pytest.mark.proves('M1')
    @only_ours
    def test_a_fault_closes_with_1011(self, tmp_path: Path) -> None:
        with serve_old('sock', 'gevent', tmp_path) as server:
            with open_client(server, '/fail') as client:
                assert client.receive_frame().code == 1011
            wait_for_output(server, 'a fault of the program')

    @pytest.mark.proves('M1')
    def test_serves_a_view_that_returns_nothing(self, sock: Server) -> None:
        with open_client(sock, '/plain', ('Sec-WebSocket-Protocol', 'a')) as client:
            client.send_frame(TEXT, b'x')
            assert client.receive_frame() == Frame(TEXT, b'a x')
            client.send_close()
            assert client.receive_frame().opcode == CLOSE
            if not ORIGINALS:
                assert client.read_to_eof() == b''

    @pytest.mark.proves('M1')
    @only_ours
    def test_answers_a_bad_handshake(self, sock: Server) -> None:
        headers = [(name, '99' if name == 'Sec-WebSocket-Version' else value) for name, value in RFC_6455]
        with RawClient(sock, '/echo', headers) as client:
            head = client.handshake()
        assert (head.status, head.get('Sec-WebSocket-Version')) == (426, '13, 8, 7')

    @pytest.mark.proves('M1')
    def test_is_talked_to_by_the_client(self, sock: Server, tmp_path: Path) -> None:
        command = [interpreter(), str(write_program('client', tmp_path)), sock.ws_url('')]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20)
        assert done.stdout.splitlines() == [
            'hello None True', 'closed True False', 'a bp x', 'closed 1000', 'refused 403', 'error ConnectionRefusedError',
        ], done.stderr


@pytest.mark.proves('M1')
@only_ours
@pytest.mark.parametrize('kind', ['gevent', 'gevent_pywsgi'])
def test_a_worker_that_stops_closes_with_1001(kind: str, tmp_path: Path) -> None:
    with serve_old('sock', kind, tmp_path) as server, open_client(server, '/end') as client:
        assert client.receive_frame() == Frame(TEXT, b'ready')
        server.process.terminate()
        assert client.receive_frame().code == 1001
        client.send_close(1001)
        wait_for_output(server, 'end [] 1001')
        assert server.process.wait() == 0
        assert has_no_traceback(server)


@pytest.mark.skipif(not HAS_FLASK_SOCKETS, reason='flask-sockets needs another Flask')
class TestFlaskSockets:
    @pytest.mark.proves('M1')
    def test_an_inbox_reaches_every_outbox(self, chat: Server) -> None:
        with open_client(chat, '/submit') as inbox, open_client(chat, '/receive') as one, \
                open_client(chat, '/receive') as two:
            for client in (one, two):
                assert client.receive_frame() == Frame(TEXT, b'ready')
            inbox.send_frame(TEXT, b'hello')
            assert [client.receive_frame() for client in (one, two)] == [Frame(TEXT, b'hello')] * 2
            two.send_close()
            two.read_to_eof() if not ORIGINALS else None
            inbox.send_frame(TEXT, b'again')
            assert one.receive_frame() == Frame(TEXT, b'again')
            if not ORIGINALS:
                inbox.send_close()
                assert inbox.receive_frame().opcode == CLOSE

    @pytest.mark.proves('M1')
    def test_has_a_page_at_the_path_of_a_socket(self, chat: Server) -> None:
        assert http_get(chat, '/submit')[1] == b'a page at the path of a socket'

    @pytest.mark.proves('M1')
    def test_has_arguments_session_and_request(self, chat: Server) -> None:
        with open_client(chat, '/room/6?a=b', cookie(chat)) as client:
            assert client.receive_frame() == Frame(TEXT, b'7 ann b')
            assert client.receive_frame().opcode == CLOSE
            client.send_close()
            assert client.read_to_eof() == b''

    @pytest.mark.proves('M1')
    def test_serves_a_blueprint(self, chat: Server) -> None:
        with open_client(chat, '/echo') as client:
            client.send_frame(TEXT, b'x')
            assert client.receive_frame() == Frame(TEXT, b'x')
            client.send_close()
            assert client.receive_frame().opcode == CLOSE

    @pytest.mark.proves('M1')
    @only_ours
    def test_leaves_an_unknown_path_to_the_application(self, chat: Server) -> None:
        with RawClient(chat, '/unknown') as client:
            if chat.kind in ('program', 'flask_sockets'):
                # As in the original, the handshake comes before the routing of the
                # path.
                assert client.handshake().status == 101
                assert client.receive_frame().opcode == CLOSE
            else:
                assert client.handshake().status == 404

    @pytest.mark.proves('M1')
    @only_ours
    def test_ends_without_a_traceback(self, chat: Server) -> None:
        with open_client(chat, '/echo') as client:
            client.reset()
        wait_until(lambda: '/echo' in chat.access_log() + chat.process.output(), 'its line')
        assert has_no_traceback(chat)
