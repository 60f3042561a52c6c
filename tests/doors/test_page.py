"""The page's routes over real sockets: who gets in, what is told, what is not."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rung import config, watching
from rung.doors import page
from rung.doors.app import App
from rung.doors.server import Server
from rung.gateway import Gateway
from rung.store import writer
from rung.testing import ScriptedUpstream
from rung.web.pages import CSP

SECRET = "Minify this JSON: [7321, 7321]"
ROUTES = ("/", "/page/page.js", "/admin/events", "/admin/climbs", "/admin/verdict")


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., Any]:
    """-> async with serving(toml) as there: a gateway that has a reference; there.ask, there.listen, there.chat."""

    @asynccontextmanager
    async def serve(toml: str = "", *, provider: bool = True) -> AsyncIterator[Any]:
        async with ScriptedUpstream() as upstream:
            path = tmp_path / "rung.toml"
            text = f"{toml}\n[local]\nenabled = false\n[semantic]\nenabled = false\n"
            if provider:
                text += f'[providers.mock]\nbase_url = "{upstream.base_url}"\nmodels.strong = "big"\n'
            path.write_text(text)
            home = {"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}
            settings = await asyncio.to_thread(config.load, home, path, cwd=tmp_path)
            async with Gateway(settings) as gateway:
                server = Server(App(gateway))
                await server.start()
                try:
                    yield SimpleNamespace(gateway=gateway, server=server, ask=Asker(server.url), url=server.url)
                finally:
                    await server.drain()

    return serve


class Asker:
    """Sends one request on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.host, _, self.port = url.removeprefix("http://").partition(":")

    async def open(self, method: str, path: str, **headers: str) -> asyncio.StreamReader:
        reader, self.writer = await asyncio.open_connection(self.host, int(self.port))
        lines = {"host": f"{self.host}:{self.port}", "content-length": "0", **headers}
        told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{told}\r\n".encode())
        return reader

    async def __call__(self, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        reader = await self.open(method, path, connection="close", **headers)
        async with asyncio.timeout(20):
            raw = await reader.read()
        self.writer.close()
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


async def chat(gateway: Gateway, **told: Any) -> None:
    await gateway.chat([{"role": "user", "content": SECRET}], no_store=True, **told)


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()


async def test_the_page_and_its_files(serving: Callable[..., Any]) -> None:
    async with serving() as there:
        for path, kind in (("/", "text/html"), ("/page/page.css", "text/css"), ("/page/words.js", "text/javascript")):
            status, headers, body = await there.ask("GET", path, accept_language="fr")
            assert (status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
            assert headers["content-security-policy"] == CSP.lower()
            assert headers["x-content-type-options"] == "nosniff"
            assert body
            status, silent, nothing = await there.ask("HEAD", path, accept_language="fr")
            assert (status, silent["content-type"], nothing) == (200, headers["content-type"], b"")
        assert b'lang="fr"' in (await there.ask("GET", "/", accept_language="fr"))[2]
        assert (await there.ask("GET", "/page/pages.py"))[0] == 404
        assert (await there.ask("GET", "/admin/other"))[0] == 404


@pytest.mark.parametrize("path", ROUTES)
async def test_only_reading(serving: Callable[..., Any], path: str) -> None:
    async with serving() as there:
        status, headers, _ = await there.ask("POST", path)
        assert (status, headers["allow"]) == (405, "get, head")
        status, _, body = await there.ask("HEAD", path)
        assert (status, body) == (200, b"")
        assert not there.gateway.watchers.all


@pytest.mark.parametrize("path", ROUTES)
async def test_a_browser_is_asked_for_a_key(serving: Callable[..., Any], path: str) -> None:
    async with serving('[server]\nkeys = ["right"]\n') as there:
        for told in ({}, {"authorization": basic("wrong")}, {"authorization": "Basic ????"}):
            status, headers, _ = await there.ask("HEAD", path, **told)
            assert status == 401
            assert headers["www-authenticate"].startswith("basic realm=")
        assert (await there.ask("HEAD", path, authorization=basic("right")))[0] == 200
        assert (await there.ask("HEAD", path, authorization="Bearer right"))[0] == 200
        assert "www-authenticate" not in (await there.ask("GET", "/v1/models"))[1]  # a program is not a browser


@pytest.mark.parametrize("path", [*ROUTES, "/v1/chat/completions"])
async def test_another_origin_reads_and_spends_nothing(serving: Callable[..., Any], path: str) -> None:
    async with serving('[server]\nkeys = ["right"]\n') as there:
        method = "POST" if path.startswith("/v1/") else "GET"
        kind = {"authorization": basic("right"), "content_type": "application/json"}
        for origin in ("https://elsewhere.example", "null", "http://127.0.0.1:1", there.url + ".elsewhere.example"):
            assert (await there.ask(method, path, origin=origin, **kind))[0] == 403
        assert (await there.ask(method, path, host="elsewhere.example", **kind))[0] == 403
        assert (await there.ask("HEAD", "/", origin=there.url, **kind))[0] == 200
        assert (await there.ask("POST", "/v1/chat/completions", origin=there.url, **kind))[0] == 400  # looked at: empty


async def event(reader: asyncio.StreamReader) -> tuple[str, str]:
    """The next event, comments left out: (its name, its data)."""
    async with asyncio.timeout(20):
        while True:
            frame = (await reader.readuntil(b"\n\n")).decode()
            fields = dict(
                line.split(": ", 1) for line in frame.split("\n") if ": " in line and not line.startswith(":")
            )
            if "event" in fields:
                return fields["event"], fields.get("data", "")


async def test_a_climb_is_told_as_it_ends(serving: Callable[..., Any]) -> None:
    async with serving() as there:
        reader = await there.ask.open("GET", "/admin/events")
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "content-type: text/event-stream" in head
        assert "cache-control: no-store" in head
        await chat(there.gateway, tenant="tenant-of-mine", session="session-of-mine")
        name, data = await event(reader)
        assert name == "climb"
        told = json.loads(data)
        assert (told["rung"], told["status"], told["private"]) == ("tool", 200, None)
        assert [step["outcome"] for step in told["attempts"]] == ["answered"]
        assert "7321" not in data
        assert "of-mine" not in data
        there.ask.writer.close()


async def test_a_page_that_leaves_is_forgotten(serving: Callable[..., Any]) -> None:
    async with serving() as there:
        reader = await there.ask.open("GET", "/admin/events")
        await reader.readuntil(b"\r\n\r\n")
        assert there.gateway.watchers.all
        there.ask.writer.close()
        async with asyncio.timeout(20):
            while there.gateway.watchers.all:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)


class Listener:
    """A reply that keeps what is written; `then` is called after each piece."""

    def __init__(self, then: Callable[[int], None]) -> None:
        self.pieces: list[bytes] = []
        self.then = then

    def begin(self, status: int, head: bytes) -> None:
        assert status == 200

    async def write(self, body: bytes, more: bool = False) -> None:
        self.pieces.append(body)
        self.then(len(self.pieces))


async def test_what_was_missed_a_comment_and_the_end(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LOOK", 0.0)
    monkeypatch.setattr(watching, "WAITING", 2)
    async with serving() as there:
        state: dict[str, Any] = {}
        watchers = there.gateway.watchers

        def then(pieces: int) -> None:
            if pieces == 1:  # the stream is open
                for watcher in watchers.all:
                    for number in range(5):
                        watcher._waiting = type(watcher._waiting)(watcher._waiting, maxlen=2)
                        watcher.add(b'{"n":%d}' % number)
            elif pieces == 3:
                state["draining"] = True

        listener = Listener(then)
        async with asyncio.timeout(20):
            await page.events(there.gateway, listener, state)
        opening, news, beat, end = listener.pieces
        assert opening == b"retry: 3000\n\n"
        assert news == b'event: missed\ndata: 3\n\nevent: climb\ndata: {"n":3}\n\nevent: climb\ndata: {"n":4}\n\n'
        assert beat == b": still here\n\n"
        assert end == b"event: end\ndata: \n\n"
        assert not watchers.all


async def test_too_many_pages(serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WATCHERS", 0)
    async with serving() as there:
        assert (await there.ask("GET", "/admin/events"))[0] == 503


async def test_the_last_climbs_without_texts_and_names(
    serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "INTERVAL", 0.002)
    async with serving("[ledger]\nstore_text = true\n") as there:
        await chat(there.gateway, tenant="tenant-of-mine", session="session-of-mine")
        await chat(there.gateway, task="math", private=True)
        body = b""
        async with asyncio.timeout(20):
            while body.count(b"request_id") < 2:  # written behind the calls
                status, headers, body = await there.ask("GET", "/admin/climbs")
        assert (status, headers["cache-control"]) == (200, "no-store")
        first, private = json.loads(body)["climbs"]
        assert (first["rung"], first["private"]) == ("tool", 0)
        assert (private["private"], private["task"]) == (1, "")
        assert b"7321" not in body
        assert b"of-mine" not in body
        assert not set(page._KEPT_BACK) & set(first)


async def test_no_ledger_no_climbs(serving: Callable[..., Any]) -> None:
    async with serving("[ledger]\nenabled = false\n") as there:
        assert (await there.ask("GET", "/admin/climbs"))[2] == b'{"climbs":[]}'


async def test_the_verdict_on_demand(serving: Callable[..., Any]) -> None:
    async with serving('[ladder]\nreference = "mock:big"\n') as there:
        status, _, body = await there.ask("GET", "/admin/verdict")
        told = json.loads(body)
        assert status == 200
        assert told["verdict"]["conclusion"]["kind"] == "not_enough_data"
        assert told["html"].startswith("<h1")


async def test_no_verdict_without_a_reference(serving: Callable[..., Any]) -> None:
    async with serving(provider=False) as there:
        status, _, body = await there.ask("GET", "/admin/verdict")
        assert (status, json.loads(body)["error"]["code"]) == (400, "no_reference")
