"""Idle event sources: the growth of a server's resident memory for each of them.

As in memory.py, some are opened and closed first, so that one-time allocations are not
counted. Then many are opened and held, and the growth of VmRSS is divided by their
number. Under the servers on gevent the stream leaves the server with its socket. For
comparison, each server is also measured with the socket hidden, so that the stream is
the iterable of the response and keeps the server's greenlet. Another row has gunicorn's
threads.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
REQUEST = b"GET /stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
LISTENING = re.compile(r"Listening (?:on|at):? http://127\.0\.0\.1:(\d+)")
BOOTING = re.compile(r"Booting worker with pid: (\d+)")

WARMUP = 200
SETTLE_SECONDS = 0.5


class Setting(NamedTuple):
    """One way to run the application; `limit` is the most it can hold."""

    title: str
    kind: str
    app: str = "app"
    limit: int = 10**9


SETTINGS = [
    Setting("pywsgi", "pywsgi"),
    Setting("gunicorn gevent", "gevent"),
    Setting("gunicorn gevent_pywsgi", "gevent_pywsgi"),
    Setting("pywsgi, as an iterable", "pywsgi", "as_iterable"),
    Setting("gunicorn gevent, as an iterable", "gevent", "as_iterable"),
    Setting("gunicorn gthread (500 threads)", "gthread", limit=300),
]


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """Serve an event source that says nothing."""
    from faye_websocket import EventSource

    return EventSource(environ, ping=30 if os.environ.get("PING") else None)(environ, start_response)


def as_iterable(environ: dict[str, Any], start_response: Any) -> Any:
    """Serve the same without a way to the server's socket."""
    hidden = {name: value for name, value in environ.items() if name not in ("gunicorn.socket", "wsgi.input")}
    return app(hidden, start_response)


class Server:
    """A server process."""

    def __init__(self, setting: Setting) -> None:
        module = f"eventsource_memory:{setting.app}"
        command = [sys.executable, "-m", "faye_websocket", "serve", module, "--bind", "127.0.0.1:0"]
        if setting.kind != "pywsgi":
            threads = ["--threads", "500"] if setting.kind == "gthread" else []
            command = [sys.executable, "-m", "gunicorn", module, "-k", setting.kind, "--bind", "127.0.0.1:0", *threads,
                       "--worker-connections", "20000", "--graceful-timeout", "1", "--no-control-socket"]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
        self.process = subprocess.Popen(command, env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.port, self.pid = 0, self.process.pid if setting.kind == "pywsgi" else 0
        assert self.process.stderr
        while not (self.port and self.pid):
            line = self.process.stderr.readline()
            if not line:
                raise SystemExit(f"{setting.title} does not start")
            if found := LISTENING.search(line):
                self.port = int(found[1])
            if found := BOOTING.search(line):
                self.pid = int(found[1])

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(40)
        assert self.process.stderr
        self.process.stderr.close()

    def rss_kib(self) -> int:
        """Read its resident memory, once two readings in a row agree."""
        before = -1
        for _ in range(20):
            status = Path(f"/proc/{self.pid}/status").read_text()
            after = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])
            if after == before:
                break
            before = after
            time.sleep(SETTLE_SECONDS)
        return before


@contextmanager
def held_open(server: Server, count: int) -> Iterator[None]:
    """Open so many streams, each of which must have begun."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", server.port), 30))
            sockets[-1].sendall(REQUEST)
        for stream in sockets:
            received = b""
            while b"retry: 5000" not in received:
                piece = stream.recv(4096)
                if not piece:
                    raise SystemExit("a stream has ended")
                received += piece
        yield
    finally:
        for stream in sockets:
            stream.close()


def measure(setting: Setting, wanted: int) -> tuple[int, float, int, int]:
    """Return the number of streams, the KiB for each, and the memory before and with
    them.
    """
    count = min(wanted, setting.limit)
    server = Server(setting)
    try:
        with held_open(server, min(WARMUP, count)):
            server.rss_kib()
        before = server.rss_kib()
        with held_open(server, count):
            held = server.rss_kib()
    finally:
        server.stop()
    return count, (held - before) / count, before, held


def main() -> int:
    """Measure each setting and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10000)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{'':34}{'streams':>9}{'KiB each':>10}{'before':>10}{'with them':>11}")
    for setting in SETTINGS:
        count, each, before, held = measure(setting, arguments.streams)
        print(f"{setting.title:34}{count:9}{each:10.2f}{before:10,}{held:11,}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
