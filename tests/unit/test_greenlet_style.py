"""The greenlet style at both ends: ``receive``, iteration and ``with``."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from faye_websocket import (
    Client,
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    SocketMiddleware,
    WebSocket,
    WebSocketError,
    close_all,
)
from faye_websocket.driver.codec import FrameParser
from faye_websocket.testing import connect
from tests.support.local import (
    Record,
    hub_errors,
    joined,
    make_environ,
    run_beside,
    run_threads,
    serve,
    settle,
    wait_until,
)
from tests.support.scripted import acceptance, answering, read_to_eof, scripted, silent
from tests.support.wire import (
    CLOSE,
    HIXIE_76,
    HIXIE_76_BODY,
    HIXIE_76_CLOSE,
    HIXIE_76_PROOF,
    PING,
    TEXT,
    Frame,
    close_payload,
    serialize_frame,
)

MESSAGE = serialize_frame(TEXT, b'hello')
#: Seconds, far fewer than any deadline.
SHORT = 0.1

# A close_all must not wait for sockets of earlier tests.
pytestmark = pytest.mark.usefixtures('registry')


def unused_url() -> str:
    """Return a URL at which nothing listens."""
    with gevent.socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return f'ws://127.0.0.1:{sock.getsockname()[1]}/'


def url_of(server: Any) -> str:
    """Return the URL of a local server."""
    return f'ws://127.0.0.1:{server.wsgi.server_port}/'


def answer_close(client: Any) -> int | None:
    """Read the response and the close frame, answer it, and return its code."""
    client.receive_head()
    frame = client.receive_frame()
    client.send_close(frame.code)
    return int(frame.code)


def run(program: str, *arguments: str) -> Any:
    """Run a user's program in its own process, while this hub serves it."""
    return run_beside([sys.executable, '-c', program, *arguments])


class TestProgram:
    """Whole programs, as a user writes them."""

    @pytest.mark.proves('G1')
    def test_what_is_sent_in_the_block_arrives_before_the_program_ends(self) -> None:
        with serve(lambda ws: None) as server:
            result = run(
                'import sys\nfrom faye_websocket import Client\n'
                'with Client(sys.argv[1]) as ws:\n    ws.send("hello")\n', url_of(server))
            assert (result.returncode, result.stderr) == (0, '')
            assert server.record.messages == ['hello']
            close = server.record.the_close()
            assert (close.code, close.was_clean) == (1000, True)

    @pytest.mark.proves('G1')
    @pytest.mark.parametrize('option', ['overflow="block"', 'max_buffered=2**26'])
    def test_40_mb_arrive_at_a_slow_reader(self, option: str) -> None:
        received: list[int] = []

        def read_slowly(event: Any) -> None:
            received.append(len(event.data))
            gevent.sleep(0.02)

        with serve(lambda ws: ws.on('message', read_slowly), max_queue=1) as server:
            result = run(
                f'import sys\nfrom faye_websocket import Client\n'
                f'with Client(sys.argv[1], {option}) as ws:\n'
                f'    for number in range(40):\n        assert ws.send(bytes(10**6))\n', url_of(server))
            assert (result.returncode, result.stderr) == (0, '')
            assert server.record.the_close().code == 1000
            assert received == [10**6] * 40

    @pytest.mark.proves('G2')
    @pytest.mark.parametrize('use', [
        'with ws: print(ws.receive(timeout=5))', 'print(ws.receive(timeout=5))', 'print(list(ws))'])
    def test_that_cannot_connect_says_why(self, use: str) -> None:
        url = unused_url()
        result = run(f'import sys\nfrom faye_websocket import Client\nws = Client(sys.argv[1])\n{use}\n', url)
        assert (result.returncode, result.stdout) == (1, '')
        assert f'ConnectError: connecting to {url[5:-1]} failed' in result.stderr
        assert 'Connection refused' in result.stderr


    @pytest.mark.proves('G1')
    def test_a_peer_that_is_given_up_learns_why(self) -> None:
        with serve(lambda ws: ws.on('message', lambda event: gevent.sleep(0.05)), max_queue=1) as server:
            result = run(
                'import sys\nfrom faye_websocket import Client\n'
                'with Client(sys.argv[1]) as ws:\n'
                '    assert False in [ws.send(bytes(2**20)) for number in range(40)]\n'
                'assert ws.buffered_amount == 0\n', url_of(server))
            assert result.returncode == 0
            assert re.fullmatch(r'ws://\S+ is a slow consumer: given up with \d+ bytes waiting\n', result.stderr)
            close = server.record.the_close()
            assert (close.code, close.reason) == (1013, 'slow consumer')

    @pytest.mark.proves('G5')
    def test_a_greenlet_that_receives_has_time_to_end(self) -> None:
        with serve(lambda ws: None) as server:
            result = run(
                'import gevent, sys\nfrom faye_websocket import Client\n'
                'def read(ws):\n    try:\n        for message in ws: pass\n'
                '    finally:\n        gevent.sleep(0.15)\n        print("done")\n'
                'ws = Client(sys.argv[1])\ngevent.spawn(read, ws)\ngevent.sleep(0.2)\n', url_of(server))
            assert (result.returncode, result.stdout, result.stderr) == (0, 'done\n', '')
            assert server.record.the_close().code == 1001

    def test_a_generator_may_be_left_unfinished(self) -> None:
        with serve(lambda ws: ws.on('message', lambda event: ws.send(event.data))) as server:
            result = run(
                'import sys\nfrom faye_websocket import Client\n'
                'def feed():\n    with Client(sys.argv[1]) as ws:\n        ws.send("1")\n'
                '        for message in ws: yield message\n'
                'messages = feed()\nprint(next(messages))\n', url_of(server))
            assert (result.returncode, result.stdout, result.stderr) == (0, '1\n', '')


    @pytest.mark.proves('G1')
    def test_a_block_ends_when_all_is_out(self) -> None:
        with serve(lambda ws: ws.on('message', lambda event: gevent.sleep(0.02)), max_queue=1) as server:
            with Client(url_of(server)) as ws:
                assert False in [ws.send(bytes(2**20)) for _ in range(40)]
            assert ws.buffered_amount == 0


class TestInterrupted:
    """A block that is left before it begins."""

    def test_ends_the_client(self) -> None:
        with scripted(silent) as server:
            ws = Client(server.url)
            with pytest.raises(gevent.Timeout), gevent.Timeout(SHORT), ws:
                pytest.fail('there is no connection')
            wait_until(lambda: ws.ready_state == ws.CLOSED)

    def test_ends_the_servers_socket(self) -> None:
        with joined(HIXIE_76) as pair:
            with pytest.raises(gevent.Timeout), gevent.Timeout(SHORT), pair.ws:
                pytest.fail('its body has not come')
            assert pair.ws.ready_state == WebSocket.CLOSING


class TestThread:
    """The greenlet style in another OS thread than that of the socket."""

    def test_waits_for_messages_and_for_the_end(self) -> None:
        with serve(lambda ws: ws.on('message', lambda event: (ws.send(event.data), ws.close()))) as server:
            ws = Client(url_of(server))
            received: list[Any] = []
            gevent.spawn_later(SHORT, ws.send, 'late')
            run_threads(lambda: received.extend([*ws, ws.wait_closed()]))
            assert received == ['late', True]

    def test_waits_for_all_sockets(self) -> None:
        with joined() as pair:
            _, client = pair.open()
            gevent.spawn_later(SHORT, client.close)
            run_threads(close_all)


class TestNeverOpen:
    """A client that cannot connect, or whose handshake is refused."""

    @pytest.mark.proves('G2')
    @pytest.mark.parametrize('use', [
        lambda ws: ws.receive(timeout=5), list, lambda ws: ws.__enter__()], ids=['receive', 'iteration', 'with'])
    def test_raises_each_time(self, use: Callable[[Client], object]) -> None:
        ws = Client(unused_url())
        for _ in range(2):
            with pytest.raises(ConnectError, match=r'connecting to 127\.0\.0\.1:\d+ failed: .*refused'):
                use(ws)

    @pytest.mark.proves('G2')
    def test_raises_what_the_server_answered(self) -> None:
        with scripted(answering(b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')) as server:
            ws = Client(server.url)
            with pytest.raises(HandshakeError, match='expected status 101, got 404 Not Found'), ws:
                pytest.fail('there is no connection')
            assert ws.status == 404

    @pytest.mark.proves('G2')
    def test_raises_when_the_time_is_over(self) -> None:
        with scripted(silent) as server, pytest.raises(WebSocketError, match='handshake timeout'), \
                Client(server.url, timeout=SHORT):
            pytest.fail('there is no connection')

    @pytest.mark.proves('G2')
    def test_raises_in_a_block_that_another_greenlet_ends(self) -> None:
        with scripted(silent) as server:
            ws = Client(server.url)
            gevent.spawn_later(SHORT, ws.close)
            with pytest.raises(ConnectError, match='closed before the connection was established'), ws:
                pytest.fail('there is no connection')

    @pytest.mark.proves('G2')
    @pytest.mark.parametrize('fault', [ValueError('ours'), gevent.GreenletExit()])
    def test_raises_what_connecting_did_not_expect(
            self, fault: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: Client, seconds: float) -> None:
            raise fault

        monkeypatch.setattr(Client, '_open_transport', fail)
        with hub_errors() as errors, pytest.raises(ConnectError, match='^connecting failed: '), \
                Client('ws://127.0.0.1:1/'):
            pytest.fail('there is no connection')
        assert ('ValueError: ours' in errors.getvalue()) == isinstance(fault, ValueError)

    def test_keeps_no_frames_of_those_it_raised_at(self) -> None:
        ws = Client(unused_url())
        depths = []
        for _ in range(3):
            with pytest.raises(ConnectError) as caught:
                ws.receive()
            depths.append(len(caught.traceback))
        assert depths[0] == depths[2]

    def test_raises_nothing_more_in_a_handler(self) -> None:
        record = Record(Client(unused_url()))  # type: ignore[arg-type]
        assert record.the_close().code == 1006
        assert record.types == ['error', 'close']

    @pytest.mark.proves('G2')
    def test_refuses_the_block_of_a_servers_socket(self) -> None:
        environ = make_environ(None, REQUEST_METHOD='POST')
        with joined() as pair:
            environ['gunicorn.socket'] = pair.sock
            with pytest.raises(HandshakeError, match='the method of a WebSocket handshake must be GET'), WebSocket(environ):
                pytest.fail('there is no connection')
            assert pair.client.receive_head().status == 400

    def test_gives_the_end_of_a_servers_socket(self) -> None:
        with joined(allowed_origins=['https://good.example']) as pair:
            pair.environ['HTTP_ORIGIN'] = 'https://bad.example'
            ws = WebSocket(pair.environ, allowed_origins=['https://good.example'])
            assert ws.receive() is None
            with pytest.raises(ConnectionClosed) as caught:
                ws.receive()
            assert (caught.value.code, caught.value.reason) == (1006, 'this origin is not allowed')


class TestEnd:
    """The results of ``receive`` at the end of a connection."""

    def test_is_none_once_and_then_an_error(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send_close(4000, 'bye')
            assert ws.receive(timeout=5) is None
            for _ in range(2):
                with pytest.raises(ConnectionClosed, match=r'^the connection is closed: 4000 bye$') as caught:
                    ws.receive()
                assert (caught.value.code, caught.value.reason) == (4000, 'bye')

    def test_is_none_for_each_that_waits(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            receivers = [gevent.spawn(ws.receive) for _ in range(3)]
            settle()
            client.close()
            assert [receiver.get(timeout=5) for receiver in receivers] == [None] * 3
            with pytest.raises(ConnectionClosed, match='^the connection is closed: 1006$'):
                ws.receive()

    def test_is_the_end_of_each_loop(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE)
            client.send_close()
            assert list(ws) == ['hello']
            assert list(ws) == []

    @pytest.mark.proves('G3')
    @pytest.mark.parametrize('loop', ['continue', 'catch'])
    def test_keeps_no_other_greenlet_from_running(self, loop: str) -> None:
        ticks: list[float] = []

        def handle(ws: WebSocket) -> None:
            while True:
                try:
                    if ws.receive() is None:
                        continue
                except ConnectionClosed:
                    if loop != 'catch':
                        return

        def tick() -> None:
            while True:
                ticks.append(time.monotonic())
                gevent.sleep(0.01)

        ticker = gevent.spawn(tick)
        with joined() as pair:
            ws, client = pair.open()
            handler = gevent.spawn(handle, ws)
            client.close()
            wait_until(lambda: ws.ready_state == ws.CLOSED)
            count = len(ticks)
            wait_until(lambda: len(ticks) > count + 5)
            assert handler.dead == (loop != 'catch')
            gevent.killall([handler, ticker])
            settle()

    def test_lets_others_run_between_two_messages(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE * 20)
            turns: list[str] = []

            def receive() -> None:
                for _ in range(20):
                    ws.receive(timeout=5)
                    turns.append('receive')

            def run_beside() -> None:
                for _ in range(100):
                    turns.append('other')
                    gevent.sleep(0)

            settle()
            gevent.joinall([gevent.spawn(receive), gevent.spawn(run_beside)])
            text = ' '.join(turns)
            assert turns.count('receive') == 20
            assert 'receive receive' not in text

    @pytest.mark.proves('G3')
    @pytest.mark.parametrize('timeout', [0, SHORT])
    def test_lets_others_run_while_it_polls(self, timeout: float) -> None:
        with joined() as pair:
            ws, _ = pair.open()
            others = gevent.spawn(gevent.sleep, 0)
            with pytest.raises(TimeoutError):
                ws.receive(timeout=timeout)
            settle()
            assert others.dead


class TestWith:
    """The ``with`` block of a server's socket, with a raw client as the peer."""

    def test_waits_until_it_is_open(self) -> None:
        with serve(lambda ws: None) as server, Client(url_of(server)) as ws:
            assert ws.ready_state == ws.OPEN

    def test_ends_with_the_closing_handshake(self) -> None:
        with joined() as pair:
            peer = gevent.spawn(answer_close, pair.client)
            record = Record(pair.ws, ('close',))
            with pair.ws:
                pass
            assert pair.ws.ready_state == WebSocket.CLOSED
            assert [(event.code, event.was_clean) for event in record.events] == [(1000, True)]
            assert peer.get() == 1000

    @pytest.mark.proves('G6')
    @pytest.mark.parametrize(('error', 'told'), [
        (ValueError, ['error', 'close']), (gevent.Timeout, ['error', 'close']),
        (gevent.GreenletExit, ['close']), (KeyboardInterrupt, ['close'])])
    def test_closes_with_1011_after_an_exception(self, error: type[BaseException], told: list[str]) -> None:
        with joined() as pair:
            peer = gevent.spawn(answer_close, pair.client)
            record = Record(pair.ws, ('error', 'close'))
            with pytest.raises(error), pair.ws:
                raise error
            assert record.types == told
            assert peer.get() == record.events[-1].code == 1011

    @pytest.mark.proves('G6')
    @pytest.mark.parametrize('error', [ValueError, gevent.Timeout, gevent.GreenletExit])
    def test_closes_a_client_with_1011_after_an_exception(self, error: type[BaseException]) -> None:
        with serve(lambda ws: None) as server:
            with pytest.raises(error), Client(url_of(server)) as ws:
                raise error
            assert server.record.the_close().code == 1011
            assert ws.ready_state == ws.CLOSED

    @pytest.mark.proves('L3')
    def test_waits_no_longer_than_the_close_timeout(self) -> None:
        with joined(close_timeout=SHORT) as pair:
            began = time.monotonic()
            with pair.ws:
                pass
            assert SHORT <= time.monotonic() - began < 5
            assert pair.ws.ready_state == WebSocket.CLOSED

    def test_in_a_handler_of_its_own_does_not_wait_for_it(self) -> None:
        with joined(close_timeout=30) as pair:
            states: list[int] = []

            def handle(event: Any) -> None:
                with pair.ws:
                    pass
                states.append(pair.ws.ready_state)

            pair.ws.onmessage = handle
            _, client = pair.open()
            client.send(MESSAGE)
            assert client.receive_frame().code == 1000
            wait_until(lambda: states == [WebSocket.CLOSING])

    def test_may_be_entered_once_it_is_closed(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE)
            client.send_close()
            wait_until(lambda: ws.ready_state == ws.CLOSED)
            with ws:
                assert list(ws) == ['hello']


class TestWaitClosed:
    def test_waits_for_the_handler_of_close(self) -> None:
        with joined() as pair:
            trace: list[str] = []

            def handle(event: Any) -> None:
                gevent.sleep(SHORT)
                trace.append('closed')

            pair.ws.onclose = handle
            ws, client = pair.open()
            gevent.spawn_later(SHORT, client.close)
            assert ws.wait_closed(timeout=5) is True
            assert trace == ['closed']
            assert ws.wait_closed() is True

    def test_is_false_when_the_time_is_over(self) -> None:
        with joined() as pair:
            ws, _ = pair.open()
            assert ws.wait_closed(timeout=SHORT) is False
            assert ws.wait_closed(timeout=0) is False

    def test_makes_the_handshake(self) -> None:
        with joined() as pair:
            waiter = gevent.spawn(pair.ws.wait_closed)
            assert pair.client.receive_head().status == 101
            pair.client.close()
            assert waiter.get(timeout=5) is True

    def test_is_for_clients_too(self) -> None:
        ws = Client(unused_url())
        assert ws.wait_closed(timeout=5) is True

    def test_in_a_handler_of_the_socket_is_an_error(self, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            pair.ws.onmessage = lambda event: pair.ws.wait_closed()
            record = Record(pair.ws, ('error',))
            _, client = pair.open()
            client.send(MESSAGE)
            assert 'wait_closed: called in a handler of the socket' in record.wait('error').message
            assert client.receive_frame().code == 1011

    def test_in_a_handler_of_another_socket_waits(self) -> None:
        with joined() as pair, joined() as other:
            results: list[bool] = []
            pair.ws.onmessage = lambda event: results.append(other.ws.wait_closed(timeout=5))
            _, client = pair.open()
            _, other_client = other.open()
            client.send(MESSAGE)
            settle()
            other_client.close()
            wait_until(lambda: results == [True])


class TestView:
    """A view that makes the handshake itself, and does not return the socket."""

    def end(self, view: Callable[[WebSocket, Any], Any], caplog: pytest.LogCaptureFixture) -> tuple[Record, Any]:
        """Return the record of its socket, and its client, once it is closed."""
        records: list[Record] = []

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            ws = WebSocket(environ)
            records.append(Record(ws, ('error', 'close')))
            assert ws.receive(timeout=5) == 'hello'
            return view(ws, start_response)

        client = connect(app)
        client.send('hello')
        assert client.wait_closed(timeout=5)
        records[0].the_close()
        return records[0], client

    @pytest.mark.proves('G4')
    def test_that_raises_closes_with_1011(self, caplog: pytest.LogCaptureFixture) -> None:
        def view(ws: WebSocket, start_response: Any) -> Any:
            raise KeyError('mine')

        record, _ = self.end(view, caplog)
        assert record.types == ['error', 'close']
        assert isinstance(record.events[0].error, KeyError)
        assert (record.events[1].code, record.events[1].reason) == (1011, 'internal error')
        assert "failed: KeyError('mine') (its traceback, if any, is in the log of the server" in caplog.text

    @pytest.mark.proves('G4')
    def test_that_returns_another_response_closes_with_1011(self, caplog: pytest.LogCaptureFixture) -> None:
        def view(ws: WebSocket, start_response: Any) -> Any:
            start_response('200 OK', [('Content-Length', '2')])
            return [b'OK']

        record, _ = self.end(view, caplog)
        assert record.types == ['error', 'close']
        assert 'another response once the handshake was made: 200 OK' in record.events[0].message
        assert record.events[1].code == 1011
        assert 'the view gave another response once the handshake was made: 200 OK' in caplog.text

    @pytest.mark.proves('G4')
    def test_that_is_killed_closes_with_1011(self, caplog: pytest.LogCaptureFixture) -> None:
        def view(ws: WebSocket, start_response: Any) -> Any:
            raise gevent.GreenletExit

        record, _ = self.end(view, caplog)
        assert record.events[-1].code == 1011

    def test_that_returns_the_socket_leaves_it_open(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            ws = WebSocket(environ)
            assert ws.receive(timeout=5) == 'hello'
            ws.onmessage = lambda event: ws.send(event.data)
            return ws(environ, start_response)

        with connect(app) as client:
            client.send('hello')
            client.send('echo')
            assert client.receive(timeout=5) == 'echo'

    def test_may_answer_otherwise_once_the_socket_is_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            with WebSocket(environ) as ws:
                records.append(Record(ws, ('error', 'close')))
                ws.send(ws.receive(timeout=5) or '')
            start_response('200 OK', [])
            return [b'']

        records: list[Record] = []
        with connect(app) as client:
            client.send('hello')
            assert client.receive(timeout=5) == 'hello'
            assert client.receive(timeout=5) is None
        assert records[0].the_close().code == 1000
        assert records[0].types == ['close']
        assert caplog.text == ''

    @pytest.mark.proves('G6')
    def test_a_handler_of_the_middleware_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        records: list[Record] = []

        def handler(ws: WebSocket) -> None:
            records.append(Record(ws, ('error', 'close')))
            with gevent.Timeout(SHORT), ws:
                ws.receive()

        app = SocketMiddleware(lambda environ, start_response: [], {'/': handler})
        with pytest.raises(gevent.Timeout), connect(app) as client:
            assert client.receive(timeout=5) is None
            with pytest.raises(ConnectionClosed, match='1011'):
                client.receive()
        assert records[0].the_close().code == 1011
        assert records[0].types == ['error', 'close']
        assert isinstance(records[0].events[0].error, gevent.Timeout)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


#: The ends of a peer, and the code that they are answered with.
ENDS = [
    pytest.param(CLOSE, close_payload(1000), 1000, id='close'),
    pytest.param(3, b'', 1002, id='fault'),
    pytest.param(TEXT, b'\xff', 1007, id='bad text'),
]
BYE = serialize_frame(CLOSE, close_payload(1000))


def echo(ws: Any) -> list[Any]:
    """Send each message back, and return them."""
    received = []
    for message in ws:
        received.append(message)
        ws.send(message)
    return received


class TestMessagesBeforeTheEnd:
    """Messages that come in one read with a close frame or a fault."""

    @pytest.mark.proves('G1')
    @pytest.mark.parametrize(('opcode', 'payload', 'code'), ENDS)
    def test_are_answered_first(self, opcode: int, payload: bytes, code: int) -> None:
        with joined() as pair:
            ws, client = pair.open()
            echoing = gevent.spawn(echo, ws)
            settle()
            client.send(MESSAGE * 3 + serialize_frame(opcode, payload) + MESSAGE)
            *answers, close = client.receive_frames()
            assert answers == [Frame(TEXT, b'hello')] * 3
            assert close.code == code
            assert echoing.get(timeout=5) == ['hello'] * 3

    @pytest.mark.proves('G1')
    @pytest.mark.parametrize(('opcode', 'payload', 'code'), ENDS)
    def test_are_answered_first_by_a_client(self, opcode: int, payload: bytes, code: int) -> None:
        message = serialize_frame(TEXT, b'hello', masked=False)
        end = serialize_frame(opcode, payload, masked=False)
        answers = FrameParser(masked=True)

        def script(sock: Any, head: bytes) -> None:
            sock.sendall(acceptance(head) + message * 3 + end + message)
            answers.feed(read_to_eof(sock))

        with scripted(script) as server:
            with Client(server.url) as ws:
                assert echo(ws) == ['hello'] * 3
            frames = wait_until(lambda: list(iter(answers.next_frame, None)))
        assert [frame.payload for frame in frames[:3]] == [b'hello'] * 3
        assert frames[3].payload[:2] == close_payload(code)

    def test_are_answered_first_in_hixie_76(self) -> None:
        with joined(HIXIE_76) as pair:
            ws = pair.start()
            pair.client.send(HIXIE_76_BODY)
            pair.client.receive_head()
            assert pair.client.receive(16) == HIXIE_76_PROOF
            echoing = gevent.spawn(echo, ws)
            settle()
            pair.client.send(b'\0a\xff\0b\xff' + HIXIE_76_CLOSE)
            assert pair.client.read_to_eof() == b'\0a\xff\0b\xff' + HIXIE_76_CLOSE
            assert echoing.get(timeout=5) == ['a', 'b']

    def test_are_answered_first_though_more_came_than_may_wait(self) -> None:
        with joined(max_queue=4) as pair:
            ws, client = pair.open()
            echoing = gevent.spawn(echo, ws)
            settle()
            client.send(MESSAGE * 30 + BYE)
            *answers, close = client.receive_frames()
            assert answers == [Frame(TEXT, b'hello')] * 30
            assert close.code == 1000
            assert len(echoing.get(timeout=5)) == 30

    def test_are_answered_though_the_peer_sends_nothing_more(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws, ('error', 'close'))
            gevent.spawn(echo, ws)
            settle()
            client.send(MESSAGE * 3 + BYE)
            client.finish_sending()
            assert len(client.receive_frames()) == 4
            close = record.the_close()
            assert (close.code, close.was_clean, record.types) == (1000, True, ['close'])

    @pytest.mark.proves('G1')
    def test_are_answered_first_though_the_greenlet_lets_others_run(self) -> None:
        with joined() as pair:
            ws, client = pair.open()

            def work() -> None:
                while (message := ws.receive()) is not None:
                    ws.send(message)
                    gevent.sleep(0)

            gevent.spawn(work)
            settle()
            client.send(MESSAGE * 3 + BYE)
            assert [frame.payload for frame in client.receive_frames()[:3]] == [b'hello'] * 3

    @pytest.mark.proves('C3')
    def test_delay_no_close_while_the_greenlet_is_busy(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            is_done = gevent.event.Event()

            def work() -> list[Any]:
                first = ws.receive()
                is_done.wait()
                return [first, *echo(ws)]

            working = gevent.spawn(work)
            settle()
            client.send(MESSAGE * 3 + BYE)
            assert [frame.code for frame in client.receive_frames()] == [1000]
            is_done.set()
            assert working.get(timeout=5) == ['hello'] * 3

    @pytest.mark.proves('C3')
    def test_delay_no_close_that_nobody_waits_for(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            client.send(MESSAGE * 3 + BYE + MESSAGE)
            assert [frame.code for frame in client.receive_frames()] == [1000]
            assert echo(ws) == ['hello'] * 3

    def test_may_be_answered_by_a_close(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws, ('close',))
            gevent.spawn(lambda: (ws.receive(), ws.close(4000, 'enough')))
            settle()
            client.send(MESSAGE * 3 + BYE)
            assert [frame.code for frame in client.receive_frames()] == [4000]
            assert (record.the_close().code, record.the_close().was_clean) == (1000, True)

    def test_may_be_answered_by_giving_the_peer_up(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws, ('close',))
            gevent.spawn(lambda: (ws.receive(), ws._connection.abort('given up')))
            settle()
            client.send(MESSAGE * 3 + BYE)
            assert client.receive_frames() == []
            assert record.the_close().code == 1006


class TestMessagesBehindAClose:
    def test_are_not_delivered(self) -> None:
        with joined() as pair:
            messages: list[str] = []

            def handle(event: Any) -> None:
                messages.append(event.data)
                pair.ws.close()

            pair.ws.onmessage = handle
            _, client = pair.open()
            client.send(MESSAGE * 5)
            assert client.receive_frame().code == 1000
            client.send_close()
            Record(pair.ws, ('close',)).the_close()
            assert messages == ['hello']

    def test_that_another_greenlet_made_are_not_delivered(self) -> None:
        with joined() as pair:
            messages: list[str] = []

            def handle(event: Any) -> None:
                messages.append(event.data)
                gevent.sleep(SHORT)

            pair.ws.onmessage = handle
            ws, client = pair.open()
            client.send(MESSAGE)
            wait_until(lambda: messages)
            client.send(MESSAGE * 5)
            settle()
            ws.close()
            client.send_close()
            Record(ws, ('close',)).the_close()
            assert messages == ['hello']

    def test_of_the_peer_are_delivered(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            _, client = pair.open()
            client.send(MESSAGE * 3)
            client.send_close()
            record.the_close()
            assert record.messages == ['hello'] * 3

    def test_and_a_ping_of_ours_keeps_its_callback(self) -> None:
        with joined() as pair:
            calls: list[str] = []
            pair.ws.onmessage = lambda event: pair.ws.close()
            ws, client = pair.open()
            ws.ping('1', lambda: calls.append('pong'))
            frame = client.receive_frame()
            assert frame == Frame(PING, b'1')
            client.send(MESSAGE + serialize_frame(10, b'1') + MESSAGE)
            wait_until(lambda: calls)
