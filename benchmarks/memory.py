"""Idle connections: the growth of a server's resident memory for each of them.

A server first opens and closes a few connections, so that one-time allocations are not
counted. Then many are opened and held, and the growth of VmRSS is divided by their
number. The kernel's socket buffers are not included; they are equal for all peers.

With --deflate the connections agree on permessage-deflate, but nothing is sent; they
are measured beside connections without it. With --zlib nothing is connected: the memory
that zlib adds to a connection of this library, after messages in both directions, is
measured for several settings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from peers import (
    HERE,
    BenchmarkError,
    Peer,
    Server,
    choose,
    compile_c,
    cores,
    on_core,
    raise_descriptor_limit,
)
from tables import table

WARMUP_CONNECTIONS = 200
SETTLE_SECONDS = 0.5
SETTLE_ATTEMPTS = 20

# max_window_bits and mem_level of both ends; and the number of different messages, of 1
# KiB of JSON, that are sent in each direction.
ZLIB_SETTINGS = ((15, 9), (15, 8), (15, 5), (12, 8), (12, 5), (12, 1), (10, 4), (9, 1))
ZLIB_SESSIONS = 200
MEASURE_ZLIB = """
import json, pathlib, random, sys
sys.path.insert(0, sys.argv[1])
from faye_websocket.extensions import Message, PermessageDeflate, Pipeline
count, bits, level, context = map(int, sys.argv[2:])
no_context = '' if context else '; server_no_context_takeover; client_no_context_takeover'
offer = f'permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}{no_context}'
randint = random.Random(1).randint
messages = [json.dumps([{'id': randint(0, 9999), 'name': f'user {randint(0, 999)}', 'score': randint(0, 10**6) / 7}
                        for _ in range(20)]).encode()[:1024] for _ in range(100)]

def active():
    pipeline = Pipeline([PermessageDeflate(mem_level=level)])
    pipeline.generate_response(offer)
    sizes = []
    for message in messages:
        deflated = pipeline.process_outgoing_message(Message(1, message, 0))
        sizes.append(len(deflated.data))
        assert pipeline.process_incoming_message(deflated).data == message
    return pipeline, sizes[0], sum(sizes) // len(sizes)

def rss():
    return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * 4

warm = [active() for _ in range(5)]
before = rss()
held = [active() for _ in range(count)]
print((rss() - before) / count, *held[0][1:])
"""


@contextmanager
def held_open(server: Server, count: int, *words: str) -> Iterator[None]:
    """Open `count` connections; close them, with closing handshakes, at the end."""
    command = [str(HERE / 'build' / 'load'), f'--port={server.port}', '--mode=idle', f'--connections={count}', *words]
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
    """Read the resident memory once two readings in a row agree.

    Closing connections and collecting garbage take some time.
    """
    before = server.rss_kib()
    for _ in range(SETTLE_ATTEMPTS):
        time.sleep(SETTLE_SECONDS)
        after = server.rss_kib()
        if after == before:
            break
        before = after
    return after


def measure(peer: Peer, count: int, deflate: bool = False) -> tuple[float, int, int]:
    """Return KiB for each connection, and the resident memory before and with them."""
    features, words = (['deflate'], ['--deflate']) if deflate else ([], [])
    with Server(peer, *features) as server:
        with held_open(server, WARMUP_CONNECTIONS, *words):
            settled_rss_kib(server)
        before = settled_rss_kib(server)
        with held_open(server, count, *words):
            held = settled_rss_kib(server)
    return (held - before) / count, before, held


def zlib_table() -> list[list[str]]:
    """Measure each setting in its own process, so that it cannot reuse memory of
    another.
    """
    rows = [['window bits, mem_level', 'KiB each', 'bytes of the first KiB', 'on average']]
    for bits, level, context in [*((*setting, 1) for setting in ZLIB_SETTINGS), (15, 8, 0)]:
        command = [sys.executable, '-c', MEASURE_ZLIB, str(HERE.parent), *map(str, (ZLIB_SESSIONS, bits, level, context))]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        each, first, average = run.stdout.split()
        name = f'{bits}, {level}' + ('' if context else ' without context takeover')
        rows.append([name, f'{float(each):.1f}', first, average])
    return rows


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--peers', help='names separated by commas (default: all that are installed)')
    parser.add_argument('--connections', type=int, default=5000)
    parser.add_argument('--deflate', action='store_true', help='with permessage-deflate agreed on, too')
    parser.add_argument('--zlib', action='store_true', help='what zlib needs for an active connection instead')
    return parser.parse_args()


def main() -> int:
    """Measure each peer and print a table."""
    arguments = parse_arguments()
    if arguments.zlib:
        print(table(zlib_table()))
        return 0
    rows = [['', 'KiB each', 'KiB before', f'KiB with {arguments.connections}']]
    failed = False
    try:
        compile_c(HERE / 'load.c')
        raise_descriptor_limit()
        peers = choose(arguments.peers)
    except BenchmarkError as error:
        print(f'memory.py: {error}', file=sys.stderr)
        return 2
    for peer in peers.values():
        for deflate in (False, True) if arguments.deflate and 'deflate' in peer.features else (False,):
            title = peer.title + (', deflate' if deflate else '')
            try:
                each, before, held = measure(peer, arguments.connections, deflate)
                rows.append([title, f'{each:.2f}', f'{before:,}', f'{held:,}'])
            except BenchmarkError as error:
                print(f'memory.py: {error}', file=sys.stderr)
                rows.append([title, 'failed', '', ''])
                failed = True
    print(table(rows))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
