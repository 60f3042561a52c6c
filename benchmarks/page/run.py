"""The page in a real browser: ``python benchmarks/page/run.py``. Figures go to ``benchmarks/results/page.json``.

Needs Chromium (``chromium``), Node and npm; where one is absent it says so and ends well. Installs playwright-core and
axe-core into ``benchmarks/.work/page``, where the pictures go too. About two minutes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / ".work" / "page"
RESULT = HERE.parent / "results" / "page.json"
IDLE_SECONDS = 20


def main() -> int:
    chrome = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    missing = [name for name, there in (("chromium", chrome), ("node", shutil.which("node"))) if not there]
    missing += [] if shutil.which("npm") else ["npm"]
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}")
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", WORK)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=WORK, check=True)
    assert chrome is not None
    with served() as (url, pid):
        told = look(url, pid, chrome, 0)
    with served("--quiet") as (url, pid):
        told["idle"] = look(url, pid, chrome, IDLE_SECONDS)["idle"]
    version = subprocess.run([chrome, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    about = {"date": datetime.now(UTC).date().isoformat(), "cpus": os.cpu_count(), "python": platform.python_version()}
    RESULT.write_text(json.dumps({**about, "browser": version, "traffic": "simulated", **told}, indent=1) + "\n")
    print(f"{told['total_bytes']} bytes; first paint {told['first_contentful_paint_ms']} ms; idle {told['idle']}")
    print(f"errors {told['errors']}; too wide {told['overflow']}; axe {told['axe']['violations']}; pictures in {WORK}")
    return 1 if told["errors"] or told["overflow"] or told["axe"]["violations"] else 0


def look(url: str, pid: str, chrome: str, idle: int) -> dict[str, Any]:
    """What ``look.mjs`` found; with `idle` seconds only what an idle page costs is of interest."""
    script = ["node", str(HERE / "look.mjs"), url, pid, str(WORK), chrome, str(idle)]
    done = subprocess.run(script, cwd=WORK, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def served(*how: str) -> Iterator[tuple[str, str]]:
    """A gateway with simulated providers -> (its URL, its process id)."""
    command = [sys.executable, str(HERE / "serve.py"), *how]
    gateway = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert gateway.stdout is not None
        url, pid = gateway.stdout.readline().split()
        yield url, pid
    finally:
        gateway.terminate()
        gateway.wait()


sys.exit(main())
