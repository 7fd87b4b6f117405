"""The servers that are compared, and how one of them is started and ended.

A new peer is a file in ``servers/`` that takes a port, serves an echo at ``/`` on 127.0.0.1 and prints nothing, and one line
in :data:`PEERS`.
"""

from __future__ import annotations

import importlib.util
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
BUILD = HERE / "build"
COMPILER = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-o"]
START_SECONDS = 15
STOP_SECONDS = 5


class BenchmarkError(Exception):
    """What a user of the benchmark must read: no traceback is of any use beside it."""


@dataclass(frozen=True)
class Peer:
    """An echo server: its title, its file in ``servers/``, and what must be installed for it."""

    title: str
    file: str
    modules: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Name what this machine lacks to run the peer."""
        interpreter = INTERPRETERS.get(Path(self.file).suffix, [])
        programs = [program for program in interpreter if not shutil.which(program)]
        return programs + [module for module in self.modules if not _is_importable(module)]

    def command(self, port: int) -> list[str]:
        """Build the command line; a server in C is compiled first."""
        path = HERE / "servers" / self.file
        if path.suffix == ".c":
            return [str(compile_c(path)), str(port)]
        return [*INTERPRETERS[path.suffix], str(path), str(port)]


INTERPRETERS = {".py": [sys.executable], ".js": ["node"], ".rb": ["ruby"]}

PURE = {"FAYE_WEBSOCKET_PURE": "1"}

PEERS = {
    "faye": Peer("faye_websocket", "faye.py", ("gevent",)),
    "faye-pure": Peer("faye_websocket (pure)", "faye.py", ("gevent",), PURE),
    "picows": Peer("picows on uvloop", "picows_uvloop.py", ("picows", "uvloop")),
    "websockets": Peer("websockets", "websockets_asyncio.py", ("websockets",)),
    "aiohttp": Peer("aiohttp on uvloop", "aiohttp_uvloop.py", ("aiohttp", "uvloop")),
    "gevent-websocket": Peer("gevent-websocket", "gevent_websocket_pywsgi.py", ("gevent", "geventwebsocket")),
    "raw": Peer("raw epoll in C", "raw_epoll.c"),
}


def _is_importable(module: str) -> bool:
    """Look for a module without importing it."""
    return importlib.util.find_spec(module) is not None


def choose(names: str | None) -> dict[str, Peer]:
    """Turn ``--peers`` into peers.  By default all that are installed; a peer asked for by name must be."""
    chosen = {name.strip(): _named(name.strip()) for name in names.split(",")} if names else PEERS
    available = {}
    for name, peer in chosen.items():
        missing = ", ".join(peer.missing())
        if missing and names:
            raise BenchmarkError(f"{name} needs {missing}: see benchmarks/requirements.txt")
        if missing:
            print(f"skipped {name}: {missing} is not installed", file=sys.stderr)
        else:
            available[name] = peer
    return available


def _named(name: str) -> Peer:
    """Find a peer, or say which there are."""
    if name not in PEERS:
        raise BenchmarkError(f"there is no peer {name!r}; there are: {', '.join(PEERS)}")
    return PEERS[name]


def compile_c(source: Path) -> Path:
    """Compile a program into ``build/`` unless it is newer than its sources."""
    program = BUILD / source.stem
    sources = [source, HERE / "handshake.h"]
    if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return program
    BUILD.mkdir(exist_ok=True)
    try:
        subprocess.run([*COMPILER, str(program), str(source)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"cannot compile {source.name}: {error} (a C compiler is needed; CC names it)") from error
    return program


def cores() -> tuple[int, int]:
    """Choose a core for the server and another for the load generator, if there are two."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def on_core(core: int, command: list[str]) -> list[str]:
    """Pin a command to a core; the process keeps the pid that it is started with."""
    return ["taskset", "--cpu-list", str(core), *command]


def raise_descriptor_limit() -> None:
    """Allow thousands of sockets, here and in the processes started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A peer running as a process of its own on a core of its own: ``with Server(peer) as server: server.port``."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.port = free_port()
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            on_core(cores()[0], peer.command(self.port)),
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )

    def _environ(self) -> dict[str, str]:
        """Let the servers import this checkout; only the peer decides about the pure codec."""
        environ = {name: value for name, value in os.environ.items() if name not in PURE}
        paths = [str(HERE.parent), environ.get("PYTHONPATH", "")]
        return {**environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **self.peer.environ}

    def __enter__(self) -> Server:
        """Wait until the server accepts connections."""
        deadline = time.monotonic() + START_SECONDS
        try:
            while not self._accepts():
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f"{self.peer.title} does not start: {self.complaint() or 'no message'}")
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        """End the server."""
        self.stop()

    def _accepts(self) -> bool:
        """Try to connect once."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def worker_pid(self) -> int:
        """Find the process that does the work: the last of a chain, for servers that fork one worker."""
        pid = self.process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[-1])
        return pid

    def rss_kib(self) -> int:
        """Read the resident memory of the working process."""
        for line in Path(f"/proc/{self.worker_pid()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise BenchmarkError(f"{self.peer.title} has ended: {self.complaint() or 'no message'}")

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
