"""What the benchmarks need of the machine: where things are, building the C programs, starting, pausing and measuring
processes through /proc. Linux only. Everything binds or calls 127.0.0.1."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parent
WORK = BENCHMARKS / ".work"
RESULTS = BENCHMARKS / "results"
TICKS = os.sysconf("SC_CLK_TCK")
GATEWAY_CORE, DRIVER_CORE = 0, 1

PYTHON = os.environ.get("RUNG_PYTHON") or sys.executable
"""the interpreter that gateways written in Python run on: rung, and its peer too"""


def home(name: str) -> Path:
    """Where what is installed for PYTHON lives."""
    chosen = os.environ.get("RUNG_PYTHON")
    return WORK / (f"{name}-{chosen.strip('/').replace('/', '-')}" if chosen else name)


class Missing(RuntimeError):
    """Something this machine lacks; the message says what to install."""


def build(source: Path) -> Path:
    """Compile one C file into .work; returns the program."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise Missing("a C compiler is needed: install gcc")
    WORK.mkdir(exist_ok=True)
    program = WORK / source.stem
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-I", str(HERE), "-o", str(program), str(source)], check=True)
    return program


def pin(core: int) -> None:
    """Keep this process, and what it starts, on one core (where there is more than one)."""
    if (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def start(
    command: Sequence[str | Path],
    log: str,
    *,
    core: int,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server on one core, as a process group of its own, its output in .work/`log`."""
    with open(WORK / log, "w") as out:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            process_group=0,
            preexec_fn=lambda: pin(core),  # before exec, so that every thread inherits it
        )


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> int | None:
    """Ask the group to end, then make it; returns the exit status."""
    for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        if number is signal.SIGCONT:
            continue
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            continue
    return process.poll()


def signal_tree(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_listening(process: subprocess.Popen[bytes], port: int, patience: float) -> float:
    """Seconds until something accepts on the port. Raises RuntimeError if the process ends or never listens."""
    started = time.monotonic()
    while time.monotonic() - started < patience:
        if process.poll() is not None:
            raise RuntimeError(f"exited with {process.returncode}")
        if listening(port):
            return time.monotonic() - started
        time.sleep(0.005)
    raise RuntimeError(f"nothing listened on {port} within {patience:.0f} s")


def tree(pid: int) -> list[int]:
    """A process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of these processes so far."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def rss_mb(pids: Sequence[int]) -> float:
    """Resident memory of these processes, added up (shared pages counted in each)."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def busy_seconds() -> tuple[float, float]:
    """(CPU time all cores spent working, time the host took from us) since boot."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def describe() -> dict[str, object]:
    """The machine a figure was measured on."""
    model = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model.partition(":")[2].strip() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "kernel": platform.release(),
        "python": build_of(PYTHON),
    }


BUILD = """
import platform, sys, sysconfig, timeit
flags = " ".join(str(sysconfig.get_config_var(name) or "") for name in ("CONFIG_ARGS", "PY_CORE_CFLAGS", "PY_LDFLAGS"))
told = ["LTO"] * ("-flto" in flags or "--with-lto" in flags)
told += ["PGO"] * ("-fprofile-use" in flags or "--enable-optimizations" in flags)
if not told:  # distributions optimise theirs, and leave that out of what they tell
    told = ["the distribution's build" if sys.base_prefix == "/usr" else "neither LTO nor PGO"]
def work():
    total, seen = 0, {}
    for number in range(2000):
        seen[number & 63] = total = total + len(str(number))
    return total
best = min(timeit.repeat(work, number=20, repeat=9)) / 20 / 2000
print(f"{platform.python_version()}, {', '.join(told)}; {best * 1e9:.0f} ns a turn of a loop")
"""


def build_of(python: Path | str) -> str:
    """A Python interpreter's version, how it was compiled, and how fast it therefore is: link-time and profile-guided
    optimisation (LTO, PGO) save a fifth and more, so that figures of two builds do not compare."""
    done = subprocess.run([str(python), "-c", BUILD], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or "unknown"


def claim_priority() -> bool:
    """Run before others: highest nice value for this process and its session's autogroup. True if it was allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        Path("/proc/self/autogroup").write_text("-20")
    except OSError:
        return False
    return True
