"""Idle connections: how much the resident memory of a server grows for each.

A server first opens and closes a few connections, so that what it allocates once, lazily, is not counted.  Then many are
opened and held, and the growth of VmRSS is divided by their number.  The kernel's socket buffers are not in it: they are the
same for every peer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from peers import HERE, BenchmarkError, Peer, Server, choose, compile_c, cores, on_core, raise_descriptor_limit
from run import table

WARMUP_CONNECTIONS = 200
SETTLE_SECONDS = 0.5
SETTLE_ATTEMPTS = 20


@contextmanager
def held_open(server: Server, count: int) -> Iterator[None]:
    """Open `count` connections; close them, with closing handshakes, at the end."""
    command = [str(HERE / "build" / "load"), f"--port={server.port}", "--mode=idle", f"--connections={count}"]
    generator = subprocess.Popen(
        on_core(cores()[1], command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert generator.stdout
    try:
        line = generator.stdout.readline()
        opened = json.loads(line)["open"] if line else 0
        if opened == count:
            yield
    finally:
        _, complaint = generator.communicate()
    if opened != count or generator.returncode:
        raise BenchmarkError(f"{server.peer.title}: {complaint.strip() or 'no message'}\n{server.complaint()}".strip())


def settled_rss_kib(server: Server) -> int:
    """Read the resident memory once two readings in a row agree: closing and collecting take their time."""
    before = server.rss_kib()
    for _ in range(SETTLE_ATTEMPTS):
        time.sleep(SETTLE_SECONDS)
        after = server.rss_kib()
        if after == before:
            break
        before = after
    return after


def measure(peer: Peer, count: int) -> tuple[float, int, int]:
    """Return KiB for each connection, and the resident memory before and with them."""
    with Server(peer) as server:
        with held_open(server, WARMUP_CONNECTIONS):
            settled_rss_kib(server)
        before = settled_rss_kib(server)
        with held_open(server, count):
            held = settled_rss_kib(server)
    return (held - before) / count, before, held


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="names separated by commas (default: all that are installed)")
    parser.add_argument("--connections", type=int, default=5000)
    return parser.parse_args()


def main() -> int:
    """Measure each peer and print a table."""
    arguments = parse_arguments()
    rows = [["", "KiB each", "KiB before", f"KiB with {arguments.connections}"]]
    failed = False
    try:
        compile_c(HERE / "load.c")
        raise_descriptor_limit()
        peers = choose(arguments.peers)
    except BenchmarkError as error:
        print(f"memory.py: {error}", file=sys.stderr)
        return 2
    for peer in peers.values():
        try:
            each, before, held = measure(peer, arguments.connections)
            rows.append([peer.title, f"{each:.2f}", f"{before:,}", f"{held:,}"])
        except BenchmarkError as error:
            print(f"memory.py: {error}", file=sys.stderr)
            rows.append([peer.title, "failed", "", ""])
            failed = True
    print(table(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
