#!/usr/bin/env python3
"""A million mixed calls against a real rung process: does anything grow, leak or go missing?

    python3 benchmarks/soak/soak.py [--calls 1000000] [--out FILE]

Run it with the interpreter that rung is installed in. The warm-up is a quarter of the calls; then memory, open files,
tasks and objects are looked at with nothing running, and again after all the others. The verdict is printed as JSON and
written with samples of the way to benchmarks/results/soak.json; exit 0 if it is good, 1 if not.
"""

from __future__ import annotations

import argparse
import datetime as dt
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gateway"))

import machine  # noqa: E402 - the gateway benchmark's, found by the line above

MOCK_PORT, FAULT_PORT, RUNG_PORT = 9120, 9121, 9122
HOME = machine.WORK / "soak-home"
STATE = machine.WORK / "soak-state.json"
LOG = "soak-rung.log"
CONNECTIONS = 96
SAMPLE_EVERY = 2.0  # seconds
SETTLE = 75.0  # seconds; rung closes an idle connection after 30 to 60
SLACK_TASKS = 2
SLACK_FILES = 2
GROWTH = 0.02
WARM_UP = 0.25  # share of the calls. Memory levels off late: bounded memories of rare things fill slowly, and the
# stores tidy up for the first time after ten minutes
UNRECORDED = {"broken-json", "wrong-type", "no-messages", "huge-head", "no-http", "half-request"}
"""kinds that never become a call, so the ledger has no row for them"""
UNSURE = {"left-at-once"}
"""kinds that may or may not: whether the request or the leaving of its client is seen first is a race"""
ALARMS = ("Traceback", "never retrieved", "was destroyed but it is pending", "ResourceWarning", "a bug in rung")


class Process:
    """The rung under soak, seen from outside."""

    def __init__(self) -> None:
        if machine.listening(RUNG_PORT):
            raise SystemExit(f"port {RUNG_PORT} is taken: is another soak running?")
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        self.popen = machine.start(
            [
                sys.executable,
                HERE / "observed.py",
                STATE,
                "serve",
                "--config",
                HERE / "rung.toml",
                "--port",
                str(RUNG_PORT),
            ],
            LOG,
            core=machine.GATEWAY_CORE,
            env={"RUNG_HOME": str(HOME), "PYTHONWARNINGS": "always::ResourceWarning"},
        )
        self.pid = self.popen.pid
        machine.wait_listening(self.popen, RUNG_PORT, 30)

    def sample(self) -> dict[str, Any]:
        return {
            "rss_mb": round(machine.rss_mb([self.pid]), 2),
            "files": len(os.listdir(f"/proc/{self.pid}/fd")),
            "threads": len(os.listdir(f"/proc/{self.pid}/task")),
        }

    def stock(self) -> dict[str, Any]:
        """What it holds now, by its own account (see observed.py)."""
        STATE.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        for _ in range(500):
            if STATE.exists():
                return dict(json.loads(STATE.read_text()))
            time.sleep(0.02)
        raise RuntimeError("rung did not tell its state")

    def settled(self) -> dict[str, Any]:
        """Sample and stock once the last idle connection to the upstream has expired, or after SETTLE seconds."""
        end = time.monotonic() + SETTLE
        while (left := upstream()["open"] - 1) and time.monotonic() < end:
            time.sleep(1)
        sample = self.sample()  # first: taking stock needs memory itself
        return {**self.stock(), **sample, "upstream_connections": left}


def upstream() -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", MOCK_PORT, timeout=5)
    try:
        connection.request("GET", "/calls")
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def drive(rung: Process, mix: Path, calls: int, seed: int, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Send `calls` mixed calls; samples are taken meanwhile."""
    command = [str(mix), "-p", str(RUNG_PORT), "-n", str(calls), "-c", str(CONNECTIONS), "-x", f"{seed:x}"]
    driver = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: machine.pin(machine.DRIVER_CORE)
    )
    begun, next_at = time.monotonic(), SAMPLE_EVERY
    try:
        while driver.poll() is None and rung.popen.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - begun >= next_at:
                next_at += SAMPLE_EVERY
                samples.append({"at_s": round(time.monotonic() - begun, 1), **rung.sample()})
    finally:
        if driver.poll() is None:
            driver.kill()
    told, _ = driver.communicate()
    if not told:
        raise RuntimeError(f"rung ended with {rung.popen.poll()}; see benchmarks/.work/{LOG}")
    return dict(json.loads(told))


def ledger_rows() -> int:
    with closing(sqlite3.connect(f"file:{HOME / 'ledger.sqlite3'}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM climbs").fetchone()[0])


def ledger_expected(runs: list[dict[str, Any]]) -> tuple[int, int]:
    """(least, most) rows that the calls sent must have left."""
    sent: Counter[str] = Counter()
    for run in runs:
        sent.update({name: kind["sent"] for name, kind in run["kinds"].items()})
    sure = sum(n for name, n in sent.items() if name not in UNRECORDED | UNSURE)
    return sure, sure + sum(sent[name] for name in UNSURE)


def dropped_rows() -> int:
    """Rows the ledger says it gave up."""
    connection = http.client.HTTPConnection("127.0.0.1", RUNG_PORT, timeout=10)
    try:
        connection.request("GET", "/readyz")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return int(told["ledger_dropped"])


def alarms() -> dict[str, int]:
    text = (machine.WORK / LOG).read_text(errors="replace")
    return {word: text.count(word) for word in ALARMS if word in text}


def wrong_replies(runs: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for run in runs:
        for name, kind in run["kinds"].items():
            if kind["right"] < kind["sent"]:
                told = found.setdefault(name, {"wrong": 0, "first": kind["problem"]})
                told["wrong"] += kind["sent"] - kind["right"]
    return found


def growth(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """Types with the most new objects: where to look if something leaks."""
    return dict((after - before).most_common(8))


def judge(
    runs: list[dict[str, Any]], before: dict[str, Any], after: dict[str, Any], told: dict[str, Any]
) -> dict[str, bool]:
    least, most = ledger_expected(runs)
    kept = told["ledger_rows"] + told["ledger_dropped"]
    return {
        "every reply as it should be": not told["wrong_replies"],
        "memory growth under 2 %": after["rss_mb"] <= before["rss_mb"] * (1 + GROWTH),
        "no task leaked": after["tasks"] <= before["tasks"] + SLACK_TASKS,
        "no socket or file leaked": after["files"] <= before["files"] + SLACK_FILES
        and not after["upstream_connections"],
        "no thread leaked": after["threads"] <= before["threads"],
        "ledger complete but for counted drops": least <= kept <= most,
        "no traceback or warning in the log": not told["alarms"],
        "ended cleanly on SIGTERM": told["exit_status"] == 0,
    }


def soak(calls: int) -> dict[str, Any]:
    mock_program, mix = machine.build(machine.HERE / "mock.c"), machine.build(HERE / "mix.c")
    mock = machine.start([mock_program, str(MOCK_PORT), str(FAULT_PORT)], "soak-mock.log", core=machine.DRIVER_CORE)
    rung = None
    samples: list[dict[str, Any]] = []
    try:
        machine.wait_listening(mock, MOCK_PORT, 5)
        rung = Process()
        rung.stock()  # so that what this needs is in the figures after the warm-up too
        warm_calls = round(calls * WARM_UP)
        warm = drive(rung, mix, warm_calls, 1, samples)
        before = rung.settled()
        print(
            f"warm: {before['rss_mb']} MB, {before['files']} files, {before['tasks']} tasks",
            file=sys.stderr,
            flush=True,
        )
        main_run = drive(rung, mix, calls - warm_calls, 2, samples)
        after = rung.settled()
        reached, dropped = upstream(), dropped_rows()
        status = machine.stop(rung.popen, 20)
    finally:
        if rung and rung.popen.poll() is None:
            machine.stop(rung.popen)
        machine.stop(mock)
    runs = [warm, main_run]
    types = [Counter(x.pop("types")) for x in (before, after)]
    told: dict[str, Any] = {
        "calls": sum(run["sent"] for run in runs),
        "calls_per_s": round(main_run["sent"] / main_run["seconds"], 1),
        "seconds": round(sum(run["seconds"] for run in runs), 1),
        "after_warm_up": before,
        "at_the_end": after,
        "rss_growth": round(after["rss_mb"] / before["rss_mb"] - 1, 4),
        "rss_most_mb": max((x["rss_mb"] for x in samples), default=0),
        "grown_types": growth(*types),
        "upstream": reached,
        "wrong_replies": wrong_replies(runs),
        "ledger_rows": ledger_rows(),
        "ledger_dropped": dropped,
        "ledger_expected": ledger_expected(runs),
        "alarms": alarms(),
        "exit_status": status,
        "kinds": {name: kind["sent"] for name, kind in main_run["kinds"].items()},
    }
    verdict = judge(runs, before, after, told)
    return {
        "good": all(verdict.values()),
        "verdict": verdict,
        **told,
        "samples": samples[:: max(len(samples) // 200, 1)],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=machine.RESULTS / "soak.json")
    options = parser.parse_args()
    told = soak(options.calls)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    result = {"date": now, "machine": machine.describe(), **told}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "samples"}, indent=1))
    return 0 if told["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
