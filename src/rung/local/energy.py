"""Joules the processor took, where Linux lets us read its counters (RAPL, /sys/class/powercap; often root only)."""

from __future__ import annotations

from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")


def joules(powercap: Path = _POWERCAP) -> tuple[float, float] | None:
    """-> (joules counted by all packages, joules after which the counters begin anew); None where unreadable."""
    used = span = 0.0
    for package in sorted(powercap.glob("intel-rapl:[0-9]")):  # its parts, intel-rapl:0:1, are in it
        try:
            used += int((package / "energy_uj").read_text()) / 1e6
            span += int((package / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            return None
    return (used, span) if span else None


def between(before: tuple[float, float] | None, after: tuple[float, float] | None) -> float | None:
    """Joules from one reading to the next, over at most one wrap of the counters."""
    if before is None or after is None:
        return None
    taken = after[0] - before[0]
    return taken if taken >= 0 else taken + after[1]
