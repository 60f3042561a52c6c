"""A verdict as one self-contained page: no script, no address outside, light and dark, for screens and readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rung.report import render
from rung.report.conclude import KINDS, Kind
from rung.report.figures import Figure
from rung.report.table import ROWS
from rung.report.verdict import FACTORS, Verdict
from rung.report.words import Words

STYLE = """
:root { color-scheme: light dark; --ink: #1b2026; --soft: #57606a; --line: #d4d9df; --paper: #fff; --card: #f6f8fa;
  --good: #1a7f37; --warn: #85560a; --calm: #0860c4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #a2acb6; --line: #3a424b; --paper: #0d1117;
  --card: #161b22; --good: #4ac26b; --warn: #e0a93a; --calm: #58a6ff } }
* { box-sizing: border-box } body { margin: 0 auto; max-width: 76rem; padding: 2rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem } p { margin: .5rem 0 } p, li { max-width: 46rem }
.soft { color: var(--soft) }
.label { border-left: 4px solid var(--warn); padding-left: .8rem; font-size: .92rem; max-width: none }
.told { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1.2rem;
  margin: 1rem 0 }
.told ul { padding-left: 1.2rem } .told li { margin: .15rem 0 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line) }
thead th { color: var(--soft); font-weight: 600 } .mark { color: var(--soft); font-size: .8em }
.map, .short { width: auto } .short th { padding-right: 2rem }
.map td, .map th { padding: .2rem .3rem; border: 0; text-align: center }
.map tbody th { text-align: right; font-weight: 400 } .map thead th { font-weight: 400 }
.map .cell { border: 2px solid var(--paper); min-width: 4.4rem; font-weight: 600; background: var(--card) }
.adopt { color: var(--good) } .fallback, .defer { color: var(--warn) } .fast_cloud { color: var(--calm) }
.not_enough_data { color: var(--soft) } .here { outline: 2px solid var(--ink); outline-offset: -3px }
@media print { body { max-width: none } }
"""

_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})

_SHORT: dict[Kind, str] = {"adopt": "adopt", "fallback": "fallback", "defer": "defer", "fast_cloud": "cloud",
                           "not_enough_data": "?"}  # fmt: skip
"""a conclusion in one word, for a small square"""


def escape(text: str) -> str:
    """Text as it may stand in an element or an attribute (the standard library's brings half a megabyte of names)."""
    return text.translate(_MARKUP)


def html(verdict: Verdict) -> str:
    """The whole document."""
    return "\n".join(_document(verdict)) + "\n"


def body(verdict: Verdict) -> str:
    """What stands between ``<main>`` and ``</main>``, for a page that has a frame of its own."""
    return "\n".join(_body(verdict, Words(verdict.language))) + "\n"


def _document(verdict: Verdict) -> Iterator[str]:
    say = Words(verdict.language)
    yield f'<!doctype html><html lang="{verdict.language}"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>rung: {escape(say(KINDS[verdict.conclusion.kind]))}</title><style>{STYLE}</style></head><body><main>"
    yield from _body(verdict, say)
    yield "</main></body></html>"


def _body(verdict: Verdict, say: Words) -> Iterator[str]:
    end = verdict.conclusion
    yield f'<h1 class="{end.kind}">{escape(say(KINDS[end.kind]).capitalize())}</h1>'
    yield f'<p class="soft">{escape(render.headline(verdict))}</p>'
    yield f'<div class="told"><p>{escape(end.text)}</p><ul>'
    yield from (f"<li>{escape(number.text)}</li>" for number in end.numbers)
    yield f"</ul><p>{escape(say('The opposite needs: {0}.', end.opposite))}</p></div>"
    yield from (f'<p class="label">{escape(label)}</p>' for label in verdict.labels)
    yield f"<h2>{escape(say('The candidates'))}</h2>"
    yield from _table(render.head(verdict), [[escape(say(row)), *_figures(verdict, row, say)] for row in ROWS])
    yield f'<p class="soft">{escape(render.legend(say))}</p>'
    yield f"<h2>{escape(say('Task by task'))}</h2>"
    yield from _table([say("task"), say("calls"), say("advice")], _escaped(render.tasks(verdict)))
    yield f"<h2>{escape(say('What each rung adds'))}</h2>"
    yield f"<p>{escape(say('Per 1,000 calls, with and without it; 90 % interval.'))}</p>"
    yield from _table([say(name) for name in render.MARGINS], _escaped(render.margins(verdict)))
    yield f"<h2>{escape(say('The bill'))}</h2>"
    yield from _table(["", ""], _escaped(render.bill(verdict)))
    yield f"<h2>{escape(say('If things were otherwise'))}</h2>"
    yield f"<p>{escape(say(render.OTHERWISE))}</p>"
    yield from _sensitivity(verdict, say)
    yield f"<h3>{escape(say(render.UPKEEP))}</h3>"
    yield from _table(["", ""], _escaped(render.by_upkeep(verdict)))
    if verdict.by_machine:
        yield f"<h3>{escape(say(render.MACHINES))}</h3>"
        yield from _table(["", "", ""], _escaped(render.by_machine(verdict)))


def _figures(verdict: Verdict, row: str, say: Words) -> Iterator[str]:
    return (_figure(column.figures[row], say) for column in verdict.columns)


def _figure(figure: Figure, say: Words) -> str:
    mark = render.MARKS[figure.basis]
    shown = escape(say(figure.text) if figure.basis == "unknown" else figure.text)
    return f'{shown} <span class="mark" title="{escape(say(figure.basis))}">{mark}</span>' if mark else shown


def _sensitivity(verdict: Verdict, say: Words) -> Iterator[str]:
    found = {(calls, price): kind for calls, price, kind in verdict.sensitivity}
    yield '<div class="scroll" tabindex="0"><table class="map"><thead><tr>'
    yield f'<th scope="col">{escape(say("price ↓ calls →"))}</th>'
    yield from (f'<th scope="col">×{say.short(factor)}</th>' for factor in FACTORS)
    yield "</tr></thead><tbody>"
    for price in reversed(FACTORS):
        yield f'<tr><th scope="row">×{say.short(price)}</th>'
        for calls in FACTORS:
            kind = found[calls, price]
            here = " here" if calls == price == 1.0 else ""
            short = escape(say(_SHORT[kind]))
            yield f'<td class="cell {kind}{here}" title="{escape(say(KINDS[kind]))}">{short}</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _escaped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape(cell) for cell in row] for row in rows]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """`head` is text, `rows` are markup."""
    yield f'<div class="scroll" tabindex="0"><table class="{"wide" if any(head) else "short"}">'
    if any(head):
        cells = (f'<th scope="col">{escape(cell)}</th>' if cell else "<td></td>" for cell in head)
        yield f"<thead><tr>{''.join(cells)}</tr></thead>"
    yield "<tbody>"
    for first, *rest in rows:
        yield f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
    yield "</tbody></table></div>"
