"""Echo servers side by side: messages per second, latency and CPU time of each, as a table.

Every measurement starts a fresh server on one core and the load generator on another.  A round measures every peer in every
scenario once, and the rounds follow each other, so that what else the machine does meanwhile meets all peers alike.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from peers import HERE, BenchmarkError, Peer, Server, choose, compile_c, cores, on_core, raise_descriptor_limit

BASELINE = "picows"
DISTRIBUTIONS = ("picows", "uvloop", "websockets", "aiohttp", "gevent", "gevent-websocket")
UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}
ECHO = re.compile(r"(?P<connections>\d+)x(?P<in_flight>\d+)x(?P<size>\d+)(?P<unit>[KM]?)(:(?P<opcode>text|binary))?")
HANDSHAKES = re.compile(r"handshakes:(?P<connections>\d+)")

# 1.0 is a whole core.  A server that used less had to wait: for the load generator, or for its core.
SERVER_IS_BUSY = 0.9

Result = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """What the load generator does, as its options; `name` is also how the user asks for it."""

    name: str
    options: tuple[str, ...]
    unit: str = "messages"


# Groups of scenarios with a name; any other can be spelled as connections x in-flight x size, as in 4x64x8K:binary.
GROUPS = {
    "default": ("64x1x125", "64x16x125"),
    "small": ("1x1x125", "64x1x32", "64x1x125", "64x16x125", "4x64x125", "1000x1x125"),
    "large": ("64x1x8K", "64x1x64K:binary", "4x1x1M:binary"),
    "handshakes": ("handshakes:64",),
}
GROUPS["all"] = GROUPS["small"] + GROUPS["large"] + GROUPS["handshakes"]


def parse_scenario(name: str) -> Scenario:
    """Read a scenario such as ``64x16x125``, ``4x1x1M:binary`` or ``handshakes:64``."""
    if match := ECHO.fullmatch(name):
        size = int(match["size"]) * UNITS[match["unit"]]
        opcode = match["opcode"] or "text"
        options = {"connections": match["connections"], "in-flight": match["in_flight"], "size": size, "opcode": opcode}
        return Scenario(name, tuple(f"--{option}={value}" for option, value in options.items()))
    if match := HANDSHAKES.fullmatch(name):
        return Scenario(name, ("--mode=handshakes", f"--connections={match['connections']}"), "handshakes")
    raise BenchmarkError(f"{name!r} is neither a scenario like 64x16x125, 4x1x1M:binary or handshakes:64 "
                         f"nor one of the groups {', '.join(GROUPS)}")


def parse_scenarios(names: str) -> list[Scenario]:
    """Read ``--scenarios``: names of scenarios and groups, separated by commas."""
    parts = [part.strip() for part in names.split(",")]
    return [parse_scenario(name) for part in parts for name in GROUPS.get(part, (part,))]


def run_generator(server: Server, scenario: Scenario, seconds: float, warmup: float) -> Result:
    """Put one server under load.  What the server does wrong is a result too: ``{"failure": why}``."""
    command = [str(HERE / "build" / "load"), f"--port={server.port}", f"--server-pid={server.worker_pid()}"]
    timing = [f"--seconds={seconds}", f"--warmup={warmup}"]
    run = subprocess.run(
        on_core(cores()[1], [*command, *timing, *scenario.options]),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        return {"failure": "\n".join(filter(None, (run.stderr.strip(), server.complaint())))}
    result: Result = json.loads(run.stdout)
    return result


def measure(peer: Peer, scenario: Scenario, seconds: float, warmup: float) -> Result:
    """Measure one peer once, on a server of its own."""
    try:
        with Server(peer) as server:
            return run_generator(server, scenario, seconds, warmup)
    except BenchmarkError as error:
        return {"failure": str(error)}


def measure_round(peers: dict[str, Peer], scenarios: list[Scenario], first: int, arguments: argparse.Namespace,
                  results: dict[str, dict[str, list[Result]]]) -> None:
    """Measure every peer in every scenario; each round begins with another peer, so that none always has the same place."""
    names = list(peers)
    first %= len(names)
    for scenario in scenarios:
        for name in names[first:] + names[:first]:
            result = measure(peers[name], scenario, arguments.seconds, arguments.warmup)
            results[scenario.name][name].append(result)
            figure = result.get("failure") or f"{result[scenario.unit + '_per_second']:,.0f} {scenario.unit}/s"
            print(f"{scenario.name:>16}  {name:<18} {figure}", file=sys.stderr, flush=True)


def summarize(runs: list[Result], baseline: list[Result], unit: str) -> Result | None:
    """Take the medians of a peer's runs.  None when a run failed: a half-measured peer is not compared.

    The ratio is the median of each round's ratio: its two figures were measured within seconds of each other.
    """
    rate = f"{unit}_per_second"
    if any("failure" in run for run in runs):
        return None
    ratios = [run[rate] / base[rate] for run, base in zip(runs, baseline, strict=True) if base.get(rate)]
    return {
        "rate": median(run[rate] for run in runs),
        "lowest": min(run[rate] for run in runs),
        "highest": max(run[rate] for run in runs),
        "ratio": median(ratios) if ratios else None,
        "p50_us": median(run["latency_us"]["p50"] for run in runs),
        "p99_us": median(run["latency_us"]["p99"] for run in runs),
        "cpu": median(run["server_cpu_seconds"] / run["seconds"] for run in runs),
        "cpu_us": median(run["server_cpu_seconds"] / max(run[unit], 1) * 1e6 for run in runs),
        "generator_cpu": median(run["cpu_seconds"] / run["seconds"] for run in runs),
    }


def table(rows: list[list[str]]) -> str:
    """Align rows: the first column to the left, the figures to the right; a rule under the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def render_row(title: str, summary: Result | None) -> list[str]:
    """Write one peer's line; the mark after a rate says that the server could have done more."""
    if summary is None:
        return [title, "failed", *[""] * 7]
    mark = "+" if summary["cpu"] < SERVER_IS_BUSY else ""
    return [
        title,
        f"{summary['rate']:,.0f}{mark}",
        "" if summary["ratio"] is None else f"{summary['ratio']:.2f}",
        f"{summary['lowest']:,.0f}",
        f"{summary['highest']:,.0f}",
        f"{summary['p50_us']:,.0f}",
        f"{summary['p99_us']:,.0f}",
        f"{summary['cpu']:.0%}",
        f"{summary['cpu_us']:.2f}",
    ]


def render(scenario: Scenario, peers: dict[str, Peer], summaries: dict[str, Result | None]) -> str:
    """Write the table of one scenario, the fastest peer first."""
    head = ["", f"{scenario.unit}/s", f"x {BASELINE}", "lowest", "highest", "p50 us", "p99 us", "CPU", "CPU us each"]
    order = sorted(peers, key=lambda name: -(summaries[name] or {"rate": 0})["rate"])
    rows = [head, *(render_row(peers[name].title, summaries[name]) for name in order)]
    return f"{scenario.name}\n{table(rows)}\n"


def versions() -> dict[str, str]:
    """Name what was measured."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def report(arguments: argparse.Namespace, peers: dict[str, Peer], scenarios: list[Scenario],
           results: dict[str, dict[str, list[Result]]]) -> bool:
    """Print the tables and write the JSON file.  Returns whether no run failed."""
    summaries = {
        scenario.name: {
            name: summarize(runs, results[scenario.name].get(BASELINE, []), scenario.unit)
            for name, runs in results[scenario.name].items()
        }
        for scenario in scenarios
    }
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    print(f"\n{date}, {', '.join(f'{name} {version}' for name, version in versions().items())}")
    print(f"medians of {arguments.rounds} rounds, {arguments.seconds:g} s each\n")
    for scenario in scenarios:
        print(render(scenario, peers, summaries[scenario.name]))
    if arguments.json:
        whole = {"date": date, "versions": versions(), "summaries": summaries, "runs": results}
        Path(arguments.json).write_text(json.dumps(whole, indent=2) + "\n")
    return all(summary for by_peer in summaries.values() for summary in by_peer.values())


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="names separated by commas (default: all that are installed)")
    parser.add_argument("--scenarios", default="default", help="scenarios and groups, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each peer in each scenario")
    parser.add_argument("--seconds", type=float, default=3, help="measured time of each")
    parser.add_argument("--warmup", type=float, default=1, help="time before the measurement begins")
    parser.add_argument("--json", metavar="FILE", help="also write everything measured to this file")
    return parser.parse_args()


def main() -> int:
    """Run the benchmark."""
    arguments = parse_arguments()
    try:
        peers = choose(arguments.peers)
        scenarios = parse_scenarios(arguments.scenarios)
        compile_c(HERE / "load.c")
        raise_descriptor_limit()
        if len(set(cores())) < 2:
            print("only one core: the server and the load generator share it", file=sys.stderr)
        results: dict[str, dict[str, list[Result]]] = {s.name: {name: [] for name in peers} for s in scenarios}
        for number in range(arguments.rounds):
            measure_round(peers, scenarios, number, arguments, results)
    except BenchmarkError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    return 0 if report(arguments, peers, scenarios, results) else 1


if __name__ == "__main__":
    sys.exit(main())
