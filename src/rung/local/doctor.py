"""Can this machine run a local model, which one, how fast? Answered before anything is downloaded.

Pure: hardware, probe and measurements come in as plain values, so a machine can be imagined as well as read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rung.local.fit import MARGIN, MiB, Room, Shape, room_and_ram
from rung.local.hardware import Hardware
from rung.local.predict import TASKS, Measured, Pace, Probe, Weights, pace, seconds

READABLE = 8.0
"""tokens per second; about as fast as people read"""

PROMPT_ANSWER = 2.0
"""seconds for a label, with what all such calls share read before"""

Verdict = Literal["runs well", "runs slowly", "does not fit"]


class Model(Shape, Weights, Protocol):
    """What the doctor must know of a model: its shape, what counts for its speed, and its file's size in bytes."""

    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to look at. `source`: where its figures come from (``file``, ``catalogue``, ``from docs: ...``)."""

    name: str
    model: Model
    source: str
    here: bool = False
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class TaskTime:
    """Seconds for one kind of call, as (best, worst)."""

    task: str
    cold: tuple[float, float]
    warm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the doctor says about one model. Bytes, seconds, tokens per second. `why`: the number that decided.
    `room`: how it would be loaded; `ram` is what that takes, or the least it could do with."""

    name: str
    source: str
    here: bool
    file_bytes: int
    ram: int
    verdict: Verdict
    why: str
    pace: Pace | None
    tasks: Sequence[TaskTime] = field(default=())
    room: Room | None = None


def examine(
    candidates: Iterable[Candidate], hardware: Hardware, probe: Probe, *, disk_free: int, context: int | None
) -> list[Finding]:
    """Look at every candidate, in the order given. `context`: tokens; None is what the gateway would take."""
    listed = list(candidates)
    tried = [(pace(one.model, _per(probe, one.measured)), one.measured) for one in listed if one.measured is not None]
    found = []
    for one in listed:
        rates = pace(one.model, probe, measured=one.measured, beside=tried)
        room, ram = room_and_ram(one.model.bytes, one.model, hardware, context=context)
        verdict, why = _judge(one, rates, ram, hardware, disk_free)
        times = tuple(
            TaskTime(task.name, seconds(task, rates, warm=False), seconds(task, rates, warm=True)) for task in TASKS
        )
        fits = verdict != "does not fit"
        found.append(
            Finding(
                one.name,
                one.source,
                one.here,
                one.model.bytes,
                ram,
                verdict,
                why,
                rates if fits else None,
                times if fits else (),
                room if fits else None,
            )
        )
    return found


def rule_of_thumb(hardware: Hardware) -> tuple[bool, str]:
    """The rule people repeat, "8 cores, 16 GB, a GPU": -> (is it met, what is missing)."""
    missing = []
    if hardware.cores < 8:
        missing.append(f"{hardware.cores} cores")
    if (hardware.ram_total or 0) < 15.5 * 1024 * MiB:  # a 16 GB machine shows a little less
        missing.append(f"{(hardware.ram_total or 0) / MiB / 1024:.0f} GB")
    if not hardware.gpus:
        missing.append("no GPU")
    return not missing, ", ".join(missing)


def _per(probe: Probe, measured: Measured) -> Probe:
    """The probe as it would have been with the threads of that measurement; computing scales, memory is shared."""
    share = measured.threads / probe.threads
    return Probe(measured.threads, probe.read * min(1.0, share), probe.compute * share)


def _judge(one: Candidate, rates: Pace, ram: int, hardware: Hardware, disk_free: int) -> tuple[Verdict, str]:
    if ram + MARGIN > hardware.usable_ram:
        need, free = (ram + MARGIN) / MiB, hardware.usable_ram / MiB
        return "does not fit", f"needs {need:,.0f} MiB of memory with {MARGIN / MiB:.0f} to spare, {free:,.0f} are free"
    if not one.here and one.model.bytes > disk_free:
        need, free = one.model.bytes / MiB, disk_free / MiB
        return "does not fit", f"the file takes {need:,.0f} MiB of disk, {free:,.0f} are free"
    label = sum(seconds(TASKS[1], rates, warm=True)) / 2
    if rates.generation.middle < READABLE:
        return "runs slowly", f"{rates.generation.middle:.1f} tokens/s, slower than people read ({READABLE:.0f})"
    if label > PROMPT_ANSWER:
        return "runs slowly", f"{label:.1f} s for a label (more than {PROMPT_ANSWER:.0f})"
    return "runs well", f"{rates.generation.middle:.0f} tokens/s, {label:.1f} s for a label"
