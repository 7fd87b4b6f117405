"""The Prometheus example, and counters across a fork."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.integration.test_framework_examples import every_server, opened, running
from tests.support.processes import Endpoint
from tests.support.programs import require_module
from tests.support.servers import serve
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import CLOSE, RFC_6455, TEXT, Frame, RawClient, close_payload, http_get

Samples = dict[tuple[str, ...], float]


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
    """Return the samples that have changed."""
    return {name: value - before.get(name, 0) for name, value in scrape(endpoint).items() if value != before.get(name, 0)}


@every_server
def test_the_example_exports_the_counters_of_its_sockets(tmp_path: Path, server: str) -> None:
    with running('metrics.py', server, tmp_path, 'prometheus_client') as endpoint:
        before = scrape(endpoint)
        assert len([name for name in before if name[1] == 'server']) == 9 and not any(before.values())
        with opened(endpoint, '/') as client:
            for number in range(3):
                client.send_frame(TEXT, b'%d' % number)
                assert client.receive_frame() == Frame(TEXT, b'%d' % number)
            during = grown(endpoint, before)
            # A frame's header has two bytes, and a client's has four more for its
            # masking key.
            assert during.pop(('websocket_received_bytes_total', 'server')) == 3 * (2 + 4 + 1)
            assert during.pop(('websocket_sent_bytes_total', 'server')) > 3 * (2 + 1)
            assert during == {
                ('websocket_open', 'server'): 1, ('websocket_opened_total', 'server'): 1,
                ('websocket_received_messages_total', 'server'): 3, ('websocket_sent_messages_total', 'server'): 3}
        with RawClient(endpoint, '/', [*RFC_6455[:-1], ('Sec-WebSocket-Version', '99')]) as client:
            assert client.handshake().status == 426
        wait_until(lambda: not scrape(endpoint)['websocket_open', 'server'], 'the close')
        after = grown(endpoint, before)
        assert after['websocket_closed_total', 'server', '1000'] == after['websocket_refused_total', 'server', '426'] == 1
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
