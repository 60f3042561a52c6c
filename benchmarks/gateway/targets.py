"""Who is measured: each gateway with its command and its configuration, and what is asked of it.

A gateway is a process; a target is one way of asking it. Ports are fixed, all on 127.0.0.1. Peers run as their own
documentation says for production on one core, with logs, telemetry and databases off: rung is the one that keeps a
ledger while it is measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from machine import HERE, PYTHON, WORK, home

MOCK_PORT = 9100
MOCK = f"http://127.0.0.1:{MOCK_PORT}/v1"
PEERS = HERE / "peers"
RUNG_PORT = 9110
RUNG_HOME = WORK / "rung-home"


@dataclass(frozen=True)
class Gateway:
    """A process to measure. `program` is what must exist for it to be measured at all."""

    name: str
    program: Path | str | None
    command: tuple[str | Path, ...]
    port: int
    version: Callable[[], str]
    env: dict[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    path: str = "/v1/chat/completions"
    cwd: Path | None = None
    port_file: Path | None = None
    """where the gateway's own starter writes the port it chose, if it cannot be told one"""

    def installed(self) -> bool:
        if self.program is None:
            return True
        return shutil.which(str(self.program)) is not None or Path(self.program).exists()


@dataclass(frozen=True)
class Target:
    """One row of the results."""

    name: str
    gateway: Gateway
    model: str = "{model}"
    """the model to ask for, `{model}` standing for the mock's model name"""
    hit: bool = False
    """the same body each time, answered from the gateway's exact cache"""
    must_hold: str = ""
    """text that every reply's head must hold, to prove who answered"""
    skip: frozenset[str] = frozenset()
    """cases that make no sense for this target"""


def _pip_version(where: Path, package: str) -> Callable[[], str]:
    def read() -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return _output([where / "bin" / "python", "-c", code])

    return read


def _output(command: list[str | Path]) -> str:
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True, timeout=60)
    return (done.stdout or done.stderr).strip()


def _nginx_version() -> str:
    return _output(["nginx", "-v"]).rpartition("/")[2]


def _portkey_version() -> str:
    home = WORK / "portkey/node_modules/@portkey-ai/gateway/package.json"
    return _output(["node", "-p", f"require('{home}').version"])


def _rung_program() -> Path | str:
    """As installed by install.py where RUNG_PYTHON names an interpreter, else beside the one that runs this."""
    if sys.executable != PYTHON:
        return home("rung") / "bin" / "rung"
    beside = Path(sys.executable).with_name("rung")
    return beside if beside.exists() else "rung"


RUNG_COMMAND = (_rung_program(), "serve", "--config", HERE / "rung.toml", "--port", str(RUNG_PORT))

DIRECT = Gateway("direct", None, (), MOCK_PORT, lambda: "")
RUNG = Gateway(
    "rung",
    RUNG_COMMAND[0],
    RUNG_COMMAND,
    RUNG_PORT,
    lambda: _output([RUNG_COMMAND[0], "--version"]).split()[-1],
    env={"RUNG_HOME": str(RUNG_HOME)},
)
NGINX = Gateway(
    "nginx",
    "nginx",
    ("nginx", "-c", PEERS / "nginx.conf", "-p", WORK, "-e", WORK / "nginx-error.log"),
    9111,
    _nginx_version,
)


def _litellm(name: str, config: str, port: int) -> Gateway:
    program = home("litellm") / "bin" / "litellm"
    return Gateway(
        name,
        program,
        (program, "--config", PEERS / config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        port,
        _pip_version(home("litellm"), "litellm"),
        env={
            # It refuses to start without a master key otherwise; a key would only add work.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
        },
    )


def _ferrogw(name: str, config: str, port: int) -> Gateway:
    program = WORK / "ferrogw" / "bin" / "ferrogw"
    return Gateway(
        name,
        program,
        (program, "serve"),
        port,
        _pip_version(WORK / "ferrogw", "ferrogw"),
        env={
            "GATEWAY_CONFIG": str(PEERS / config),
            "PORT": str(port),
            "OPENAI_API_KEY": "sk-mock",
            "OPENAI_BASE_URL": MOCK,
            "MASTER_KEY": "fgw_bench",
            "ALLOW_UNAUTHENTICATED_PROXY": "true",
            "RATE_LIMIT_RPS": "0",  # its default is 20 calls/s for each address
            "LOG_LEVEL": "error",
            "GOMAXPROCS": "1",
        },
    )


PORTKEY_HOME = WORK / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
PORTKEY = Gateway(
    "portkey",
    PORTKEY_HOME / "build" / "start-server.js",
    ("node", PORTKEY_HOME / "build" / "start-server.js", "--port=9114", "--headless"),
    9114,
    _portkey_version,
    env={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
    headers=("x-portkey-provider: openai", f"x-portkey-custom-host: {MOCK}", "Authorization: Bearer sk-mock"),
    cwd=PORTKEY_HOME,
)
TENSORZERO = Gateway(
    "tensorzero",
    WORK / "tensorzero" / "bin" / "python",
    (
        WORK / "tensorzero/bin/python",
        PEERS / "tensorzero_serve.py",
        PEERS / "tensorzero.toml",
        WORK / "tensorzero.port",
    ),
    0,
    _pip_version(WORK / "tensorzero", "tensorzero"),
    env={"MOCK_KEY": "sk-mock"},
    path="/openai/v1/chat/completions",
    port_file=WORK / "tensorzero.port",
)
ROLTER = Gateway(
    "rolter",
    WORK / "rolter" / "bin" / "rolter",
    (
        WORK / "rolter" / "bin" / "rolter",
        "gateway",
        "-c",
        PEERS / "rolter.toml",
        "--host",
        "127.0.0.1",
        "--port",
        "9117",
    ),
    9117,
    _pip_version(WORK / "rolter", "rolter"),
    env={"MOCK_KEY": "sk-mock", "RUST_LOG": "error"},
)

OURS = (
    Target("direct", DIRECT),
    Target("nginx", NGINX),
    Target("rung", RUNG, "mock:{model}", must_hold="x-rung-model: mock:mock"),
    Target("rung-auto", RUNG, "auto", must_hold="x-rung-model: mock:mock", skip=frozenset({"wait60", "stream60"})),
    Target("rung-hit", RUNG, "mock:{model}", hit=True, must_hold="cache-status: exact; hit"),
)
OTHERS = (
    Target("rolter", ROLTER),
    Target("tensorzero", TENSORZERO, "tensorzero::model_name::{model}"),
    Target("ferrogw", _ferrogw("ferrogw", "ferrogw.yaml", 9115)),
    Target("ferrogw-hit", _ferrogw("ferrogw-cache", "ferrogw-cache.yaml", 9116), hit=True),
    Target("portkey", PORTKEY),
    Target("litellm", _litellm("litellm", "litellm.yaml", 9112)),
    Target("litellm-hit", _litellm("litellm-cache", "litellm-cache.yaml", 9113), hit=True),
)
ALL = {target.name: target for target in (*OURS, *OTHERS)}
