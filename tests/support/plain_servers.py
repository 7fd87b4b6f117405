"""WSGI servers with threads, started as processes.

    python -m tests.support.plain_servers KIND MODULE:APP

prints the address. The servers of gunicorn are in ``tests.support.servers``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

from tests.support.processes import Endpoint, Process, own_directory, read_text
from tests.support.programs import require_module

KINDS = ('wsgiref', 'waitress', 'werkzeug')
LISTENING = re.compile(r'Listening on 127\.0\.0\.1:(\d+)\n')


@contextmanager
def serve_plain(kind: str, app: str, tmp_path: Path) -> Iterator[Endpoint]:
    """Run ``app`` under one of KINDS until the block ends."""
    if kind != 'wsgiref':
        require_module(kind, f'pip install {kind}')
    process = Process([sys.executable, '-m', __name__, kind, app], own_directory(tmp_path, kind))
    try:
        process.wait_for_start(lambda: LISTENING.search(read_text(process.stdout)))
        found = LISTENING.search(read_text(process.stdout))
        assert found is not None
        yield Endpoint(('127.0.0.1', int(found[1])))
        assert 'Traceback' not in process.output(), process.output()
    finally:
        if process.is_running():
            process.stop()


def with_wsgiref(app: Any) -> tuple[int, Callable[[], object]]:
    """Return wsgiref's server, which serves one request after another."""
    server = make_server('127.0.0.1', 0, app)
    return server.server_port, server.serve_forever


def with_waitress(app: Any) -> tuple[int, Callable[[], object]]:
    """Return waitress, with its four threads."""
    import waitress

    server = waitress.create_server(app, host='127.0.0.1', port=0)
    return int(server.effective_port), server.run


def with_werkzeug(app: Any) -> tuple[int, Callable[[], object]]:
    """Return the development server, with a thread for each request."""
    from werkzeug.serving import make_server as make_development_server

    server = make_development_server('127.0.0.1', 0, app, threaded=True)
    return int(server.server_port), server.serve_forever


def main(kind: str, app: str) -> None:
    """Serve until the process is ended."""
    module, _, name = app.partition(':')
    port, run = globals()[f'with_{kind}'](getattr(import_module(module), name))
    print(f'Listening on 127.0.0.1:{port}', flush=True)
    run()


if __name__ == '__main__':
    main(*sys.argv[1:])
