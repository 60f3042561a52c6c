"""A check command sees its stdin and nothing it could harm."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest

from rung import sandbox
from rung.errors import InvalidRequestError
from rung.sandbox import Limits, run


@pytest.fixture(scope="module", autouse=True)
def there():
    try:
        asyncio.run(run(["true"], b""))
    except InvalidRequestError as error:
        pytest.skip(error.message)


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["false"], 1),
        (["sh", "-c", "exit 7"], 7),
        (["no-such-command"], 127),
        (shell('test "$(cat)" = "the text"'), 0),
        (shell("kill -9 $$"), 137),
    ],
)
async def test_the_exit_code_is_the_commands(command, code):
    assert await run(command, b"the text") == code


HARM = (
    "touch {home}/x",
    "touch /etc/x",
    "mount -o remount,rw /",
    "umount /run",
    "unshare -r true",
    "echo core > /proc/sys/kernel/core_pattern",
    "kill -0 {pid}",
    "test $(wc -l < /proc/net/dev) -gt 3",  # two lines of title, and lo
    'test -n "$SECRET"',
    "head -c 2000000 /dev/zero > x",
    "ls /run/* /var/run/*",
)


async def test_what_it_cannot_do(monkeypatch):
    monkeypatch.setenv("SECRET", "key")
    known = {"home": shlex.quote(str(Path(__file__).parent)), "pid": os.getpid()}
    tries = [f"({harm.format(**known)}) && exit {number}" for number, harm in enumerate(HARM, 1)]
    assert await run(shell("\n".join([*tries, "exit 0"])), b"", Limits(disk=1_000_000)) == 0


async def test_it_may_write_into_its_scratch_folder_which_goes_with_it():
    assert await run(shell("echo x > mine && grep -q x mine"), b"") == 0
    assert await run(shell("test -e mine"), b"") == 1


@pytest.mark.parametrize("endless", ["while :; do :; done", "sleep 60", "sleep 60 & sleep 60"])
async def test_time_is_limited(endless):
    assert await run(shell(endless), b"", Limits(seconds=0.3)) in (137, 152, -9)


async def test_where_there_is_no_sandbox_nothing_is_run(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InvalidRequestError, match="Linux only"):
        await run(["true"], b"")
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "_CHILD", (sys.executable, "-c", f"raise SystemExit({sandbox.REFUSED})"))
    with pytest.raises(InvalidRequestError, match="no user namespaces"):
        await run(["true"], b"")
