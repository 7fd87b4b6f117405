"""Draw the ratios as an SVG file: a panel for each scenario, a bar for each peer.

``run.py --chart FILE`` draws what it has measured. ``chart.py result.json FILE`` draws
a file that ``run.py --json`` has written.

The chart has a background of its own, so that it can be read on a page of any colour.
It is dark where the reader's system is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from scenarios import parse_scenario
from tables import BASELINES, Result

__all__ = ['draw']

# The scenarios that readers of the README want to compare.
SCENARIOS = ('handshakes:64', '64x1x125', '64x16x125', '4x64x125', '64x1x64K:binary', '4x1x1M:binary')
KINDS = {'faye': 'ours', 'faye-pure': 'ours', 'raw': 'limit'}
COLUMNS, WIDTH, MARGIN = 2, 400, 16
# A panel has its title, its bars and its unit, one below another.
TITLE, BAR, UNIT = 26, 20, 26
NAMES, NUMBERS = 146, 48

STYLE = '''
  svg { color-scheme: light dark; }
  text { fill: #1f2328; font: 12px sans-serif; }
  .title { font-weight: bold; font-size: 13px; }
  .unit { fill: #59636e; font-size: 11px; }
  .page { fill: #ffffff; stroke: #d1d9e0; }
  .ours { fill: #1a7f4b; } .theirs { fill: #8fa9c4; } .limit { fill: #c4c4c4; }
  .cut { stroke: #ffffff; stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .unit { fill: #9da7b3; }
    .page { fill: #16191d; stroke: #3d444d; }
    .ours { fill: #3fb977; } .theirs { fill: #55708c; } .limit { fill: #5c6066; }
    .cut { stroke: #16191d; }
  }
'''

Panel = list[tuple[str, str, float]]
Summaries = dict[str, dict[str, Result | None]]


def bars(summaries: dict[str, Result | None], titles: dict[str, str]) -> Panel:
    """Return name, title and ratio of the peers that have one, the fastest first."""
    ratios = [(name, titles[name], summary['ratio']) for name, summary in summaries.items() if summary and summary['ratio']]
    return sorted(ratios, key=lambda bar: -bar[2])


def end_of_axis(panel: Panel) -> float:
    """Return the end of the axis.

    The limit in C may be far ahead; its bar is cut.
    """
    return 1.25 * max([ratio for name, _, ratio in panel if name != 'raw'], default=1)


def draw(summaries: Summaries, titles: dict[str, str], path: Path) -> None:
    """Draw the file."""
    chosen = [name for name in SCENARIOS if name in summaries and bars(summaries[name], titles)]
    chosen = chosen or [name for name in summaries if bars(summaries[name], titles)]
    panels = {name: bars(summaries[name], titles) for name in chosen}
    height = TITLE + UNIT + BAR * max(map(len, panels.values()), default=0)
    rows = -(-len(panels) // COLUMNS)
    width, total = COLUMNS * WIDTH + 2 * MARGIN, rows * height + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img">',
        f'<style>{STYLE}</style>',
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{total - 1}" rx="8"/>']
    for number, (name, panel) in enumerate(panels.items()):
        row, column = divmod(number, COLUMNS)
        baseline = titles[next(peer for peer in (*BASELINES, *summaries[name]) if summaries[name].get(peer))]
        parts.append(f'<g transform="translate({MARGIN + column * WIDTH} {MARGIN + row * height})">')
        parts += draw_panel(parse_scenario(name).description, f'multiples of {baseline}', panel)
        parts.append('</g>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join([*parts, '</svg>\n']))


def draw_panel(title: str, unit: str, panel: Panel) -> Iterator[str]:
    """Yield the elements of one scenario."""
    end = end_of_axis(panel)
    yield f'<text class="title" x="0" y="14">{escape(title)}</text>'
    for place, (name, peer, ratio) in enumerate(panel):
        top = TITLE + place * BAR
        length = (WIDTH - NAMES - NUMBERS) * min(ratio, end) / end
        yield f'<text x="{NAMES - 8}" y="{top + 12}" text-anchor="end">{escape(peer)}</text>'
        yield (f'<rect class="{KINDS.get(name, "theirs")}" x="{NAMES}" y="{top + 1}" '
               f'width="{length:.1f}" height="{BAR - 6}"/>')
        if ratio > end:
            yield f'<path class="cut" d="M{NAMES + length - 14:.1f} {top + BAR - 2}l6 -20"/>'
        yield f'<text x="{NAMES + length + 6:.1f}" y="{top + 12}">{ratio:.2f}</text>'
    yield f'<text class="unit" x="{NAMES}" y="{TITLE + len(panel) * BAR + 9}">{escape(unit)}</text>'


def main() -> int:
    """Draw a file of run.py's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('result', type=Path, help='what run.py --json has written')
    parser.add_argument('chart', type=Path, help='the SVG file to write')
    arguments = parser.parse_args()
    whole = json.loads(arguments.result.read_text())
    draw(whole['summaries'], whole['titles'], arguments.chart)
    return 0


if __name__ == '__main__':
    sys.exit(main())
