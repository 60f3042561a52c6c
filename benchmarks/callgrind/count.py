#!/usr/bin/env python3
"""Instructions per call on the hot path, counted by callgrind: a cost that does not depend on how busy the host is.

    python3 benchmarks/callgrind/count.py                  # compare with baseline.json; exit 1 on more than 10 % growth
    python3 benchmarks/callgrind/count.py --accept "why"   # make what is measured the new baseline, with this note
    python3 benchmarks/callgrind/count.py --install        # get valgrind by apt-get if it is missing: for CI

Run it with the interpreter that rung is installed in. The real server runs under valgrind; instrumentation is switched
on only for a window of calls after a warm-up. Counted is user space of the whole process (server, upstream client,
the ledger's thread), not the kernel. Where valgrind or a C compiler is missing it says so and exits 0. Counts differ
between builds of Python, so each has a baseline of its own; for one that has none there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gateway"))

import machine  # noqa: E402 - the gateway benchmark's, found by the line above

BASELINE = HERE / "baseline.json"
MOCK_PORT, RUNG_PORT = 9100, 9131
HOME = machine.WORK / "callgrind-home"
OUT = machine.WORK / "callgrind.out"
VALGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={OUT}")
RUNG_TOML = machine.HERE / "rung.toml"
ALLOWED_GROWTH = 0.10
WRITTEN = 1.5  # seconds in which the ledger's thread writes what is queued: its work belongs to the window of its calls
CASES = {  # what to ask, calls before and in the window
    "proxied": (["-m", "mock:mock"], 200, 150),
    # chunks so far apart that each is read alone, however slow valgrind is
    "proxied stream": (["-m", "mock:mock-0-10", "-s"], 20, 30),
    # so close that most of a stream is read at once
    "streams at once": (["-m", "mock:mock", "-s", "-c", "16"], 200, 400),
    "exact hit": (["-m", "mock:mock", "-f"], 200, 150),
    "auto": (["-m", "auto"], 200, 150),
}
PACKAGES = ("uvloop", "httptools", "orjson", "msgspec")


def control(pid: int, *arguments: str) -> None:
    """Tell callgrind something; it obeys once the process runs."""
    command = ["callgrind_control", *arguments, str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")


def drive(load: Path, case: str, calls: int, seed: int) -> None:
    """Ask one call after the other, unless the case says otherwise; all must be answered rightly."""
    command = [
        str(load),
        "-p",
        str(RUNG_PORT),
        "-c",
        "1",
        "-t",
        "300",
        "-n",
        str(calls),
        "-x",
        f"{seed:x}",
        *CASES[case][0],
    ]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=330).stdout)
    if row["good"] < calls or row["bad"]:
        raise RuntimeError(f"{case}: {row['good']} good and {row['bad']} bad of {calls} calls: {row['problem']}")


def dumped(case: str) -> int:
    """Instructions in the dump just made, which is kept for callgrind_annotate as .work/callgrind-CASE.out."""
    dumps = sorted(OUT.parent.glob(OUT.name + ".*"))
    found = re.search(r"^(?:totals|summary): (\d+)", dumps[-1].read_text(), re.MULTILINE) if dumps else None
    if not found:
        raise RuntimeError("callgrind wrote no totals")
    dumps[-1].replace(OUT.with_name(f"callgrind-{case.replace(' ', '-')}.out"))
    return int(found[1])


def window(pid: int, load: Path, case: str, calls: int, seed: int) -> int:
    """Instructions per call over some calls."""
    time.sleep(WRITTEN)
    control(pid, "--zero")
    drive(load, case, calls, seed)
    time.sleep(WRITTEN)
    control(pid, "--dump")
    return dumped(case) // calls


def count() -> dict[str, int]:
    """Instructions per call of each case."""
    load, mock_program = machine.build(machine.HERE / "load.c"), machine.build(machine.HERE / "mock.c")
    for stale in OUT.parent.glob(OUT.name + "*"):
        stale.unlink()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    mock = machine.start([mock_program, str(MOCK_PORT)], "callgrind-mock.log", core=machine.DRIVER_CORE)
    rung = machine.start(
        [*VALGRIND, sys.executable, "-m", "rung", "serve", "--port", str(RUNG_PORT), "--config", RUNG_TOML],
        "callgrind-rung.log",
        core=machine.GATEWAY_CORE,
        env={"RUNG_HOME": str(HOME), "PYTHONHASHSEED": "0"},
    )
    counts = {}
    try:
        machine.wait_listening(mock, MOCK_PORT, 5)
        machine.wait_listening(rung, RUNG_PORT, 180)
        for seed, (case, (_, warm, calls)) in enumerate(CASES.items(), 1):
            drive(load, case, warm, 3 * seed)
            control(rung.pid, "--instr=on")
            # of two windows the cheaper: now and then the server has something else to do
            windows = [window(rung.pid, load, case, calls, 3 * seed + number) for number in (1, 2)]
            control(rung.pid, "--instr=off")
            counts[case] = min(windows)
            print(f"{case}: {counts[case]:,} instructions a call", file=sys.stderr, flush=True)
    finally:
        machine.stop(rung, 20)
        machine.stop(mock)
    return counts


def build() -> str:
    """Which Python this is: the key of its baseline."""
    return machine.build_of(sys.executable).partition(";")[0]


def environment() -> dict[str, str]:
    """What a count depends on besides our code and the build of Python."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"machine": platform.machine(), **versions}


def baselines() -> dict[str, Any]:
    return dict(json.loads(BASELINE.read_text())) if BASELINE.exists() else {}


def accept(counts: dict[str, int], why: str) -> None:
    """Make `counts` the baseline of this build, and keep a note of what changed and why."""
    known = baselines()
    old = known.get(build(), {"counts": {}, "notes": []})
    note = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "why": why, "from": old["counts"], "to": counts}
    known[build()] = {"counts": counts, "environment": environment(), "notes": [*old["notes"], note]}
    BASELINE.write_text(json.dumps(known, indent=1) + "\n")


def compare(counts: dict[str, int]) -> bool:
    """Print every case against the baseline; True if none has grown too much."""
    known = baselines()
    baseline = known.get(build())
    if baseline is None:
        print(f"no baseline for Python {build()} (there are: {'; '.join(known)}): nothing to compare with")
        return True
    here = environment()
    other = {name: value for name, value in baseline["environment"].items() if here.get(name) != value}
    if other:
        print(f"the baseline was counted with other versions: {other}")
    fine = True
    for case, now in counts.items():
        before = baseline["counts"].get(case)
        if before is None:
            print(f"{case}: {now:,} instructions a call; not in the baseline")
            continue
        grown = now / before - 1
        verdict = "too much" if grown > ALLOWED_GROWTH else "ok"
        fine = fine and grown <= ALLOWED_GROWTH
        print(f"{case}: {now:,} instructions a call, baseline {before:,}, {grown:+.1%}: {verdict}")
    if not fine:
        print('more than 10 % growth: make it cheaper, or accept it with a reason: count.py --accept "why"')
    return fine


def have_valgrind(install: bool) -> bool:
    tools = ("valgrind", "callgrind_control")
    if install and not all(map(shutil.which, tools)) and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "valgrind"]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=90)
        except subprocess.TimeoutExpired:
            pass
    missing = [tool for tool in tools if not shutil.which(tool)]
    for tool in missing:
        print(f"skipped: {tool} is not installed")
    return not missing


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--accept", metavar="WHY", help="make this the baseline, with a note")
    parser.add_argument("--install", action="store_true", help="install valgrind by apt-get if it is missing")
    options = parser.parse_args()
    if not have_valgrind(options.install):
        return 0
    try:
        counts = count()
    except machine.Missing as missing:
        print(f"skipped: {missing}")
        return 0
    if options.accept:
        accept(counts, options.accept)
    return 0 if compare(counts) else 1


if __name__ == "__main__":
    sys.exit(main())
