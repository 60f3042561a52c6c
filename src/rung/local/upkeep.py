"""What a local model asked of its keeper: crashes, restarts, updates, counted by day beside the model files.

`upkeep.json` is read and replaced whole, at every event; there are few. Two processes that write within the same
millisecond may lose one count.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from rung.local.health import STOPPED, State
from rung.local.whole import replace_whole

What = Literal["crashes", "restarts", "losses", "updates"]

_FILE = "upkeep.json"
_DAYS = 366
"""that are kept of each model"""

_MOST = 100
"""models remembered"""

_lock = threading.Lock()


class Day(msgspec.Struct, omit_defaults=True):
    """What happened. `crashes`: it stopped answering; `restarts`: it came back by itself; `losses`: it was given up,
    or there was no memory for it; `updates`: its file was replaced by a newer one."""

    crashes: int = 0
    restarts: int = 0
    losses: int = 0
    updates: int = 0


class Kept(msgspec.Struct):
    """Of one model: the day it was first used (ISO 8601), the days on which something happened, and the most memory
    its engine was seen to take (bytes; 0: not seen)."""

    since: str
    days: dict[str, Day] = {}
    peak: int = 0

    def total(self, since: float = 0.0) -> Day:
        """Of all days from that of `since` (unix seconds) on."""
        first = datetime.fromtimestamp(since, UTC).date().isoformat()
        found = [day for name, day in self.days.items() if name >= first]
        return Day(*(sum(getattr(day, name) for day in found) for name in Day.__struct_fields__))


class Watch:
    """Tells a backend's ups and downs, as its health does, from what is to be counted: each once until it is well."""

    def __init__(self) -> None:
        self._broken = self._lost = False

    def __call__(self, state: State, detail: str) -> What | None:
        if state == "failing":
            was, self._broken = self._broken, True
            return None if was else "crashes"
        if state == "ready":
            was, self._broken, self._lost = self._broken, False, False
            return "restarts" if was else None
        if state == "gone" and detail != STOPPED:
            was, self._broken, self._lost = self._lost, False, True
            return None if was else "losses"
        return None


def note(folder: Path, model: str, what: What | None = None, *, peak: int = 0, today: date | None = None) -> None:
    """Count one `what` of today for `model` (its alias), or only that it is used. Blocks; a disk that refuses is no
    trouble of the model's, so nothing is raised."""
    day = today or datetime.now(UTC).date()
    with _lock:
        known = kept(folder)
        before = msgspec.json.encode(known)
        mine = known.setdefault(model, Kept(day.isoformat()))
        mine.peak = max(mine.peak, peak)
        if what is not None:
            counts = mine.days.setdefault(day.isoformat(), Day())
            setattr(counts, what, getattr(counts, what) + 1)
        oldest = (day - timedelta(days=_DAYS)).isoformat()
        mine.days = {name: counts for name, counts in mine.days.items() if name >= oldest}
        known = dict(sorted(known.items(), key=lambda one: one[0] != model)[:_MOST])
        after = msgspec.json.encode(known)
        if after != before:
            _write(folder, after)


def kept(folder: Path) -> dict[str, Kept]:
    """By alias; empty where the file is missing or damaged. Blocks."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=dict[str, Kept])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def peak_of(pid: int) -> int:
    """Bytes the process `pid` had in memory at its most (``VmHWM``, proc_pid_status(5)); 0: nobody says."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _write(folder: Path, content: bytes) -> None:
    try:
        replace_whole(folder / _FILE, content)
    except OSError:
        return
