"""One page of metrics, for all workers of a server."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

from tests.integration.test_framework_examples import every_server, opened, running
from tests.support.processes import ROOT, Endpoint
from tests.support.programs import require_module
from tests.support.servers import Server, serve
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import CLOSE, RFC_6455, TEXT, Frame, RawClient, close_payload, http_get

Samples = dict[tuple[str, ...], float]

every_worker = pytest.mark.parametrize('kind', ['gevent', 'gevent_pywsgi'])


def scrape(endpoint: Endpoint) -> Samples:
    """Return the values of our samples by name, kind and other labels."""
    require_module('prometheus_client', 'pip install faye-websocket[test]')
    from prometheus_client.parser import text_string_to_metric_families

    with urlopen(f'{endpoint.http_url}/metrics', timeout=DEADLINE) as response:
        assert response.headers.get_content_type() == 'text/plain'
        body = response.read()
    return {(sample.name, sample.labels.pop('kind'), *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body.decode()) if family.name.startswith('websocket_')
            for sample in family.samples}


def grown(endpoint: Endpoint, before: Samples) -> Samples:
    """Return the samples that have changed, without the bytes that were sent."""
    return {name: value - before.get(name, 0) for name, value in scrape(endpoint).items()
            if value != before.get(name, 0) and 'sent_bytes' not in name[0]}


@every_server
def test_the_example_exports_the_counters_of_its_sockets(tmp_path: Path, server: str) -> None:
    with running('metrics.py', server, tmp_path, 'prometheus_client') as endpoint:
        before = scrape(endpoint)
        assert {name[1] for name in before} == {'server', 'client', 'eventsource'} and not any(before.values())
        with opened(endpoint, '/') as client:
            for number in range(3):
                client.send_frame(TEXT, b'%d' % number)
                assert client.receive_frame() == Frame(TEXT, b'%d' % number)
            # A frame's header has two bytes, and a client's has four more for its
            # masking key.
            assert grown(endpoint, before) == {
                ('websocket_open', 'server'): 1, ('websocket_opened_total', 'server'): 1,
                ('websocket_received_messages_total', 'server'): 3, ('websocket_sent_messages_total', 'server'): 3,
                ('websocket_received_bytes_total', 'server'): 3 * (2 + 4 + 1)}
        with RawClient(endpoint, '/', [*RFC_6455[:-1], ('Sec-WebSocket-Version', '99')]) as client:
            assert client.handshake().status == 426
        wait_until(lambda: not scrape(endpoint)['websocket_open', 'server'], 'the close')
        after = grown(endpoint, before)
        assert after['websocket_closed_total', 'server', '1000'] == after['websocket_refused_total', 'server', '426'] == 1
        assert after['websocket_life_seconds_count', 'server'] == 1
        assert http_get(endpoint, '/other')[0].status == 404


@pytest.mark.proves('H11')
def test_a_worker_forked_from_a_loaded_application_counts(tmp_path: Path) -> None:
    require_module('prometheus_client', 'pip install faye-websocket[test]')
    with serve('gevent', 'examples.metrics:app', tmp_path=tmp_path, options=['--preload']) as server:
        for count in (1, 2):
            with RawClient(server, '/', RFC_6455) as client:
                assert client.handshake().status == 101
                assert scrape(server)['websocket_open', 'server'] == 1
                client.send_close(1000)
                assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
                assert client.read_to_eof() == b''
            assert scrape(server)['websocket_closed_total', 'server', '1000'] == count


class Opened(NamedTuple):
    """A client, and the worker that it has come to."""

    client: RawClient
    worker: int


class Crowd:
    """Sockets of several workers."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.server = server
        self.stack = stack
        self.opened: list[Opened] = []

    def open(self, path: str = '/a') -> Opened:
        client = self.stack.enter_context(RawClient(self.server, path, RFC_6455))
        assert client.handshake().status == 101
        self.opened.append(Opened(client, int(client.receive_frame().payload)))
        return self.opened[-1]

    def spread(self) -> list[int]:
        """Open sockets until two workers have some, and return the workers."""
        workers: set[int] = set()
        wait_until(lambda: workers.add(self.open().worker) or len(workers) == 2, 'a socket at each worker')
        return sorted(workers)

    def close(self, of: Opened) -> None:
        of.client.send_close(1000)
        assert of.client.receive_frame() == Frame(CLOSE, close_payload(1000))
        of.client.close()

    def assert_counts(self, label: str, **expected: float) -> None:
        """Wait until the counters are these, and ask until each worker has said so."""
        names = {'open': ('websocket_open', 'server', label), 'opened': ('websocket_opened_total', 'server', label),
                 'lives': ('websocket_life_seconds_count', 'server', label),
                 'sent': ('websocket_sent_messages_total', 'server', label),
                 **{f'closed_{code}': ('websocket_closed_total', 'server', label, str(code)) for code in (1000, 1006)}}
        seen: list[dict[str, float]] = []

        def is_right() -> bool:
            samples = scrape(self.server)
            seen.append({name: samples.get(names[name], 0) for name in expected})
            return seen[-1] == expected

        try:
            wait_until(is_right, 'the counts')
        finally:
            # Whichever worker is asked.
            assert all(is_right() for _ in range(8)), (expected, seen[-8:])


@contextmanager
def crowd(kind: str, tmp_path: Path, options: Sequence[str] = ('-c', 'examples/gunicorn_conf.py'),
          env: dict[str, str] | None = None) -> Iterator[Crowd]:
    """Run two workers that share their counters."""
    options = ['--workers', '2', *options]
    with serve(kind, 'tests.support.metrics_app:app', tmp_path=tmp_path, options=options, env=env) as server:
        with ExitStack() as stack:
            sockets = Crowd(server, stack)
            yield sockets
            # gunicorn's workers do not hear of a stop while they start.
            sockets.spread()
        assert 'Warning' not in server.process.output()


class TestTwoWorkers:
    @pytest.mark.proves('V5')
    @every_worker
    def test_have_one_page_with_their_sums_also_when_one_is_killed(self, tmp_path: Path, kind: str) -> None:
        with crowd(kind, tmp_path) as sockets:
            victim, _ = sockets.spread()
            total = len(sockets.opened)
            sockets.assert_counts('a', open=total, opened=total, sent=total)
            lost = sum(each.worker == victim for each in sockets.opened)
            os.kill(victim, signal.SIGKILL)
            # The other one, and the one that takes its place, count on.
            sockets.assert_counts('a', open=total - lost, opened=total, sent=total, closed_1006=lost)
            survivor = next(each for each in sockets.opened if each.worker != victim)
            sockets.close(survivor)
            sockets.open('/b')
            sockets.assert_counts('a', open=total - lost - 1, opened=total, closed_1006=lost, closed_1000=1, lives=1)
            sockets.assert_counts('b', open=1, opened=1)

    @pytest.mark.proves('V5')
    def test_keep_their_sums_over_a_reload_and_no_longer_than_their_master(self, tmp_path: Path) -> None:
        with crowd('gevent', tmp_path) as sockets:
            sockets.spread()
            for _ in range(2):
                total = len(sockets.opened)
                os.kill(sockets.server.pid, signal.SIGHUP)
                sockets.assert_counts('a', open=0, opened=total, lives=total)
                sockets.spread()
        with crowd('gevent', tmp_path) as sockets:
            sockets.assert_counts('a', open=0, opened=0)

    @pytest.mark.proves('V5')
    def test_that_are_forked_from_a_loaded_application_share_too(self, tmp_path: Path) -> None:
        with crowd('gevent', tmp_path, ['--preload', '--max-requests', '50'], {'SHARE': '1'}) as sockets:
            sockets.spread()
            total = len(sockets.opened)
            sockets.assert_counts('a', open=total, opened=total)
            # Each page is a request, after fifty of which there are other workers.
            wait_until(lambda: not scrape(sockets.server)['websocket_open', 'server', 'a'], 'other workers')
            sockets.assert_counts('a', open=0, opened=total, lives=total)


def test_the_statsd_example_sends_what_all_workers_have_counted(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(('127.0.0.1', 0))
        statsd.settimeout(DEADLINE)
        text = (ROOT / 'examples/deploy/statsd_conf.py').read_text()
        conf = tmp_path / 'conf.py'
        conf.write_text(text.replace('8125', str(statsd.getsockname()[1])).replace('SECONDS = 10', 'SECONDS = 0.1'))
        sent: dict[str, list[float]] = {}

        def receive(*needed: str) -> bool:
            name, _, value = statsd.recv(1500).decode().partition(':')
            sent.setdefault(name.removeprefix('shop.websocket.server.'), []).append(float(value.partition('|')[0]))
            return all(name in sent for name in needed)

        with crowd('gevent', tmp_path, ['-c', str(conf)]) as sockets:
            sockets.spread()
            total = len(sockets.opened)
            wait_until(lambda: receive('open') and sum(sent.get('opened', ())) == total, 'the counts')
            wait_until(lambda: receive() and sent['open'][-1] == total, 'the gauge')
            assert sum(sent['messages_sent']) == total
            sockets.opened[0].client.send_frame(TEXT, b'hello')
            wait_until(lambda: receive('messages_received'), 'the message')
        # The last report is sent at the end of the worker, behind that of its sockets.
        total = len(sockets.opened)
        wait_until(lambda: receive() and sum(sent['opened']) == total, 'the counts at the end')
        wait_until(lambda: not sent['open'][-1] or receive() and False, 'the gauge at the end')
