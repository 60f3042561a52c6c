"""A verdict for people: as text, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rung.report.figures import Figure
from rung.report.sketch import Interval
from rung.report.table import ROWS, Column
from rung.report.verdict import FACTORS, Verdict

MARKS = {"measured": "", "stated": "", "unknown": "", "predicted": "~", "simulated": "sim", "judged": "j",
         "claimed": "c", "assumed": "≈"}  # fmt: skip
LEGEND = (
    "~ predicted, sim simulated, j judged by a model, c the provider's claim, ≈ assumed; unmarked: measured, or plain"
)

KINDS = {
    "adopt": "adopt the local model",
    "fallback": "keep the local model as a fallback",
    "defer": "defer",
    "fast_cloud": "use the fast cloud instead",
    "not_enough_data": "not enough data yet",
}

_MAP = {"adopt": "A", "fallback": "f", "defer": "d", "fast_cloud": "c", "not_enough_data": "?"}


def text(verdict: Verdict) -> str:
    """For a terminal."""
    return "\n".join(_text(verdict)) + "\n"


def _text(verdict: Verdict) -> Iterator[str]:
    yield headline(verdict)
    yield from (f"  {label}" for label in verdict.labels)
    yield ""
    yield f"{KINDS[verdict.conclusion.kind].upper()}: {verdict.conclusion.text}"
    yield from (f"  - {number.text}" for number in verdict.conclusion.numbers)
    yield f"  the opposite needs: {verdict.conclusion.opposite}"
    yield ""
    yield from _columns([["", *(column.name for column in verdict.columns)], *table(verdict.columns)])
    yield LEGEND
    yield ""
    for task in verdict.tasks:
        yield f"{task.task} ({task.calls:,}): {task.advice}"
    yield ""
    yield "what each rung adds, per 1,000 calls of all traffic (90 % interval):"
    yield from _columns([["rung", "answered", "saves", "seconds", "answers that differ", ""], *margins(verdict)])
    yield ""
    yield "the bill:"
    yield from _columns([[name, value] for name, value in bill(verdict)])
    yield ""
    yield "the conclusion at other traffic (across) and other prices of the reference (down):"
    yield from sensitivity(verdict)


def markdown(verdict: Verdict) -> str:
    """The same as a Markdown document."""
    return "\n".join(_markdown(verdict)) + "\n"


def _markdown(verdict: Verdict) -> Iterator[str]:
    yield f"# {KINDS[verdict.conclusion.kind].capitalize()}"
    yield ""
    yield verdict.conclusion.text
    yield ""
    yield from (f"- {number.text}" for number in verdict.conclusion.numbers)
    yield f"- the opposite needs: {verdict.conclusion.opposite}"
    yield ""
    yield headline(verdict) + "".join(f" **{label}**" for label in verdict.labels)
    yield ""
    yield from _grid(["", *(column.name for column in verdict.columns)], table(verdict.columns))
    yield ""
    yield LEGEND
    yield ""
    yield from _grid(["task", "calls", "advice"], [[t.task, f"{t.calls:,}", t.advice] for t in verdict.tasks])
    yield ""
    yield "What each rung adds, per 1,000 calls of all traffic (90 % interval):"
    yield ""
    yield from _grid(["rung", "answered", "saves", "seconds", "answers that differ", ""], margins(verdict))
    yield ""
    yield from _grid(["the bill", ""], [[name, value] for name, value in bill(verdict)])
    yield ""
    yield "The conclusion at other traffic (across) and other prices of the reference (down):"
    yield ""
    yield "```text"
    yield from sensitivity(verdict)
    yield "```"


# ---- the parts, for every form ----


def headline(verdict: Verdict) -> str:
    calls, days = verdict.calls, verdict.days
    span = f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"
    simulated = f", {verdict.simulated:,} of them simulated" if verdict.simulated else ""
    return f"{calls:,} calls in {span}{simulated}; {verdict.local or 'no local model'} against {verdict.reference}"


def table(columns: Sequence[Column]) -> list[list[str]]:
    """A row of texts for every row of the verdict's table."""
    return [[row, *(told(column.figures[row]) for column in columns)] for row in ROWS]


def told(figure: Figure) -> str:
    mark = MARKS[figure.basis]
    return f"{figure.text} {mark}".rstrip()


def margins(verdict: Verdict) -> list[list[str]]:
    return [
        [
            f"{one.rung} {one.model}".strip(),
            f"{one.calls:,} of {one.asked:,} asked",
            f"{_range(one.money, '.4f')} USD",
            f"{_range(one.seconds, '.1f')} s",
            f"{one.errors.value:.1f} ({one.errors.low:.1f} to {one.errors.high:.1f})" if one.errors else "not compared",
            "" if one.basis == "measured" else "~",
        ]
        for one in verdict.margins
    ]


def bill(verdict: Verdict) -> list[tuple[str, str]]:
    """Names and sums, the ledger's total last of the parts."""
    paid = verdict.bill
    rows = [(name, dollars(pico)) for name, pico in paid.parts.items()]
    rows.append(("all the ledger has", dollars(paid.total)))
    if paid.unknown:
        rows.append(("of unknown price", f"{paid.unknown:,} calls, in no sum"))
    if paid.cache_write_tokens:
        rows.append(("prompt-cache writes", f"{paid.cache_write_tokens:,} tokens, in the sums"))
    rows.append(("energy of the local model", told(paid.energy_usd)))
    rows += [(f"all of it at {name} alone", told(figure)) for name, figure in paid.singles.items()]
    rows.append(("cheapest single model", paid.best_single))
    rows.append(("answers that would differ, routed at random", told(paid.random_disagreement)))
    return rows


def sensitivity(verdict: Verdict) -> Iterator[str]:
    found = {(calls, price): _MAP[kind] for calls, price, kind in verdict.sensitivity}
    yield "price ×" + "".join(f"{f'{factor:g}':>6}" for factor in FACTORS) + "  × calls"
    for price in reversed(FACTORS):
        yield f"{f'{price:g}':>7}" + "".join(f"{found[calls, price]:>6}" for calls in FACTORS)
    used = set(found.values())
    yield "  ".join(f"{sign} {KINDS[kind]}" for kind, sign in _MAP.items() if sign in used)


def dollars(pico: int) -> str:
    """Exact: no digit of the ledger is lost."""
    whole, rest = divmod(pico, 10**12)
    return f"{whole:,}.{f'{rest:012}'.rstrip('0') or '0'} USD"


def _range(interval: Interval, form: str) -> str:
    return f"{interval.value:+{form}} ({interval.low:+{form}} to {interval.high:+{form}})"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
