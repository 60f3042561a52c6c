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
from rung.ladder.trust.compare import comparator_for
from rung.local.bandwidth import probe
from rung.local.catalogue import Row, rows
from rung.local.fit import default_model, room_and_ram
from rung.local.hardware import Hardware, look
from rung.local.installed import models_here, serving
from rung.local.known import Known, known
from rung.local.predict import Probe, pace
from rung.local.trial import measured_here
from rung.local.upkeep import Kept, kept
from rung.providers.estimate import estimate_tokens
from rung.providers.prices import PriceBook
from rung.report.compare import wilson
from rung.report.figures import USUAL, Assumptions, Candidate, Evidence, Figure
from rung.report.importers import Recorded
from rung.report.sketch import Interval
from rung.report.traffic import COLUMNS, KIND_COLUMNS, Asked, Kind, Seen, Traffic, gather
from rung.report.verdict import Verdict, build
from rung.report.what_if import NOTHING, WhatIf, imagine
from rung.report.words import ENGLISH, Words
from rung.rungs.tool import ToolRung
from rung.store.ledger_read import climbs, kinds

USUAL_SPAN = 30 * 86400.0
"""seconds of ledger a verdict is made of, unless told otherwise"""

MACHINES = ("4c/8GB", "8c/32GB", "8c/32GB/RTX4060", "16c/64GB/RTX4090")
"""others the conclusion is told for"""

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
            comparator_for(cell["task"], {}) is None,
            bool(cell.get("simulated")),
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
    upkeep: Mapping[str, Kept] | None = None,
    say: Words = ENGLISH,
) -> Verdict:
    """The verdict of this installation. `cells`: see `evidence`; `traffic` None: the last 30 days of the ledger;
    `upkeep` None: what was counted here. Measures the machine for a moment and may read a large file: not on an event
    loop.

    Raises RungError where there is nothing to compare.
    """
    path = settings.ledger.path
    if traffic is None:
        traffic = from_ledger(path, since=time.time() - USUAL_SPAN) if path.exists() else Traffic()
    if traffic.simulated:
        labels += (say("{0} calls were answered by simulators", say.number(traffic.simulated)),)
    if what_if.words:
        labels += (say("what if {0}: predicted", what_if.words),)
    here = look()
    machine = what_if.machine.hardware if what_if.machine else here
    reference, local = who(settings, traffic, what_if, machine)
    speed = what_if.machine.probe if what_if.machine else probe(here.engine_threads, seconds=0.3)
    seen = _Seen(settings, traffic, kept(settings.paths.models) if upkeep is None else upkeep, what_if, say)
    imagined = {name: imagine(name) for name in MACHINES}
    return build(
        traffic,
        seen.candidates(reference, local, machine, speed),
        reference=reference,
        local=local,
        evidence=evidence(cells, assumptions.limit),
        assumptions=assumptions,
        labels=labels,
        what_if=what_if,
        machines={name: seen.local(local, one.hardware, one.probe, real=False) for name, one in imagined.items()},
        say=say,
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
        mine = next(iter(models_here(settings.paths.models)), None)
        best = mine or default_model(hardware, context=settings.local.context) or rows()[0]
        local = f"local:{best.alias}"
    return reference, local


class _Seen(msgspec.Struct):
    """What is known of the models beside the traffic."""

    settings: Settings
    traffic: Traffic
    upkeep: Mapping[str, Kept]
    what_if: WhatIf
    say: Words

    def candidates(self, reference: str, local: str, hardware: Hardware, probe: Probe) -> list[Candidate]:
        """A column each: the local model first, then the reference, then every other model configured or seen."""
        ladder, models = self.settings.ladder, self.traffic.models()
        named = [reference, ladder.fast, ladder.strong, *ladder.fallback, *ladder.reference_for.values()]
        clouds = [model for model in named if model] + [model for rung, model in models if rung == "cloud"]
        others = [model for rung, model in models if rung == "local" and model != local]
        real, prices = self.what_if.machine is None, PriceBook.load(self.settings.prices)
        found = [self.local(model, hardware, probe, real=real) for model in [local, *others]]
        return [*found, *(self._cloud(model, prices) for model in dict.fromkeys(clouds))]

    def _cloud(self, model: str, prices: PriceBook) -> Candidate:
        def price(prompt: int, output: int) -> int | None:
            cost = prices.cost(model, Usage(input_tokens=prompt, output_tokens=output))
            return None if cost is None else round(cost * self.what_if.price(model))

        return Candidate(
            rung="cloud", model=model, price=price,
            install=self.say("an account and a key ({0})", model.partition(":")[0]),
            upkeep=Figure(self.say("keys, limits, models that are withdrawn"), "stated"),
        )  # fmt: skip

    def local(self, model: str, hardware: Hardware, probe: Probe, *, real: bool) -> Candidate:
        """`real`: is this the machine we are on?"""
        say, settings, alias = self.say, self.settings, model.partition(":")[2]
        mine = self.upkeep.get(alias) if real else None
        upkeep = self._kept(model, mine)
        try:
            shape = _shape(alias)
        except RungError:  # a file of the user's own, or another program's
            return Candidate(rung="local", model=model, leaves=False, install=say("as you did"), upkeep=upkeep)
        listed = isinstance(shape, Row)
        here = serving(shape, settings.paths.models) if isinstance(shape, Row) and real else None
        measured = measured_here(shape, settings.paths.models) if isinstance(shape, Row) and real else None
        told = pace(shape, probe, measured=measured)

        def seconds(prompt: int, output: int) -> tuple[float, float]:
            return (
                prompt / told.prompt.high + output / told.generation.high,
                prompt / told.prompt.low + output / told.generation.low,
            )

        room, ram = room_and_ram(shape.bytes, shape, hardware, context=settings.local.context)
        pull = f"rung models pull {shape.name}" if isinstance(shape, Row) else f"ollama pull {shape.ollama}"
        peak = 0 if mine is None else mine.peak
        return Candidate(
            rung="local",
            model=model,
            ram=peak or ram,
            ram_basis="measured" if peak else "predicted",
            disk=shape.bytes if here is None else here.bytes,
            disk_basis="measured" if here is not None else "claimed" if listed else "predicted",
            fits=room is not None,
            install=say("2 steps: {0}; {1}", "pip install 'rung[local]'" if listed else "Ollama", pull),
            upkeep=upkeep,
            leaves=False,
            price=lambda prompt, output: 0,
            seconds=seconds,
        )

    def _kept(self, model: str, mine: Kept | None) -> Figure:
        """What it asked of its keeper in the time of the traffic."""
        say = self.say
        vain = self.traffic.vain.items()
        failed = sum(part.failed for (_, rung, its), part in vain if rung == "local" and its == model)
        answers = say("failed answers: {0}", say.number(failed))
        if mine is None:
            told = say("never run here") if not self.traffic.of(rung="local", model=model).calls else ""
            return Figure(f"{answers}{say('; ')}{told}" if told else answers, "measured", float(failed))
        day = mine.total(self.traffic.first_at)
        figures = (say.number(count) for count in (day.crashes, day.restarts, day.losses, day.updates))
        counts = say("crashes: {0}, came back by itself: {1}, given up: {2}, updates: {3}", *figures)
        since = say("since {0}", max(mine.since, datetime.fromtimestamp(self.traffic.first_at, UTC).date().isoformat()))
        return Figure(f"{counts}{say('; ')}{answers} ({since})", "measured", float(day.crashes + day.losses + failed))


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
