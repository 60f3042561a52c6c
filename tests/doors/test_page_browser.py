"""The page in a real browser, if there is one: no error, nothing too wide, both languages, the verdict in each.

The long look (three sizes, light and dark, axe-core, screenshots) is ``benchmarks/page/run.py``.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rung import config
from rung.doors.app import App
from rung.doors.server import Server
from rung.gateway import Gateway
from rung.store.ledger import ClimbRow, Ledger
from rung.store.writer import Writer
from rung.testing import ScriptedUpstream

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--remote-debugging-pipe",
)  # fmt: skip
UNTIL = """new Promise((done) => { const look = () => (%s) ? done(true) : setTimeout(look, 20); look(); })"""


class Browser:
    """Speaks the DevTools protocol over a pipe (https://chromedevtools.github.io/devtools-protocol/)."""

    def __init__(self, reader: asyncio.StreamReader, to_browser: int) -> None:
        self._reader, self._to = reader, to_browser
        self._numbers = count(1)
        self._session = ""
        self.errors: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        message = json.dumps({**asked, "sessionId": self._session} if self._session else asked)
        await asyncio.to_thread(os.write, self._to, message.encode() + b"\0")
        while True:
            told = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._note(told)

    async def open(self, url: str, width: int, height: int) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        found = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """What `script`, an expression, comes to."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, true: str) -> None:
        await self.run(UNTIL % true)

    def _note(self, told: dict[str, Any]) -> None:
        method, params = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(json.dumps(params["entry"]))


@asynccontextmanager
async def browsing(home: Path) -> AsyncIterator[Browser]:
    """A browser of its own, gone afterwards."""
    assert CHROMIUM is not None
    read, write = os.pipe(), os.pipe()  # what it reads, what it writes
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (read[0], write[1])]
    actions = [(os.POSIX_SPAWN_DUP2, fd, place) for fd, place in zip(theirs, (3, 4), strict=True)]
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={home}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    started = {"file_actions": [*actions, *quiet], "setpgroup": 0}
    pid = await asyncio.to_thread(os.posix_spawn, CHROMIUM, command, environment, **started)
    for fd in (*theirs, read[0], write[1]):
        os.close(fd)
    reader = asyncio.StreamReader(limit=2**24)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(write[0], "rb")
    )
    try:
        yield Browser(reader, read[1])
    finally:
        os.close(read[1])
        transport.close()
        os.killpg(pid, signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, pid, 0)


def fill(path: Path) -> None:
    """A ledger with one call, so that the page never meets a file that is just being made."""
    attempts = b'[{"rung": "exact", "model": "exact", "outcome": "answered", "ms": 0.2, "cost": 0}]'
    ledger = Ledger(path, Writer())
    ledger.write([ClimbRow("r1", time.time(), rung="exact", model="exact", total_ms=0.2, attempts=attempts)])
    ledger.close()


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[str]:
    """-> the address of a gateway's page, after one call."""
    async with ScriptedUpstream() as upstream:
        told = tmp_path / "rung.toml"
        text = f'[providers.mock]\nbase_url = "{upstream.base_url}"\nmodels.strong = "big"\n'
        text += '[ladder]\nreference = "mock:big"\n[local]\nenabled = false\n[semantic]\nenabled = false\n'
        await asyncio.to_thread(told.write_text, text)
        home = {"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}
        settings = await asyncio.to_thread(config.load, home, told, cwd=tmp_path)
        await asyncio.to_thread(fill, settings.ledger.path)
        async with Gateway(settings) as gateway:
            server = Server(App(gateway))
            await server.start()
            yield server.url
            await server.drain()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.timeout(240)
async def test_the_page_in_a_browser(page: str, tmp_path: Path) -> None:
    async with asyncio.timeout(200), browsing(tmp_path / "browser") as browser:
        await browser.open(f"{page}/", 390, 844)
        await browser.until("document.querySelector('#health li')")
        assert await browser.run("document.documentElement.lang") == "en"
        await browser.until("document.querySelector('#status').textContent === 'live'")

        await browser.run("document.querySelector('#send').click()")
        await browser.until("document.querySelector('#way').textContent.includes('tool')")
        await browser.until("document.querySelector('ul.calls summary .who')?.textContent === 'tool'")

        await browser.run("document.querySelector('#weigh').click()")
        await browser.until("document.querySelector('.verdict-text[lang=en] h3, #verdict .bad')")
        said = await browser.run(
            "(document.querySelector('#verdict .bad') || document.querySelector('.verdict-text h3')).textContent"
        )
        assert said == "Not enough data yet"

        await browser.run("document.querySelector('.languages [lang=fr]').click()")
        await browser.until("document.querySelector('.verdict-text[lang=fr] h3, #verdict .bad')")
        assert await browser.run("document.documentElement.lang") == "fr"
        said = await browser.run(
            "(document.querySelector('#verdict .bad') || document.querySelector('.verdict-text h3')).textContent"
        )
        assert said == "Pas encore assez de données"
        assert await browser.run("document.activeElement.lang") == "fr", "the switch keeps the focus"
        assert await browser.run("document.documentElement.scrollWidth <= innerWidth"), "nothing is too wide"
        assert browser.errors == []
