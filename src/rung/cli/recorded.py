"""The packaged recording: a ledger made earlier by real runs of rung, without texts, for people who have none yet.

``scripts/record_demo.py`` makes it. The calls were asked within minutes; `rows` spreads them over one day, since that
is about what they stand for, and `label` says so.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from rung.config import Settings
from rung.local.upkeep import Kept
from rung.report.figures import USUAL, Assumptions
from rung.report.traffic import COLUMNS, KIND_COLUMNS, Kind, Seen, Traffic, gather
from rung.report.verdict import Verdict
from rung.report.what_if import NOTHING, WhatIf
from rung.report.words import ENGLISH, Words
from rung.store.ledger import ClimbRow
from rung.verdicts import weigh

FILE = Path(__file__).parent / "data" / "recorded.json.gz"

DAY = 86400.0
"""seconds the recorded calls are spread over"""


class Recording(msgspec.Struct, frozen=True):
    """`date` (ISO 8601, UTC), `machine`, `rung` (version) and `local` say where it comes from; `minutes` how long it
    took. `climbs`: columns of `rung.store.ledger.ClimbRow` by name, `attempts` as a list. `cells`: what trust knew at
    its end, as `rung.learning.told.describe` tells it. `upkeep`: what the local model asked of its keeper meanwhile,
    by alias."""

    date: str
    machine: str
    rung: str
    reference: str
    local: str
    minutes: float
    climbs: list[dict[str, Any]]
    cells: list[dict[str, Any]]
    upkeep: dict[str, Kept] = {}

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Callers' own climbs, without those rung made to compare."""
        return [climb for climb in self.climbs if not climb.get("purpose")]


def load(file: Path = FILE) -> Recording:
    """The packaged recording."""
    return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=Recording)


def save(recording: Recording, file: Path = FILE) -> int:
    """Write it; -> bytes. The same recording gives the same file."""
    packed = gzip.compress(msgspec.json.encode(recording), 9, mtime=0)
    file.parent.mkdir(exist_ok=True)
    return file.write_bytes(packed)


def label(recording: Recording, say: Words = ENGLISH) -> str:
    """What must stand beside every figure made of it."""
    simulated = sum(bool(call.get("simulated")) for call in recording.calls)
    return say(
        "recorded on {0} on {1}; {2}, rung {3}; {4} of {5} calls simulated; asked within {6} minutes, told as one day: "
        "assumed",
        recording.date, recording.machine, recording.local, recording.rung, say.number(simulated),
        say.number(len(recording.calls)), say.number(recording.minutes),
    )  # fmt: skip


def weighed(
    settings: Settings, *, what_if: WhatIf = NOTHING, assumptions: Assumptions = USUAL, say: Words = ENGLISH
) -> Verdict:
    """The verdict on the recording alone, against its own reference. Not on an event loop: see `weigh`."""
    recording = load()
    asked = replace(settings, ladder=replace(settings.ladder, reference=recording.reference))
    return weigh(
        asked,
        recording.cells,
        traffic=traffic(rows(recording)),
        what_if=what_if,
        assumptions=assumptions,
        labels=(label(recording, say),),
        upkeep=recording.upkeep,
        say=say,
    )


def rows(recording: Recording, until: float | None = None) -> list[ClimbRow]:
    """The climbs as rows of a ledger, spread over the day before `until` (unix seconds; None: when it was made)."""
    found = [msgspec.convert({**climb, "attempts": b""}, ClimbRow) for climb in recording.climbs]
    for row, climb in zip(found, recording.climbs, strict=True):
        row.attempts = msgspec.json.encode(climb["attempts"])
    first, last = (one(row.started_at for row in found) for one in (min, max))
    for row in found:
        row.started_at = (last if until is None else until) - DAY * (last - row.started_at) / (last - first)
    return found


def traffic(found: Iterable[ClimbRow]) -> Traffic:
    """What `rung.verdicts.from_ledger` would read, were the rows in a file."""
    numbers: dict[Kind, int] = {}
    seen = []
    for row in found:
        kind = Kind(*(getattr(row, name) for name in KIND_COLUMNS))
        number = numbers.setdefault(kind, len(numbers))
        seen.append(Seen(number, *(getattr(row, name) for name in COLUMNS)))
    return gather({number: kind for kind, number in numbers.items()}, seen)
