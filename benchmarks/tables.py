"""Tables of the runs: medians, ratios, aligned columns.

A run is the result of one measurement of one peer: ``{'messages_per_second': ...,
...}`` or ``{'failure': reason}``.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from scenarios import Scenario

__all__ = ['BASELINES', 'Result', 'baseline_of', 'render', 'render_ratios', 'summarize', 'summarize_all', 'table']

Result = dict[str, Any]

# A ratio is a multiple of the first of these that was measured, or of the first peer:
# picows has no permessage-deflate.
BASELINES = ('picows', 'websockets', 'websockets broadcast', 'faye')

# 1.0 is a whole core. A program that used less had to wait for the other side, or for
# its core.
IS_BUSY = 0.9


def table(rows: list[list[str]]) -> str:
    """Return a simple table of reStructuredText, with the first column aligned to the
    left.

    The first cell of a row must not be empty, which would join the row to the one
    before.
    """
    rows = [[row[0] or '\\', *row[1:]] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        '  '.join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rule = '  '.join('=' * width for width in widths)
    return '\n'.join([rule, lines[0], rule, *lines[1:], rule])


def baseline_of(runs: dict[str, list[Result]]) -> str | None:
    """Choose the peer that the others are compared with."""
    measured = [name for name in runs if runs[name] and not any('failure' in run for run in runs[name])]
    return next((name for name in (*BASELINES, *measured) if name in measured), None)


def summarize(runs: list[Result], baseline: list[Result], unit: str) -> Result | None:
    """Return the medians of a peer's runs, or None if a run failed.

    The ratio is the median of the ratios of each round, whose two figures were measured
    within seconds of each other.
    """
    rate = f'{unit}_per_second'
    if not runs or any('failure' in run for run in runs):
        return None
    ratios = [run[rate] / base[rate] for run, base in zip(runs, baseline, strict=False) if base.get(rate)]
    summary = {
        'rate': median(run[rate] for run in runs),
        'lowest': min(run[rate] for run in runs),
        'highest': max(run[rate] for run in runs),
        'ratio': median(ratios) if ratios else None,
        'cpu': median(run['cpu_seconds'] / run['seconds'] for run in runs),
        'cpu_us': median(run['cpu_seconds'] / max(run[unit], 1) * 1e6 for run in runs),
    }
    if all('latency_us' in run for run in runs):
        summary |= {f'{name}_us': median(run['latency_us'][name] for run in runs) for name in ('p50', 'p99')}
    return summary


def render_row(title: str, summary: Result | None, width: int) -> list[str]:
    """Return the line of one peer.

    The mark after a rate says that it could have been higher.
    """
    if summary is None:
        return [title, 'failed', *[''] * (width - 2)]
    mark = '+' if summary['cpu'] < IS_BUSY else ''
    return [
        title,
        f'{summary["rate"]:,.0f}{mark}',
        '' if summary['ratio'] is None else f'{summary["ratio"]:.2f}',
        f'{summary["lowest"]:,.0f}',
        f'{summary["highest"]:,.0f}',
        *(f'{summary[name]:,.0f}' for name in ('p50_us', 'p99_us') if name in summary),
        f'{summary["cpu"]:.0%}',
        f'{summary["cpu_us"]:.2f}',
    ]


def summarize_all(scenario: Scenario, runs: dict[str, list[Result]]) -> dict[str, Result | None]:
    """Summarize every peer of a scenario."""
    baseline = runs.get(baseline_of(runs) or '', [])
    return {name: summarize(runs[name], baseline, scenario.unit) for name in runs}


def render(scenario: Scenario, titles: dict[str, str], runs: dict[str, list[Result]]) -> str:
    """Write the table of one scenario, the fastest first."""
    summaries = summarize_all(scenario, runs)
    head = ['peer', f'{scenario.unit}/s', f'x {baseline_of(runs) or "-"}', 'lowest', 'highest']
    if any(summary and 'p50_us' in summary for summary in summaries.values()):
        head += ['p50 us', 'p99 us']
    head += ['CPU', 'CPU us each']
    order = sorted(runs, key=lambda name: -(summaries[name] or {'rate': 0})['rate'])
    rows = [head, *(render_row(titles[name], summaries[name], len(head)) for name in order)]
    return f'{scenario.name}: {scenario.description}\n\n{table(rows)}\n'


def render_ratios(scenarios: list[Scenario], titles: dict[str, str], results: dict[str, dict[str, list[Result]]]) -> str:
    """Return one table of all ratios: a row for each peer, a column for each scenario.
    """
    summaries = {scenario.name: summarize_all(scenario, results[scenario.name]) for scenario in scenarios}
    columns = [(scenario.name, baseline_of(results[scenario.name])) for scenario in scenarios]
    head = ['peer', *(name if baseline in (BASELINES[0], None) else f'{name} (x {baseline})' for name, baseline in columns)]
    rows = [[title, *(_ratio(summaries[column].get(name)) for column, _ in columns)] for name, title in titles.items()]
    return table([head, *rows])


def _ratio(summary: Result | None) -> str:
    return '-' if summary is None or summary['ratio'] is None else f'{summary["ratio"]:.2f}'
