"""A program that runs as a process, with its output in files; it is ended by its own
pid.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.support.certificates import Certificate
from tests.support.waiting import DEADLINE, wait_until

ROOT = Path(__file__).resolve().parents[2]

Address = tuple[str, int] | str


class Endpoint:
    """An address of a server: TCP or the path of a Unix socket, with or without TLS."""

    def __init__(self, address: Address, certificate: Certificate | None = None) -> None:
        self.address = address
        self.certificate = certificate

    @property
    def port(self) -> int:
        """The TCP port."""
        assert isinstance(self.address, tuple), f'{self.address} has no port'
        return self.address[1]

    @property
    def http_url(self) -> str:
        """The origin of HTTP requests, without a slash at the end."""
        return f'{"https" if self.certificate else "http"}://127.0.0.1:{self.port}'

    def ws_url(self, path: str = '/') -> str:
        """Return the URL of a WebSocket at ``path``."""
        return f'{"wss" if self.certificate else "ws"}://127.0.0.1:{self.port}{path}'

    def connect(self, timeout: float = DEADLINE) -> socket.socket:
        """Return a connected socket; with TLS, after the TLS handshake."""
        connected = self._connect(timeout)
        if self.certificate is None:
            return connected
        return self.certificate.client_context().wrap_socket(connected, server_hostname='127.0.0.1')

    def _connect(self, timeout: float) -> socket.socket:
        if isinstance(self.address, tuple):
            return socket.create_connection(self.address, timeout)
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(timeout)
        connected.connect(self.address)
        return connected


class Process:
    """A running program whose output goes to files in ``directory``."""

    def __init__(self, command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.command = list(command)
        with self.stdout.open('wb') as out, self.stderr.open('wb') as err:
            self.popen = subprocess.Popen(self.command, cwd=ROOT, env=environment(env), stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=err)

    @property
    def stdout(self) -> Path:
        """The file with the standard output."""
        return self.directory / 'stdout'

    @property
    def stderr(self) -> Path:
        """The file with the standard error."""
        return self.directory / 'stderr'

    @property
    def pid(self) -> int:
        """The pid of the program."""
        return self.popen.pid

    def is_running(self) -> bool:
        """Return whether it has not ended yet."""
        return self.popen.poll() is None

    def output(self) -> str:
        """Return all text that it has printed so far, on both channels."""
        return read_text(self.stdout) + read_text(self.stderr)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Wait until it has ended by itself, and return its exit status."""
        return self.popen.wait(deadline)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.popen.terminate()

    def stop(self, deadline: float = DEADLINE) -> int:
        """Send SIGTERM, and return the exit status.

        Kill a program that does not end before the deadline, and raise AssertionError.
        """
        self.terminate()
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(deadline)
            raise AssertionError(f'not gone within {deadline} s of SIGTERM: {self.command}\n{self.output()}') from None

    def wait_for_start(self, is_ready: Callable[[], object], deadline: float = 30.0) -> None:
        """Wait until it is ready. If it is not in time, raise an error with its output.
        """
        try:
            wait_until(lambda: not self.is_running() or is_ready(), 'ready', deadline)
            assert self.is_running(), f'ended with {self.popen.returncode}'
        except AssertionError as error:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f'{error}: {self.command}\n{self.output()}') from None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this environment with the project importable, no buffering, and ``extra``.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return {**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1', **(extra or {})}


def own_directory(parent: Path, name: str) -> Path:
    """Make a directory in ``parent``.

    Its name is short, since the path of a Unix socket has 107 bytes at most.
    """
    return Path(mkdtemp(prefix=f'{name}-', dir=parent))


def read_text(path: Path) -> str:
    """Return the text of a file, or '' if it does not exist yet."""
    return path.read_text(errors='replace') if path.exists() else ''
