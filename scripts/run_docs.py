"""Run the code blocks of Markdown files, and compare what they print with what the page shows.

    python scripts/run_docs.py README.md docs/

Every ``python`` block is run by this interpreter. In a ``console`` block every line ``$ command`` is run by
bash (a trailing backslash continues it) and its output must be what follows; ``...`` or ``…`` stands for
anything within a line, alone on a line for any number of lines. Other blocks are only shown. Blocks of one
page share a folder and an environment without keys. A comment right above a block says more:

    <!-- docs: skip why it cannot run here -->    do not run it
    <!-- docs: output -->                         this block is what the python block above it prints
    <!-- docs: exit 2 -->                         the last command exits with 2, not 0
    <!-- docs: gateway -->                        needs `rung serve`, started once a page
    <!-- docs: model -->                          the same with a local model; skipped where none is found
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rung.config.paths import paths as installed

GATEWAY = "http://127.0.0.1:7864"
START_SECONDS = 120.0
BLOCK_SECONDS = 180.0

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>\w*)[^\n]*$")
_MARK = re.compile(r"^ *<!-- docs: (?P<word>\w+) ?(?P<rest>.*?) *-->$")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it starts, what it is written in, its text, and the mark above it."""

    line: int
    language: str
    text: str
    mark: str = ""
    rest: str = ""


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order, each with the mark on the line above its fence."""
    lines = markdown.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        above = _MARK.match(lines[number - 1]) if number else None
        start, indent = number + 1, len(fence["indent"])
        number = start
        while number < len(lines) and lines[number].strip() != fence["ticks"]:
            number += 1
        text = "".join(f"{line[indent:]}\n" for line in lines[start:number])
        word, rest = (above["word"], above["rest"]) if above else ("", "")
        yield Block(start, fence["language"], text, word, rest)
        number += 1


def commands(text: str) -> list[tuple[str, str]]:
    """A console block as (command, expected output) pairs."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if found and not found[-1][1] and found[-1][0].endswith("\\\n"):
            found[-1] = (found[-1][0] + line.removeprefix("> "), "")
        elif line.startswith("$ "):
            found.append((line[2:], ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def matches(expected: str, got: str) -> bool:
    """True if `got` is what the page shows, its dots standing for whatever varies."""
    pattern = ""
    for line in expected.strip("\n").splitlines():
        if line.strip() in ("...", "…"):
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in re.split(r"\.\.\.|…", line.rstrip())) + r"[ \t]*\n"
    printed = "".join(f"{line}\n" for line in got.strip("\n").splitlines())
    return re.fullmatch(pattern, printed) is not None


class Failed(Exception):
    """A block did something else than its page says."""


class Page:
    """Runs the blocks of one page; a gateway is started for the first that needs it."""

    def __init__(self, home: Path, models: Path | None) -> None:
        self.home = home
        self.models = models
        self.printed: str | None = None
        """what the last block printed, None if it was skipped"""
        self.resources = ExitStack()
        self.serving = False
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "HOME": str(home),
            "RUNG_HOME": str(home / "rung"),
            "LANG": "C.UTF-8",
        }

    def run(self, block: Block) -> str:
        """Run one block; returns why it was skipped, or an empty string. Raises Failed."""
        if block.mark == "skip":
            return block.rest
        if block.mark == "output":
            if self.printed is None:
                return "so was what prints it"
            self._compare(block.text, self.printed)
            return ""
        self.printed = None
        if block.language not in ("python", "console"):
            return ""
        if block.mark == "model" and self.models is None:
            return "no local model here (RUNG_TEST_MODELS names a folder that holds one)"
        if block.mark in ("gateway", "model") and not self.serving:
            self.resources.enter_context(gateway(self.environment, self.home, self.models))
            self.serving = True
        if block.language == "python":
            self.printed = self._execute([sys.executable, "-c", block.text], 0)
        else:
            self._console(block)
        return ""

    def _console(self, block: Block) -> None:
        pairs = commands(block.text)
        last_exit = int(block.rest) if block.mark == "exit" else 0
        for place, (command, expected) in enumerate(pairs, 1):
            got = self._execute(["bash", "-c", command], last_exit if place == len(pairs) else 0)
            self._compare(expected, got)

    def _execute(self, command: list[str], code: int) -> str:
        try:
            done = subprocess.run(
                command,
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=BLOCK_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"still running after {BLOCK_SECONDS:.0f} s") from None
        if done.returncode != code:
            raise Failed(f"exit code {done.returncode}, not {code}:\n{done.stdout}")
        return done.stdout

    @staticmethod
    def _compare(expected: str, got: str) -> None:
        if not matches(expected, got):
            raise Failed(f"the page shows:\n{expected.strip()}\n--- it printed:\n{got.strip()}")


@contextmanager
def gateway(environment: dict[str, str], home: Path, models: Path | None) -> Iterator[None]:
    """`rung serve` on its default address, ready; stopped at the end."""
    if _ready("/healthz"):
        raise Failed(f"another program answers on {GATEWAY}; stop it first")
    if models is not None:
        (home / "rung").mkdir(exist_ok=True)
        (home / "rung" / "models").symlink_to(models)
    log = home / "gateway.log"
    with log.open("w") as out:
        serve = subprocess.Popen(["rung", "serve"], cwd=home, env=environment, stdout=out, stderr=out)
    try:
        limit = time.monotonic() + START_SECONDS
        while not _ready("/healthz" if models is None else "/readyz"):
            if serve.poll() is not None or time.monotonic() > limit:
                raise Failed(f"the gateway did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield
    finally:
        serve.terminate()
        try:
            serve.wait(30)
        except subprocess.TimeoutExpired:
            serve.kill()
            serve.wait()


def _ready(path: str) -> bool:
    """`/readyz` waits for a model, `/healthz` for the server only."""
    try:
        with urllib.request.urlopen(GATEWAY + path, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run_page(path: Path, models: Path | None) -> tuple[int, int]:
    """Run one page, telling what was skipped and what failed; returns how many blocks ran and failed."""
    ran = failed = 0
    home = Path(tempfile.mkdtemp(prefix="rung-docs-"))
    page = Page(home, models)
    try:
        with page.resources:
            for block in blocks(path.read_text()):
                try:
                    why = page.run(block)
                except Failed as error:
                    failed += 1
                    print(f"{path}:{block.line}: FAILED: {error}")
                    continue
                if why:
                    print(f"{path}:{block.line}: skipped: {why}")
                elif block.mark == "output" or block.language in ("python", "console"):
                    ran += 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return ran, failed


def main(names: list[str]) -> int:
    paths = [
        page for name in names for page in (sorted(Path(name).rglob("*.md")) if Path(name).is_dir() else [Path(name)])
    ]
    folder = Path(os.environ.get("RUNG_TEST_MODELS") or installed(os.environ).models).resolve()
    models = folder if any(folder.rglob("*.gguf")) else None
    ran = failed = 0
    for path in paths:
        more_ran, more_failed = run_page(path, models)
        ran, failed = ran + more_ran, failed + more_failed
    print(f"docs: {len(paths)} pages, {ran} blocks ran, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
