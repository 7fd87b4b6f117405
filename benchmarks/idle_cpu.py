"""Idle connections with keep-alive: the share of a core that a server's pings take.

All connections are opened. Nothing is sent but the server's pings, which the load
generator answers. The measured time begins after the first round of pings, and is a
whole number of rounds, so that each connection has an equal number of pings in it.
"""

from __future__ import annotations

import argparse
import sys
import time

from memory import held_open
from peers import (
    HERE,
    PEERS,
    BenchmarkError,
    Peer,
    Server,
    choose,
    compile_c,
    raise_descriptor_limit,
)
from tables import table


def measure(peer: Peer, count: int, ping: float, seconds: float) -> tuple[float, float]:
    """Return the processor time in the measured time, and that time, in seconds."""
    rounds = max(1, round(seconds / ping))
    with Server(peer, f'ping={ping:g}') as server, held_open(server, count):
        time.sleep(ping)
        cpu, began = server.cpu_seconds(), time.monotonic()
        time.sleep(rounds * ping)
        return server.cpu_seconds() - cpu, time.monotonic() - began


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--peers', help='names separated by commas (default: all that can send pings and are installed)')
    parser.add_argument('--connections', type=int, default=10000)
    parser.add_argument('--ping', type=float, default=30, help='seconds between two pings of a connection')
    parser.add_argument('--seconds', type=float, default=60, help='measured time')
    return parser.parse_args()


def main() -> int:
    """Measure each peer and print a table."""
    arguments = parse_arguments()
    rows = [['peer', '% of a core', 'us a ping', 'CPU s', 'seconds']]
    failed = False
    try:
        compile_c(HERE / 'load.c')
        raise_descriptor_limit()
        peers = choose(arguments.peers, {name: peer for name, peer in PEERS.items() if 'ping' in peer.features})
    except BenchmarkError as error:
        print(f'idle_cpu.py: {error}', file=sys.stderr)
        return 2
    for peer in peers.values():
        try:
            cpu, seconds = measure(peer, arguments.connections, arguments.ping, arguments.seconds)
        except BenchmarkError as error:
            print(f'idle_cpu.py: {error}', file=sys.stderr)
            rows.append([peer.title, 'failed', '', '', ''])
            failed = True
        else:
            pings = arguments.connections * seconds / arguments.ping
            rows.append([peer.title, f'{100 * cpu / seconds:.2f}', f'{1e6 * cpu / pings:.1f}', f'{cpu:.2f}', f'{seconds:.1f}'])
    print(f'{arguments.connections:,} connections, a ping every {arguments.ping:g} s on each\n\n{table(rows)}')
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
