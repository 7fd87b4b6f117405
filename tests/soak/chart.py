"""A chart as SVG: panels with their own scales, above one axis of time.

It has a background of its own, so that it can be read on a page of any colour. It is
dark where the reader's system is.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT, GAP, LEFT, TOP = 900, 130, 46, 80, 30
STYLE = '''
  text { fill: #1f2328; }
  .page { fill: #ffffff; stroke: #d1d9e0; } .grid { stroke: #d8dee4; }
  .line { fill: none; stroke-width: 1.3; }
  .line0 { stroke: #1f6fb2; } .line1 { stroke: #c2571a; }
  .name0 { fill: #1f6fb2; } .name1 { fill: #c2571a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .page { fill: #16191d; stroke: #3d444d; } .grid { stroke: #3d444d; }
    .line0 { stroke: #6cb6ff; } .line1 { stroke: #f0a35e; }
    .name0 { fill: #6cb6ff; } .name1 { fill: #f0a35e; }
  }
'''


class Panel(NamedTuple):
    """One figure over time: its title, and one line for each process."""

    title: str
    lines: dict[str, Sequence[float]]


def draw(heading: str, seconds: Sequence[float], panels: Sequence[Panel]) -> str:
    """Return the chart."""
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" font-family="sans-serif" '
        'font-size="12">', f'<style>{STYLE}</style>', '<rect class="page" width="100%" height="100%" rx="8"/>',
        f'<text x="{LEFT}" y="18">{escape(heading)}</text>']
    for number, panel in enumerate(panels):
        parts += draw_panel(panel, seconds, TOP + 16 + number * (HEIGHT + GAP))
    return '\n'.join([*parts, '</svg>\n'])


def draw_panel(panel: Panel, seconds: Sequence[float], top: int) -> list[str]:
    """Return one panel. Its scale begins at 0, so that a flat line looks flat."""
    highest = max(max(values, default=0) for values in panel.lines.values()) or 1
    end = max(seconds[-1], 1)
    parts = [f'<text x="{LEFT}" y="{top - 4}" font-weight="bold">{escape(panel.title)}</text>']
    for fraction in (0, 0.5, 1):
        y = top + HEIGHT * (1 - fraction)
        parts.append(f'<path d="M{LEFT} {y}h{WIDTH}" class="grid"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{highest * fraction:,.0f}</text>')
    for minute in range(0, int(end / 60) + 1, max(1, int(end / 600))):
        x = LEFT + WIDTH * minute * 60 / end
        parts.append(f'<text x="{x:.0f}" y="{top + HEIGHT + 15}" text-anchor="middle">{minute} min</text>')
    for number, (name, values) in enumerate(panel.lines.items()):
        points = ' '.join(f'{LEFT + WIDTH * second / end:.1f},{top + HEIGHT * (1 - value / highest):.1f}'
                          for second, value in zip(seconds, values, strict=True))
        parts.append(f'<polyline points="{points}" class="line line{number}"/>')
        x = LEFT + WIDTH - 130 * number
        parts.append(f'<text x="{x}" y="{top - 4}" text-anchor="end" class="name{number}">{escape(name)}</text>')
    return parts
