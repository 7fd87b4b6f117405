"""Metrics: each event of a socket is counted once, and nothing changes without
counters.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from faye_websocket import Client, EventSource, WebSocket, broadcast, metrics
from faye_websocket.eventsource.response_carrier import ResponseCarrier
from faye_websocket.io.connection import Connection
from faye_websocket.metrics import Counters
from tests.support.eventstream import ACCEPT
from tests.support.inside import carrier_of, connection_of
from tests.support.local import (
    Record,
    Response,
    joined,
    make_environ,
    reset,
    run_threads,
    serve,
    settle,
    wait_until,
)
from tests.support.processes import ROOT
from tests.support.scripted import answering, scripted, silent
from tests.support.wire import CLOSE, HIXIE_76, RFC_6455, TEXT, close_payload
from tests.unit.eventsource.test_response_carrier import new_source, opened, respond
from tests.unit.eventsource.test_source import joined as joined_source

KINDS = ('server', 'client', 'eventsource')
HIXIE_75 = (('Connection', 'Upgrade'), ('Upgrade', 'WebSocket'))


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counters]:
    """Counters at 0, for sockets that the test makes."""
    monkeypatch.setattr(metrics, '_counters', Counters())
    yield metrics.enable()
    metrics.disable()
    settle()


def counted(counters: Counters, kind: str) -> dict[str, Any]:
    """Return the counters of one kind that are not 0, without the bytes."""
    return {name: value for name, value in counters.snapshot()[kind].items() if value and not name.startswith('bytes')}


class TestDisabled:
    def test_sockets_have_the_connections_that_do_not_count(self) -> None:
        with joined() as pair, joined_source() as source:
            assert type(connection_of(pair.ws)) is Connection
            assert type(carrier_of(source.es)).__mro__[1] is Connection
            assert type(carrier_of(new_source())) is ResponseCarrier
            with serve() as server:
                client = Record(Client(f'ws://127.0.0.1:{server.wsgi.server_port}/'))  # type: ignore[arg-type]
                assert type(connection_of(client.ws)) is Connection
                client.wait('open')
                client.ws.close()
                client.the_close()

    def test_sockets_that_were_made_before_are_not_counted(self, counters: Counters) -> None:
        metrics.disable()
        with joined() as pair:
            assert metrics.enable() is counters
            pair.open()
            pair.ws.send('hi')
            with joined() as other:
                other.open()
                assert counted(counters, 'server') == {'opened': 1, 'open': 1}

    def test_sockets_that_were_counted_go_on(self, counters: Counters) -> None:
        with joined() as pair:
            metrics.disable()
            pair.open()
            assert counters.server.open == 1


class TestSnapshot:
    def test_has_every_counter_of_every_kind(self, counters: Counters) -> None:
        nothing = {'bytes_received': 0, 'bytes_sent': 0, 'closed': {}, 'dropped': 0, 'failed': 0, 'handler_errors': 0,
                   'messages_received': 0, 'messages_sent': 0, 'open': 0, 'opened': 0, 'refused': {}}
        assert counters.snapshot() == dict.fromkeys(KINDS, nothing)
        assert json.loads(json.dumps(counters.snapshot())) == counters.snapshot()
        assert repr(counters) == f'<Counters {counters.snapshot()}>'
        assert repr(counters.client) == f'<SocketCounters {counters.client.snapshot()}>'

    def test_does_not_change_later(self, counters: Counters) -> None:
        before = counters.snapshot()
        counters.server.closed[1000] += 1
        assert before['server']['closed'] == {}
        assert counters.server.closed[1001] == 0

    @pytest.mark.proves('H11')
    def test_a_forked_process_begins_at_0(self) -> None:
        program = """
import os
from faye_websocket import metrics
counters = metrics.enable()
counters.server.opened += 2
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
print(counters.server.opened, counters is metrics.enable(), flush=True)
"""
        result = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert (result.stdout, result.stderr) == ('0 True\n2 True\n', '')


class TestHandshake:
    def test_that_succeeds_is_an_open_socket(self, counters: Counters) -> None:
        with joined() as pair:
            assert counted(counters, 'server') == {}
            pair.open()
            assert counted(counters, 'server') == {'opened': 1, 'open': 1}

    @pytest.mark.proves('S1', 'S3')
    def test_that_is_refused_has_a_status(self, counters: Counters) -> None:
        with joined([*RFC_6455, ('Origin', 'https://bad.example')], allowed_origins='same-origin') as pair:
            pair.start_refused()
        with joined([*RFC_6455[:-1], ('Sec-WebSocket-Version', '99')]) as pair:
            pair.start_refused()
        assert counted(counters, 'server') == {'refused': {403: 1, 426: 1}}

    def test_that_gets_another_response_has_failed(self, counters: Counters) -> None:
        with joined() as pair:
            pair.ws(pair.environ, pair.response)
            pair.respond('HTTP/1.1 500 Internal Server Error\r\n\r\n')
            pair.sock.close()
            wait_until(lambda: counted(counters, 'server') == {'failed': 1})

    def test_that_is_left_by_the_peer_has_failed(self, counters: Counters) -> None:
        with joined(HIXIE_76) as pair:
            record = Record(pair.ws)
            pair.start()
            pair.client.close()
            record.the_close()
            assert counted(counters, 'server') == {'failed': 1}

    @pytest.mark.parametrize(('script', 'expected'), [
        (answering(b'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'), {'refused': {503: 1}}),
        (answering(b'HTTP/1.1 101 Switching Protocols\r\n\r\n'), {'failed': 1}), (silent, {'failed': 1})])
    def test_of_a_client_is_the_server_s_to_refuse(self, counters: Counters, script: Any, expected: Any) -> None:
        with scripted(script) as server:
            record = Record(Client(server.url, timeout=0.2))  # type: ignore[arg-type]
            record.the_close()
            assert counted(counters, 'client') == expected

    def test_of_a_client_without_a_server_has_failed(self, counters: Counters) -> None:
        record = Record(Client('ws://127.0.0.1:1/'))  # type: ignore[arg-type]
        record.the_close()
        assert counted(counters, 'client') == {'failed': 1}

    @pytest.mark.parametrize('headers', [RFC_6455, HIXIE_75], ids=['hybi', 'hixie'])
    def test_of_a_socket_that_is_closed_already_has_succeeded(self, counters: Counters, headers: Any) -> None:
        with joined(headers) as pair:
            record = Record(pair.ws)
            pair.ws.close()
            pair.start()
            pair.client.receive_head()
            if headers is RFC_6455:
                pair.client.send_close(1000)
            code = record.the_close().code
            assert counted(counters, 'server') == {'opened': 1, 'closed': {code: 1}}


class TestClose:
    @pytest.mark.proves('L4')
    @pytest.mark.parametrize('code', [1000, 4321])
    def test_has_the_code_of_the_event(self, counters: Counters, code: int) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws)
            client.send_close(code)
            assert record.the_close().code == code
            assert counted(counters, 'server') == {'opened': 1, 'closed': {code: 1}}

    def test_is_counted_when_its_handlers_run(self, counters: Counters) -> None:
        with joined() as pair:
            ws, client = pair.open()
            seen: list[int] = []
            ws.onclose = lambda event: seen.append(counters.server.open)
            client.send_close(1000)
            assert wait_until(lambda: seen) == [0]

    @pytest.mark.proves('L2')
    @pytest.mark.threads
    def test_is_counted_once(self, counters: Counters) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws)
            run_threads(*[ws.close] * 4)
            client.send_close(1000)
            reset(client)
            record.the_close()
            assert counted(counters, 'server') == {'opened': 1, 'closed': {record.the_close().code: 1}}

    def test_is_counted_at_both_ends(self, counters: Counters) -> None:
        with serve(lambda ws: ws.on('message', lambda event: ws.send(event.data))) as server:
            record = Record(Client(f'ws://127.0.0.1:{server.wsgi.server_port}/'))  # type: ignore[arg-type]
            record.ws.send('early')
            record.wait('message')
            expected = {'opened': 1, 'open': 1, 'messages_received': 1, 'messages_sent': 1}
            assert counted(counters, 'client') == counted(counters, 'server') == expected
            record.ws.close()
            record.the_close()
            server.record.the_close()
            assert counters.client.closed == counters.server.closed == {1000: 1}
            assert counters.client.open == counters.server.open == 0


class TestMessages:
    def test_are_those_that_the_application_gets(self, counters: Counters) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws)
            client.send_frame(TEXT, b'one')
            record.wait('message')
            ws.close()
            client.send_frame(TEXT, b'late')
            client.send_frame(CLOSE, close_payload(1000))
            record.the_close()
            assert record.messages == ['one'] and counters.server.messages_received == 1

    @pytest.mark.proves('L6')
    def test_are_those_that_send_took(self, counters: Counters) -> None:
        with joined() as pair:
            assert pair.ws.send('early')
            ws, client = pair.open()
            assert ws.send('now') and ws.send(b'binary')
            ws.close()
            assert not ws.send('late')
            assert [client.receive_frame().payload for _ in range(3)] == [b'early', b'now', b'binary']
            assert counters.server.messages_sent == 3

    @pytest.mark.proves('C1')
    @pytest.mark.threads
    def test_of_other_threads_are_counted_exactly(self, counters: Counters) -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with joined() as pair:
                ws, client = pair.open()
                reader = gevent.spawn(client.receive_messages, 2000)
                run_threads(*[lambda: [ws.send('hi') for _ in range(500)]] * 4)
                assert len(reader.get(timeout=10)) == counters.server.messages_sent == 2000
        finally:
            sys.setswitchinterval(interval)

    @pytest.mark.parametrize('headers', [RFC_6455, HIXIE_76], ids=['open', 'waiting'])
    def test_that_are_broadcast_count_for_each_socket_that_takes_them(self, counters: Counters, headers: Any) -> None:
        with joined() as one, joined(headers) as two, joined() as closing:
            for pair in (one, two, closing):
                pair.start()
            closing.ws.close()
            sockets = [one.ws, two.ws, closing.ws]
            assert broadcast(sockets, 'hi') == 2
            assert counters.server.messages_sent == 2
            run_threads(lambda: broadcast(sockets, 'hi'))
            assert counters.server.messages_sent == 4

    def test_that_a_version_does_not_have_do_not_count(self, counters: Counters) -> None:
        with joined(HIXIE_75) as pair:
            ws, _ = pair.open()
            assert broadcast([ws], b'binary') == 0 and not ws.send(b'binary')
            assert (counters.server.messages_sent, counters.server.dropped) == (0, 0)

    @pytest.mark.proves('B1')
    @pytest.mark.parametrize('in_thread', [False, True])
    @pytest.mark.parametrize(('overflow', 'dropped'), [('drop', 1), ('close', 0)])
    def test_that_are_dropped(self, counters: Counters, in_thread: bool, overflow: str, dropped: int) -> None:
        with joined(buffer_size=4096, max_buffered=1_500_000, overflow=overflow) as pair:
            ws, _ = pair.open()
            answers = [ws.send(bytes(1_000_000))]

            def send() -> None:
                answers.append(ws.send(bytes(1_000_000)))
            run_threads(send) if in_thread else send()
            settle()
            assert answers == [True, False]
            assert (counters.server.messages_sent, counters.server.dropped) == (1, dropped)
            assert counters.server.closed == ({} if dropped else {1013: 1})


class TestBytes:
    def test_are_those_of_the_wire(self, counters: Counters) -> None:
        with joined() as pair:
            pair.start()
            head = pair.client.receive(counters.server.bytes_sent)
            assert head.endswith(b'\r\n\r\n')
            pair.client.send_frame(TEXT, b'hello')
            assert pair.ws.receive() == 'hello'
            assert counters.server.bytes_received == 6 + 5
            pair.ws.send('h\u00e9')
            pair.ws.ping()
            wait_until(lambda: counters.server.bytes_sent == len(head) + 2 + 3 + 2)

    @pytest.mark.proves('H4')
    def test_behind_the_handshake_in_one_segment_count(self, counters: Counters) -> None:
        frame = bytes((0x81, 0x82, 0, 0, 0, 0)) + b'hi'
        with serve() as server:
            server.open(extra_bytes=frame)
            assert server.record.wait('message').data == 'hi'
            assert counters.server.bytes_received == len(frame)

    def test_count_when_the_kernel_has_taken_them(self, counters: Counters) -> None:
        with joined(buffer_size=4096) as pair:
            ws, client = pair.open()
            head = counters.server.bytes_sent
            ws.send(bytes(1_000_000))
            frame = 10 + 1_000_000
            assert counters.server.bytes_sent - head == frame - ws.buffered_amount < frame
            assert client.receive_messages(1) == [bytes(1_000_000)]
            assert counters.server.bytes_sent - head == frame

    def test_go_on_over_tls(self, counters: Counters) -> None:
        with serve(lambda ws: ws.on('message', lambda event: ws.send(event.data)), tls=True) as server:
            client = server.open()
            client.send_frame(TEXT, b'hello')
            assert client.receive_frame().payload == b'hello'
            assert counters.server.bytes_received == 6 + 5


class TestHandlers:
    @pytest.mark.proves('C2')
    def test_that_raise_are_counted(self, counters: Counters, caplog: pytest.LogCaptureFixture) -> None:
        with joined() as pair:
            ws, client = pair.open()
            record = Record(ws)
            ws.on('message', lambda event: 1 // 0)
            client.send_frame(TEXT, b'hi')
            client.receive_frame()
            client.send_close(1011)
            record.the_close()
            assert (counters.server.handler_errors, counters.server.closed) == (1, {1011: 1})
            assert len(caplog.records) == 1


class TestEventSource:
    """With the server's socket."""

    def test_counts_its_events(self, counters: Counters) -> None:
        with joined_source() as pair:
            assert pair.es.send('early')
            es, client = pair.open()
            es.ping()
            client.receive_event()
            expected = {'opened': 1, 'open': 1, 'messages_sent': 1}
            assert counted(counters, 'eventsource') == expected
            assert counters.eventsource.bytes_sent > len(b'data: early\r\n\r\n')
            es.close()
            settle()
            assert counted(counters, 'eventsource') == {'opened': 1, 'closed': {1000: 1}, 'messages_sent': 1}

    def test_that_is_closed_before_the_response_was_open(self, counters: Counters) -> None:
        with joined_source() as pair:
            pair.es.send('all')
            pair.es.close()
            pair.open()
            assert counted(counters, 'eventsource') == {'opened': 1, 'closed': {1000: 1}, 'messages_sent': 1}

    def test_that_gets_another_response_has_failed(self, counters: Counters) -> None:
        with joined_source() as pair:
            pair.start('500 Internal Server Error')
            assert counted(counters, 'eventsource') == {'failed': 1}


class TestStreaming:
    """With the iterable of the response."""

    def test_counts_its_events(self, counters: Counters) -> None:
        es, response = opened()
        assert es.send('one')
        sent = len(b'retry: 5000\r\n') + len(next(response))
        assert counted(counters, 'eventsource') == {'opened': 1, 'open': 1, 'messages_sent': 1}
        es.close()
        assert not es.send('late')
        assert list(response) == []
        response.close()
        assert counted(counters, 'eventsource') == {'opened': 1, 'closed': {1000: 1}, 'messages_sent': 1}
        assert counters.eventsource.bytes_sent == sent

    def test_that_is_never_pulled_has_failed(self, counters: Counters) -> None:
        respond(new_source()).close()
        assert counted(counters, 'eventsource') == {'failed': 1}

    def test_that_is_closed_before_it_is_pulled(self, counters: Counters) -> None:
        es = new_source()
        es.close()
        assert len(list(respond(es))) == 1
        assert counted(counters, 'eventsource') == {'opened': 1, 'closed': {1000: 1}}

    def test_that_drops(self, counters: Counters) -> None:
        es, response = opened(max_buffered=100, overflow='drop')
        assert es.send('x' * 90) and not es.send('x' * 90)
        response.close()
        assert counted(counters, 'eventsource') == {
            'opened': 1, 'closed': {1006: 1}, 'messages_sent': 1, 'dropped': 1}

    def test_whose_handler_raises(self, counters: Counters, caplog: pytest.LogCaptureFixture) -> None:
        es = new_source()
        es.onopen = lambda event: 1 // 0
        assert len(list(respond(es))) == 1
        assert counted(counters, 'eventsource') == {'opened': 1, 'closed': {1011: 1}, 'handler_errors': 1}
        assert len(caplog.records) == 1


def test_sockets_of_a_user_s_own_class_count_too(counters: Counters) -> None:
    class Mine(WebSocket):
        pass

    class MySource(EventSource):
        pass

    assert isinstance(connection_of(Mine(make_environ())), metrics._ServerConnection)
    es = MySource(make_environ(None, ACCEPT))
    respond(es)
    es.wsgi_response(Response())
    assert isinstance(carrier_of(es), metrics._CountedResponseCarrier)
