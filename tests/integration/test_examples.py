"""Every example, started by the command that its first lines give, on a port of our own."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Certificate, session_certificate
from tests.support.processes import ROOT, Endpoint, Process
from tests.support.wire import BINARY, CLOSE, RFC_6455, TEXT, Frame, RawClient, close_payload, http_get

EXAMPLES = ROOT / 'examples'
COMMAND = re.compile(r'Run it with: (.+?)(?:"""|$)', re.MULTILINE)


def command_of(example: str, *arguments: str) -> list[str]:
    """The documented command, with the scripts of this Python's own, and ``arguments`` for the optional ones."""
    found = COMMAND.search((EXAMPLES / example).read_text())
    assert found, f'{example} does not say how to run it'
    words = shlex.split(re.sub(r' \[.*', '', found[1]))
    programs = Path(sys.executable).parent
    words[0] = sys.executable if words[0] == 'python' else str(programs / words[0])
    return [*words, *arguments]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, directory: Path, certificate: Certificate | None = None,
            env: Mapping[str, str] | None = None) -> Iterator[Endpoint]:
    """The example at work, from when it accepts connections; it must end cleanly on SIGTERM."""
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
    """Whether somebody listens."""
    try:
        endpoint.connect().close()
    except OSError:
        return False
    return True


def assert_echoes(endpoint: Endpoint, headers: tuple[tuple[str, str], ...] = RFC_6455) -> None:
    """Text and binary come back, and the closing handshake works."""
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
