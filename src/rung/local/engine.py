"""The embedded engine: llama.cpp in a child process of ours, watched and restarted.

    engine = Engine(path, alias="qwen2.5-coder-1.5b", threads=1)
    await engine.start()                  # returns at once; the model loads in the background
    if await engine.ready(30):
        ...                               # talk to engine.origin with engine.api_key

The child is a process of its own because generation holds the interpreter and may crash or be killed by
the kernel: neither may touch the gateway. It dies with us (`rung.local.engine_child` says how).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from rung.errors import ModelFileError
from rung.local.gguf import read_header
from rung.local.tuning import DEFAULT_CONTEXT, DEFAULT_TUNING, Tuning
from rung.wire.origin import Origin

State = Literal["stopped", "loading", "ready", "restarting", "failed"]

_CHILD = (sys.executable, "-P", "-m", "rung.local.engine_child")
_LOG_LINES = 40
_LOG_LINE_BYTES = 300

_LEAVES = 5.0
"""seconds a child that complained has to leave by itself"""

_LOADS = 1
"""loads in a row that are tried again after a crash: what crashes while it loads does so every time"""

_REASON = re.compile(r" E \w+: (?:error loading model: )*(?:error loading model hyperparameters: )?(.*)")
"""llama.cpp's first error line"""


class Engine:
    """One model behind an OpenAI-compatible server on 127.0.0.1. Belongs to the event loop it is started on.

    States: ``stopped`` → ``loading`` → ``ready``; after a crash ``restarting`` (waiting, then loading again)
    → ``ready``; ``failed`` when the model cannot be loaded or crashed too often: `start` tries again.

    Args:
        alias: the name the model gives itself in its answers.
        threads: what generation may use; leave one core to the rest (`rung.local.hardware`).
        context: tokens a call's prompt and answer may have together.
        slots: calls answered at once; more of them share the same speed.
        load_deadline: seconds a load may take before the child is given up.
        delays: seconds to wait before each restart in a row; crashing once more means ``failed``.
        steady: seconds of being ready after which earlier crashes are forgotten.
        on_change: told the new state and its detail, from the event loop; must not block.
        tuning: may be replaced; the next load takes it.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        alias: str,
        threads: int,
        context: int = DEFAULT_CONTEXT,
        slots: int = 1,
        load_deadline: float = 300.0,
        delays: Sequence[float] = (0.0, 1.0, 4.0, 16.0, 60.0),
        steady: float = 60.0,
        on_change: Callable[[State, str], None] | None = None,
        tuning: Tuning = DEFAULT_TUNING,
        command: Sequence[str] = _CHILD,
    ) -> None:
        self.model_path = model_path
        self.alias = alias
        self.threads = threads
        self.context = context
        self.slots = slots
        self.tuning = tuning
        self.state: State = "stopped"
        self.detail = ""
        self.origin: Origin | None = None
        self.api_key = ""
        self.pid: int | None = None
        self._load_deadline = load_deadline
        self._delays = tuple(delays)
        self._steady = steady
        self.on_change = on_change
        self._command = tuple(command)
        self._changed = asyncio.Event()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._supervisor: asyncio.Task[None] | None = None
        self._cancelled: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Check the model file, then load it in the background. Does nothing while it runs.

        Raises ModelFileError if the file is missing, damaged or cut off.
        """
        if self._supervisor is not None and not self._supervisor.done():
            return
        self._become("loading", "")
        try:
            await asyncio.to_thread(read_header, self.model_path)
        except ModelFileError as error:
            self._become("failed", error.message)
            raise
        if self.state == "loading" and (self._supervisor is None or self._supervisor.done()):
            self._supervisor = asyncio.create_task(self._supervise(), name="rung-engine")

    async def stop(self) -> None:
        """End the child and everything it was doing. Safe to call twice: both wait for its end."""
        task, self._supervisor = self._supervisor, None
        self._become("stopped", "")
        if task is not None:
            task.cancel()
            self._cancelled = task
        if self._cancelled is not None:
            await asyncio.wait([self._cancelled])

    async def ready(self, seconds: float) -> bool:
        """Wait up to `seconds` for a model that is loading or restarting; is it ready?"""
        try:
            async with asyncio.timeout(seconds):
                while self.state in ("loading", "restarting"):
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.state == "ready"

    def ending(self) -> None:
        """The child has begun to end, as whoever calls this has seen; the kernel will say so later."""
        self.origin = None
        self._become("restarting", "the engine is ending")

    async def lost(self, origin: Origin | None, seconds: float) -> bool:
        """Wait up to `seconds` for the news that the child behind `origin` is gone; is it?"""
        try:
            async with asyncio.timeout(seconds):
                while self.origin is not None and self.origin == origin:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines llama.cpp wrote, oldest first."""
        return tuple(self._log)

    def _become(self, state: State, detail: str) -> None:
        if (state, detail) == (self.state, self.detail):
            return
        self.state, self.detail = state, detail
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self.on_change is not None:
            self.on_change(state, detail)

    async def _supervise(self) -> None:
        crashes = 0
        while True:
            why, hopeless, lived = await self._run()
            if lived >= self._steady:
                crashes = 0
            most = min(_LOADS, len(self._delays)) if lived == 0 else len(self._delays)
            if hopeless or crashes >= most:
                whole = f"; is {self.model_path.name} whole? `rung models verify` tells"
                check = whole if lived == 0 and "killed" not in why else ""
                again = f" {crashes + 1} times in a row{check}; it is left off until rung is restarted"
                self._become("failed", why if hopeless else why + again)
                return
            self._become("restarting", why)
            await asyncio.sleep(self._delays[crashes])
            crashes += 1

    async def _run(self) -> tuple[str, bool, float]:
        """One life of the child -> (why it ended, is trying again pointless, seconds it was ready)."""
        self._log.clear()
        api_key = secrets.token_urlsafe(24)
        told = {
            "model": str(self.model_path),
            "alias": self.alias,
            "threads": self.threads,
            "context": self.context,
            "slots": self.slots,
            "api_key": api_key,
            **self.tuning.told(),
        }
        try:
            child = await _started(self._command)
        except OSError as error:
            return f"the engine's process could not be started: {error.strerror}", False, 0.0
        log = asyncio.create_task(self._keep_log(child.stderr))
        self.pid = child.pid
        try:
            complaint = await self._load(child, told)
            if complaint is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVES):  # its log is whole once it has left by itself
                        await child.wait()
                        await log
                return self._unloadable(complaint), True, 0.0
            self.api_key = api_key
            since = time.monotonic()
            self._become("ready", "")
            code = await child.wait()
            lived = time.monotonic() - since
            why = f"the engine crashed ({_ending(code)})"
            self.origin = None
            self._become("restarting", why)
            return why, False, lived
        except TimeoutError:
            return f"the model did not load within {self._load_deadline:g} s", False, 0.0
        except (ValueError, KeyError):
            return "the engine's process said something else than its port", False, 0.0
        except (EOFError, OSError):
            return f"the engine crashed while loading ({_ending(await child.wait())})", False, 0.0
        finally:
            self.origin, self.pid = None, None
            end = asyncio.ensure_future(_end(child, log))
            try:
                await asyncio.shield(end)
            except asyncio.CancelledError:  # stopped while it was ending by itself
                await end
                raise

    async def _load(self, child: asyncio.subprocess.Process, told: dict[str, object]) -> str | None:
        """Hand over the configuration and wait for the port. -> the child's own complaint, if it has one."""
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(told).encode() + b"\n")
        await child.stdin.drain()
        async with asyncio.timeout(self._load_deadline):
            line = await child.stdout.readline()
        if not line:
            raise EOFError
        said = json.loads(line)
        if "error" in said:
            return str(said["error"])
        self.origin = Origin("http", "127.0.0.1", int(said["port"]))
        return None

    def _unloadable(self, complaint: str) -> str:
        """Why the model cannot be loaded, in llama.cpp's own words where its log has them."""
        told = next((found[1] for line in self._log if (found := _REASON.search(line))), "")
        if not told:
            return complaint
        return f"{self.model_path.name} cannot be loaded: {told}; `rung models verify` tells whether it is damaged"

    async def _keep_log(self, stream: asyncio.StreamReader | None) -> None:
        """Drain stderr, or the child would block on a full pipe; keep its last lines."""
        assert stream is not None
        rest = b""
        while block := await stream.read(4096):
            *lines, rest = (rest + block).split(b"\n")
            self._log.extend(line[:_LOG_LINE_BYTES].decode(errors="replace") for line in lines)
            rest = rest[:_LOG_LINE_BYTES]


async def _started(command: Sequence[str]) -> asyncio.subprocess.Process:
    """Start a process with pipes; one that is still being started when this is cancelled is ended."""
    pipe = asyncio.subprocess.PIPE
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            child = await starting
            child.kill()
            await child.communicate()
        raise


async def _end(child: asyncio.subprocess.Process, log: asyncio.Task[None]) -> None:
    """End the process and read its pipes to their ends, or they would outlive the loop."""
    if child.returncode is None:
        child.kill()
        await child.wait()
    await log
    assert child.stdout is not None
    await child.stdout.read()


def _ending(code: int) -> str:
    if code == -9:
        return "killed, perhaps because memory ran out"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
