"""Echo servers side by side: messages per second, latency and CPU time, as a table.

Every measurement starts a fresh server on one core and the load generator on another. A
round measures every peer in every scenario once, and the rounds follow each other, so
that other load on the machine affects all peers equally.

``--all`` measures all scenarios, and then runs the other benchmarks, too. ``--quick``
does so in a few minutes, for a first look.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from peers import (
    HERE,
    PEERS,
    BenchmarkError,
    Peer,
    Server,
    choose,
    compile_c,
    cores,
    on_core,
    raise_descriptor_limit,
)
from scenarios import Scenario, parse_scenarios
from tables import Result, render, render_ratios, summarize_all, table

__all__ = ['Results', 'measure_rounds', 'table']

Results = dict[str, dict[str, list[Result]]]

# What an argument that is not given is: alone, with --all, with --quick.
DEFAULTS: dict[str, tuple[Any, Any, Any]] = {
    'scenarios': ('default', 'all', 'all'),
    'rounds': (5, 5, 1),
    'seconds': (3, 0.5, 0.4),
    'warmup': (1, 0.2, 0.15),
}

# The other benchmarks of --all, with their arguments there and with --quick.
OTHERS = {
    'clients.py': (('--rounds=5', '--seconds=0.5', '--warmup=0.2'), ('--rounds=1', '--seconds=0.4', '--warmup=0.2')),
    'broadcast.py': (('--rounds=5', '--seconds=0.8', '--warmup=0.2'), ('--rounds=1', '--seconds=0.5', '--warmup=0.1')),
    'memory.py': (('--deflate',), ('--connections=1000', '--deflate')),
    'idle_cpu.py': (('--peers=faye',), ('--peers=faye', '--connections=1000', '--ping=3', '--seconds=6')),
    'linearity.py': ((), ('--largest=1M',)),
}


def run_generator(server: Server, scenario: Scenario, seconds: float, warmup: float) -> Result:
    """Put one server under load. A failure is a result, too: ``{'failure': reason}``.
    """
    command = [str(HERE / 'build' / 'load'), f'--port={server.port}', f'--server-pid={server.worker_pid()}']
    timing = [f'--seconds={seconds}', f'--warmup={warmup}']
    run = subprocess.run(
        on_core(cores()[1], [*command, *timing, *scenario.options]),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        return {'failure': '\n'.join(filter(None, (run.stderr.strip(), server.complaint())))}
    result: Result = json.loads(run.stdout)
    generator_cpu = result.pop('cpu_seconds')
    return {**result, 'cpu_seconds': result['server_cpu_seconds'], 'generator_cpu_seconds': generator_cpu}


def measure(peer: Peer, scenario: Scenario, seconds: float, warmup: float) -> Result:
    """Measure one peer once, on a server of its own."""
    try:
        with Server(peer, *(['deflate'] if scenario.is_deflated else [])) as server:
            return run_generator(server, scenario, seconds, warmup)
    except BenchmarkError as error:
        return {'failure': str(error)}


def can_run(peer: Peer, scenario: Scenario) -> bool:
    """Return whether the peer has the features that the scenario needs."""
    return not scenario.is_deflated or 'deflate' in peer.features


def measure_rounds(peers: dict[str, Peer], scenarios: list[Scenario], arguments: argparse.Namespace) -> Results:
    """Measure every peer in every scenario, round by round.

    Each round begins with another peer.
    """
    compile_c(HERE / 'load.c')
    raise_descriptor_limit()
    if len(set(cores())) < 2:
        print('only one core: the server and the load generator share it', file=sys.stderr)
    names = {scenario.name: [name for name, peer in peers.items() if can_run(peer, scenario)] for scenario in scenarios}
    scenarios = [scenario for scenario in scenarios if names[scenario.name]]
    results: Results = {scenario.name: {name: [] for name in names[scenario.name]} for scenario in scenarios}
    for number in range(arguments.rounds):
        for scenario in scenarios:
            order = names[scenario.name]
            first = number % len(order)
            for name in order[first:] + order[:first]:
                result = measure(peers[name], scenario, arguments.seconds, arguments.warmup)
                results[scenario.name][name].append(result)
                figure = result.get('failure') or f'{result[scenario.unit + "_per_second"]:,.0f} {scenario.unit}/s'
                print(f'{scenario.name:>16}  {name:<18} {figure}', file=sys.stderr, flush=True)
    return results


def versions(peers: dict[str, Peer]) -> list[str]:
    """Name what was measured."""
    found = [f'{platform.python_implementation()} {platform.python_version()}', f'Linux {platform.release()}',
             f'faye_websocket {_own_version()}']
    libraries = [library for peer in peers.values() for library in peer.version().split(', ') if library]
    return list(dict.fromkeys([*found, *libraries]))


def _own_version() -> str:
    """This checkout's version, and which codec its servers run."""
    ask = ('from faye_websocket.driver.accel import IS_COMPILED; from faye_websocket.version import __version__; '
           'print(__version__, "(compiled)" if IS_COMPILED else "(pure)")')
    run = subprocess.run([sys.executable, '-c', ask], check=False, cwd=HERE.parent, env=PEERS['faye'].environment(),
                         capture_output=True, text=True)
    return run.stdout.strip() or 'that cannot be imported'


def report(arguments: argparse.Namespace, peers: dict[str, Peer], scenarios: list[Scenario], results: Results) -> bool:
    """Print the tables, write the JSON file, draw the chart; return whether no run
    failed.
    """
    titles = {name: peer.title for name, peer in peers.items()}
    date = datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC')
    print(f'\n{date}: {", ".join(versions(peers))}')
    print(f'medians of {arguments.rounds} rounds, {arguments.seconds:g} s each\n')
    for scenario in scenarios:
        print(render(scenario, titles, results[scenario.name]))
    if len(scenarios) > 1:
        print(f'ratios\n\n{render_ratios(scenarios, titles, results)}\n', flush=True)
    summaries = {scenario.name: summarize_all(scenario, results[scenario.name]) for scenario in scenarios}
    if arguments.json:
        whole = {'date': date, 'versions': versions(peers), 'titles': titles, 'summaries': summaries, 'runs': results}
        Path(arguments.json).write_text(json.dumps(whole, indent=2) + '\n')
    if arguments.chart:
        from chart import draw

        draw(summaries, titles, Path(arguments.chart))
    return all(summary for by_peer in summaries.values() for summary in by_peer.values())


def run_others(quick: bool) -> bool:
    """Run the other benchmarks, one after the other.  Returns whether none failed."""
    failed = False
    for script, (full, short) in OTHERS.items():
        print(f'{script} {" ".join(short if quick else full)}\n', flush=True)
        command = [sys.executable, str(HERE / script), *(short if quick else full)]
        failed |= bool(subprocess.run(command, check=False).returncode)
        print(flush=True)
    return not failed


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--all', action='store_true', help='all scenarios, and all other benchmarks')
    parser.add_argument('--quick', action='store_true', help='as --all in a few minutes, for figures that are but a hint')
    parser.add_argument('--peers', help='names separated by commas (default: all that are installed)')
    parser.add_argument('--scenarios', help='scenarios and groups, separated by commas')
    parser.add_argument('--rounds', type=int, help='measurements of each peer in each scenario')
    parser.add_argument('--seconds', type=float, help='measured time of each')
    parser.add_argument('--warmup', type=float, help='time before the measurement begins')
    parser.add_argument('--json', metavar='FILE', help='also write everything measured to this file')
    parser.add_argument('--chart', metavar='FILE', help='also draw the ratios, as an SVG file')
    arguments = parser.parse_args()
    for name, defaults in DEFAULTS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, defaults[2 if arguments.quick else 1 if arguments.all else 0])
    return arguments


def main() -> int:
    """Run the benchmark."""
    arguments = parse_arguments()
    try:
        peers = choose(arguments.peers)
        scenarios = parse_scenarios(arguments.scenarios)
        results = measure_rounds(peers, scenarios, arguments)
        scenarios = [scenario for scenario in scenarios if scenario.name in results]
    except (BenchmarkError, ValueError) as error:
        print(f'run.py: {error}', file=sys.stderr)
        return 2
    succeeded = report(arguments, peers, scenarios, results)
    if arguments.all or arguments.quick:
        succeeded &= run_others(arguments.quick)
    return 0 if succeeded else 1


if __name__ == '__main__':
    sys.exit(main())
