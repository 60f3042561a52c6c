"""A risk–hit chart as SVG: for each file and rule, the share served against the share served wrongly."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

PANEL, GAP, LEFT, TOP, HEIGHT = 250, 40, 56, 78, 260
LOW, HIGH = 0.0003, 1.0
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 10.5px; fill: #57606a }
  .dot { fill: #8c959f }
  .ours { fill: #0969da }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .limit { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .dot { fill: #656c76 }
    .ours { fill: #4493f8 }
    .grid { stroke: #3d444d }
    .limit { stroke: #f85149 }
  }
"""
TITLE = "Served against wrongly served, per request (up and to the left is better)"


def svg(results: dict[str, Any]) -> str:
    """A panel for each file that has other rules beside ours."""
    shown = {name: found for name, found in results.items() if "beside" in found and not name.endswith("conversations")}
    width = LEFT + max(1, len(shown)) * (PANEL + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 50}" width="{width}" '
        f'height="{TOP + HEIGHT + 50}" role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<text id="title" class="title" x="16" y="26">{TITLE}</text>',
        '<text class="small" x="16" y="44">Wrong per request, log scale; the dashed line is the limit asked for</text>',
    ]
    for at, (name, found) in enumerate(shown.items()):
        out += _panel(LEFT + at * (PANEL + GAP), name, found)
    return "\n".join([*out, "</svg>"]) + "\n"


def _panel(left: float, name: str, found: dict[str, Any]) -> list[str]:
    def x(wrong: float) -> float:
        return left + PANEL * math.log(max(wrong, LOW) / LOW) / math.log(HIGH / LOW)

    def y(share: float) -> float:
        return TOP + HEIGHT * (1 - share)

    key = "hit_rate_last5000" if "hit_rate_last5000" in found else "should_hits_served"
    told = "hits of the last 5,000" if key.startswith("hit") else "of those to be served"
    out = [f'<text x="{left}" y="{TOP - 10}">{escape(name)}: {told}</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        out.append(f'<line class="grid" x1="{left}" x2="{left + PANEL}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>')
        out.append(f'<text class="small" text-anchor="end" x="{left - 5}" y="{y(share) + 4:.1f}">{share:.0%}</text>')
    for wrong in (0.001, 0.01, 0.1, 1):
        below = f'x="{x(wrong):.1f}" y="{TOP + HEIGHT + 16}"'
        out.append(f'<text class="small" text-anchor="middle" {below}>{wrong * 100:g} %</text>')
    limit = x(found["max_error"])
    out.append(f'<line class="limit" x1="{limit:.1f}" x2="{limit:.1f}" y1="{TOP}" y2="{TOP + HEIGHT}"/>')
    for rule, one in found["beside"].items():
        out += _dot(x(one["wrong_per_request"]), y(one[key]), rule, "dot", left + PANEL)
    return out + _dot(x(found["wrong_per_request"]), y(found[key]), "rung", "ours", left + PANEL)


def _dot(x: float, y: float, name: str, kind: str, right: float) -> list[str]:
    """A point with its name, on its left where the panel ends."""
    side = (8, "start") if x + 8 + 6.5 * len(name) < right else (-8, "end")
    return [
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{6 if kind == "ours" else 4}"/>',
        f'<text class="small" text-anchor="{side[1]}" x="{x + side[0]:.1f}" y="{y + 4:.1f}">{escape(name)}</text>',
    ]
