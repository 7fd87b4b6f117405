"""Programs for gevent-websocket with new import lines, alone and under gunicorn."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.old import (
    ORIGINALS,
    has_no_traceback,
    only_ours,
    open_client,
    serve_old,
    server_fixture,
    wait_for_output,
)
from tests.support.servers import Server
from tests.support.waiting import wait_until
from tests.support.wire import (
    BINARY,
    CLOSE,
    PING,
    RFC_6455,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    http_get,
    serialize_frame,
)

WORKERS = ['program', 'gevent_websocket', *(() if ORIGINALS else ('gevent',))]
BYE = close_payload(1000, 'bye')

chat = server_fixture('gevent_chat', WORKERS)
# An application that takes its socket from environ needs the handler or the worker.
low_level = server_fixture('gevent_low_level', ['program', 'gevent_websocket'])


class TestChat:
    def command(self, client: RawClient, **command: str) -> None:
        client.send_frame(TEXT, json.dumps(command).encode())

    def receive(self, client: RawClient) -> Any:
        return json.loads(client.receive_frame().payload)

    @pytest.mark.proves('M1')
    def test_broadcasts_to_clients_that_have_names(self, chat: Server) -> None:
        with open_client(chat, '/chat') as ann, open_client(chat, '/chat') as bob:
            self.command(ann, type='join', nickname='ann')
            assert self.receive(ann) == self.receive(bob) == {'type': 'users', 'users': ['ann']}
            self.command(bob, type='join', nickname='bob')
            assert self.receive(ann) == self.receive(bob) == {'type': 'users', 'users': ['ann', 'bob']}
            self.command(bob, type='text', text='hi')
            heard = self.receive(ann)
            assert heard == self.receive(bob)
            assert (heard['from'], heard['text']) == ('bob', 'hi')
            count = heard['count']
            for client in (bob, ann):
                client.send_frame(CLOSE, BYE)
                assert client.receive_frame().opcode == CLOSE
        wait_for_output(chat, 'close None bob\n')
        wait_for_output(chat, 'close None ann\n')
        assert 'none True\nclose None bob' in chat.process.output()
        with open_client(chat, '/chat') as cid:
            # State in the class outlives its clients.
            self.command(cid, type='join', nickname='cid')
            assert self.receive(cid) == {'type': 'users', 'users': ['cid']}
            self.command(cid, type='text', text='again')
            assert self.receive(cid)['count'] == count + 1
        assert has_no_traceback(chat)

    # "^/" matches the path of the sockets as well, and has the right application type.
    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('path', ['/', '/chat'])
    def test_serves_a_page_beside_the_socket(self, chat: Server, path: str) -> None:
        assert b'<h1>Chat</h1>' in http_get(chat, path)[1]


class TestLowLevel:
    @pytest.mark.proves('M1')
    def test_echoes_and_ends_without_a_traceback(self, low_level: Server) -> None:
        with open_client(low_level, '/echo') as client:
            for text in ('hello', 'h\xe9', ''):
                client.send_frame(TEXT, text.encode())
                assert client.receive_frame() == Frame(TEXT, text.encode())
            client.send_frame(BINARY, b'\0\1')
            assert client.receive_frame() == Frame(BINARY, b'\0\1')
            client.send_frame(CLOSE, BYE)
            assert client.receive_frame().opcode == CLOSE
            assert client.read_to_eof() == b''
        if not ORIGINALS:
            assert has_no_traceback(low_level)

    @pytest.mark.proves('M1')
    def test_answers_what_comes_with_the_close_frame(self, low_level: Server) -> None:
        with open_client(low_level, '/echo') as client:
            frames = [(TEXT, b'a'), (BINARY, b'b'), (CLOSE, BYE)]
            client.send(b''.join(serialize_frame(*frame) for frame in frames))
            assert [client.receive_frame() for _ in range(2)] == [Frame(TEXT, b'a'), Frame(BINARY, b'b')]
            assert client.receive_frame().opcode == CLOSE

    @pytest.mark.proves('M1')
    def test_receives_all_messages_before_the_close(self, low_level: Server) -> None:
        with open_client(low_level, '/collect') as client:
            assert client.receive_frame() == Frame(TEXT, b'ready')
            frames = [(TEXT, b'a'), (BINARY, b'b'), (TEXT, b'c'), (CLOSE, BYE)]
            client.send(b''.join(serialize_frame(*frame) for frame in frames))
            client.read_to_eof()
        wait_for_output(low_level, "collected ['a', bytearray(b'b'), 'c'")

    @pytest.mark.proves('M1')
    def test_delivers_mutable_binary_messages(self, low_level: Server) -> None:
        with open_client(low_level, '/in-place') as client:
            client.send_frame(BINARY, b'abc')
            assert client.receive_frame() == Frame(BINARY, b'\xffbc')
            if not ORIGINALS:
                assert client.receive_frame() == Frame(TEXT, b'text')

    @pytest.mark.proves('M1')
    def test_gives_access_to_the_request(self, low_level: Server) -> None:
        headers = ('Origin', 'http://a.example'), ('Sec-WebSocket-Protocol', 'a, b')
        with open_client(low_level, '/tell', *headers) as client:
            facts = ['/tell', 'http://a.example', 'a, b', '13', True, False, 1, True]
            assert client.receive_frame() == Frame(TEXT, repr(facts).encode())
            assert client.receive_frame().opcode == CLOSE
            client.send_close()
            assert client.read_to_eof() == b''

    @pytest.mark.proves('M1')
    def test_sends_frames_and_raises_once_closed(self, low_level: Server) -> None:
        with open_client(low_level, '/frames') as client:
            received = [client.receive_frame() for _ in range(4)]
            assert received[:3] == [Frame(TEXT, b'text'), Frame(BINARY, b'binary'), Frame(PING, b'ping')]
            if not ORIGINALS:
                assert received[3] == Frame(CLOSE, close_payload(4001))
        wait_for_output(low_level, 'error True\nreceive True\n')

    @pytest.mark.proves('M1')
    @pytest.mark.parametrize('way', ['close', 'reset', 'end'])
    def test_an_outbox_is_notified_of_the_end(self, low_level: Server, way: str) -> None:
        before = low_level.process.output().count('outbox over')
        with open_client(low_level, '/outbox') as client:
            assert client.receive_frame() == Frame(TEXT, b'ready')
            if way == 'reset':
                client.reset()
            elif way == 'close':
                client.send_close()
        wait_until(lambda: low_level.process.output().count('outbox over') > before, 'the end')

    @pytest.mark.proves('M1')
    @pytest.mark.skipif(bool(ORIGINALS), reason='the original needs the client to close, too')
    def test_close_ends_a_waiting_receive(self, low_level: Server) -> None:
        with open_client(low_level, '/wait') as client, open_client(low_level, '/end-waiting') as other:
            assert client.receive_frame() == Frame(TEXT, b'waits')
            assert other.receive_frame() == Frame(TEXT, b'closed it')
            assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
            client.send_close()
            wait_for_output(low_level, 'received None')

    @pytest.mark.proves('M1')
    def test_runs_a_generator(self, low_level: Server) -> None:
        with open_client(low_level, '/generator') as client:
            assert client.receive_frame() == Frame(TEXT, b'from a generator')
            assert client.receive_frame().opcode == CLOSE
            client.send_close()
            assert client.read_to_eof() == b''

    @pytest.mark.proves('M1')
    def test_send_waits_for_a_slow_client(self, low_level: Server) -> None:
        with open_client(low_level, '/download') as client:
            length = 0
            while (frame := client.receive_frame()).opcode == BINARY:
                length += len(frame.payload)
            assert (frame, length) == (Frame(TEXT, b'end'), 40 * 2**20)

    @pytest.mark.proves('M1')
    def test_keeps_pages_and_the_handler_of_the_program(self, low_level: Server) -> None:
        assert http_get(low_level, '/page')[1] == b'a page'
        if 'gunicorn' not in low_level.process.command:
            wait_for_output(low_level, 'request /page')
            assert 'request /echo' not in low_level.process.output()

    @pytest.mark.proves('M1')
    @only_ours
    def test_a_fault_of_the_program_closes_with_1011(self, tmp_path: Path) -> None:
        with serve_old('gevent_low_level', 'program', tmp_path) as server:
            with open_client(server, '/fail') as client:
                assert client.receive_frame().code == 1011
            wait_for_output(server, 'a fault of the program')

    @pytest.mark.proves('M1')
    @only_ours
    def test_refuses_a_bad_handshake(self, low_level: Server) -> None:
        headers = [(name, value) for name, value in RFC_6455 if name != 'Sec-WebSocket-Key']
        with RawClient(low_level, '/echo', headers) as client:
            assert client.handshake().status == 400


@pytest.mark.proves('M1')
def test_a_program_that_imports_the_package(tmp_path: Path) -> None:
    with serve_old('gevent_server', 'program', tmp_path) as server:
        assert b'0.10.1' in http_get(server, '/version')[1]
        with open_client(server, '/') as client:
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame() == Frame(TEXT, b'hello')
            client.send_frame(CLOSE, BYE)
            assert client.receive_frame().opcode == CLOSE
        wait_for_output(server, 'WebSocketError ')
        if not ORIGINALS:
            assert has_no_traceback(server)


@pytest.mark.proves('M1')
@only_ours
@pytest.mark.parametrize('kind', ['gevent_websocket', 'gevent'])
def test_a_worker_that_stops_closes_with_1001(kind: str, tmp_path: Path) -> None:
    with serve_old('gevent_chat', kind, tmp_path) as server, open_client(server, '/chat') as client:
        client.send_frame(TEXT, b'{"type": "join", "nickname": "ann"}')
        client.receive_frame()
        os.kill(server.pid, 15)
        assert client.receive_frame().code == 1001
        client.send_close(1001)
        wait_for_output(server, 'close None ann')
