"""Verdicts of this installation: its configuration, prices, hardware and trust, brought to `rung.report.verdict`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from rung.answer import Declined, Usage
from rung.call import Call
from rung.config import Settings
from rung.errors import RungError
from rung.ladder.task import classify, warm
from rung.local.bandwidth import Probe, probe
from rung.local.catalogue import Row, installed, rows
from rung.local.fit import MARGIN, ram_needed
from rung.local.hardware import Hardware, look
from rung.local.known import Known, known
from rung.local.predict import pace
from rung.local.trial import measured_here
from rung.providers.estimate import estimate_tokens
from rung.providers.prices import PriceBook
from rung.report.compare import wilson
from rung.report.figures import USUAL, Assumptions, Candidate, Evidence
from rung.report.importers import Recorded
from rung.report.sketch import Interval
from rung.report.traffic import COLUMNS, KIND_COLUMNS, Asked, Kind, Seen, Traffic, gather
from rung.report.verdict import Verdict, build
from rung.report.what_if import NOTHING, WhatIf
from rung.rungs.tool import ToolRung
from rung.store.ledger_read import climbs, kinds

USUAL_SPAN = 30 * 86400.0
"""seconds of ledger a verdict is made of, unless told otherwise"""

_OUTPUT = 200
"""output tokens of an answer nobody recorded"""


def from_ledger(ledger: Path, *, since: float = 0.0, run: str = "") -> Traffic:
    """The traffic a ledger has, since a time or of one replay. Raises StoreError."""
    told = {number: Kind(*columns) for number, *columns in kinds(ledger, KIND_COLUMNS)}
    if run:  # a replay is looked at as if callers had asked; nothing else counts
        purpose = f"replay:{run}"
        mine = {
            number: msgspec.structs.replace(kind, purpose="")
            for number, kind in told.items()
            if kind.purpose == purpose
        }
        return gather(mine, (Seen(*row) for row in climbs(ledger, COLUMNS, since=since) if row[0] in mine))
    return gather(told, (Seen(*row) for row in climbs(ledger, COLUMNS, since=since)))


async def from_recorded(calls: Iterable[Recorded], reference: str, prices: PriceBook) -> Traffic:
    """What the ladder would have made of recorded calls: the tools really run, repeats are counted, the rest goes to
    `reference`, its tokens estimated where nobody recorded them and its price that of today."""
    found = [one async for one in _foreseen(calls, reference, prices)]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kind for kind, _ in found))}
    seen = [msgspec.structs.replace(climb, kind=numbers[kind]) for kind, climb in found]
    traffic = gather({number: kind for kind, number in numbers.items()}, seen)
    traffic.predicted = True
    return traffic


async def _foreseen(calls: Iterable[Recorded], reference: str, prices: PriceBook) -> AsyncIterator[tuple[Kind, Seen]]:
    tool, known_calls, now = await asyncio.to_thread(ToolRung), set[bytes](), datetime.now(UTC)
    await asyncio.to_thread(warm)
    for number, one in enumerate(calls):
        call = Call(body={"model": "auto", **one.body}, raw=orjson.dumps(one.body), model="auto")
        task, mark = (
            classify(call.body).task,
            hashlib.sha256(orjson.dumps(one.body, option=orjson.OPT_SORT_KEYS)).digest(),
        )
        answer = await tool.attempt(call)
        tokens = (one.input_tokens or estimate_tokens(call.body), one.output_tokens or _length(one))
        if not isinstance(answer, Declined):
            asked, tokens = Asked("tool", "tool", "answered", ms=0.5), (0, 0)
        elif mark in known_calls:
            asked, tokens = Asked("exact", "exact", "answered", ms=0.1), (0, 0)
        else:
            paid = one.cost if one.cost is not None else prices.cost(reference, Usage(*_usage(tokens)), now)
            asked = Asked("cloud", reference, "answered", ms=one.ms or 0.0, cost=paid)
        known_calls.add(mark)
        kind = Kind("", task, asked.rung, asked.model, "answered", False, False, False)
        at = one.at if one.at is not None else float(number)
        attempts = msgspec.json.encode([asked])
        yield kind, Seen(0, at, str(number), "", None, asked.ms, tokens[0], 0, 0, tokens[1], 0, asked.cost, attempts)


def _usage(tokens: tuple[int, int]) -> tuple[int, int, int, int]:
    """`rung.answer.Usage` by place: read, cached, written, generated."""
    return tokens[0], 0, 0, tokens[1]


def _length(one: Recorded) -> int:
    return estimate_tokens(one.answer) if one.answer else _OUTPUT


def evidence(cells: Sequence[Mapping[str, Any]], limit: float) -> list[Evidence]:
    """What trust knows, from its cells as plain data (`rung.learning.told.describe`); one per task and model: under
    `limit`, the strictest that is open, or else the one that has most labels."""
    found: dict[tuple[str, str], tuple[tuple[bool, int], Evidence]] = {}
    for cell in cells:
        if cell["limit"] > limit + 1e-9 or not cell["labels"]:
            continue
        opened = cell["state"] == "open"
        differs = wilson(round(cell["disagreement"] * cell["denominator"]), cell["denominator"], z=1.645)
        if differs is None:
            continue
        share = wilson(round(cell["share"] * cell["labels"]), cell["labels"], z=1.645) if opened else None
        one = Evidence(
            cell["task"],
            cell["rung"],
            cell["model"],
            cell["limit"],
            cell["state"],
            cell["labels"],
            share or Interval(0.0, 0.0, 0.0),
            Interval(differs.value, differs.low, max(differs.high, cell["upper"] or 0.0)),
            cell["labels_missing"],
        )
        rank, key = (opened, cell["labels"]), (cell["task"], cell["model"])
        if key not in found or rank > found[key][0]:
            found[key] = rank, one
    return [one for _, one in found.values()]


def weigh(
    settings: Settings,
    cells: Sequence[Mapping[str, Any]],
    *,
    traffic: Traffic | None = None,
    what_if: WhatIf = NOTHING,
    assumptions: Assumptions = USUAL,
    labels: tuple[str, ...] = (),
) -> Verdict:
    """The verdict of this installation. `cells`: see `evidence`; `traffic` None: the last 30 days of the ledger.
    Measures the machine for a moment and may read a large file: not on an event loop.

    Raises RungError where there is nothing to compare.
    """
    path = settings.ledger.path
    if traffic is None:
        traffic = from_ledger(path, since=time.time() - USUAL_SPAN) if path.exists() else Traffic()
    here = look()
    speed = what_if.machine.probe if what_if.machine else probe(here.engine_threads, seconds=0.3)
    machine = what_if.machine.hardware if what_if.machine else here
    if traffic.simulated:
        labels += (f"{traffic.simulated:,} calls were answered by simulators",)
    if what_if.words:
        labels += (f"what if {what_if.words}: predicted",)
    prices = PriceBook.load(settings.prices)
    reference, local = who(settings, traffic, what_if, machine)
    return build(
        traffic,
        candidates(settings, prices, traffic, reference, local, machine, speed, what_if),
        reference=reference,
        local=local,
        evidence=evidence(cells, assumptions.limit),
        assumptions=assumptions,
        labels=labels,
        what_if=what_if,
    )


def who(settings: Settings, traffic: Traffic, what_if: WhatIf, hardware: Hardware) -> tuple[str, str]:
    """-> (reference, local model) the verdict is about: those configured, else the busiest seen.

    Raises RungError if there is no reference to be found.
    """
    seen = traffic.models()
    reference = settings.ladder.reference or next((model for rung, model in seen if rung == "cloud"), "")
    if not reference:
        raise RungError(
            "no reference to compare with: set a provider's key, or name one in rung.toml ([ladder] reference)",
            code="no_reference",
            status=400,
        )
    local = next((model for rung, model in seen if rung == "local"), "")
    if what_if.model:
        local = f"local:{_shape(what_if.model).name.replace(':', '-')}"
    elif not local:
        here = next(iter(installed(settings.paths.models)), None)
        best = here or next((row for row in rows() if row.default and _fits(row, hardware, settings)), rows()[0])
        local = f"local:{best.alias}"
    return reference, local


def candidates(
    settings: Settings,
    prices: PriceBook,
    traffic: Traffic,
    reference: str,
    local: str,
    hardware: Hardware,
    probe: Probe,
    what_if: WhatIf,
) -> list[Candidate]:
    """A column each: the local model first, then the reference, then every other model configured or seen."""
    ladder = settings.ladder
    named = [reference, ladder.fast, ladder.strong, *ladder.fallback, *ladder.reference_for.values()]
    clouds = [model for model in named if model] + [model for rung, model in traffic.models() if rung == "cloud"]
    others = [model for rung, model in traffic.models() if rung == "local" and model != local]
    found = [_local(model, settings, hardware, probe, traffic, what_if) for model in [local, *others]]
    return [*found, *(_cloud(model, prices, what_if) for model in dict.fromkeys(clouds))]


def _cloud(model: str, prices: PriceBook, what_if: WhatIf) -> Candidate:
    def price(prompt: int, output: int) -> int | None:
        cost = prices.cost(model, Usage(input_tokens=prompt, output_tokens=output), datetime.now(UTC))
        return None if cost is None else round(cost * what_if.price(model))

    provider = model.partition(":")[0]
    return Candidate(
        rung="cloud", model=model, price=price, install=f"an account and a key ({provider})",
        upkeep="keys, limits, models that are withdrawn",
    )  # fmt: skip


def _local(
    model: str, settings: Settings, hardware: Hardware, probe: Probe, traffic: Traffic, what_if: WhatIf
) -> Candidate:
    alias = model.partition(":")[2]
    try:
        shape = _shape(alias)
    except RungError:  # a file of the user's own, or another program's
        return Candidate(rung="local", model=model, leaves=False, install="as you did", upkeep=_upkeep(traffic, model))
    measured = None
    if isinstance(shape, Row) and what_if.machine is None:
        measured = measured_here(shape, settings.paths.models)
    told = pace(shape, probe, measured=measured)

    def seconds(prompt: int, output: int) -> tuple[float, float]:
        return (
            prompt / told.prompt.high + output / told.generation.high,
            prompt / told.prompt.low + output / told.generation.low,
        )

    pull = f"rung models pull {shape.name}" if isinstance(shape, Row) else f"ollama pull {shape.ollama}"
    return Candidate(
        rung="local",
        model=model,
        ram=ram_needed(shape.bytes, shape, context=settings.local.context),
        disk=shape.bytes,
        fits=_fits(shape, hardware, settings),
        install=f"pip install 'rung[local]', {pull}" if isinstance(shape, Row) else f"Ollama, {pull}",
        upkeep=_upkeep(traffic, model),
        leaves=False,
        price=lambda prompt, output: 0,
        seconds=seconds,
    )


def _upkeep(traffic: Traffic, model: str) -> str:
    failed = sum(part.failed for (_, rung, its), part in traffic.vain.items() if rung == "local" and its == model)
    return f"rung models update; {failed:,} failed answers seen"


def _shape(name: str) -> Row | Known:
    """The model of that name in the catalogue or among the documented ones. Raises RungError naming all."""
    listed: Iterator[Row | Known] = iter([*rows(), *known()])
    everything = {one.name.replace(":", "-"): one for one in listed}
    found = everything.get(name.lower().replace(":", "-"))
    if found is None:
        raise RungError(
            f"no figures for a model {name!r}; there are: {', '.join(one.name for one in everything.values())}",
            code="unknown_model",
            status=400,
        )
    return found


def _fits(shape: Row | Known, hardware: Hardware, settings: Settings) -> bool:
    return ram_needed(shape.bytes, shape, context=settings.local.context) + MARGIN <= hardware.usable_ram
