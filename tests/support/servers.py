"""The WSGI servers that faye_websocket supports, started as real processes on a port of their own.

    with serve('gevent', 'tests.support.apps:echo', tls=True, tmp_path=tmp_path) as server:
        client = RawClient(server, '/chat')

What a server logs is in `access_log()` and `error_log()`. An application from `tests.support.apps` that records its
sockets' events does so in a file of this server's own: see `events`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.apps import EVENTS
from tests.support.certificates import Certificate, session_certificate
from tests.support.processes import Address, Endpoint, Process, own_directory, read_text
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import http_get

SERVERS = ('pywsgi', 'gevent', 'gevent_pywsgi')

#: What each server prints on its standard error once it listens.
LISTENING = re.compile(r'Listening (?:on|at):? (?:https?://127\.0\.0\.1:(?P<port>\d+)|unix:(?P<path>[^\s?]+))')

BOOTING = re.compile(r'Booting worker with pid: (\d+)')

#: One line of an access log: the method, the path and the status.
REQUEST = re.compile(r'"(?P<method>\S+) (?P<path>\S+) HTTP/\d\.\d" (?P<status>\S+)')

READY_PATH = '/-/ready'


class Server(Endpoint):
    """A running server. `pid` is the process we started; under gunicorn the application runs in `worker_pid()`."""

    def __init__(self, kind: str, process: Process, address: Address, certificate: Certificate | None) -> None:
        super().__init__(address, certificate)
        self.kind = kind
        self.process = process

    @property
    def pid(self) -> int:
        """The process that we started and that a signal goes to."""
        return self.process.pid

    def worker_pid(self) -> int:
        """The process that runs the application: gunicorn's newest worker, or the server itself."""
        booted = BOOTING.findall(self.error_log())
        return int(booted[-1]) if booted else self.pid

    def access_log(self) -> str:
        """The access log so far."""
        return read_text(access_path(self.kind, self.process.directory))

    def error_log(self) -> str:
        """The error log so far, with whatever else went to standard error."""
        return read_text(self.process.stderr)

    def requests(self, path: str | None = None) -> list[tuple[str, str]]:
        """(path, status) of each line of the access log, or of those for one path."""
        found = [(match['path'], match['status']) for match in REQUEST.finditer(self.access_log())]
        return [request for request in found if path in (None, request[0])]

    def events(self, path: str | None = None, type: str | None = None) -> list[dict[str, Any]]:
        """What the application's sockets have recorded, of one path and of one event type if given."""
        lines = read_text(self.process.directory / 'events').split('\n')
        found = [json.loads(line) for line in lines[:-1]]
        return [event for event in found if path in (None, event['path']) and type in (None, event['type'])]

    def wait_for_event(self, path: str, type: str, deadline: float = DEADLINE) -> dict[str, Any]:
        """The first event of this type of the socket at `path`, waiting for it."""
        return wait_until(lambda: self.events(path, type), f'{type} of {path}', deadline)[0]

    def rss(self) -> int:
        """The resident memory of the application's process in bytes."""
        status = Path(f'/proc/{self.worker_pid()}/status').read_text()
        return int(re.findall(r'VmRSS:\s+(\d+) kB', status)[0]) * 1024

    def descriptors(self) -> int:
        """How many files and sockets the application's process has open."""
        return len(os.listdir(f'/proc/{self.worker_pid()}/fd'))

    def is_gone(self, pid: int) -> bool:
        """Whether this process of the server has ended."""
        if pid == self.pid:
            return not self.process.is_running()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    def stop(self, deadline: float = DEADLINE) -> int:
        """SIGTERM, and the return code."""
        return self.process.stop(deadline)


@contextmanager
def serve(kind: str, app: str, *, tmp_path: Path, tls: bool = False, unix_socket: Path | None = None,
          options: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `app` ('module:name') under a server of this kind, from the time it answers until the block ends."""
    directory = own_directory(tmp_path, kind)
    certificate = session_certificate() if tls else None
    bind = f'unix:{unix_socket}' if unix_socket else '127.0.0.1:0'
    command = server_command(kind, app, bind, certificate, directory)
    process = Process([*command, *options], directory, {EVENTS: str(directory / 'events'), **(env or {})})
    try:
        yield started(kind, process, certificate)
    finally:
        if process.is_running():
            process.stop()


def server_command(kind: str, app: str, bind: str, certificate: Certificate | None, directory: Path) -> list[str]:
    """The command line of a server; its application comes before the further options."""
    tls = ['--certfile', certificate.certfile, '--keyfile', certificate.keyfile] if certificate else []
    if kind == 'pywsgi':
        return [sys.executable, '-m', 'faye_websocket', 'serve', app, '--bind', bind, *tls]
    if kind == 'pool':
        # The module is a program, and further options the size of its pool.
        return [sys.executable, '-m', app.partition(':')[0]]
    logs = ['--access-logfile', str(access_path(kind, directory)), '--error-logfile', '-', '--no-control-socket']
    return [sys.executable, '-m', 'gunicorn', app, '-k', kind, '-w', '1', '--bind', bind, *logs, *tls]


def access_path(kind: str, directory: Path) -> Path:
    """Where a server writes its access log; pywsgi's goes to standard output."""
    return directory / ('stdout' if kind in ('pywsgi', 'pool') else 'access')


def started(kind: str, process: Process, certificate: Certificate | None) -> Server:
    """The server, once it has answered a request."""
    process.wait_for_start(lambda: LISTENING.search(read_text(process.stderr)))
    listening = LISTENING.search(read_text(process.stderr))
    assert listening is not None
    address = listening['path'] or ('127.0.0.1', int(listening['port']))
    server = Server(kind, process, address, certificate)
    process.wait_for_start(lambda: answers(server))
    return server


def answers(endpoint: Endpoint) -> bool:
    """Whether an HTTP request is answered, with whatever status."""
    try:
        return http_get(endpoint, READY_PATH)[0].status > 0
    except (OSError, EOFError):
        return False
