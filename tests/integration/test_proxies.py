"""WebSockets and events through real nginx and HAProxy, with the example files.

A test changes only these parts of a configuration: the addresses, a timeout short
enough for a test, and the lines for TLS, which are comments in the examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import session_certificate
from tests.support.processes import ROOT, Endpoint, Process, own_directory
from tests.support.programs import require_program
from tests.support.proxies import reserved_port
from tests.support.servers import Server, answers, serve
from tests.support.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    RFC_6455,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    http_get,
)

EXAMPLES = ROOT / 'examples'
APP = 'tests.support.proxied:app'

#: Seconds after which a proxy gives up an idle socket, and between the pings that keep
#: it open.
IDLE = 1.0
PINGS = 0.3

Proxy = Callable[..., AbstractContextManager[Endpoint]]


@contextmanager
def nginx(server: Server, tmp_path: Path, *, idle: float = 60, tls: bool = False) -> Iterator[Endpoint]:
    """Run nginx with `examples/nginx.conf`."""
    upstream = f'127.0.0.1:{server.port}' if isinstance(server.address, tuple) else f'unix:{server.address}'
    text = (EXAMPLES / 'nginx.conf').read_text()
    directory = own_directory(tmp_path, 'nginx')
    with reserved_port() as port:
        text = changed(text, 'server 127.0.0.1:9292;', f'server {upstream};')
        text = changed(text, 'worker_processes auto;', '')
        text = changed(text, 'proxy_read_timeout 60s;', f'proxy_read_timeout {idle * 1000:.0f}ms;')
        if tls:
            certificate = session_certificate()
            text = changed(text, 'listen 127.0.0.1:8000;', '')
            text = changed(text, '# listen 127.0.0.1:8443 ssl;', f'listen 127.0.0.1:{port} ssl reuseport;')
            text = changed(text, '# ssl_certificate /etc/ssl/certs/example.pem', f'ssl_certificate {certificate.certfile}')
            text = changed(text, '# ssl_certificate_key /etc/ssl/private/example.key',
                           f'ssl_certificate_key {certificate.keyfile}')
        else:
            text = changed(text, 'listen 127.0.0.1:8000;', f'listen 127.0.0.1:{port} reuseport;')
        configuration = directory / 'nginx.conf'
        configuration.write_text(text)
        # One process, which keeps the current user and its permissions.
        command = [require_program('nginx', 'apt-get install nginx-light'), '-p', str(directory), '-c', str(configuration),
                   '-e', 'stderr', '-g', 'master_process off;']
        with running(Process(command, directory), port, tls) as endpoint:
            yield endpoint


@contextmanager
def haproxy(server: Server, tmp_path: Path, *, idle: float = 3600, tls: bool = False) -> Iterator[Endpoint]:
    """Run HAProxy with `examples/haproxy.conf`."""
    text = (EXAMPLES / 'haproxy.conf').read_text()
    directory = own_directory(tmp_path, 'haproxy')
    with reserved_port() as port:
        env = {'LISTEN_PORT': str(port), 'APP_PORT': '0'}
        text = changed(text, 'timeout tunnel 1h', f'timeout tunnel {idle * 1000:.0f}ms')
        if isinstance(server.address, tuple):
            env['APP_PORT'] = str(server.port)
        else:
            text = changed(text, 'server app "127.0.0.1:${APP_PORT}"', f'server app unix@{server.address}')
        if tls:
            pem = directory / 'both.pem'
            pem.write_text(Path(session_certificate().certfile).read_text() + Path(session_certificate().keyfile).read_text())
            text = changed(text, '\n    bind "127.0.0.1:${LISTEN_PORT}"\n', '\n')
            text = changed(text, '# bind "127.0.0.1:${LISTEN_PORT}" ssl crt /etc/ssl/private/example.pem',
                           f'bind "127.0.0.1:${{LISTEN_PORT}}" ssl crt {pem}')
        configuration = directory / 'haproxy.conf'
        configuration.write_text(text)
        command = [require_program('haproxy', 'apt-get install haproxy'), '-db', '-f', str(configuration)]
        with running(Process(command, directory, env), port, tls) as endpoint:
            yield endpoint


def changed(text: str, old: str, new: str) -> str:
    """Return the configuration with one place changed, which must occur once."""
    parts = re.split(rf'{re.escape(old)}(?!`)', text)
    assert len(parts) == 2, f'{old!r} is there {len(parts) - 1} times'
    return new.join(parts)


@contextmanager
def running(process: Process, port: int, tls: bool) -> Iterator[Endpoint]:
    """Yield the proxy's endpoint once it accepts connections."""
    endpoint = Endpoint(('127.0.0.1', port), session_certificate() if tls else None)
    try:
        process.wait_for_start(lambda: answers(endpoint))
        yield endpoint
    finally:
        if process.is_running():
            process.stop()


@pytest.fixture(scope='module', params=['pywsgi', 'gevent'])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application under each server."""
    with serve(request.param, APP, tmp_path=tmp_path_factory.mktemp('s')) as server:
        yield server


@pytest.fixture(scope='module', params=['tcp', 'unix'])
def any_server(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application under each server, also on a Unix socket."""
    if request.param == 'tcp':
        yield server
    else:
        directory = tmp_path_factory.mktemp('u')
        with serve(server.kind, APP, unix_socket=directory / 'app.sock', tmp_path=directory) as unix_server:
            yield unix_server


@pytest.fixture(scope='module', params=[nginx, haproxy], ids=['nginx', 'haproxy'])
def start(request: pytest.FixtureRequest) -> Proxy:
    """The function that starts each of the proxies."""
    proxy: Any = request.param
    return proxy


@pytest.fixture(scope='module')
def proxy(start: Proxy, any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The proxy in front of the application."""
    with start(any_server, tmp_path_factory.mktemp('p')) as endpoint:
        yield endpoint


@contextmanager
def connected(endpoint: Endpoint, path: str, *headers: tuple[str, str]) -> Iterator[RawClient]:
    """Return an open WebSocket."""
    with RawClient(endpoint, path, [*RFC_6455, *headers]) as client:
        assert client.handshake().status == 101
        yield client


class TestSocket:
    """A WebSocket through a proxy, to a port or a Unix socket."""

    @pytest.mark.proves('H8')
    def test_text_and_binary_come_back(self, proxy: Endpoint, path: str) -> None:
        with connected(proxy, path) as client:
            for frame in Frame(TEXT, 'grüß'.encode()), Frame(BINARY, bytes(range(256))):
                client.send_frame(frame.opcode, frame.payload)
                assert client.receive_frame() == frame

    @pytest.mark.proves('H8')
    def test_a_large_message_comes_back_whole(self, proxy: Endpoint, path: str) -> None:
        message = bytes(range(256)) * 4096
        with connected(proxy, path) as client:
            client.send_frame(BINARY, message)
            assert client.receive_frame() == Frame(BINARY, message)

    def test_a_ping_is_answered(self, proxy: Endpoint, path: str) -> None:
        with connected(proxy, path) as client:
            client.send_frame(PING, b'there?')
            assert client.receive_frame() == Frame(PONG, b'there?')

    @pytest.mark.proves('H1')
    def test_the_clients_code_arrives_at_the_application(self, proxy: Endpoint, any_server: Server, path: str) -> None:
        with connected(proxy, path) as client:
            client.send_close(3001, 'enough')
            assert client.receive_frame().code == 3001
            assert client.read_to_eof() == b''
        event = any_server.wait_for_event(path, 'close')
        assert (event['code'], event['reason'], event['was_clean']) == (3001, 'enough', True)

    @pytest.mark.proves('H1')
    def test_the_applications_code_arrives_at_the_client(self, proxy: Endpoint, any_server: Server, path: str) -> None:
        with connected(proxy, path) as client:
            client.send_frame(TEXT, b'close 4001 bye')
            assert client.receive_frame() == Frame(CLOSE, close_payload(4001, 'bye'))
            client.send_close(4001)
            assert client.read_to_eof() == b''
        assert any_server.wait_for_event(path, 'close')['was_clean']

    @pytest.mark.proves('L4')
    def test_a_client_that_is_gone_is_noticed(self, proxy: Endpoint, any_server: Server, path: str) -> None:
        with connected(proxy, path) as client:
            client.reset()
        assert any_server.wait_for_event(path, 'close')['code'] == 1006


class TestRequest:
    """The application's view of a client's request."""

    def test_the_url_is_the_one_that_the_client_asked_for(self, proxy: Endpoint, path: str) -> None:
        with connected(proxy, f'{path}?room=1') as client:
            client.send_frame(TEXT, b'url')
            assert client.receive_frame().payload.decode() == f'ws://example.com{path}?room=1'

    def test_a_client_cannot_pretend_to_have_come_through_tls(self, proxy: Endpoint, path: str) -> None:
        with connected(proxy, path, ('X-Forwarded-Proto', 'https')) as client:
            client.send_frame(TEXT, b'url')
            assert client.receive_frame().payload.decode() == f'ws://example.com{path}'

    def test_the_url_begins_with_wss_if_the_proxy_speaks_tls(
            self, start: Proxy, server: Server, path: str, tmp_path: Path) -> None:
        with start(server, tmp_path, tls=True) as proxy, connected(proxy, path) as client:
            client.send_frame(TEXT, b'url')
            assert client.receive_frame().payload.decode() == f'wss://example.com{path}'


class TestMetrics:
    """The page of the metrics."""

    @pytest.mark.parametrize('page', ['/metrics', '/metrics?x', '/metrics/', '/metrics/more', '/%6detrics', '/%6Detrics/x'])
    def test_is_not_for_the_public(self, proxy: Endpoint, any_server: Server, page: str) -> None:
        assert http_get(any_server, page)[0].status == 200
        assert http_get(proxy, page)[0].status in (403, 404)

    def test_does_not_keep_others_away(self, proxy: Endpoint) -> None:
        assert http_get(proxy, '/metrics-of-mine')[0].status == 200


class TestIdle:
    """An idle socket behind a proxy with a deliberately short timeout."""

    @pytest.fixture
    def impatient(self, start: Proxy, server: Server, tmp_path: Path) -> Iterator[Endpoint]:
        """A proxy with a short timeout."""
        with start(server, tmp_path, idle=IDLE) as endpoint:
            yield endpoint

    def test_it_dies_without_a_ping(self, impatient: Endpoint, server: Server, path: str) -> None:
        with connected(impatient, path) as client:
            assert client.read_to_eof() == b''
        assert server.wait_for_event(path, 'close')['code'] == 1006

    def test_it_lives_with_a_ping(self, impatient: Endpoint, server: Server, path: str) -> None:
        with connected(impatient, f'{path}?ping={PINGS}') as client:
            for _ in range(int(3 * IDLE / PINGS)):
                ping = client.receive_frame()
                assert ping.opcode == PING
                client.send_frame(PONG, ping.payload)
            client.send_frame(TEXT, b'still here')
            assert client.receive_frame() == Frame(TEXT, b'still here')


class TestEvents:
    """A response that does not end."""

    @pytest.mark.proves('E3')
    def test_an_event_arrives_before_the_next_one_is_there(self, proxy: Endpoint, any_server: Server) -> None:
        with RawClient(proxy, '/events', [('Accept', 'text/event-stream')]) as client:
            assert client.handshake().status == 200
            received = b''
            while b'data: first\n\n' not in received:
                received += client.receive(1)
            http_get(any_server, '/go')
            while b'data: second\n\n' not in received:
                received += client.receive(1)
