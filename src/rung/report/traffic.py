"""What went through the ladder, summed up while it is read: who answered what, who was asked in vain, what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from zlib import crc32

import msgspec

from rung.report.sketch import GROUPS, Sums, Times

MODELS = ("local", "cloud")
"""rungs that are models; the others are programs and caches"""


class Asked(msgspec.Struct, gc=False):
    """One attempt of a climb, as the ledger keeps it. `ms` milliseconds, `cost` pico-dollars or None."""

    rung: str
    model: str
    outcome: str
    reason: str = ""
    ms: float = 0.0
    cost: int | None = 0


class Kind(msgspec.Struct, frozen=True, gc=False):
    """What many climbs have in common, what a report reads of it; as the ledger keeps it."""

    purpose: str
    task: str
    rung: str
    model: str
    outcome: str
    private: bool
    simulated: bool
    unproved: bool


class Seen(msgspec.Struct, gc=False):
    """The rest of one climb. `kind`: the number of its `Kind`; times in unix seconds and milliseconds."""

    kind: int
    started_at: float
    request_id: str
    session: str
    first_content_ms: float | None
    total_ms: float
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cost_pico: int | None
    attempts: bytes | str


class Part(msgspec.Struct):
    """Attempts of one (task, rung, model): those that answered, or those that did not."""

    sums: Sums = msgspec.field(default_factory=Sums)
    times: Times = msgspec.field(default_factory=Times)
    firsts: Times = msgspec.field(default_factory=Times)
    prompt_tokens: int = 0
    output_tokens: int = 0
    unknown: int = 0
    """of unknown price"""
    simulated: int = 0
    unproved: int = 0
    failed: int = 0
    """that failed rather than declined"""

    def merge(self, other: Part) -> None:
        for name in ("sums", "times", "firsts"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("prompt_tokens", "output_tokens", "unknown", "simulated", "unproved", "failed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def calls(self) -> int:
        return sum(self.sums.calls)

    @property
    def money(self) -> int:
        """Pico-dollars of all whose price is known."""
        return sum(self.sums.money)

    @property
    def mean_ms(self) -> float:
        return sum(self.sums.ms) / self.calls if self.calls else 0.0


Key = tuple[str, str, str]
"""(task, rung, model)"""


class Traffic(msgspec.Struct):
    """Callers' own climbs, and beside them the money rung spent for purposes of its own.

    `money`: pico-dollars by what they bought: ``answers``, ``refused`` (attempts that did not answer), ``shadow``,
    ``audit``, ``judge``... They add up to the ledger's own total. `unknown`: climbs of unknown price, in none of it.
    """

    answered: dict[Key, Part] = {}
    vain: dict[Key, Part] = {}
    tasks: dict[str, int] = {}
    calls: int = 0
    failed: int = 0
    private: int = 0
    private_by_task: dict[str, int] = {}
    rescued: int = 0
    """calls a model on this machine answered after a cloud had failed"""
    simulated: int = 0
    unknown: int = 0
    purposes: dict[str, int] = {}
    """climbs rung made for itself, by purpose"""
    money: dict[str, int] = {}
    cache_write_tokens: int = 0
    local_ms: float = 0.0
    """milliseconds local models worked, for callers and for rung itself"""
    predicted: bool = False
    """nobody saw it: a recording from elsewhere, thought through"""
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def days(self) -> float:
        """From the first to the last call, a whole minute at least."""
        return max(self.last_at - self.first_at, 60.0) / 86400

    def of(self, *, rung: str = "", model: str = "", task: str = "") -> Part:
        """Everything answered by these, merged; an empty word means any."""
        whole = Part()
        for (its_task, its_rung, its_model), part in self.answered.items():
            if task in ("", its_task) and rung in ("", its_rung) and model in ("", its_model):
                whole.merge(part)
        return whole

    def models(self) -> list[tuple[str, str]]:
        """(rung, model) of every model that answered, the busiest first."""
        counts: dict[tuple[str, str], int] = {}
        for (_, rung, model), part in self.answered.items():
            if rung in MODELS:
                counts[rung, model] = counts.get((rung, model), 0) + part.calls
        return sorted(counts, key=lambda one: (-counts[one], one))


KIND_COLUMNS, COLUMNS = Kind.__struct_fields__, Seen.__struct_fields__[1:]
"""what a report reads of the ledger, in this order"""

_attempts = msgspec.json.Decoder(list[Asked]).decode


def gather(kinds: Mapping[int, Kind], climbs: Iterable[Seen]) -> Traffic:
    """Sum up `climbs`; reads each once and keeps none."""
    traffic = Traffic()
    counts = dict.fromkeys(kinds, 0)
    first, last = math.inf, 0.0
    for climb in climbs:
        kind = kinds[climb.kind]
        if climb.cost_pico is None:
            traffic.unknown += 1
        attempts = _attempts(climb.attempts)
        if kind.purpose:
            _add_own(traffic, kind, attempts, climb.cost_pico)
            continue
        counts[climb.kind] += 1
        at = climb.started_at
        first, last = at if at < first else first, at if at > last else last
        if climb.cache_write_tokens:
            traffic.cache_write_tokens += climb.cache_write_tokens
        _add(traffic, kind, climb, attempts)
    for number, count in counts.items():
        _count(traffic, kinds[number], count)
    if traffic.calls:
        traffic.first_at, traffic.last_at = first, last
    return traffic


def _add(traffic: Traffic, kind: Kind, climb: Seen, attempts: list[Asked]) -> None:
    cost, task = climb.cost_pico, kind.task or "other"
    group = crc32((climb.session or climb.request_id).encode()) % GROUPS
    cloud_failed = False
    for one in attempts:
        answered = one.outcome == "answered"
        parts, key = (traffic.answered if answered else traffic.vain), (task, one.rung, one.model)
        part = parts.get(key)
        if part is None:
            part = parts[key] = Part()
        sums = part.sums
        sums.calls[group] += 1
        sums.ms[group] += one.ms
        if one.cost:
            sums.money[group] += one.cost
            if cost is not None:
                _spend(traffic, "answers" if answered else "refused", one.cost)
        elif one.cost is None:
            part.unknown += 1
        if one.rung == "local":
            traffic.local_ms += one.ms
            traffic.rescued += answered and cloud_failed
        if answered:
            _answer(part, kind, climb)
        elif one.outcome == "failed":
            part.failed += 1
            cloud_failed = cloud_failed or one.rung == "cloud"


def _add_own(traffic: Traffic, kind: Kind, attempts: list[Asked], cost: int | None) -> None:
    """A climb rung made for itself: on the bill, not in the traffic."""
    traffic.purposes[kind.purpose] = traffic.purposes.get(kind.purpose, 0) + 1
    traffic.local_ms += sum(one.ms for one in attempts if one.rung == "local")
    if cost:
        _spend(traffic, kind.purpose, cost)


def _count(traffic: Traffic, kind: Kind, calls: int) -> None:
    """Callers' climbs of one kind."""
    if not calls:
        return
    task = kind.task or "other"
    traffic.calls += calls
    traffic.tasks[task] = traffic.tasks.get(task, 0) + calls
    if kind.private:
        traffic.private += calls
        traffic.private_by_task[task] = traffic.private_by_task.get(task, 0) + calls
    if kind.simulated:
        traffic.simulated += calls
    if kind.outcome in ("failed", "cut"):
        traffic.failed += calls


def _answer(part: Part, kind: Kind, climb: Seen) -> None:
    if climb.total_ms:  # a recording may not tell
        part.times.add(climb.total_ms)
    if climb.first_content_ms is not None:
        part.firsts.add(climb.first_content_ms)
    fresh, read, written = climb.input_tokens, climb.cache_read_tokens, climb.cache_write_tokens
    part.prompt_tokens += (fresh or 0) + (read or 0) + (written or 0)
    part.output_tokens += (climb.output_tokens or 0) + (climb.reasoning_tokens or 0)
    if kind.simulated:
        part.simulated += 1
    if kind.unproved:
        part.unproved += 1


def _spend(traffic: Traffic, what: str, pico: int) -> None:
    traffic.money[what] = traffic.money.get(what, 0) + pico
