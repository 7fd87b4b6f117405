"""Event sources under real servers, behind real proxies and in real middleware."""

from __future__ import annotations

import importlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.certificates import session_certificate
from tests.support.eventstream import EventClient, ServerEvent
from tests.support.plain_servers import KINDS, serve_plain
from tests.support.processes import ROOT, Endpoint, environment
from tests.support.programs import require_module
from tests.support.proxies import HAPROXY_CONFIGURATION, haproxy, nginx
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import until_in_time, wait_until
from tests.support.wire import http_get

APP = 'tests.support.sources:app'

#: E4: "within 1 s though the application is silent".
NOTICED_WITHIN = 1.0
#: E3: "An event reaches a client [...] within 100 ms".
ARRIVES_WITHIN = 0.1
#: H10: "the worker is gone within 2 s".
GONE_WITHIN = 2.0
SOURCES = 100

THREADS = ('--threads', '4')
COMPRESSIONS = (('Accept-Encoding', 'gzip, deflate, br, zstd'),)


@contextmanager
def served(kind: str, tmp_path: Path, app: str = APP, **options: Any) -> Iterator[Endpoint]:
    """Serve the application under any server."""
    if kind in KINDS:
        with serve_plain(kind, app, tmp_path) as endpoint:
            yield endpoint
    else:
        with serve(kind, app, tmp_path=tmp_path, options=THREADS if kind == 'gthread' else (), **options) as server:
            yield server


@pytest.mark.proves('E2', 'E7')
@pytest.mark.parametrize('kind', [*SERVERS, 'gthread', *KINDS])
def test_streams_ten_events_and_the_end(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path) as server:
        with EventClient(server, '/ten?retry=2.5') as client:
            head = client.open().head
            assert head is not None
            assert head.get('Cache-Control') == 'no-cache, no-transform'
            assert head.get('X-Accel-Buffering') == 'no'
            assert 'content-length' not in head.names()
            assert client.receive_retry() == 2500
            assert [client.receive_event() for _ in range(10)] == [
                ServerEvent(f'event\n{number}', 'message', str(number)) for number in range(10)]
            client.read_to_eof()
        assert http_get(server)[1] == b'Hello'


@pytest.mark.proves('E2')
@pytest.mark.parametrize('kind', ['gevent', 'gthread', 'waitress'])
def test_head_and_retry_are_there_before_any_event(kind: str, tmp_path: Path) -> None:
    with served(kind, tmp_path) as server, EventClient(server, '/silent?ping=0.2') as client:
        assert client.open().receive_retry() == 5000


class Running(NamedTuple):
    """One of the three servers on gevent, with a counter for unique paths."""

    server: Server
    paths: Iterator[str]


@pytest.fixture(scope='module', params=[(kind, tls) for kind in SERVERS for tls in (False, True)],
                ids=lambda param: f'{param[0]}-{"tls" if param[1] else "plain"}')
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each of these servers, plain and TLS."""
    kind, tls = request.param
    with serve(kind, APP, tls=tls, tmp_path=tmp_path_factory.mktemp('sources')) as server:
        yield Running(server, (f'/silent-{number}' for number in range(1000)))


def finish(client: EventClient) -> None:
    """Close the connection with a FIN."""
    client.finish_sending()


def reset(client: EventClient) -> None:
    """Close the connection with an RST."""
    client.reset()


class TestGevent:
    """Event sources under the servers that hand their socket over."""

    @pytest.mark.proves('E4', 'L2')
    @pytest.mark.parametrize('end', [finish, reset])
    def test_a_client_that_is_gone_is_noticed_within_a_second(
            self, running: Running, end: Callable[[EventClient], None]) -> None:
        path = next(running.paths)
        with EventClient(running.server, path) as client:
            client.open().receive_retry()
            running.server.wait_for_event(path, 'open')
            end(client)
            running.server.wait_for_event(path, 'close', NOTICED_WITHIN)
        self.assert_one_close(running, path)

    @pytest.mark.proves('E4', 'L2')
    def test_a_killed_client_is_noticed_within_a_second(self, running: Running) -> None:
        path, authority = next(running.paths), session_certificate().authority if running.server.certificate else ''
        command = [sys.executable, '-m', 'tests.support.eventstream', str(running.server.port), path, authority]
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == b'open\n'
            victim.kill()
            running.server.wait_for_event(path, 'close', NOTICED_WITHIN)
        self.assert_one_close(running, path)

    def assert_one_close(self, running: Running, path: str) -> None:
        """Check for one close event, one line with 200, and no logged error."""
        http_get(running.server)
        events = running.server.events(path)
        assert [(event['type'], event.get('code')) for event in events] == [('open', None), ('close', 1006)]
        assert running.server.requests(path) == [(path, '200')]
        assert not [word for word in ('Traceback', 'ERROR', 'Exception') if word in running.server.error_log()]

    @pytest.mark.proves('E2')
    def test_the_head_is_that_of_a_body_without_a_length(self, running: Running) -> None:
        with EventClient(running.server, '/silent') as client:
            head = client.open().head
            assert head is not None
            assert not head.names() & {'content-length', 'transfer-encoding', 'content-encoding'}
            assert head.get('Connection') == 'close'

    @pytest.mark.proves('H9')
    def test_no_descriptor_is_left(self, running: Running) -> None:
        http_get(running.server)
        before = running.server.descriptors()
        for _ in range(20):
            with EventClient(running.server, '/silent') as client:
                client.open()
        wait_until(lambda: running.server.descriptors() <= before, f'{before} descriptors as before')

    def test_plain_requests_are_served_as_ever(self, running: Running) -> None:
        assert http_get(running.server)[1] == b'Hello'


@pytest.mark.proves('H10')
@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
@pytest.mark.parametrize('kind', SERVERS)
def test_sigterm_ends_a_hundred_streams_and_the_worker(
        kind: str, tls: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    def end() -> float:
        return seconds_of_an_end(kind, tls, tmp_path_factory.mktemp('end'))

    assert until_in_time(end, lambda seconds: seconds < GONE_WITHIN) < GONE_WITHIN


def seconds_of_an_end(kind: str, tls: bool, tmp_path: Path) -> float:
    """Return the seconds in which a worker with a hundred streams ends cleanly."""
    with serve(kind, APP, tls=tls, tmp_path=tmp_path) as server, ExitStack() as stack:
        paths = [f'/silent-{number}' for number in range(SOURCES)]
        clients = [stack.enter_context(EventClient(server, path)).open() for path in paths]
        for client in clients:
            client.receive_retry()
        worker, began = server.worker_pid(), time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        wait_until(lambda: server.is_gone(worker), 'the worker gone')
        seconds = time.monotonic() - began
        for client in clients:
            client.read_to_eof()
            assert (client.was_reset, client.stream.events) == (False, [])
        closed = [(event['path'], event['code'], event['was_clean']) for event in server.events(type='close')]
        assert sorted(closed) == sorted((path, 1001, True) for path in paths)
        assert not [word for word in ('Traceback', 'ERROR', 'Exception') if word in server.error_log()]
    return seconds


def median_latency(server: Endpoint) -> float:
    """Return the median of the seconds from sending an event to its arrival."""
    with EventClient(server, '/clock', COMPRESSIONS) as client:
        client.open()
        arrivals = client.record_arrivals(100)
    return statistics.median(arrived - float(event.data) for arrived, event in arrivals)


@contextmanager
def haproxy_without_delay(server: Endpoint, tmp_path: Path) -> Iterator[Endpoint]:
    """Run HAProxy without its delay of up to 200 ms for more of a chunked response."""
    text = HAPROXY_CONFIGURATION.read_text()
    if 'option http-no-delay' not in text:
        text = text.replace('mode http\n', 'mode http\n    option http-no-delay\n', 1)
    configuration = tmp_path / 'haproxy.conf'
    configuration.write_text(text)
    with haproxy(server, tmp_path, configuration=configuration) as endpoint:
        yield endpoint


class TestLatency:
    """Events pass each intermediary without a delay."""

    @pytest.mark.proves('E3')
    @pytest.mark.parametrize(('kind', 'proxy'), [
        ('gevent', nginx), ('gevent', haproxy), ('gthread', nginx), ('gthread', haproxy_without_delay)])
    def test_behind_a_proxy(self, kind: str, proxy: Any, tmp_path: Path, record_property: Any) -> None:
        with served(kind, tmp_path) as server, proxy(server, tmp_path) as endpoint:
            seconds = median_latency(endpoint)
            record_property('median', seconds)
            assert seconds < ARRIVES_WITHIN

    @pytest.mark.proves('E3')
    @pytest.mark.parametrize(('app', 'module'), [('flask_app', 'flask_compress'), ('django_app', 'django')])
    @pytest.mark.parametrize('kind', ['gevent', 'gthread'])
    def test_inside_of_compressing_middleware(
            self, kind: str, app: str, module: str, tmp_path: Path, record_property: Any) -> None:
        require_module(module, f'pip install {module}')
        with served(kind, tmp_path, f'tests.support.sources:{app}()') as server:
            # The middleware is active.
            with EventClient(server, '/other', COMPRESSIONS) as client:
                assert client.handshake().get('Content-Encoding') is not None
            seconds = median_latency(server)
            record_property('median', seconds)
            assert seconds < ARRIVES_WITHIN


@pytest.mark.proves('E7')
@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")
def test_webtest_reads_the_events() -> None:
    require_module('webtest', 'pip install webtest')
    app = importlib.import_module('webtest').TestApp(importlib.import_module('tests.support.sources').app)
    response = app.get('/ten', headers={'Accept': 'text/event-stream'})
    assert response.content_type == 'text/event-stream'
    assert response.body.startswith(b'retry: 5000\r\nid: 0\r\ndata: event\r\ndata: 0\r\n\r\n')
    assert response.body.count(b'data: event') == 10
