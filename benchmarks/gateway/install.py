#!/usr/bin/env python3
"""Install the peers that rung is measured beside, each in an environment of its own under benchmarks/.work.

    python3 benchmarks/gateway/install.py [litellm portkey tensorzero ferrogw rolter nginx]
    RUNG_PYTHON=/usr/bin/python3 python3 benchmarks/gateway/install.py rung litellm

With RUNG_PYTHON, what is written in Python (rung too, then) gets an environment made by that interpreter.

Versions are pinned, so that figures can be compared between machines; change PINS to measure newer ones.
nginx comes from the system's package manager: it is installed only where apt-get may be used.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from machine import BENCHMARKS, PYTHON, WORK, home

PINS = {
    "litellm": "litellm[proxy]==1.106.2",
    "tensorzero": "tensorzero==2026.6.0",
    "ferrogw": "ferrogw==1.5.10",
    "rolter": "rolter==0.1.0",
}
ON_PYTHON = ("rung", "litellm")
"""whose cost is the interpreter's; the others only have their programs in a Python package"""

# Newer hono answers 500 to every stream on Node 20 ("TypeError: immutable"), so both are held.
PORTKEY = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.8", "hono": "4.9.7"},
}


def quiet(command: list[str], log: str, **options: object) -> None:
    """Run a command with its output in .work/`log`; a failure says where to look."""
    with open(WORK / log, "w") as out:
        done = subprocess.run(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}; see benchmarks/.work/{log}")


def python_peer(name: str) -> None:
    where = place(name)
    python = PYTHON if name in ON_PYTHON else sys.executable
    # without pip: a distribution's Python may have none to give
    quiet([python, "-m", "venv", "--clear", "--without-pip", str(where)], f"install-{name}.log")
    pip = [sys.executable, "-m", "pip", "--python", str(where / "bin" / "python"), "install", "--quiet"]
    quiet([*pip, PINS.get(name) or str(BENCHMARKS.parent)], f"install-{name}.log")


def place(name: str) -> Path:
    return home(name) if name in ON_PYTHON else WORK / name


def portkey() -> None:
    if not shutil.which("npm"):
        raise RuntimeError("needs Node and npm")
    home = WORK / "portkey"
    home.mkdir(exist_ok=True)
    (home / "package.json").write_text(json.dumps(PORTKEY, indent=1))
    quiet(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], "install-portkey.log", cwd=home)


def nginx() -> None:
    if shutil.which("nginx"):
        return
    if not shutil.which("apt-get"):
        raise RuntimeError("install nginx yourself: there is no apt-get here")
    quiet(["apt-get", "install", "-y", "--no-install-recommends", "nginx-light"], "install-nginx.log")


def install(names: list[str]) -> list[str]:
    """Install what is asked; returns the names that could not be, each told on standard error."""
    WORK.mkdir(exist_ok=True)
    failed = []
    for name in names:
        # rung itself changes: it is installed anew each time
        if name != "rung" and (place(name) / "installed").exists():
            continue
        try:
            if name == "nginx":
                nginx()
            elif name == "portkey":
                portkey()
            else:
                python_peer(name)
        except (OSError, RuntimeError) as error:
            print(f"{name}: not installed: {error}", file=sys.stderr)
            failed.append(name)
            continue
        if name != "nginx":
            (place(name) / "installed").write_text(sysconfig.get_platform() + "\n")
        print(f"{name}: ready", file=sys.stderr)
    return failed


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["nginx", "portkey", *PINS]
    sys.exit(1 if install(wanted) else 0)
