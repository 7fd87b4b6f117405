"""Programs for other libraries, run with only their import lines changed.

FAYE_TEST_ORIGINALS=/path/to/python may name an interpreter that has these libraries
(gevent-websocket 0.10, flask-sock 0.7). The programs then run on the originals,
unchanged. This shows that the tests describe the originals.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Process, own_directory
from tests.support.servers import Server, access_path, started
from tests.support.waiting import wait_until
from tests.support.wire import RFC_6455, RawClient

PROGRAMS = Path(__file__).with_name('old_programs')
ORIGINALS = os.environ.get('FAYE_TEST_ORIGINALS')

HOMES = {
    'geventwebsocket': 'gevent_websocket',
    'flask_sock': 'flask_sock',
    'flask_sockets': 'flask_sockets',
    'simple_websocket': 'simple_websocket',
}
_NAMES = '|'.join(HOMES)
_IMPORT = re.compile(rf'^(\s*)import ({_NAMES})$', re.MULTILINE)
_FROM = re.compile(rf'^(\s*from )({_NAMES})\b', re.MULTILINE)
#: The worker classes of gunicorn.
WORKERS = {
    'gevent_websocket': 'geventwebsocket.gunicorn.workers.GeventWebSocketWorker',
    'flask_sockets': 'flask_sockets.worker',
}

#: The options of gunicorn's threads, which are patched before the application is.
THREADS = ('--threads', '32', '-c', 'tests/support/development_gunicorn.py')

only_ours = pytest.mark.skipif(bool(ORIGINALS), reason='the original does something else')


def ported(source: str) -> str:
    """Return the text of a program with its import lines changed."""
    source = _IMPORT.sub(lambda match: f'{match[1]}import faye_websocket.compat.{HOMES[match[2]]} as {match[2]}', source)
    return _FROM.sub(lambda match: f'{match[1]}faye_websocket.compat.{HOMES[match[2]]}', source)


def write_program(name: str, directory: Path) -> Path:
    """Write the program, ported unless it is to run on the originals; return its path.
    """
    source = (PROGRAMS / f'{name}.py').read_text()
    path = directory / f'{name}.py'
    path.write_text(source if ORIGINALS else ported(source))
    return path


def interpreter() -> str:
    """Return the interpreter that has the modules of the programs."""
    return ORIGINALS or sys.executable


@contextmanager
def serve_old(name: str, kind: str, tmp_path: Path, options: Sequence[str] = ()) -> Iterator[Server]:
    """Run a program (``program``), or its ``app`` under this worker of gunicorn."""
    directory = own_directory(tmp_path, name)
    path = write_program(name, directory)
    if kind == 'program':
        command = [interpreter(), str(path)]
    elif kind == 'flask run':
        command = [interpreter(), '-m', 'flask', '--app', str(path), 'run', '-p', '0']
    else:
        worker = WORKERS.get(kind, kind)
        if not ORIGINALS:
            worker = re.sub(rf'^({_NAMES})\b', lambda match: f'faye_websocket.compat.{HOMES[match[1]]}', worker)
        logs = ['--access-logfile', str(access_path(kind, directory)), '--error-logfile', '-']
        # The gunicorn of 2020, which flask-sockets needs, has no such option.
        logs += [] if ORIGINALS else ['--no-control-socket']
        command = [interpreter(), '-m', 'gunicorn', f'{name}:app', '--pythonpath', str(directory), '-k', worker,
                   '-w', '1', '--bind', '127.0.0.1:0', *logs, *(THREADS if kind == 'gthread' else ())]
    process = Process([*command, *options], directory, {'FAYE_TEST_PATCH': '1'})
    try:
        yield started(kind, process, None)
    finally:
        if process.is_running():
            process.stop()


def server_fixture(program: str, kinds: list[str]) -> Any:
    """Return a fixture that runs the program under each of these servers."""

    @pytest.fixture(scope='module', params=kinds)
    def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        with serve_old(program, request.param, tmp_path_factory.mktemp(program)) as started:
            yield started

    return server


def open_client(server: Server, path: str, *headers: tuple[str, str]) -> RawClient:
    """Return a client whose handshake was accepted."""
    client = RawClient(server, path, [*RFC_6455, *headers])
    assert client.handshake().status == 101
    return client


def wait_for_output(server: Server, text: str) -> None:
    """Wait until the program has printed this text."""
    wait_until(lambda: text in server.process.output(), repr(text))


def has_no_traceback(server: Server) -> bool:
    """Return whether no error was logged."""
    return 'Traceback' not in server.process.output() and ' failed' not in server.process.output()
