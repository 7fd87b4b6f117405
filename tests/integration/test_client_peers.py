"""The client against servers written with other libraries, which are in peers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gevent.event import AsyncResult

from faye_websocket import Client
from tests.integration.test_peers import PEERS, node_modules
from tests.support.certificates import session_certificate
from tests.support.processes import Process, own_directory, read_text
from tests.support.programs import require_module, require_program

__all__ = ['node_modules']

MESSAGES: dict[str, str | bytes] = {
    'text': 'h\u00e9llo \u2603 \U0001f600',
    'binary': bytes(range(256)),
    'empty text': '',
    'empty binary': b'',
    '64 KiB of text': 'x' * 2**16,
    '64 KiB of binary': bytes(range(256)) * 2**8,
    '1 MiB of text': '\u2603x' * 2**18,
    '1 MiB of binary': bytes(range(256)) * 2**12,
}

#: Seconds for one echo.
DEADLINE = 20


@contextmanager
def running(tmp_path: Path, *command: str) -> Iterator[int]:
    """Run a peer's program, and yield its port once it listens."""
    process = Process(command, own_directory(tmp_path, 'peer'))
    try:
        process.wait_for_start(lambda: read_text(process.stdout).endswith('\n'))
        yield int(read_text(process.stdout))
        assert read_text(process.stderr) == ''
    finally:
        if process.is_running():
            process.stop()


def assert_echoes(url: str, *, authority: str | None = None) -> None:
    """Check that messages come back, alone and in a row, and the closing handshake."""
    closed = AsyncResult()
    with Client(url, tls={'root_cert_file': authority}, timeout=DEADLINE) as ws:
        ws.onclose = closed.set
        for name, message in MESSAGES.items():
            ws.send(message)
            assert ws.receive(DEADLINE) == message, name
        for message in MESSAGES.values():
            ws.send(message)
        assert [ws.receive(DEADLINE) for _ in MESSAGES] == [*MESSAGES.values()]
    event = closed.get(timeout=DEADLINE)
    assert (event.code, event.was_clean) == (1000, True)


@pytest.mark.parametrize('library', ['ws', 'faye-websocket'])
def test_node(tmp_path: Path, node_modules: Path, library: str) -> None:
    node = require_program('node', 'install Node.js 20, https://nodejs.org/')
    # Node looks for the libraries beside the program.
    program = shutil.copy(PEERS / 'server.mjs', node_modules)
    with running(tmp_path, node, '--no-deprecation', str(program), library) as port:
        assert_echoes(f'ws://127.0.0.1:{port}/')


def test_ruby_faye_websocket(tmp_path: Path) -> None:
    ruby = require_program('ruby', 'apt-get install ruby-faye-websocket')
    require_program('thin', 'apt-get install thin')
    with running(tmp_path, ruby, str(PEERS / 'server.rb')) as port:
        assert_echoes(f'ws://127.0.0.1:{port}/')


@pytest.mark.parametrize('module', ['websockets', 'aiohttp', 'tornado'])
def test_python(tmp_path: Path, module: str) -> None:
    require_module(module, f'pip install {module}')
    with running(tmp_path, sys.executable, str(PEERS / f'server_{module}.py')) as port:
        assert_echoes(f'ws://127.0.0.1:{port}/')


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost'])
def test_python_websockets_with_tls(tmp_path: Path, host: str) -> None:
    require_module('websockets', 'pip install websockets')
    certificate = session_certificate()
    program = str(PEERS / 'server_websockets.py')
    with running(tmp_path, sys.executable, program, certificate.certfile, certificate.keyfile) as port:
        assert_echoes(f'wss://{host}:{port}/', authority=certificate.authority)
