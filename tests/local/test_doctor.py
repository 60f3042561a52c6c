from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_fakes import model

from rung.local.catalogue import rows
from rung.local.doctor import Candidate, examine, rule_of_thumb
from rung.local.fit import MARGIN, fits, least_ram
from rung.local.hardware import Gpu, Hardware
from rung.local.known import known
from rung.local.predict import Measured, Probe

GiB = 1024**3
ALL = [*rows(), *known()]


def looked_at(machine: Hardware, *, disk: int = 1 << 50, context: int = 8192, **told):
    cores = machine.engine_threads
    candidates = [Candidate(one.name, one, "test", **told) for one in ALL]
    speed = Probe(cores, 12e9 * min(cores, 4), 850e6 * cores)
    return {one.name: one for one in examine(candidates, machine, speed, disk_free=disk, context=context)}


@given(
    cores=st.integers(2, 64),
    total=st.integers(4, 128),
    free=st.floats(0.05, 1.0),
    context=st.sampled_from([512, 2048, 8192, 32768, 131072]),
)
def test_no_model_without_room_is_called_fit(cores: int, total: int, free: float, context: int) -> None:
    machine = Hardware(cores, total * GiB, int(total * free * GiB))
    found = looked_at(machine, context=context)
    for one in ALL:
        needs = least_ram(one.bytes, one, context=context)
        assert (found[one.name].verdict == "does not fit") == (needs + MARGIN > machine.usable_ram)
        if found[one.name].verdict == "does not fit":
            assert found[one.name].pace is None
            assert "MiB of memory" in found[one.name].why
    for row in rows():  # what the doctor refuses, pull refuses before it asks any source
        assert fits(row, machine, context=context) == (found[row.name].verdict != "does not fit")


def test_a_4_core_machine_runs_a_small_model_well_and_a_large_one_slowly_or_not() -> None:
    found = looked_at(Hardware(4, 16 * GiB, 10 * GiB))
    assert found["qwen2.5-coder:1.5b"].verdict == "runs well"
    assert found["qwen2.5-coder:7b"].verdict == "runs slowly"
    assert "tokens/s" in found["qwen2.5-coder:7b"].why
    assert found["phi4"].verdict == "does not fit"
    lean = looked_at(Hardware(4, 8 * GiB, 6 * GiB))["qwen2.5-coder:7b"]
    assert (lean.verdict, lean.room and lean.room.repack) == ("runs slowly", False)
    assert looked_at(Hardware(4, 8 * GiB, 5 * GiB))["qwen2.5-coder:7b"].verdict == "does not fit"


def test_a_full_disk_decides_only_for_what_is_not_here() -> None:
    machine = Hardware(8, 64 * GiB, 60 * GiB)
    assert "of disk" in looked_at(machine, disk=GiB)["qwen2.5-coder:7b"].why
    assert looked_at(machine, disk=GiB, here=True)["qwen2.5-coder:7b"].verdict != "does not fit"


def test_what_was_measured_corrects_the_others() -> None:
    small, large = (next(row for row in rows() if size in row.name) for size in ("0.5b", "1.5b"))
    machine, speed = Hardware(2, 16 * GiB, 12 * GiB), Probe(1, 20e9, 850e6)

    def generation(measured: Measured | None) -> float:
        listed = [Candidate(small.name, small, "", True, measured), Candidate(large.name, large, "")]
        told = examine(listed, machine, speed, disk_free=1 << 50, context=4096)[1].pace
        assert told is not None
        return told.generation.middle

    assert generation(Measured(10.0, 3.0, 1)) < generation(None) / 2


@pytest.mark.parametrize(
    ("machine", "met", "missing"),
    [
        (Hardware(8, 16 * GiB, GiB, gpus=(Gpu("NVIDIA"),)), True, ""),
        (Hardware(4, 8 * GiB, GiB), False, "4 cores, 8 GB, no GPU"),
    ],
)
def test_the_rule_of_thumb(machine: Hardware, met: bool, missing: str) -> None:
    assert rule_of_thumb(machine) == (met, missing)


def test_an_unmeasured_tiny_model_can_be_looked_at(tmp_path: Path) -> None:
    tiny = model(b"x" * 100, read_bytes=100, kinds={"Q4_K": 100})
    (found,) = examine(
        [Candidate("tiny", tiny, "")], Hardware(2, GiB, GiB), Probe(1, 1e9, 1e8), disk_free=0, context=512
    )
    assert found.verdict == "does not fit" or found.pace is not None
