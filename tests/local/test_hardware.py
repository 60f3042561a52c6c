from __future__ import annotations

import os
from pathlib import Path

import pytest

from rung.local.hardware import Hardware, disk_free, look, ram_free, stalled

GiB = 1024**3
MEMINFO = "MemTotal:       16777216 kB\nMemFree:          100 kB\nMemAvailable:    8388608 kB\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(MEMINFO)
    (folder / "self" / "cgroup").write_text("0::/box/inner\n")
    return folder


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    (folder / "box" / "inner").mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def test_without_limits_the_machine_counts(proc: Path, cgroup: Path) -> None:
    assert look(proc=proc, cgroup=cgroup, sys=proc) == Hardware(8, 16 * GiB, 8 * GiB)


def test_affinity_counts(proc: Path, cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    machine = look(proc=proc, cgroup=cgroup, sys=proc)
    assert machine.cores == 1
    assert machine.engine_threads == 1


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 8), ("150000 100000", 2), ("5000 100000", 1)])
def test_a_cpu_quota_counts(proc: Path, cgroup: Path, quota: str, cores: int) -> None:
    (cgroup / "box" / "cpu.max").write_text(quota + "\n")
    assert look(proc=proc, cgroup=cgroup, sys=proc).cores == cores


def test_a_memory_limit_of_a_parent_counts_and_dropped_cache_does_not(proc: Path, cgroup: Path) -> None:
    (cgroup / "box" / "memory.max").write_text(f"{4 * GiB}\n")
    (cgroup / "box" / "memory.current").write_text(f"{3 * GiB}\n")
    (cgroup / "box" / "memory.stat").write_text(f"anon 5\ninactive_file {2 * GiB}\n")
    (cgroup / "box" / "inner" / "memory.max").write_text("max\n")
    assert look(proc=proc, cgroup=cgroup, sys=proc) == Hardware(8, 4 * GiB, 3 * GiB)


def test_version_one_groups(proc: Path, cgroup: Path) -> None:
    (proc / "self" / "cgroup").write_text("5:memory:/box\n4:cpu,cpuacct:/box\n3:pids:/box\n")
    (cgroup / "memory" / "box").mkdir(parents=True)
    (cgroup / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (cgroup / "memory" / "box" / "memory.limit_in_bytes").write_text(f"{GiB}\n")
    (cgroup / "memory" / "box" / "memory.usage_in_bytes").write_text(f"{2 * GiB}\n")
    (cgroup / "cpu" / "box").mkdir(parents=True)
    (cgroup / "cpu" / "box" / "cpu.cfs_quota_us").write_text("300000")
    (cgroup / "cpu" / "box" / "cpu.cfs_period_us").write_text("100000")
    assert look(proc=proc, cgroup=cgroup, sys=proc) == Hardware(3, GiB, 0)


def test_where_free_memory_is_unknown_half_of_all_is_counted_on() -> None:
    assert Hardware(4, 8 * GiB, None).usable_ram == 4 * GiB
    assert Hardware(4, None, None).usable_ram == 0
    assert Hardware(4, 8 * GiB, GiB).usable_ram == GiB


def test_this_machine_can_be_read() -> None:
    machine = look()
    assert machine.cores >= 1
    assert machine.ram_total is not None
    assert machine.ram_total > 64 * 1024**2


def test_disk_space_where_a_folder_will_be(tmp_path: Path) -> None:
    assert disk_free(tmp_path / "not" / "yet") > 0


def test_free_memory_is_what_the_group_leaves(proc: Path, cgroup: Path) -> None:
    assert ram_free(proc=proc, cgroup=cgroup) == look(proc=proc, cgroup=cgroup, sys=proc).ram_free
    (cgroup / "box" / "memory.max").write_text(f"{GiB}\n")
    (cgroup / "box" / "memory.current").write_text(f"{GiB // 2}\n")
    assert ram_free(proc=proc, cgroup=cgroup) == GiB // 2


def test_stalls_are_the_machines_or_the_groups_if_those_are_worse(proc: Path, cgroup: Path) -> None:
    assert stalled(proc=proc, cgroup=cgroup) == 0.0  # a kernel without PSI
    (proc / "pressure").mkdir()
    (proc / "pressure" / "memory").write_text(
        "some avg10=80.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=1\n"
    )
    assert stalled(proc=proc, cgroup=cgroup) == 0.125
    (cgroup / "box" / "memory.pressure").write_text("full avg10=40.00 avg60=0.00 avg300=0.00 total=1\n")
    assert stalled(proc=proc, cgroup=cgroup) == 0.4


def test_this_machines_own_pressure_can_be_read() -> None:
    assert ram_free() is not None
    assert 0.0 <= stalled() <= 1.0
