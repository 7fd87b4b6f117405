"""The supported WSGI servers, started as processes on their own ports.

    with serve('gevent', 'tests.support.apps:echo', tmp_path=tmp_path) as server:
        client = RawClient(server, '/chat')

``access_log()`` and ``error_log()`` return what a server logs. The events that sockets
of an application from ``tests.support.apps`` record are in ``events``.
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

#: The line that each server prints on standard error when it listens.
LISTENING = re.compile(r'(?:Listening (?:on|at):?|Running on) (?:https?://127\.0\.0\.1:(?P<port>\d+)|unix:(?P<path>[^\s?]+))')

BOOTING = re.compile(r'Booting worker with pid: (\d+)')

#: A line of an access log: the method, the path and the status.
REQUEST = re.compile(r'"(?P<method>\S+) (?P<path>\S+) HTTP/\d\.\d" (?P<status>\S+)')

READY_PATH = '/-/ready'


class Server(Endpoint):
    """A running server.

    ``pid`` is the process that was started. Under gunicorn the application runs in
    ``worker_pid()``.
    """

    def __init__(self, kind: str, process: Process, address: Address, certificate: Certificate | None) -> None:
        super().__init__(address, certificate)
        self.kind = kind
        self.process = process

    @property
    def pid(self) -> int:
        """The process that was started, and to which signals are sent."""
        return self.process.pid

    def worker_pid(self) -> int:
        """Return the process of the application: gunicorn's newest worker, or the
        server itself.
        """
        booted = BOOTING.findall(self.error_log())
        return int(booted[-1]) if booted else self.pid

    def access_log(self) -> str:
        """Return the access log so far."""
        return read_text(access_path(self.kind, self.process.directory))

    def error_log(self) -> str:
        """Return the error log so far, with all other output on standard error."""
        return read_text(self.process.stderr)

    def requests(self, path: str | None = None) -> list[tuple[str, str]]:
        """Return (path, status) of each line of the access log, or of those for one
        path.
        """
        found = [(match['path'], match['status']) for match in REQUEST.finditer(self.access_log())]
        return [request for request in found if path in (None, request[0])]

    def events(self, path: str | None = None, type: str | None = None) -> list[dict[str, Any]]:
        """Return the events that sockets have recorded, or those of one path or type.
        """
        lines = read_text(self.process.directory / 'events').split('\n')
        found = [json.loads(line) for line in lines[:-1]]
        return [event for event in found if path in (None, event['path']) and type in (None, event['type'])]

    def wait_for_event(self, path: str, type: str, deadline: float = DEADLINE) -> dict[str, Any]:
        """Wait for an event of this type of the socket at ``path``, and return the
        first.
        """
        return wait_until(lambda: self.events(path, type), f'{type} of {path}', deadline)[0]

    def rss(self) -> int:
        """Return the resident memory of the application's process in bytes."""
        status = Path(f'/proc/{self.worker_pid()}/status').read_text()
        return int(re.findall(r'VmRSS:\s+(\d+) kB', status)[0]) * 1024

    def descriptors(self) -> int:
        """Count the files and sockets that the application's process has open."""
        return len(os.listdir(f'/proc/{self.worker_pid()}/fd'))

    def is_gone(self, pid: int) -> bool:
        """Return whether this process of the server has ended."""
        if pid == self.pid:
            return not self.process.is_running()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    def stop(self, deadline: float = DEADLINE) -> int:
        """Send SIGTERM, and return the exit status."""
        return self.process.stop(deadline)


@contextmanager
def serve(kind: str, app: str, *, tmp_path: Path, tls: bool = False, unix_socket: Path | None = None,
          options: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run ``app`` ('module:name') under a server of this kind until the block ends."""
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
    """Return the command of a server. Its application comes before the further options.
    """
    tls = ['--certfile', certificate.certfile, '--keyfile', certificate.keyfile] if certificate else []
    if kind == 'pywsgi':
        # Unlike gunicorn's workers it can do without patching, which is tested so.
        quiet = ['--no-patch', '--log-level', 'warning']
        return [sys.executable, '-m', 'faye_websocket', 'serve', app, '--bind', bind, *quiet, *tls]
    if kind == 'pool':
        # The module is a program, and the further option is the size of its pool.
        return [sys.executable, '-m', app.partition(':')[0]]
    logs = ['--access-logfile', str(access_path(kind, directory)), '--error-logfile', '-', '--no-control-socket']
    return [sys.executable, '-m', 'gunicorn', app, '-k', kind, '-w', '1', '--bind', bind, *logs, *tls]


def access_path(kind: str, directory: Path) -> Path:
    """Return the path of a server's access log; pywsgi writes it to standard output."""
    return directory / ('stdout' if kind in ('pywsgi', 'pool') else 'access')


def started(kind: str, process: Process, certificate: Certificate | None) -> Server:
    """Return the server, once it has responded to a request."""
    process.wait_for_start(lambda: LISTENING.search(read_text(process.stderr)))
    listening = LISTENING.search(read_text(process.stderr))
    assert listening is not None
    address = listening['path'] or ('127.0.0.1', int(listening['port']))
    server = Server(kind, process, address, certificate)
    process.wait_for_start(lambda: answers(server))
    return server


def answers(endpoint: Endpoint) -> bool:
    """Return whether there is a response to an HTTP request, with any status."""
    try:
        return http_get(endpoint, READY_PATH)[0].status > 0
    except (OSError, EOFError):
        return False
