"""One program running as a process of its own, with its output in files; ended by its own pid."""

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
    """Something a client can connect to: a TCP address or a Unix socket's path, with or without TLS."""

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
        """The origin for HTTP requests, without a slash at the end."""
        return f'{"https" if self.certificate else "http"}://127.0.0.1:{self.port}'

    def ws_url(self, path: str = '/') -> str:
        """The URL of a WebSocket at `path`."""
        return f'{"wss" if self.certificate else "ws"}://127.0.0.1:{self.port}{path}'

    def connect(self, timeout: float = DEADLINE) -> socket.socket:
        """A connected socket; with TLS, after the TLS handshake."""
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
    """A running program whose standard output and error go to files in `directory`."""

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
        """The pid of the program we started."""
        return self.popen.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def output(self) -> str:
        """Everything it has printed so far, on both channels."""
        return read_text(self.stdout) + read_text(self.stderr)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Its return code, once it has ended by itself."""
        return self.popen.wait(deadline)

    def terminate(self) -> None:
        """SIGTERM."""
        self.popen.terminate()

    def stop(self, deadline: float = DEADLINE) -> int:
        """SIGTERM, then its return code; a program that is not gone by the deadline is killed and is a failure."""
        self.terminate()
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(deadline)
            raise AssertionError(f'not gone within {deadline} s of SIGTERM: {self.command}\n{self.output()}') from None

    def wait_for_start(self, is_ready: Callable[[], object], deadline: float = 30.0) -> None:
        """Wait until it is ready; when it ends or does not come up, the error shows what it printed."""
        try:
            wait_until(lambda: not self.is_running() or is_ready(), 'ready', deadline)
            assert self.is_running(), f'ended with {self.popen.returncode}'
        except AssertionError as error:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f'{error}: {self.command}\n{self.output()}') from None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment, with the project importable and nothing buffered, and `extra` on top."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    return {**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1', **(extra or {})}


def own_directory(parent: Path, name: str) -> Path:
    """A new directory in `parent`, with a short name (a Unix socket's path has at most 107 bytes)."""
    return Path(mkdtemp(prefix=f'{name}-', dir=parent))


def read_text(path: Path) -> str:
    """The text of a file; nothing if it does not exist yet."""
    return path.read_text(errors='replace') if path.exists() else ''
