"""Broadcasts: a server sends every message that it receives to all of its connections.

The load generator sends the next message when the one before has arrived at all
connections. A server that has a function for broadcasts is measured with this function,
and with a loop of sends.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from peers import PEERS, BenchmarkError, Peer, choose
from run import measure_rounds
from scenarios import parse_scenarios
from tables import render

WORDS = {'broadcast': 'its broadcast()', 'loop': 'a loop of sends'}


def variants(peers: dict[str, Peer]) -> dict[str, Peer]:
    """Make a peer of each way that a peer has."""
    return {
        f'{name} {word}': replace(peer, title=f'{peer.title}: {title}', words=(word,))
        for name, peer in peers.items()
        for word, title in WORDS.items()
        if word in peer.features
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--peers', help='names separated by commas (default: all that can and are installed)')
    parser.add_argument('--scenarios', default='broadcast:1000x1K,broadcast:1000x1K:deflate',
                        help='separated by commas (default: broadcast:1000x1K and broadcast:1000x1K:deflate)')
    parser.add_argument('--rounds', type=int, default=5, help='measurements of each')
    parser.add_argument('--seconds', type=float, default=2, help='measured time of each')
    parser.add_argument('--warmup', type=float, default=0.5, help='time before the measurement begins')
    return parser.parse_args()


def main() -> int:
    """Measure and print the tables."""
    arguments = parse_arguments()
    try:
        peers = variants(choose(arguments.peers, {name: peer for name, peer in PEERS.items() if 'loop' in peer.features}))
        scenarios = parse_scenarios(arguments.scenarios)
        results = measure_rounds(peers, scenarios, arguments)
    except (BenchmarkError, ValueError) as error:
        print(f'broadcast.py: {error}', file=sys.stderr)
        return 2
    print(f'\nmedians of {arguments.rounds} rounds, {arguments.seconds:g} s each; messages are counted where they arrive\n')
    for scenario in scenarios:
        print(render(scenario, {name: peer.title for name, peer in peers.items()}, results[scenario.name]))
    return int(any('failure' in run for by_peer in results.values() for runs in by_peer.values() for run in runs))


if __name__ == '__main__':
    sys.exit(main())
