"""Line charts as SVG, in the reader's light or dark scheme. No library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 64, 50
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .line { fill: none; stroke-width: 2 }
  .c0 { stroke: #0969da } .c1 { stroke: #cf222e } .c2 { stroke: #8c959f }
  .c3 { stroke: #1a7f37 } .c4 { stroke: #9a6700 }
  .dash { stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .c0 { stroke: #4493f8 } .c1 { stroke: #f85149 } .c2 { stroke: #9198a1 }
    .c3 { stroke: #3fb950 } .c4 { stroke: #d29922 }
  }
"""


@dataclass(frozen=True)
class Line:
    """One series; both coordinates are shares (0 to 1) unless the chart says otherwise."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def chart(
    title: str, note: str, x_label: str, y_label: str, lines: Sequence[Line], *, x_max: float = 1.0, y_max: float = 1.0
) -> str:
    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(value / x_max, 1.0)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value / y_max, 1.0)

    middle, ground = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<text id="title" class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="small" x="16" y="45">{escape(note)}</text>',
        f'<text class="small" text-anchor="middle" x="{middle}" y="{HEIGHT - 10}">{escape(x_label)}</text>',
        f'<text class="small" x="{LEFT}" y="{TOP - 6}">{escape(y_label)}</text>',
    ]
    for step in range(6):
        at_x, at_y = x_max * step / 5, y_max * step / 5
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(at_y):.1f}" y2="{y(at_y):.1f}"/>')
        out.append(
            f'<text class="small" text-anchor="end" x="{LEFT - 8}" y="{y(at_y) + 4:.1f}">{_figure(at_y, y_max)}</text>'
        )
        out.append(
            f'<text class="small" text-anchor="middle" x="{x(at_x):.1f}" y="{ground}">{_figure(at_x, x_max)}</text>'
        )
    for number, line in enumerate(lines):
        kind = f"line c{number % 5}{' dash' if line.dashed else ''}"
        points = " ".join(f"{x(one):.1f},{y(other):.1f}" for one, other in line.points)
        out.append(f'<polyline class="{kind}" points="{points}"/>')
        at = TOP + 22 * number + 8
        out.append(f'<line class="{kind}" x1="{WIDTH - RIGHT + 16}" x2="{WIDTH - RIGHT + 40}" y1="{at}" y2="{at}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 48}" y="{at + 4}">{escape(line.name)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _figure(value: float, most: float) -> str:
    return f"{value:.0%}" if most <= 1 else f"{value:,.0f}"
