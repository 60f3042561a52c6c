"""What this process may use: cores and memory within affinity and cgroup limits, and disk space."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


USEFUL = (
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "neon",
    "asimddp",
    "i8mm",
)
"""what llama.cpp's kernels for CPUs have versions for"""

_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor. `memory`: bytes of its own, None where the driver does not say."""

    name: str
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """Sizes in bytes. `ram_free` counts what the kernel could free at once; None where it cannot be read."""

    cores: int
    ram_total: int | None
    ram_free: int | None
    physical_cores: int | None = None
    """in the machine, whatever this process may use of them"""
    processor: str = ""
    instructions: tuple[str, ...] = ()
    """those of `USEFUL` the processor has"""
    gpus: tuple[Gpu, ...] = ()

    @property
    def usable_ram(self) -> int:
        """Free memory, or half of all where only that is known, or 0."""
        if self.ram_free is not None:
            return self.ram_free
        return (self.ram_total or 0) // 2

    @property
    def engine_threads(self) -> int:
        """One core stays free: llama.cpp's threads spin, and sharing their cores costs far more than one."""
        return max(1, self.cores - 1)


def look(*, proc: Path = Path("/proc"), cgroup: Path = _CGROUP, sys: Path = Path("/sys")) -> Hardware:
    """Read this machine. Reads small files; call it off the event loop."""
    groups = _groups(proc, cgroup)
    total, free = _limited(groups, proc)
    physical, name, instructions = _processor(proc)
    return Hardware(_cores(groups), total, free, physical, name, instructions, _gpus(sys))


def ram_free(*, proc: Path = Path("/proc"), cgroup: Path = _CGROUP) -> int | None:
    """Bytes of memory that are free now, within cgroup limits; None where that cannot be read. A few small files."""
    return _limited(_groups(proc, cgroup), proc)[1]


def stalled(*, proc: Path = Path("/proc"), cgroup: Path = _CGROUP) -> float:
    """Share of the last 10 s in which everything waited for memory (PSI, ``full avg10``): the machine's, or this
    process's cgroup's if that is worse. 0 where the kernel does not say."""
    files = [proc / "pressure" / "memory", *(group / "memory.pressure" for group in _groups(proc, cgroup))]
    told = [re.search(r"^full avg10=([0-9.]+)", _text(file), re.MULTILINE) for file in files]
    return max([float(one[1]) / 100 for one in told if one], default=0.0)


def disk_free(path: Path) -> int:
    """Free bytes where `path` is or would be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    told = os.statvfs(path)
    return told.f_bavail * told.f_frsize


def _limited(groups: list[Path], proc: Path) -> tuple[int | None, int | None]:
    """-> (all memory, free memory), no more than the groups allow."""
    total, free = _memory(proc)
    for group in groups:
        limit, used = _cgroup_memory(group)
        if limit is not None:
            total = min(total, limit) if total is not None else limit
            left = max(0, limit - used)
            free = min(free, left) if free is not None else left
    return total, free


def _cores(groups: list[Path]) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in groups:
        quota, _, period = _text(group / "cpu.max").partition(" ")  # cgroup v2
        if not quota:
            quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            cores = min(cores, max(1, ceil(int(quota) / int(period))))
    return cores


def _processor(proc: Path) -> tuple[int | None, str, tuple[str, ...]]:
    """-> (physical cores, name, useful instruction sets), as Linux tells them."""
    text = _text(proc / "cpuinfo")
    cores = set(re.findall(r"^physical id\s*: (\d+)(?:\n.+)*?\ncore id\s*: (\d+)", text, re.MULTILINE))
    name = re.search(r"^model name\s*: (.+)", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)", text, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    if "asimd" in has:
        has.add("neon")  # its name on 64-bit ARM
    return len(cores) or None, name[1].strip() if name else "", tuple(one for one in USEFUL if one in has)


def _gpus(sys: Path) -> tuple[Gpu, ...]:
    """Cards of known makers, from the kernel: no driver tool is run."""
    found = []
    for card in sorted((sys / "class/drm").glob("card[0-9]*")):
        maker = _VENDORS.get(_text(card / "device/vendor"))
        if maker is None or "-" in card.name:  # card0-HDMI-A-1 is a socket of card0
            continue
        memory = _text(card / "device/mem_info_vram_total")  # amdgpu only
        found.append(Gpu(f"{maker} {_text(card / 'device/device')}".strip(), int(memory) if memory.isdigit() else None))
    return tuple(found)


def _memory(proc: Path) -> tuple[int | None, int | None]:
    facts = dict(re.findall(r"^(MemTotal|MemAvailable): +(\d+) kB", _text(proc / "meminfo"), re.MULTILINE))
    if "MemTotal" in facts:
        available = facts.get("MemAvailable")
        return int(facts["MemTotal"]) * 1024, int(available) * 1024 if available else None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    except (AttributeError, ValueError, OSError):
        return None, None


def _groups(proc: Path, cgroup: Path) -> list[Path]:
    """This process's cgroup folders and their parents: each of them may hold a limit."""
    found: list[Path] = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, names, name = line.split(":", 2)
        for controller in ("",) if not names else (one for one in names.split(",") if one in ("memory", "cpu")):
            root = cgroup / controller
            folder = root / name.lstrip("/")
            while folder != root and folder.is_relative_to(root):
                found.append(folder)
                folder = folder.parent
            found.append(root)
    return found


def _cgroup_memory(group: Path) -> tuple[int | None, int]:
    """-> (limit, bytes used that cannot simply be dropped). Version 2, else version 1."""
    for limit_file, used_file, cache_key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = _text(group / limit_file)
        if limit.isdigit() and int(limit) < _UNLIMITED:
            used = _text(group / used_file)
            cache = re.search(rf"^{cache_key} (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
            return int(limit), max(0, int(used or 0) - (int(cache[1]) if cache else 0))
    return None, 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
