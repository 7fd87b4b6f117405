"""Draw the ratios as an SVG file: a panel for each scenario, a bar for each peer.

``run.py --chart FILE`` draws what it has measured. ``chart.py result.json FILE`` draws
a file that ``run.py --json`` has written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from peers import BenchmarkError
from scenarios import parse_scenario
from tables import BASELINES, Result

__all__ = ['draw']

# The scenarios that readers of the README want to compare.
SCENARIOS = ('handshakes:64', '64x1x125', '64x16x125', '64x1x64K:binary', '4x1x1M:binary', '64x1x1K:deflate')
THEIRS = '#8fa9c4'
COLOURS = {'faye': '#1f6f4a', 'faye-pure': '#1f6f4a', 'raw': '#b9b9b9'}
COLUMNS = 2
BAR_INCHES = 0.24

Summaries = dict[str, dict[str, Result | None]]


def bars(summaries: dict[str, Result | None], titles: dict[str, str]) -> list[tuple[str, str, float]]:
    """Return name, title and ratio of the peers that have one.

    The slowest comes first, since the first bar is drawn at the bottom.
    """
    ratios = [(name, titles[name], summary['ratio']) for name, summary in summaries.items() if summary and summary['ratio']]
    return sorted(ratios, key=lambda bar: bar[2])


def end_of_axis(panel: list[tuple[str, str, float]]) -> float:
    """Return the end of the axis.

    The limit in C may be far ahead; its bar is cut.
    """
    return 1.25 * max([ratio for name, _, ratio in panel if name != 'raw'], default=1)


def draw(summaries: Summaries, titles: dict[str, str], path: Path) -> None:
    """Draw the file."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise BenchmarkError('matplotlib is not installed: pip install -r benchmarks/requirements.txt') from None
    mpl.use('svg')
    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'faye_websocket', 'font.size': 9})
    from matplotlib import pyplot

    panels = {name: bars(summaries[name], titles) for name in SCENARIOS if name in summaries}
    panels = {name: panel for name, panel in panels.items() if panel} or {
        name: bars(by_peer, titles) for name, by_peer in summaries.items() if bars(by_peer, titles)}
    rows = -(-len(panels) // COLUMNS)
    tallest = max((len(panel) for panel in panels.values()), default=0)
    figure, grid = pyplot.subplots(rows, COLUMNS, figsize=(11, rows * (tallest * BAR_INCHES + 0.9)), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (name, panel) in zip(grid.flat, panels.items(), strict=False):
        baseline = titles[next(peer for peer in (*BASELINES, *summaries[name]) if summaries[name].get(peer))]
        _draw_panel(axes, parse_scenario(name).description, f'multiples of {baseline}', panel)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format='svg', facecolor='white', metadata={'Date': None})
    pyplot.close(figure)


def _draw_panel(axes: Any, title: str, unit: str, panel: list[tuple[str, str, float]]) -> None:
    """Draw the bars of one scenario."""
    end = end_of_axis(panel)
    axes.set_axis_on()
    axes.set_title(title, loc='left', fontsize=9, fontweight='bold')
    colours = [COLOURS.get(name, THEIRS) for name, _, _ in panel]
    axes.barh(range(len(panel)), [min(ratio, end) for _, _, ratio in panel], color=colours, height=0.72)
    axes.set_yticks(range(len(panel)), [title for _, title, _ in panel])
    for place, (_, _, ratio) in enumerate(panel):
        is_inside = ratio > 0.9 * end
        axes.text(min(ratio, end) + (-0.01 if is_inside else 0.01) * end, place, f'{ratio:.2f}', va='center',
                  ha='right' if is_inside else 'left')
    axes.set_xlim(0, end)
    axes.set_xticks([])
    axes.set_xlabel(unit, loc='left', fontsize=8)
    axes.tick_params(axis='y', length=0)
    for side in ('top', 'right', 'bottom'):
        axes.spines[side].set_visible(False)


def main() -> int:
    """Draw a file of run.py's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('result', type=Path, help='what run.py --json has written')
    parser.add_argument('chart', type=Path, help='the SVG file to write')
    arguments = parser.parse_args()
    whole = json.loads(arguments.result.read_text())
    try:
        draw(whole['summaries'], whole['titles'], arguments.chart)
    except BenchmarkError as error:
        print(f'chart.py: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
