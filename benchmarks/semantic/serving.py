"""A real `rung serve` in front of a simulated provider that knows the truth, and one client on one connection."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung.sim import Clock, simulator

TICKS = os.sysconf("SC_CLK_TCK")
FAST = {
    "first_token": {"median": 0.0001},
    "tokens_per_second": {"median": 1e6},
    "limits": {"requests": 0, "tokens": 0},
}


class Client:
    """Blocks: for a thread. `pid`: the gateway's process."""

    def __init__(self, port: int, pid: int) -> None:
        self.pid = pid
        self._asking = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, prompt: str) -> tuple[str, str, str]:
        """-> (who answered, what, the way up)."""
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": prompt}]})
        self._asking.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = self._asking.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {told}")
        text: str = told["choices"][0]["message"]["content"]
        return answer.headers["x-rung"], text, answer.headers["x-rung-climb"]

    def look(self, path: str) -> dict[str, Any]:
        self._asking.request("GET", path)
        found: dict[str, Any] = json.loads(self._asking.getresponse().read())
        return found

    def stats(self) -> dict[str, Any]:
        """The semantic cache's counts."""
        found: dict[str, Any] = self.look("/admin/cache")["semantic"]
        return found

    def cells(self) -> list[dict[str, Any]]:
        """Its scopes, the last used first."""
        found: list[dict[str, Any]] = self.look("/admin/trust").get("semantic", [])
        return found

    def settled(self, seconds: float = 60.0) -> None:
        """Wait until nothing is left to be learnt, as far as the counts tell."""
        ends, before = time.monotonic() + seconds, None
        while time.monotonic() < ends:
            now = self.stats()
            if now == before and not now["audits_waiting"]:
                return
            before = now
            time.sleep(0.2)

    def cpu(self) -> float:
        """Seconds of CPU the gateway has used so far, all its threads, user and kernel."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """MiB resident."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")


@asynccontextmanager
async def serving(truth: Mapping[str, str], toml: str, wrapper: tuple[str, ...] = ()) -> AsyncIterator[Client]:
    """A gateway with the settings of `toml` whose reference answers as `truth` says. `wrapper`: a command before it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        lines = (json.dumps({"question": question, "answer": answer}) for question, answer in truth.items())
        (home / "truth.jsonl").write_text("\n".join(lines))
        scenario = {"answers": {"truth": str(home / "truth.jsonl")}, "openai": FAST}
        async with simulator(scenario, clock=Clock(datetime.now(UTC))) as sim:
            (home / "rung.toml").write_text(
                f'{toml}\n[local]\nenabled = false\n[providers.openai]\nbase_url = "{sim.url("openai")}"\nkey = "k"\n'
            )
            port = _free()
            environ = {**os.environ, "RUNG_HOME": folder, "HOME": folder, "OPENBLAS_NUM_THREADS": "1"}
            command = [*wrapper, sys.executable, "-m", "rung", "serve", "--port", str(port)]
            with (home / "serve.log").open("wb") as log:
                child = await asyncio.to_thread(
                    subprocess.Popen,
                    [*command, "--config", str(home / "rung.toml")],
                    env=environ,
                    stdout=log,
                    stderr=log,
                )
            try:
                await asyncio.to_thread(_listening, child, port, home / "serve.log")
                yield Client(port, child.pid)
            finally:
                child.terminate()
                await asyncio.to_thread(child.wait, 60)


def run(truth: Mapping[str, str], toml: str, work: Callable[[Client], Any], wrapper: tuple[str, ...] = ()) -> Any:
    """`work` with a client of such a gateway, in a thread; the simulator has the event loop."""

    async def whole() -> Any:
        async with serving(truth, toml, wrapper) as client:
            return await asyncio.to_thread(work, client)

    return asyncio.run(whole())


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _listening(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + 180
    while time.monotonic() < ends:
        if child.poll() is not None:
            break
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the gateway did not start: {log.read_text()[-2000:]}")
