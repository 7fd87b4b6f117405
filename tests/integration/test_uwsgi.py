"""uWSGI with its gevent loop, and without."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import session_certificate
from tests.support.eventstream import EventClient
from tests.support.inside import request_of
from tests.support.processes import Endpoint, Process, own_directory
from tests.support.programs import give_up
from tests.support.waiting import wait_until
from tests.support.wire import (
    ACCEPT,
    CLOSE,
    RFC_6455,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    http_get,
)


@contextmanager
def uwsgi(
        tmp_path: Path, *options: str, app: str = 'tests.support.uwsgi_app:app', tls: bool = False,
) -> Iterator[tuple[Process, Endpoint]]:
    """Serve an application with uWSGI."""
    program = Path(sys.executable).with_name('uwsgi')
    if not program.exists():
        give_up('uwsgi is missing: pip install uwsgi')
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
    certificate = session_certificate() if tls else None
    bind = ['--http-socket', f'127.0.0.1:{port}']
    if certificate is not None:
        bind = ['--https-socket', f'127.0.0.1:{port},{certificate.certfile},{certificate.keyfile}']
    command = [str(program), *bind, '--module', app, '--die-on-term', '--virtualenv', sys.prefix, *options]
    process = Process(command, own_directory(tmp_path, 'uwsgi'))
    endpoint = Endpoint(('127.0.0.1', port), certificate)
    try:
        process.wait_for_start(lambda: 'WSGI app 0' in process.output() and http_get(endpoint)[0].status == 200)
        yield process, endpoint
    finally:
        process.stop()


@pytest.mark.proves('H5', 'H1', 'H3')
def test_serves_sockets_with_its_gevent_loop(tmp_path: Path) -> None:
    with uwsgi(tmp_path, '--gevent', '20') as (process, endpoint):
        # More connections than it has cores: a connection is released at the handshake.
        clients = [RawClient(endpoint, '/socket', RFC_6455) for _ in range(50)]
        for client in clients:
            head = client.handshake()
            assert (head.status, head.get('Sec-WebSocket-Accept'), head.get('Set-Cookie')) == (101, ACCEPT, 'a=1')
            assert head.names() == {'upgrade', 'connection', 'sec-websocket-accept', 'set-cookie'}
        for index, client in enumerate(clients):
            client.send_frame(TEXT, b'hello %d' % index)
            assert client.receive_frame() == Frame(TEXT, b'hello %d' % index)
        assert http_get(endpoint)[1].endswith(b'Hello')
        for client in clients:
            client.send_close(1000)
            assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
            assert client.read_to_eof() == b''
            client.close()
        wait_until(lambda: len(re.findall(r'GET /socket .* \(HTTP/1\.1 101\)', process.output())) == 50, 'the log')
        assert 'Traceback' not in process.output()


@pytest.mark.proves('E7')
@pytest.mark.parametrize('options', [('--gevent', '20'), ()], ids=['gevent', 'no gevent'])
def test_streams_events(options: tuple[str, ...], tmp_path: Path) -> None:
    options += ('--enable-threads',)
    with uwsgi(tmp_path, *options, app='tests.support.sources:app') as (_, endpoint), EventClient(endpoint, '/ten') as client:
        client.open().read_to_eof()
        assert [event.data for event in client.stream.events] == [f'event\n{number}' for number in range(10)]


@pytest.mark.proves('E7', 'H6')
def test_with_its_own_tls_streams_events_and_explains_why_there_are_no_sockets(tmp_path: Path) -> None:
    with uwsgi(tmp_path, '--gevent', '20', app='tests.support.sources:app', tls=True) as (process, endpoint):
        with EventClient(endpoint, '/ten') as client:
            client.open().read_to_eof()
            assert len(client.stream.events) == 10
        with RawClient(endpoint, '/socket', RFC_6455) as raw:
            raw.send(request_of(raw))
            raw.read_to_eof()
        wait_until(lambda: "the connection is in the hands of uWSGI's own TLS" in process.output(), 'the reason')


def test_event_streams_do_not_occupy_its_cores(tmp_path: Path) -> None:
    with uwsgi(tmp_path, '--gevent', '2', app='tests.support.sources:app') as (process, endpoint), ExitStack() as stack:
        # More streams than it has cores.
        clients = [stack.enter_context(EventClient(endpoint, f'/open-{number}')) for number in range(10)]
        for client in clients:
            head = client.open().head
            assert head is not None
            assert head.get('Connection') == 'close'
        assert http_get(endpoint)[1].endswith(b'Hello')
        wait_until(lambda: len(re.findall(r'GET /open-\d .* \(HTTP/1\.1 200\)', process.output())) == 10, 'the log')
        assert 'Traceback' not in process.output()


@pytest.mark.parametrize('application', ['two-sockets', 'socket-and-source', 'source-and-socket', 'two-sources'])
def test_gives_no_connection_to_two_sockets(application: str, tmp_path: Path) -> None:
    with uwsgi(tmp_path, '--gevent', '20', app='tests.support.odd_apps:app') as (process, endpoint):
        for _ in range(3):
            with RawClient(endpoint, f'/bare/{application}', (*RFC_6455, ('Accept', 'text/event-stream'))) as client:
                client.send(request_of(client))
                client.read_to_eof()
            # Its descriptor then belongs to another connection.
            with RawClient(endpoint, '/bare/callback', RFC_6455) as client:
                assert client.handshake().status == 101
        assert process.output().count("RuntimeError: this request's connection was taken before") == 3


@pytest.mark.proves('S2')
def test_closes_a_refused_handshake(tmp_path: Path) -> None:
    with uwsgi(tmp_path, '--gevent', '20') as (process, endpoint):
        headers = [(name, '9' if name == 'Sec-WebSocket-Version' else value) for name, value in RFC_6455]
        with RawClient(endpoint, '/socket', headers) as client:
            assert client.handshake().status == 426
            assert b'HTTP/1.1' not in client.read_to_eof()


@pytest.mark.proves('H6')
def test_explains_why_it_cannot_serve_sockets_without_gevent(tmp_path: Path) -> None:
    with uwsgi(tmp_path) as (process, endpoint):
        with RawClient(endpoint, '/socket', RFC_6455) as client:
            client.send(request_of(client))
            client.read_to_eof()
        wait_until(lambda: 'this uWSGI does not run on gevent: start it with --gevent 100' in process.output(), 'the reason')
