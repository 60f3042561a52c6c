"""Running a command of the user's over text that came from a model: no network, nothing to write to, hard limits.

Linux only, by user namespaces (`rung.sandbox.child` does it). Where they are not available, nothing is run.
The text goes in by stdin; what the command prints is thrown away; its exit code is the answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rung.errors import InvalidRequestError

_CHILD = (sys.executable, "-P", "-S", "-m", "rung.sandbox.child")

REFUSED = 125
"""exit code of the child when the sandbox cannot be had: nothing was run"""

_GRACE = 2.0
"""seconds beyond its limit that the child has to end by itself"""


@dataclass(frozen=True, slots=True)
class Limits:
    """`seconds` of wall clock and of CPU; `memory` and `disk` (a scratch folder in memory) in bytes."""

    seconds: float = 10.0
    memory: int = 512 * 1024 * 1024
    disk: int = 64 * 1024 * 1024
    processes: int = 64


async def run(command: Sequence[str], text: bytes, limits: Limits | None = None) -> int:
    """Run `command` with `text` on its stdin; -> its exit code, or minus the signal that ended it.

    Out of time: -9. Raises InvalidRequestError (no_sandbox) if there is none; nothing was run then.
    """
    limits = limits or Limits()
    if sys.platform != "linux":
        raise _none("rung has a sandbox on Linux only")
    told = json.dumps({"command": list(command), **asdict(limits)}).encode() + b"\n"
    process = await asyncio.create_subprocess_exec(
        *_CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.seconds + _GRACE):
            await process.communicate(told + text)
    except TimeoutError:
        return -9
    finally:
        if process.returncode is None:
            process.kill()  # its namespace dies with it
            await process.wait()
    if process.returncode == REFUSED:
        raise _none("this system allows no user namespaces")
    return process.returncode if process.returncode is not None else -9


def _none(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"a check command is run in a sandbox or not at all: {why}", code="no_sandbox")
