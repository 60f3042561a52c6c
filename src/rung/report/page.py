"""A verdict as one self-contained page: no script, no address outside, light and dark, for screens and readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rung.report.render import KINDS, LEGEND, bill, headline, margins, told
from rung.report.table import ROWS
from rung.report.verdict import FACTORS, Verdict

STYLE = """
:root { color-scheme: light dark; --ink: #1d2228; --soft: #59636e; --line: #d5dae0; --paper: #ffffff; --card: #f6f8fa;
  --good: #1a7f37; --warn: #9a6700; --calm: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b1; --line: #3d444d; --paper: #0d1117;
  --card: #161b22; --good: #3fb950; --warn: #d29922; --calm: #4493f8; } }
* { box-sizing: border-box } body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; margin: 0 0 .5rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p, li { max-width: 60rem } .soft { color: var(--soft) }
.label { border-left: 4px solid var(--warn); padding-left: .7rem }
.told { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .92rem }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem; border-bottom: 1px solid var(--line) }
thead th { white-space: nowrap } .cell { width: 3.2rem; text-align: center; font-weight: 600 }
.adopt { color: var(--good) } .fallback, .defer { color: var(--warn) } .fast_cloud { color: var(--calm) }
.not_enough_data { color: var(--soft) }
"""

_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})

_SHORT = {"adopt": "adopt", "fallback": "fallback", "defer": "defer", "fast_cloud": "cloud", "not_enough_data": "?"}


def escape(text: str) -> str:
    """Text as it may stand in an element or an attribute (the standard library's brings half a megabyte of names)."""
    return text.translate(_MARKUP)


def html(verdict: Verdict) -> str:
    """The whole document."""
    return "\n".join(_document(verdict)) + "\n"


def body(verdict: Verdict) -> str:
    """What stands between ``<main>`` and ``</main>``, for a page that has a frame of its own."""
    return "\n".join(_body(verdict)) + "\n"


def _document(verdict: Verdict) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>rung: {escape(KINDS[verdict.conclusion.kind])}</title><style>{STYLE}</style></head><body><main>"
    yield from _body(verdict)
    yield "</main></body></html>"


def _body(verdict: Verdict) -> Iterator[str]:
    end = verdict.conclusion
    yield f'<h1 class="{end.kind}">{escape(KINDS[end.kind].capitalize())}</h1>'
    yield f'<p class="soft">{escape(headline(verdict))}</p>'
    yield from (f'<p class="label">{escape(label)}</p>' for label in verdict.labels)
    yield f'<div class="told"><p>{escape(end.text)}</p><ul>'
    yield from (f"<li>{escape(number.text)}</li>" for number in end.numbers)
    yield f"</ul><p>The opposite needs: {escape(end.opposite)}.</p></div>"
    yield "<h2>The candidates</h2>"
    head = ["", *(column.name for column in verdict.columns)]
    yield from _table(head, [[row, *(told(column.figures[row]) for column in verdict.columns)] for row in ROWS])
    yield f'<p class="soft">{escape(LEGEND)}</p>'
    yield "<h2>Task by task</h2>"
    yield from _table(["task", "calls", "advice"], [[t.task, f"{t.calls:,}", t.advice] for t in verdict.tasks])
    yield "<h2>What each rung adds</h2><p>Per 1,000 calls of all traffic, with and without it; 90 % interval.</p>"
    yield from _table(["rung", "answered", "saves", "seconds", "answers that differ", ""], margins(verdict))
    yield "<h2>The bill</h2>"
    yield from _table(["", ""], [list(row) for row in bill(verdict)])
    yield "<h2>If things were otherwise</h2><p>The conclusion at other traffic and other prices of the reference.</p>"
    yield from _sensitivity(verdict)


def _sensitivity(verdict: Verdict) -> Iterator[str]:
    found = {(calls, price): kind for calls, price, kind in verdict.sensitivity}
    yield '<div class="scroll"><table><thead><tr><th scope="col">price ↓ calls →</th>'
    yield from (f'<th scope="col" class="cell">×{factor:g}</th>' for factor in FACTORS)
    yield "</tr></thead><tbody>"
    for price in reversed(FACTORS):
        yield f'<tr><th scope="row">×{price:g}</th>'
        for calls in FACTORS:
            kind = found[calls, price]
            yield f'<td class="cell {kind}" title="{escape(KINDS[kind])}">{_SHORT[kind]}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield '<div class="scroll" tabindex="0"><table>'
    if any(head):
        yield (
            "<thead><tr>"
            + "".join(f'<th scope="col">{escape(cell)}</th>' if cell else "<td></td>" for cell in head)
            + "</tr></thead>"
        )
    yield "<tbody>"
    for first, *rest in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"
