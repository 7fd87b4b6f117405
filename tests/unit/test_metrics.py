"""Metrics: each event of a socket is counted once, and nothing changes without
counters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from faye_websocket import Client, EventSource, WebSocket, broadcast, metrics
from faye_websocket.eventsource.response_carrier import ResponseCarrier
from faye_websocket.io.connection import Connection
from faye_websocket.metrics import LIVES, Counters, SocketCounters
from faye_websocket.metrics import counted as counted_module
from faye_websocket.metrics import shared as shared_module
from faye_websocket.testing import connect
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
    monkeypatch.setattr(counted_module, '_counters', Counters())
    yield metrics.enable()
    metrics.disable()
    settle()


def counted(counters: Counters, kind: str) -> dict[str, Any]:
    """Return the counters of one kind that are not 0, without the bytes."""
    values = counters.snapshot()[kind]
    assert sum(values.pop('lives')) == sum(values['closed'].values())
    return {name: value for name, value in values.items() if value and not name.startswith(('bytes', 'lived'))}


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
                   'lived': 0.0, 'lives': [0] * len(LIVES),
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


class TestLives:
    def test_are_counted_by_their_length(self, counters: Counters) -> None:
        for seconds in (0.5, 1, 1.5, 59, 1e9):
            counters.server.count_closed(1000, seconds)
        assert list(counters.server.lives) == [2, 1, 0, 1, 0, 0, 0, 0, 0, 1]
        assert counters.server.lived == 0.5 + 1 + 1.5 + 59 + 1e9

    def test_are_the_time_between_open_and_close(
        self, counters: Counters, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with joined() as pair:
            ws, client = pair.open()
            began = time.monotonic()
            monkeypatch.setattr('faye_websocket.metrics.counted.time.monotonic', lambda: began + 100)
            Record(ws)
            client.send_close(1000)
            wait_until(lambda: counters.server.closed)
        assert counters.server.lives[LIVES.index(300)] == 1
        assert 99 < counters.server.lived < 101


class TestPaths:
    @pytest.fixture
    def by_path(self, counters: Counters) -> Counters:
        return metrics.enable(by_path=True)

    def app(self, environ: dict[str, Any], start_response: Any) -> Any:
        return WebSocket(environ)(environ, start_response)

    def test_have_counters_of_their_own(self, by_path: Counters) -> None:
        for path in ('/a?b', '/a', '/b%20c', '/'):
            connect(self.app, path)
        for kind in ('client', 'server'):
            opened = {path: block.opened for each, path, block in by_path.blocks() if each == kind}
            assert opened == {'/a': 2, '/b c': 1, '/': 1}
        assert by_path.server.opened == by_path.total()['server']['opened'] == 4

    def test_of_event_sources_too(self, by_path: Counters) -> None:
        EventSource(make_environ(None, ACCEPT, PATH_INFO='/events'))
        EventSource(make_environ(None, ACCEPT, SCRIPT_NAME='/app', PATH_INFO='/stream', SERVER_PROTOCOL='HTTP/2'))
        assert [each[:2] for each in by_path.blocks()] == [('eventsource', '/events'), ('eventsource', '/app/stream')]

    def test_have_the_labels_of_a_function(self, counters: Counters) -> None:
        metrics.enable(by_path=lambda path: path.split('/')[1])
        for path in ('/room/1', '/room/2'):
            WebSocket(make_environ(PATH_INFO=path))
        assert [each[:2] for each in counters.blocks()] == [('server', 'room')]

    def test_are_in_every_series_of_the_page(self, counters: Counters) -> None:
        def series() -> set[str]:
            return {line.partition(' ')[0] for line in metrics.exposition().splitlines() if 'open{' in line}

        assert series() == {f'websocket_open{{kind="{kind}"}}' for kind in KINDS}
        connect(self.app, '/early').close()
        metrics.enable(by_path=True)
        early = {f'websocket_open{{kind="{kind}",path="other"}}' for kind in ('client', 'server')}
        assert series() == early
        # It makes counters that have no path.
        counters.snapshot()
        connect(self.app, '/a').close()
        paths = {f'websocket_open{{kind="{kind}",path="/a"}}' for kind in ('client', 'server')}
        assert series() == early | paths
        metrics.enable()
        assert series() == early | paths

    def test_are_no_more_than_64(self, by_path: Counters) -> None:
        by_path.find('server')
        blocks = [by_path.find('server', f'/{number}') for number in range(66)]
        assert len({id(block) for block in blocks}) == 65
        assert blocks[-1] is blocks[-2] is by_path.find('server', 'other')
        assert by_path.find('server', '/1') is blocks[1]
        assert by_path.find('client', '/new') is by_path.find('client', '/new')


class TestShared:
    """Counters of several processes, which are here played by forked children."""

    @pytest.fixture
    def shared(self, monkeypatch: pytest.MonkeyPatch) -> Counters:
        counters = Counters()
        monkeypatch.setattr(counted_module, '_counters', counters)
        metrics.share()
        assert counters.is_shared
        return counters

    def child(self, counters: Counters, work: Callable[[Counters], object]) -> None:
        """Run a function in a process that then ends without a word."""
        child = os.fork()
        if not child:
            try:
                work(counters)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    def test_are_shared_too_late_in_a_worker_of_gunicorn(
            self, shared: Counters, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        scope: dict[str, Any] = {'__name__': 'gunicorn.workers.base', 'share': metrics.share}
        exec('def load_wsgi(self):\n    share()', scope)
        scope['load_wsgi'](self)
        assert not caplog.records
        monkeypatch.setattr(shared, '_shared', None)
        scope['load_wsgi'](self)
        assert shared.is_shared
        [record] = caplog.records
        assert record.levelname == 'WARNING' and 'call it in gunicorn.conf.py, or set preload_app' in record.message

    def test_may_be_shared_twice(self, shared: Counters) -> None:
        shared.server.opened += 1
        metrics.share()
        assert shared.total()['server']['opened'] == 1

    def test_count_as_others_do(self, shared: Counters) -> None:
        server = shared.server
        assert server.snapshot() == SocketCounters().snapshot()
        server.opened += 2
        server.bytes_sent += 2**40
        server.count_closed(4321, 2.5)
        server.count_closed(4321, 0.5)
        server.count_refused(403)
        assert (server.closed, server.refused, len(server.closed), server.open) == ({4321: 2}, {403: 1}, 1, 0)
        assert server.snapshot() == shared.total()['server'] == shared.snapshot()['server']
        assert (server.lived, server.lives[0], server.lives[1], server.bytes_sent) == (3, 1, 1, 2**40)
        with pytest.raises(TypeError):
            del server.closed[4321]

    @pytest.mark.proves('V5')
    def test_are_added_up_over_processes(self, shared: Counters) -> None:
        def work(counters: Counters) -> None:
            assert counters.server.opened == 0
            counters.server.opened += 2
            counters.server.count_closed(1000, 0)
            assert counters.total()['server']['open'] == 2

        shared.server.opened += 1
        self.child(shared, work)
        total = shared.total()['server']
        assert (total['opened'], total['open'], total['closed']) == (3, 1, {1000: 1, 1006: 1})
        assert (total['lives'][0], shared.server.opened) == (1, 1)

    @pytest.mark.proves('V5')
    def test_of_many_that_have_ended_take_no_more_room(self, shared: Counters) -> None:
        def work(counters: Counters) -> None:
            counters.find('server', '/a').messages_sent += 1
            counters.find('client', '').messages_sent += 1

        for _ in range(5):
            self.child(shared, work)
        memory = shared._shared._memory
        # Each has taken the place of the one before.
        assert [seat for seat, used in enumerate(memory.used) if used] == [0, 1]
        assert shared.total()['client']['messages_sent'] == shared.total()['server']['messages_sent'] == 5
        assert [seat for seat, used in enumerate(memory.used) if used] == [0]

    @pytest.mark.proves('V5')
    def test_of_a_process_that_lives_are_its_own(self, shared: Counters) -> None:
        (answer, tell), (stay, leave) = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.close(leave)
            shared.server.opened += 1
            os.write(tell, b'x')
            os.read(stay, 1)
            os._exit(0)
        assert os.read(answer, 1) == b'x'
        shared.client.opened += 1
        assert (shared.total()['server']['open'], shared.total()['client']['open']) == (1, 1)
        for descriptor in (answer, tell, stay, leave):
            os.close(descriptor)
        os.waitpid(child, 0)
        assert (shared.total()['server']['open'], shared.total()['client']['open']) == (0, 1)

    def test_begin_at_0_after_a_fork(self, shared: Counters) -> None:
        shared.server.opened += 1
        shared._begin()
        assert (shared.server.opened, shared.total()['server']['opened']) == (0, 1)

    def test_keep_their_paths_up_to_64(self, shared: Counters) -> None:
        def work(first: int) -> Callable[[Counters], None]:
            def count(counters: Counters) -> None:
                for number in range(first, first + 50):
                    counters.find('server', f'/{number}').opened += 1
            return count

        for first in (0, 50, 100):
            self.child(shared, work(first))
        paths = {path: block.opened for _, path, block in shared.blocks()}
        assert len(paths) == 66 and paths['/0'] == 1 and paths['other'] == 85

    def test_have_rows_for_40_codes(self, shared: Counters) -> None:
        for code in range(3000, 3100):
            shared.server.count_closed(code, 0)
        assert (len(shared.server.closed), shared.server.closed[0], shared.server.closed[3001]) == (40, 61, 1)
        assert 'code="other"} 61\n' in metrics.exposition()

    def test_of_a_process_without_a_seat_are_its_own(
        self, shared: Counters, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(shared_module, '_SEATS', 1)
        shared.server.opened += 1
        assert isinstance(shared.server, SocketCounters)
        assert shared.total()['server']['opened'] == 1
        assert 'too many workers' in caplog.text

    def test_lie_in_a_file_where_there_are_none_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, 'memfd_create', raising=False)
        shared = shared_module.Shared()
        block = shared.new('server', '')
        assert block is not None
        block.opened += 1
        assert [each[2].opened for each in shared.blocks()] == [1]

    def test_long_paths_are_cut(self, shared: Counters) -> None:
        shared.find('server', 'é' * 200).opened += 1
        [(_, path, _)] = shared.blocks()
        assert path == 'é' * 99 + '�'


class TestExposition:
    def samples(self, text: str) -> dict[str, float]:
        return {name: float(value) for line in text.splitlines() if line[0] != '#' for name, value in [line.rsplit(' ', 1)]}

    def test_is_a_page(self, counters: Counters) -> None:
        response = Response()
        body = b''.join(metrics.prometheus({}, response))
        assert body.decode() == metrics.exposition()
        assert response.status == '200 OK'
        assert dict(response.headers)['Content-Type'].startswith('text/plain; version=0.0.4')

    def test_has_every_counter_and_a_histogram(self, counters: Counters) -> None:
        counters.server.opened += 2
        counters.server.count_closed(1000, 2)
        counters.client.count_refused(403)
        samples = self.samples(metrics.exposition())
        for name, value in {
            'open{kind="server"}': 1, 'open{kind="eventsource"}': 0, 'opened_total{kind="server"}': 2,
            'closed_total{kind="server",code="1000"}': 1, 'refused_total{kind="client",status="403"}': 1,
            'life_seconds_bucket{kind="server",le="1"}': 0, 'life_seconds_bucket{kind="server",le="5"}': 1,
            'life_seconds_bucket{kind="server",le="+Inf"}': 1, 'life_seconds_sum{kind="server"}': 2,
            'life_seconds_count{kind="server"}': 1,
        }.items():
            assert samples[f'websocket_{name}'] == value

    def test_is_what_prometheus_reads(self, counters: Counters) -> None:
        parser = pytest.importorskip('prometheus_client.parser')
        counters.find('server', '/a "b"\\\n').opened += 1
        [family] = [each for each in parser.text_string_to_metric_families(metrics.exposition())
                    if each.name == 'websocket_opened']
        assert family.type == 'counter'
        assert {each.labels.get('path'): each.value for each in family.samples if each.labels['kind'] == 'server'} == {
            '/a "b"\\\n': 1}


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

    assert isinstance(connection_of(Mine(make_environ())), counted_module._ServerConnection)
    es = MySource(make_environ(None, ACCEPT))
    respond(es)
    es.wsgi_response(Response())
    assert isinstance(carrier_of(es), counted_module._CountedResponseCarrier)
