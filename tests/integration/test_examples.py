"""Every example, started by the command in its first lines, on a free port."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import gevent
import pytest

from faye_websocket import Client, WebSocketError
from tests.support.certificates import Certificate, session_certificate
from tests.support.local import serve as serve_here
from tests.support.local import wait_until as wait_here_until
from tests.support.processes import ROOT, Endpoint, Process, own_directory, read_text
from tests.support.servers import serve
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
)

EXAMPLES = ROOT / 'examples'
COMMAND = re.compile(r'Run it with: (.+?)(?:"""|$)', re.MULTILINE)


def command_of(example: str, *arguments: str) -> list[str]:
    """Return the documented command with this Python's scripts and these arguments."""
    found = COMMAND.search((EXAMPLES / example).read_text())
    assert found, f'{example} does not say how to run it'
    words = shlex.split(re.sub(r' \[.*', '', found[1]))
    programs = Path(sys.executable).parent
    words[0] = sys.executable if words[0] == 'python' else str(programs / words[0])
    return [*words, *arguments]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, directory: Path, certificate: Certificate | None = None,
            env: Mapping[str, str] | None = None) -> Iterator[Endpoint]:
    """Run the example from when it accepts connections; check that SIGTERM ends it."""
    directory.mkdir()
    process = Process(command, directory, {'PATH': os.environ['PATH'], **(env or {})})
    endpoint = Endpoint(('127.0.0.1', port), certificate)
    try:
        process.wait_for_start(lambda: accepts(endpoint))
        yield endpoint
        assert process.stop() == 0, process.output()
        assert 'Traceback' not in process.output()
    finally:
        if process.is_running():
            process.stop()


def accepts(endpoint: Endpoint) -> bool:
    """Return whether a program listens on the port."""
    try:
        endpoint.connect().close()
    except OSError:
        return False
    return True


def assert_echoes(endpoint: Endpoint, headers: tuple[tuple[str, str], ...] = RFC_6455) -> None:
    """Check that text and binary messages come back, and the closing handshake."""
    with RawClient(endpoint, '/', headers) as client:
        assert client.handshake().status == 101
        for opcode, payload in ((TEXT, 'grüß'.encode()), (BINARY, bytes(range(256)))):
            client.send_frame(opcode, payload)
            assert client.receive_frame() == Frame(opcode, payload)
        client.send_close(1000, 'bye')
        assert client.receive_frame() == Frame(CLOSE, close_payload(1000))
        assert client.read_to_eof() == b''


@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
def test_the_server_example_serves_the_page_and_the_echo(tmp_path: Path, tls: bool) -> None:
    certificate = session_certificate() if tls else None
    files = [certificate.certfile, certificate.keyfile] if certificate else []
    port = free_port()
    with running(command_of('server.py', str(port), *files), port, tmp_path / 'run', certificate) as endpoint:
        head, page = http_get(endpoint)
        assert (head.status, b'<title>faye_websocket: echo</title>' in page) == (200, True)
        for path in re.findall(rb' (?:href|src)="(/[^"]*)"', page):
            assert http_get(endpoint, path.decode())[0].status == 200
        assert http_get(endpoint, '/other')[0].status == 404
        assert_echoes(endpoint)


def test_the_application_example_runs_by_its_command(tmp_path: Path) -> None:
    port = free_port()
    with running(command_of('app.py', '--bind', f'127.0.0.1:{port}'), port, tmp_path / 'run') as endpoint:
        assert_echoes(endpoint)


def test_the_application_example_agrees_on_a_subprotocol(tmp_path: Path) -> None:
    port = free_port()
    with running(command_of('app.py', '--bind', f'127.0.0.1:{port}'), port, tmp_path / 'run') as endpoint, \
            RawClient(endpoint, '/', (*RFC_6455, ('Sec-WebSocket-Protocol', 'foo, amqp'))) as client:
        assert client.handshake().get('Sec-WebSocket-Protocol') == 'amqp'


def test_the_gunicorn_example_runs_by_its_command(tmp_path: Path) -> None:
    port = free_port()
    command = command_of('gunicorn_conf.py', '--bind', f'127.0.0.1:{port}', '--no-control-socket')
    with running(command, port, tmp_path / 'run') as endpoint:
        assert_echoes(endpoint)


def test_the_raw_tcp_example_needs_no_wsgi_server(tmp_path: Path) -> None:
    port = free_port()
    with running(command_of('tcp_server.py', str(port)), port, tmp_path / 'run') as endpoint:
        assert_echoes(endpoint)
        with RawClient(endpoint, '/', (('Upgrade', 'websocket'),)) as client:
            assert client.handshake().status == 400
            assert b'Connection header' in client.read_to_eof()


@contextmanager
def running_client(command: list[str], directory: Path) -> Iterator[Process]:
    """Run an example of a client."""
    process = Process(command, own_directory(directory, 'client'))
    try:
        yield process
    finally:
        if process.is_running():
            process.stop()


def load(example: str) -> Any:
    """Return an example as a module."""
    spec = spec_from_file_location(Path(example).stem, EXAMPLES / example)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_client_example_prints_what_happens(tmp_path: Path) -> None:
    with serve('pywsgi', 'examples.app:app', tmp_path=tmp_path) as server, \
            running_client(command_of('client.py', server.ws_url()), tmp_path) as client:
        wait_until(lambda: read_text(client.stdout) == 'open irc\nmessage hello\n', 'the echo')
        assert client.stop() == 0
        assert client.output() == 'open irc\nmessage hello\nclose 1000 \n'


def test_the_client_example_prints_why_it_failed(tmp_path: Path) -> None:
    with running_client(command_of('client.py', f'ws://127.0.0.1:{free_port()}/'), tmp_path) as client:
        assert client.wait() == 0
        assert client.output().startswith('error connecting to 127.0.0.1')


def test_the_reconnecting_example_comes_back_until_it_is_ended(tmp_path: Path) -> None:
    with serve_here(lambda ws: ws.on('open', lambda event: ws.send('hello'))) as server:
        url = f'ws://127.0.0.1:{server.wsgi.server_port}/'
        with running_client(command_of('reconnecting.py', url, '.001'), tmp_path) as client:
            for count in (1, 2):
                wait_here_until(lambda count=count: read_text(client.stdout).count('message hello\n') == count)
                server.ws.close(1001, 'restart')
            wait_here_until(lambda: read_text(client.stdout).count('message hello\n') == 3)
            client.popen.terminate()
            assert server.record.the_close().code == 1000
            assert client.wait() == 0
            assert read_text(client.stdout).count('closed with 1001 restart: next attempt in 0.00 s') == 2
            assert read_text(client.stderr) == ''


def test_the_reconnecting_example_waits_longer_after_each_failure_and_starts_anew_after_a_success(
        monkeypatch: pytest.MonkeyPatch) -> None:
    example, failures = load('reconnecting.py'), []
    monkeypatch.setattr(example, 'back_off', lambda count, shortest: failures.append(count) or 0)
    answers = iter([False, False, True])

    def answer(*request: object) -> bool:
        return next(answers, False)

    with serve_here(lambda ws: ws.on('open', lambda event: ws.close(1001)), allowed_origins=answer) as server:
        url = f'ws://127.0.0.1:{server.wsgi.server_port}/'
        loop = gevent.spawn(example.keep_connected, url, print, headers={'Origin': 'http://there'})
        wait_here_until(lambda: len(failures) >= 4)
        loop.kill()
    assert failures[:4] == [1, 2, 0, 1]


def test_the_reconnecting_example_waits_at_random_up_to_a_limit_that_doubles() -> None:
    back_off = load('reconnecting.py').back_off
    assert [back_off(failures, 1.0, 60, lambda low, high: (low, high)) for failures in (0, 1, 2, 5, 6, 5000)] == [
        (0, 1), (0, 2), (0, 4), (0, 32), (0, 60), (0, 60)]
    assert 0 <= back_off(0) <= 1


def talk(url: str, proxy: str) -> tuple[Any, str]:
    """Return the echo of `hello` through the proxy, and the text of the error."""
    try:
        with Client(url, proxy=proxy) as ws:
            ws.send('hello')
            return ws.receive(10), ''
    except WebSocketError as error:
        return None, str(error)


@pytest.mark.parametrize(('extra', 'user'), [((), ''), (('me:s%cret',), 'me:s%25cret@')], ids=['open', 'with credentials'])
def test_the_proxy_example_connects_a_client(tmp_path: Path, extra: tuple[str, ...], user: str) -> None:
    port = free_port()
    with serve('pywsgi', 'examples.app:app', tmp_path=tmp_path) as server, \
            running(command_of('proxy_server.py', str(port), *extra), port, tmp_path / 'run'):
        assert talk(server.ws_url(), f'http://{user}127.0.0.1:{port}') == ('hello', '')


def test_the_proxy_example_connects_a_client_with_tls(tmp_path: Path) -> None:
    port = free_port()
    with serve('pywsgi', 'examples.app:app', tls=True, tmp_path=tmp_path) as server, \
            running(command_of('proxy_server.py', str(port)), port, tmp_path / 'run'):
        assert server.certificate is not None
        tls = {'root_cert_file': server.certificate.authority}
        with Client(server.ws_url(), proxy=f'http://127.0.0.1:{port}', tls=tls) as ws:
            ws.send('hello')
            assert ws.receive(10) == 'hello'


def test_the_proxy_example_refuses_all_else(tmp_path: Path) -> None:
    port = free_port()
    proxy = f'http://me:secret@127.0.0.1:{port}'
    with running(command_of('proxy_server.py', str(port), 'me:secret'), port, tmp_path / 'run') as endpoint:
        assert http_get(endpoint)[0].status == 405
        assert http_get(endpoint, '/' + 'x' * 10000)[0].status == 431
        for url, own_proxy, status in [
                ('ws://127.0.0.1/', proxy.replace('secret', 'other'), '407'), ('ws://192.0.2.1/', proxy, '403'),
                (f'ws://127.0.0.1:{free_port()}/', proxy, '502')]:
            answer, error = talk(url, own_proxy)
            assert answer is None
            assert status in error


def test_the_autobahn_example_reports_a_missing_server(tmp_path: Path) -> None:
    url = f'ws://127.0.0.1:{free_port()}'
    with running_client(command_of('autobahn_client.py', url), tmp_path) as client:
        assert client.wait() == 1
        assert client.output() == f'cannot connect to {url}\n'
