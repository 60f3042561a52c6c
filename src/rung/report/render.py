"""A verdict for people: as text, as Markdown. In the verdict's own language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rung.report.conclude import KINDS, Kind
from rung.report.figures import Basis, Figure
from rung.report.margin import Margin
from rung.report.sketch import Interval
from rung.report.table import ROWS
from rung.report.verdict import FACTORS, Verdict
from rung.report.words import Words

MARKS: dict[Basis, str] = {"measured": "m", "predicted": "~", "simulated": "sim", "judged": "j", "claimed": "c",
                           "assumed": "≈", "stated": "", "unknown": ""}  # fmt: skip

_MAP: dict[Kind, str] = {"adopt": "A", "fallback": "f", "defer": "d", "fast_cloud": "c", "not_enough_data": "?"}

PARTS = {"answers": "answers", "refused": "attempts that gave no answer", "shadow": "shadows", "audit": "audits",
         "judge": "judges", "repeat": "the reference against itself"}  # fmt: skip
"""what the parts of the bill are called"""

ADDS = "What each rung adds, per 1,000 calls, with and without it; 90 % interval:"
OTHERWISE = "The conclusion at other traffic (across) and other prices of the reference (down):"
MACHINES = "With the same local model on other machines (foretold):"
UPKEEP = "If it took so many minutes of your time a month:"


def text(verdict: Verdict) -> str:
    """For a terminal."""
    return "\n".join(_text(verdict, Words(verdict.language))) + "\n"


def _text(verdict: Verdict, say: Words) -> Iterator[str]:
    end = verdict.conclusion
    yield headline(verdict)
    yield from (f"  {label}" for label in verdict.labels)
    yield ""
    yield say("{0}: {1}", say(KINDS[end.kind]).upper(), end.text)
    yield from (f"  - {number.text}" for number in end.numbers)
    yield "  - " + say("the opposite needs: {0}", end.opposite)
    yield ""
    yield from _columns([head(verdict), *table(verdict)])
    yield legend(say)
    yield ""
    yield from (say("{0} ({1}): {2}", task.task, say.number(task.calls), task.advice) for task in verdict.tasks)
    yield ""
    yield say(ADDS)
    yield from _columns([[say(name) for name in MARGINS], *margins(verdict)])
    yield ""
    yield say("The bill:")
    yield from _columns([[name, value] for name, value in bill(verdict)])
    yield ""
    yield say(OTHERWISE)
    yield from sensitivity(verdict)
    yield ""
    yield say(UPKEEP)
    yield from _columns([[f"  {minutes}", kind] for minutes, kind in by_upkeep(verdict)])
    if verdict.by_machine:
        yield ""
        yield say(MACHINES)
        yield from _columns([[f"  {name}", time, kind] for name, time, kind in by_machine(verdict)])


def markdown(verdict: Verdict) -> str:
    """The same as a Markdown document."""
    return "\n".join(_markdown(verdict, Words(verdict.language))) + "\n"


def _markdown(verdict: Verdict, say: Words) -> Iterator[str]:
    end = verdict.conclusion
    yield f"# {say(KINDS[end.kind]).capitalize()}"
    yield ""
    yield end.text
    yield ""
    yield from (f"- {number.text}" for number in end.numbers)
    yield "- " + say("the opposite needs: {0}", end.opposite)
    yield ""
    yield headline(verdict) + "".join(f" **{label}**" for label in verdict.labels)
    yield ""
    yield from _grid(head(verdict), table(verdict))
    yield ""
    yield legend(say)
    yield ""
    yield from _grid([say("task"), say("calls"), say("advice")], tasks(verdict))
    yield ""
    yield say(ADDS)
    yield ""
    yield from _grid([say(name) for name in MARGINS], margins(verdict))
    yield ""
    yield from _grid([say("The bill:"), ""], [list(row) for row in bill(verdict)])
    yield ""
    yield say(OTHERWISE)
    yield ""
    yield "```text"
    yield from sensitivity(verdict)
    yield "```"
    yield ""
    yield from _grid([say(UPKEEP), ""], [list(row) for row in by_upkeep(verdict)])
    if verdict.by_machine:
        yield ""
        yield from _grid([say(MACHINES), "", ""], [list(row) for row in by_machine(verdict)])


# ---- the parts, for every form ----


def headline(verdict: Verdict) -> str:
    say, days = Words(verdict.language), verdict.days
    if days >= 1:
        span = say("{0} days", say.number(days, ".1f"))
    elif days >= 0.1:
        span = say("{0} h", say.number(24 * days, ".1f"))
    else:
        span = say("{0} min", say.number(1440 * days))
    simulated = say(", {0} of them simulated", say.number(verdict.simulated)) if verdict.simulated else ""
    local = verdict.local or say("no local model")
    return say("{0} calls in {1}{2}; {3} against {4}", say.number(verdict.calls), span, simulated, local,
               verdict.reference)  # fmt: skip


def legend(say: Words) -> str:
    return say("m measured, ~ predicted, sim simulated, j judged by a model, c the provider's claim, ≈ assumed; "
               "unmarked: what the thing is")  # fmt: skip


def head(verdict: Verdict) -> list[str]:
    """Of `table`."""
    return ["", *(column.name for column in verdict.columns)]


def table(verdict: Verdict) -> list[list[str]]:
    """A row of texts for every row of the verdict's table."""
    say = Words(verdict.language)
    return [[say(row), *(told(column.figures[row], say) for column in verdict.columns)] for row in ROWS]


def told(figure: Figure, say: Words) -> str:
    """With its mark."""
    shown = say(figure.text) if figure.basis == "unknown" else figure.text
    return f"{shown} {MARKS[figure.basis]}".rstrip()


def tasks(verdict: Verdict) -> list[list[str]]:
    say = Words(verdict.language)
    return [[task.task, say.number(task.calls), task.advice] for task in verdict.tasks]


MARGINS = ("calls", "rung", "answered", "saves", "seconds", "answers that differ", "")
"""the columns of `margins`"""


def margins(verdict: Verdict) -> list[list[str]]:
    """A row for every rung: in all traffic, then in each task where it answered."""
    say = Words(verdict.language)
    found = [_margin(say("all"), one, say) for one in verdict.margins]
    for task in verdict.tasks:
        found += [_margin(task.task, one, say) for one in task.margins if one.calls]
    return found


def _margin(of: str, one: Margin, say: Words) -> list[str]:
    differ = say("not compared")
    if one.errors is not None:
        figures = (say.number(value, ".1f") for value in (one.errors.value, one.errors.low, one.errors.high))
        differ = say("{0} ({1} to {2})", *figures)
    return [
        of,
        f"{one.rung} {one.model}".strip(),
        say("{0} of {1} asked", say.number(one.calls), say.number(one.asked)),
        f"{_range(one.money, 4, say)} USD",
        f"{_range(one.seconds, 1, say)} s",
        differ,
        MARKS[one.basis],
    ]


def bill(verdict: Verdict) -> list[tuple[str, str]]:
    """Names and sums, the ledger's total last of the parts."""
    say, paid = Words(verdict.language), verdict.bill
    rows = [(say(PARTS.get(name, name)), dollars(pico, say)) for name, pico in paid.parts.items()]
    rows.append((say("all the ledger has"), dollars(paid.total, say)))
    if paid.unknown:
        rows.append((say("of unknown price"), say("{0} calls, in no sum", say.number(paid.unknown))))
    if paid.cache_write_tokens:
        rows.append((say("prompt-cache writes"), say("{0} tokens, in the sums", say.number(paid.cache_write_tokens))))
    rows.append((say("energy of the local model"), told(paid.energy_usd, say)))
    rows += [(say("all of it at {0} alone", name), told(figure, say)) for name, figure in paid.singles.items()]
    rows.append((say("cheapest single model"), paid.best_single))
    rows.append((say("answers that differ, as routed"), told(paid.routed_disagreement, say)))
    rows.append((say("the same, routed at random for the same money"), told(paid.random_disagreement, say)))
    return rows


def sensitivity(verdict: Verdict) -> Iterator[str]:
    say = Words(verdict.language)
    found = {(calls, price): _MAP[kind] for calls, price, kind in verdict.sensitivity}
    yield say("price") + " ×" + "".join(f"{say.short(factor):>6}" for factor in FACTORS) + "  × " + say("calls")
    for price in reversed(FACTORS):
        yield f"{say.short(price):>7}" + "".join(f"{found[calls, price]:>6}" for calls in FACTORS)
    used = set(found.values())
    yield "  ".join(f"{sign} {say(KINDS[kind])}" for kind, sign in _MAP.items() if sign in used)


def by_upkeep(verdict: Verdict) -> list[tuple[str, str]]:
    """(minutes a month, the conclusion)"""
    say = Words(verdict.language)
    return [(say.number(minutes), say(KINDS[kind])) for minutes, kind in verdict.by_upkeep]


def by_machine(verdict: Verdict) -> list[tuple[str, str, str]]:
    """(machine, seconds an answer, the conclusion)"""
    say = Words(verdict.language)
    found = []
    for one in verdict.by_machine:
        time = "" if one.seconds is None else f"{say.number(one.seconds, '.1f')} s {MARKS['predicted']}"
        found.append((one.machine, time if one.fits else say("does not fit"), say(KINDS[one.kind])))
    return found


def dollars(pico: int, say: Words) -> str:
    """Exact: no digit of the ledger is lost."""
    whole, rest = divmod(pico, 10**12)
    point = "," if say.language == "fr" else "."
    return f"{say.number(whole)}{point}{f'{rest:012}'.rstrip('0') or '0'} USD"


def _range(interval: Interval, digits: int, say: Words) -> str:
    """With signs, and no minus before a zero."""
    figures = (round(value, digits) + 0.0 for value in (interval.value, interval.low, interval.high))
    return say("{0} ({1} to {2})", *(say.number(value, f"+,.{digits}f") for value in figures))


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
