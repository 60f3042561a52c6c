"""What every test gets: a clean environment, no way off this machine, no blocking call on the event loop."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster
from hypothesis import HealthCheck, settings

# that making an example took long says how busy the machine is
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("any"), max_examples=100)
settings.register_profile("ci", settings.get_profile("any"), max_examples=100, derandomize=True)
settings.register_profile("long", settings.get_profile("any"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "quick"))

FOREIGN = re.compile(r"(?i)^(.*_API_KEY|RUNG_(?!TEST_).*|XDG_.*_HOME|(https?|all|no)_proxy|OLLAMA_.*|SSL_CERT_.*)$")
"""Variables of the developer's shell that would change what a test sees."""

ADDRESS_ARGUMENT = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}
"""Audit events that reach the network or a resolver -> the place of the address among their arguments."""

_left: list[str] = []
_blocked: list[str] = []


def stays_here(address: Any) -> bool:
    """True for a unix socket, nobody (a bound or passive socket) and everything on the loopback."""
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if not host or not isinstance(host, str) or host.startswith(("/", "\0")):
        return True
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _tripwire(event: str, args: tuple[Any, ...]) -> None:
    place = ADDRESS_ARGUMENT.get(event)
    if place is not None and not stays_here(args[place]):
        _left.append(f"{event} {args[place]!r}")
        raise PermissionError(f"a test tried to leave this machine: {_left[-1]}")


sys.addaudithook(_tripwire)  # cannot be taken back, which is the point


class _Told(blockbuster.BlockingError):
    """Remembered, because the code under test may well swallow exceptions."""

    def __init__(self, func: str) -> None:
        super().__init__(func)
        _blocked.append(func)


@pytest.fixture(autouse=True)
def house_rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test for a blocking call of rung on a running loop, or a try to reach another machine."""
    monkeypatch.setattr(blockbuster, "BlockingError", _Told)
    _left.clear()
    _blocked.clear()
    with blockbuster.blockbuster_ctx("rung") as watched:
        # coverage's own lock: two threads that come to a file for the first time wait for one another
        watched.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        yield
    assert not _blocked, f"blocking calls on the event loop: {_blocked}"
    assert not _left, f"this test tried to leave the machine: {_left}"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's keys, settings or proxies; a home of its own."""
    for name in list(os.environ):
        if FOREIGN.match(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNG_HOME", str(tmp_path / "rung"))


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of async tests. For a test that must hold on uvloop too:

    ``@pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})])``
    (uvloop connects in C, where the tripwire above sees nothing).
    """
    return "asyncio"
