"""Client programs side by side: the echo rate of each, against one echo server in C.

The server, ``servers/raw_epoll.c``, has one core and the client another. A round
measures every client in every scenario once, and the rounds follow each other, so that
other load on the machine affects all clients equally.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from peers import CLIENTS, PEERS, BenchmarkError, Peer, Server, choose, cores, on_core
from scenarios import Scenario, parse_scenarios
from tables import Result, render

# For starting and for opening the connections; what takes longer hangs.
GRACE_SECONDS = 20


def measure(peer: Peer, server: Server, scenario: Scenario, seconds: float, warmup: float) -> Result:
    """Run one client once. A failure is a result, too: ``{'failure': reason}``."""
    url = f'ws://127.0.0.1:{server.port}/'
    command = peer.command(url, scenario.connections, scenario.in_flight, scenario.size, scenario.opcode, seconds, warmup)
    server_cpu = server.cpu_seconds()
    try:
        run = subprocess.run(on_core(cores()[1], command), check=False, env=peer.environment(), stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=seconds + warmup + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return {'failure': 'it did not end'}
    if run.returncode or not run.stdout:
        return {'failure': run.stderr[-2000:].strip() or f'exit code {run.returncode}'}
    result: Result = json.loads(run.stdout)
    # It includes the warm-up. It shows whether the server was the bottleneck, and
    # nothing else.
    return {**result, 'server_cpu': (server.cpu_seconds() - server_cpu) / (seconds + warmup)}


def measure_round(peers: dict[str, Peer], scenarios: list[Scenario], first: int, arguments: argparse.Namespace,
                  results: dict[str, dict[str, list[Result]]]) -> None:
    """Measure every client in every scenario; each round begins with another."""
    names = list(peers)
    first %= len(names)
    for scenario in scenarios:
        with Server(PEERS['raw']) as server:
            for name in names[first:] + names[:first]:
                result = measure(peers[name], server, scenario, arguments.seconds, arguments.warmup)
                results[scenario.name][name].append(result)
                figure = result.get('failure') or (f'{result["messages_per_second"]:>10,.0f} messages/s, '
                                                   f'server {result["server_cpu"]:.0%}')
                print(f'{scenario.name:>16}  {name:<18} {figure}', file=sys.stderr, flush=True)


def run(arguments: argparse.Namespace) -> dict[str, dict[str, list[Result]]]:
    """Measure, and print the tables."""
    peers = choose(arguments.clients, CLIENTS)
    scenarios = parse_scenarios(arguments.scenarios)
    results: dict[str, dict[str, list[Result]]] = {s.name: {name: [] for name in peers} for s in scenarios}
    for number in range(arguments.rounds):
        measure_round(peers, scenarios, number, arguments, results)
    print(f'\nclients: medians of {arguments.rounds} rounds, {arguments.seconds:g} s each\n')
    titles = {name: peer.title for name, peer in peers.items()}
    for scenario in scenarios:
        print(render(scenario, titles, results[scenario.name]))
    return results


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--clients', help='names separated by commas (default: all that are installed)')
    parser.add_argument('--scenarios', default='clients', help='scenarios and groups, separated by commas')
    parser.add_argument('--rounds', type=int, default=5, help='measurements of each client in each scenario')
    parser.add_argument('--seconds', type=float, default=2, help='measured time of each')
    parser.add_argument('--warmup', type=float, default=0.5, help='time before the measurement begins')
    parser.add_argument('--json', metavar='FILE', help='also write everything measured to this file')
    return parser.parse_args()


def main() -> int:
    """Run the benchmark."""
    arguments = parse_arguments()
    try:
        results = run(arguments)
    except (BenchmarkError, ValueError) as error:
        print(f'clients.py: {error}', file=sys.stderr)
        return 2
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=2) + '\n')
    return int(any('failure' in run for by_peer in results.values() for runs in by_peer.values() for run in runs))


if __name__ == '__main__':
    sys.exit(main())
