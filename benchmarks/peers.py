"""The programs that are compared, and the start and end of a server.

A new server is a file in ``servers/`` that takes a port, serves an echo at ``/`` on
127.0.0.1 and prints nothing, and one line in :data:`PEERS`. A new client is a file in
``clients/`` that uses ``echoes.py``, and one line in :data:`CLIENTS`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / 'build'
NODE_MODULES = BUILD / 'node_modules'
COMPILER = [os.environ.get('CC', 'cc'), '-O2', '-Wall', '-Wextra', '-o']
LIBRARIES = {'load.c': ('-lz',)}
HANDSHAKE = (b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
             b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
START_SECONDS = 15
STOP_SECONDS = 5

INTERPRETERS = {'.py': (sys.executable,), '.mjs': ('node',), '.rb': ('ruby',)}
INSTALL = {
    '.py': 'pip install -r benchmarks/requirements.txt',
    '.mjs': 'install Node.js 20, and npm install --prefix benchmarks/build ws@8 faye-websocket@0.11',
    '.rb': 'apt-get install ruby-faye-websocket thin',
    '.c': 'apt-get install gcc libc6-dev zlib1g-dev',
}


class BenchmarkError(Exception):
    """A message for the user of the benchmark, which is printed without traceback."""


@dataclass(frozen=True)
class Peer:
    """A program: its title, its file in ``folder``, its libraries, and its features.

    ``features`` are words of the command line, after the port, that the program
    supports: ``deflate`` agrees on permessage-deflate, ``ping=30`` sends keep-alive
    pings, ``broadcast`` and ``loop`` send each message to all connections, with the
    library's function or one by one. ``words`` are always passed to this peer.
    """

    title: str
    file: str
    libraries: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: str = 'servers'
    words: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The program's file."""
        return HERE / self.folder / self.file

    def missing(self) -> str:
        """Return what is missing on this machine to run the peer, and how to install
        it.

        Return an empty string if nothing is missing.
        """
        kind = self.path.suffix
        program = (INTERPRETERS.get(kind) or COMPILER)[0]
        if shutil.which(program):
            missing = [library for library in self.libraries if _version(kind, library) is None]
        else:
            missing = [program]
        return f'{", ".join(missing)} not installed: {INSTALL[kind]}' if missing else ''

    def command(self, *arguments: object) -> list[str]:
        """Build the command line; a server in C is compiled first."""
        words = [*map(str, arguments), *self.words]
        if self.path.suffix == '.c':
            return [str(compile_c(self.path)), *words]
        return [*INTERPRETERS[self.path.suffix], str(self.path), *words]

    def environment(self) -> dict[str, str]:
        """Return the environment: it imports this checkout, and the peer selects the
        codec.
        """
        environ = {name: value for name, value in os.environ.items() if name not in PURE}
        paths = [str(HERE.parent), environ.get('PYTHONPATH', '')]
        return {**environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)), **self.environ}

    def version(self) -> str:
        """Name what would run: each library with its version."""
        kind = self.path.suffix
        language = {'.mjs': ' (Node)', '.rb': ' (Ruby)'}.get(kind, '')
        return ', '.join(f'{library} {_version(kind, library)}{language}' for library in self.libraries)


PURE = {'FAYE_WEBSOCKET_PURE': '1'}

PEERS = {
    'faye': Peer('faye_websocket', 'faye.py', ('gevent',), ('deflate', 'ping', 'broadcast', 'loop')),
    'faye-pure': Peer('faye_websocket (pure)', 'faye.py', ('gevent',), ('deflate', 'ping', 'broadcast', 'loop'), PURE),
    'picows': Peer('picows on uvloop', 'picows_uvloop.py', ('picows', 'uvloop'), ('ping', 'loop')),
    'websockets': Peer('websockets', 'websockets_asyncio.py', ('websockets',), ('deflate', 'ping', 'broadcast', 'loop')),
    'aiohttp': Peer('aiohttp on uvloop', 'aiohttp_uvloop.py', ('aiohttp', 'uvloop'), ('deflate', 'ping', 'loop')),
    'tornado': Peer('tornado', 'tornado_asyncio.py', ('tornado',), ('deflate', 'ping', 'loop')),
    'gevent-websocket': Peer('gevent-websocket', 'gevent_websocket_pywsgi.py', ('gevent', 'gevent-websocket')),
    'simple-websocket': Peer('simple-websocket, gunicorn', 'simple_websocket_gunicorn.py',
                             ('gevent', 'gunicorn', 'simple-websocket')),
    'faye-ruby': Peer('faye-websocket (Ruby), Thin', 'faye_websocket_thin.rb', ('faye-websocket', 'thin'), ('ping',)),
    'faye-node': Peer('faye-websocket (Node)', 'faye_websocket_node.mjs', ('faye-websocket',), ('ping',)),
    'ws': Peer('ws (Node)', 'ws_node.mjs', ('ws',), ('deflate', 'ping', 'loop')),
    'raw': Peer('raw epoll in C', 'raw_epoll.c'),
}

CLIENTS = {
    'faye': Peer('faye_websocket, callbacks', 'faye_callbacks.py', ('gevent',), folder='clients'),
    'faye-receive': Peer('faye_websocket, receive()', 'faye_greenlets.py', ('gevent',), folder='clients'),
    'picows': Peer('picows on uvloop', 'picows_uvloop.py', ('picows', 'uvloop'), folder='clients'),
    'websockets': Peer('websockets, asyncio', 'websockets_asyncio.py', ('websockets',), folder='clients'),
    'websockets-sync': Peer('websockets, threads', 'websockets_threads.py', ('websockets',), folder='clients'),
    'websocket-client': Peer('websocket-client', 'websocket_client_threads.py', ('websocket-client',), folder='clients'),
    'aiohttp': Peer('aiohttp on uvloop', 'aiohttp_uvloop.py', ('aiohttp', 'uvloop'), folder='clients'),
}


def _version(kind: str, library: str) -> str | None:
    """Return the version of a library without loading it; None if it is not installed.
    """
    if kind == '.py':
        try:
            return importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            return None
    if kind == '.mjs':
        package = NODE_MODULES / library / 'package.json'
        return str(json.loads(package.read_text())['version']) if package.exists() else None
    find = f'puts Gem::Specification.find_by_name({library!r}).version'
    gem = subprocess.run(['ruby', '-e', find], check=False, capture_output=True, text=True)
    return gem.stdout.strip() or None


def choose(names: str | None, peers: Mapping[str, Peer] = PEERS) -> dict[str, Peer]:
    """Return the peers for ``--peers``, by default all that are installed.

    Raise BenchmarkError for a peer that is named, but not installed.
    """
    chosen = {name.strip(): _named(name.strip(), peers) for name in names.split(',')} if names else peers
    available = {}
    for name, peer in chosen.items():
        missing = peer.missing()
        if missing and names:
            raise BenchmarkError(f'{name}: {missing}')
        if missing:
            print(f'left out {name}: {missing}', file=sys.stderr)
        else:
            available[name] = peer
    return available


def _named(name: str, peers: Mapping[str, Peer]) -> Peer:
    """Find a peer, or say which there are."""
    if name not in peers:
        raise BenchmarkError(f'there is no peer {name!r}; there are: {", ".join(peers)}')
    return peers[name]


def compile_c(source: Path) -> Path:
    """Compile a program into ``build/`` unless it is newer than its sources."""
    program = BUILD / source.stem
    sources = [source, HERE / 'handshake.h']
    if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return program
    BUILD.mkdir(exist_ok=True)
    # A program that is running cannot be written to; it can be replaced.
    new = BUILD / f'{source.stem}.{os.getpid()}'
    try:
        subprocess.run([*COMPILER, str(new), str(source), *LIBRARIES.get(source.name, ())], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f'cannot compile {source.name}: {error} ({INSTALL[".c"]}; CC names the compiler)') from error
    return new.replace(program)


def cores() -> tuple[int, int]:
    """Return a core for the measured program and another for the other side, if there
    are two.
    """
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def on_core(core: int, command: list[str]) -> list[str]:
    """Pin a command to a core; the process keeps the pid that it is started with."""
    return ['taskset', '--cpu-list', str(core), *command]


def raise_descriptor_limit() -> None:
    """Allow thousands of sockets, here and in the processes started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A peer that runs as a process on a core of its own.

        with Server(peer) as server:
            print(server.port)

    ``features`` are the words after the port.
    """

    def __init__(self, peer: Peer, *features: str, core: int | None = None) -> None:
        self.peer = peer
        self.port = free_port()
        self._stderr = tempfile.TemporaryFile('w+', errors='replace')
        self.process = subprocess.Popen(
            on_core(cores()[0] if core is None else core, peer.command(self.port, *features)),
            env=peer.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )

    def __enter__(self) -> Server:
        """Wait until the server shakes hands."""
        deadline = time.monotonic() + START_SECONDS
        try:
            while not self._shakes_hands():
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f'{self.peer.title} does not start: {self.complaint() or "no message"}')
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        """End the server."""
        self.stop()

    def _shakes_hands(self) -> bool:
        """Try one handshake.

        An open port is not enough: gunicorn listens before it has a worker.
        """
        with socket.socket() as probe:
            probe.settimeout(START_SECONDS)
            try:
                probe.connect(('127.0.0.1', self.port))
                probe.sendall(HANDSHAKE)
                return probe.recv(4096).startswith(b'HTTP/1.1 101')
            except OSError:
                return False

    def worker_pid(self) -> int:
        """Return the process that does the work: the last of a chain of forked ones."""
        pid = self.process.pid
        while children := Path(f'/proc/{pid}/task/{pid}/children').read_text().split():
            pid = int(children[-1])
        return pid

    def rss_kib(self) -> int:
        """Read the resident memory of the working process."""
        for line in Path(f'/proc/{self.worker_pid()}/status').read_text().splitlines():
            if line.startswith('VmRSS:'):
                return int(line.split()[1])
        raise BenchmarkError(f'{self.peer.title} has ended: {self.complaint() or "no message"}')

    def cpu_seconds(self) -> float:
        """Return the processor time of the working process, in user and system mode."""
        fields = Path(f'/proc/{self.worker_pid()}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def complaint(self) -> str:
        """Return the end of what the server wrote to stderr."""
        self._stderr.seek(0)
        return self._stderr.read()[-2000:].strip()

    def stop(self) -> None:
        """End the process by its own pid, first politely."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stderr.close()
