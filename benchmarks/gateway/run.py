#!/usr/bin/env python3
"""Measure what a gateway costs per call, beside its peers, in one run on one machine.

    python3 benchmarks/gateway/run.py                     # direct, nginx and rung
    PEERS=1 python3 benchmarks/gateway/run.py             # and LiteLLM, Portkey, TensorZero, ferrogw, rolter
    python3 benchmarks/gateway/run.py nginx rung --quick  # these, once
    python3 benchmarks/gateway/run.py --smoke             # only: does each answer rightly?
    RUNG_PYTHON=/usr/bin/python3 python3 benchmarks/gateway/run.py   # rung, and LiteLLM, on that interpreter

Every gateway is started once on core 0 and warmed; the mock upstream and the load generator share core 1. Then each
case is measured for one target after the other, and all of that again for every repetition, so that noise of the host
falls on rivals alike; whoever is not being measured is stopped (SIGSTOP). Medians over repetitions, with every raw row,
go to benchmarks/results/gateway-DATE.json; a table and a chart are made from it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import http.client
import itertools
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import chart
import install
import machine
import table
from targets import ALL, MOCK_PORT, OTHERS, OURS, RUNG_HOME, Gateway, Target

WARM_CALLS, WARM_SECONDS = 5000, 8.0
START_PATIENCE = 90.0  # seconds a gateway may take to answer its first call


@dataclass(frozen=True)
class Case:
    connections: int
    seconds: float
    model: str = "mock"
    stream: bool = False
    warm_up: float = 0.3


CASES = {
    "c16": Case(16, 1.0),
    "c1": Case(1, 0.6),
    "c64": Case(64, 1.0),
    "stream_c16": Case(16, 1.0, stream=True),
    "wait60": Case(1, 1.5, "mock-60", warm_up=0.2),
    "stream60": Case(1, 1.5, "mock-60-5", stream=True, warm_up=0.2),
}
Rows = dict[str, dict[str, list[dict[str, Any]]]]
HIT_CASES = ("c16", "c1", "wait60")


@dataclass
class Running:
    """A gateway that is up."""

    gateway: Gateway
    process: subprocess.Popen[bytes] | None
    port: int
    start_s: float = 0.0
    rss_mb: float = 0.0
    pids: list[int] = field(default_factory=list)

    def resume(self) -> None:
        if self.process:
            machine.signal_tree(self.pids, signal.SIGCONT)
            time.sleep(0.05)  # timers that came due while it was stopped
            self.pids = machine.tree(self.process.pid)

    def pause(self) -> None:
        if self.process:
            self.pids = machine.tree(self.process.pid)
            machine.signal_tree(self.pids, signal.SIGSTOP)


class Bench:
    """The mock upstream, the load generator, and whatever gateways have been started."""

    def __init__(self) -> None:
        self.load = machine.build(machine.HERE / "load.c")
        mock = machine.build(machine.HERE / "mock.c")
        if machine.listening(MOCK_PORT):
            raise SystemExit(f"port {MOCK_PORT} is taken: is another benchmark running?")
        self.mock = machine.start([mock, str(MOCK_PORT)], "mock.log", core=machine.DRIVER_CORE)
        machine.wait_listening(self.mock, MOCK_PORT, 5)
        # Never the same bodies twice, not even between runs: a cache on disk must not answer.
        self.seeds = itertools.count(int(time.time()) & 0xFFFFF000)
        self.gateways: dict[str, Running] = {}

    def upstream_calls(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", MOCK_PORT, timeout=5)
        try:
            connection.request("GET", "/calls")
            return int(json.loads(connection.getresponse().read())["chat"])
        finally:
            connection.close()

    def drive(self, target: Target, running: Running, case: Case, most: int = 0) -> dict[str, Any]:
        """One run of the load generator against one target; returns what it printed."""
        command = [str(self.load), "-p", str(running.port), "-c", str(case.connections), "-u", target.gateway.path]
        command += ["-t", str(case.seconds), "-w", str(case.warm_up), "-m", target.model.format(model=case.model)]
        command += ["-x", f"{next(self.seeds):x}"]
        for header in target.gateway.headers:
            command += ["-H", header]
        if target.must_hold:
            command += ["-k", target.must_hold]
        if most:
            command += ["-n", str(most)]
        command += ["-s"] * case.stream + ["-f"] * target.hit
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=case.seconds + case.warm_up + 60,
            preexec_fn=lambda: machine.pin(machine.DRIVER_CORE),
        )
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr.strip()}")
        return dict(json.loads(done.stdout))

    def start(self, target: Target) -> Running:
        """Start the target's gateway unless it is up; wait for its first right answer."""
        gateway = target.gateway
        if gateway.name in self.gateways:
            return self.gateways[gateway.name]
        if not gateway.command:
            return self.gateways.setdefault(gateway.name, Running(gateway, None, gateway.port))
        if gateway.port_file:
            gateway.port_file.unlink(missing_ok=True)
        elif machine.listening(gateway.port):
            raise RuntimeError(f"port {gateway.port} is taken")
        begun = time.monotonic()
        log = f"run-{gateway.name}.log"
        process = machine.start(gateway.command, log, core=machine.GATEWAY_CORE, env=gateway.env, cwd=gateway.cwd)
        running = self.gateways[gateway.name] = Running(gateway, process, gateway.port)
        try:
            running.port = wait_port(running)
            first = {"problem": "not asked"}
            while time.monotonic() - begun < START_PATIENCE:
                first = self.drive(replace(target, must_hold=""), running, Case(1, 20, warm_up=0), most=1)
                if first["good"]:
                    break
                time.sleep(0.2)
            else:
                raise RuntimeError(f"no right answer: {first['problem']}")
        except RuntimeError as error:
            machine.stop(process)
            raise RuntimeError(f"{error}; see benchmarks/.work/{log}") from None
        running.start_s = round(time.monotonic() - begun, 3)
        running.pids = machine.tree(process.pid)
        return running

    def warm(self, target: Target, running: Running) -> None:
        self.drive(target, running, Case(16, WARM_SECONDS, warm_up=0), most=WARM_CALLS)
        if running.process and not running.rss_mb:
            running.pids = machine.tree(running.process.pid)
            running.rss_mb = round(machine.rss_mb(running.pids), 1)

    def measure(self, target: Target, name: str) -> dict[str, Any]:
        """One case of one target: the load generator's row, and what it cost whom."""
        running = self.gateways[target.gateway.name]
        running.resume()
        calls, (busy, stolen) = self.upstream_calls(), machine.busy_seconds()
        used, mock, load = machine.cpu_seconds(running.pids), machine.cpu_seconds([self.mock.pid]), children_cpu()
        begun = time.monotonic()
        row = self.drive(target, running, CASES[name])
        wall = time.monotonic() - begun
        used = machine.cpu_seconds(running.pids) - used
        mock = machine.cpu_seconds([self.mock.pid]) - mock
        busy_now, stolen_now = machine.busy_seconds()
        foreign = busy_now - busy - used - mock - (children_cpu() - load)
        row["cpu_us"] = round(used * 1e6 / max(row["sent"], 1), 2)
        row["core_share"] = round(used / wall, 3)
        row["foreign"] = round(max(foreign, 0) / wall, 3)
        row["stolen"] = round((stolen_now - stolen) / wall, 3)
        row["upstream_calls"] = self.upstream_calls() - calls
        row["problem"] = row["problem"] or not_as_asked(target, row)
        running.pause()
        return row

    def close(self) -> None:
        for running in self.gateways.values():
            if running.process:
                machine.stop(running.process)
        machine.stop(self.mock)


def not_as_asked(target: Target, row: dict[str, Any]) -> str:
    """Why a cache answered that should not have, or did not that should; empty if all is well."""
    asked, sent = row["upstream_calls"], row["sent"]
    wrong = asked > 0.02 * sent + 64 if target.hit else asked < row["good"]
    return f"asked upstream {asked} times for {sent} calls" if wrong else ""


def children_cpu() -> float:
    """CPU time of the load generators that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait_port(running: Running) -> int:
    assert running.process
    path = running.gateway.port_file
    begun = time.monotonic()
    while path and time.monotonic() - begun < START_PATIENCE:
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        if running.process.poll() is not None:
            raise RuntimeError(f"exited with {running.process.returncode}")
        time.sleep(0.01)
    machine.wait_listening(running.process, running.gateway.port, START_PATIENCE)
    return running.gateway.port


def cases_of(target: Target) -> list[str]:
    names = HIT_CASES if target.hit else tuple(CASES)
    return [name for name in names if name not in target.skip]


def smoke(bench: Bench, targets: list[Target]) -> bool:
    """Ask each target 40 whole answers and 40 streams; True if all were right."""
    right = True
    for target in targets:
        try:
            running = bench.start(target)
            if target.hit:
                bench.drive(target, running, Case(1, 10, warm_up=0), most=1)  # a miss, to have something to hit
            plain = bench.drive(target, running, Case(4, 10, warm_up=0), most=40)
            rows = (
                [plain]
                if target.hit
                else [plain, bench.drive(target, running, Case(4, 10, stream=True, warm_up=0), 40)]
            )
        except RuntimeError as error:
            print(f"{target.name:14} failed: {error}")
            right = False
            continue
        fine = all(row["good"] == 40 and not row["bad"] for row in rows)
        right = right and fine
        told = ", ".join(f"{row['good']} good {row['bad']} bad {row['problem']}" for row in rows)
        print(f"{target.name:14} {'ok' if fine else 'WRONG'}: {told}; start {running.start_s} s", flush=True)
    return right


def prepare(bench: Bench, targets: list[Target]) -> tuple[list[Target], dict[str, str]]:
    """Start and warm every gateway, one at a time. Returns who is ready, and why the others are not."""
    ready, absent = [], {}
    for target in targets:
        try:
            running = bench.start(target)
            running.resume()
            bench.warm(target, running)
            running.pause()
        except RuntimeError as error:
            absent[target.name] = str(error)
            print(f"{target.name}: left out: {error}", file=sys.stderr, flush=True)
            continue
        ready.append(target)
    return ready, absent


def repeat(bench: Bench, targets: list[Target], repetitions: int, cases: list[str]) -> Rows:
    """Raw rows: target -> case -> one row per repetition, measured in turns."""
    rows: Rows = {t.name: {c: [] for c in cases_of(t) if c in cases} for t in targets}
    for turn in range(repetitions):
        for name in cases:
            for target in targets:
                if name in rows[target.name]:
                    rows[target.name][name].append(bench.measure(target, name))
        print(f"repetition {turn + 1} of {repetitions} done", file=sys.stderr, flush=True)
    return rows


def median_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = [key for key, value in rows[0].items() if isinstance(value, int | float)]
    told: dict[str, Any] = {key: round(statistics.median(row[key] for row in rows), 3) for key in numbers}
    told["bad"] = sum(row["bad"] for row in rows)
    told["problem"] = next((row["problem"] for row in rows if row["problem"]), "")
    return told


def summarise(bench: Bench, targets: list[Target], rows: Rows) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for target in targets:
        running = bench.gateways[target.gateway.name]
        told[target.name] = {
            "gateway": target.gateway.name,
            "version": target.gateway.version(),
            "hit": target.hit,
            "start_s": running.start_s,
            "rss_mb": running.rss_mb,
            "rss_end_mb": round(machine.rss_mb(running.pids), 1),
            "cases": {name: median_row(each) for name, each in rows[target.name].items()},
            "rows": rows[target.name],
        }
    return told


def choose(names: list[str], peers: bool) -> list[Target]:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        raise SystemExit(f"no such target: {', '.join(unknown)}; there are {', '.join(ALL)}")
    chosen = [ALL[name] for name in names] or [*OURS, *(OTHERS if peers else ())]
    if sys.executable != machine.PYTHON:
        install.install(["rung"])
    if peers:
        install.install(["nginx", "portkey", *install.PINS])
    here = [target for target in chosen if target.gateway.installed()]
    for target in chosen:
        if target not in here:
            print(f"{target.name}: left out: {target.gateway.program} is not installed", file=sys.stderr)
    return here


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", help=f"default: ours, and the peers with PEERS=1; of {', '.join(ALL)}")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one repetition; the results file is still written")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="only these")
    parser.add_argument("--smoke", action="store_true", help="only check that each target answers")
    parser.add_argument("--priority", action="store_true", help="run before other jobs of this machine (needs root)")
    parser.add_argument("--out", type=Path, help="results file (default: benchmarks/results/gateway-DATE.json)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    targets = choose(options.targets, os.environ.get("PEERS") == "1")
    if options.priority and not machine.claim_priority():
        print("could not raise the priority: other jobs will disturb more", file=sys.stderr)
    shutil.rmtree(RUNG_HOME, ignore_errors=True)
    RUNG_HOME.mkdir(parents=True)
    bench = Bench()
    try:
        if options.smoke:
            return 0 if smoke(bench, targets) else 1
        repetitions = 1 if options.quick else options.repetitions
        ready, absent = prepare(bench, targets)
        rows = repeat(bench, ready, repetitions, options.cases)
        results: dict[str, Any] = {
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "machine": machine.describe(),
            "load_average": list(os.getloadavg()),
            "repetitions": repetitions,
            "targets": summarise(bench, ready, rows),
            "absent": absent,
        }
    finally:
        bench.close()
    out = options.out or machine.RESULTS / f"gateway-{results['date'][:10]}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    out.with_suffix(".md").write_text(table.markdown(results))
    out.with_suffix(".svg").write_text(chart.svg(results))
    print(table.markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
