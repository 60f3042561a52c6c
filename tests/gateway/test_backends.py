"""Which local backend a gateway takes, what it says of it, and what becomes of calls."""

import asyncio
import logging

import pytest

from rung import backends
from rung.backends import Backends
from rung.doors.app import App
from rung.doors.server import running as serves
from rung.errors import PrivacyError, RungError
from rung.gateway import Gateway
from rung.local import hardware, upkeep
from rung.local.catalogue import row
from rung.local.discover import Found
from rung.local.embedded import Embedded
from rung.local.fit import MARGIN, least_ram
from rung.local.ollama import Model
from rung.local.predict import Measured
from rung.local.speeds import Setup
from rung.local.trial import remember
from rung.sim import simulator
from rung.testing import ScriptedUpstream, completion_reply, reply
from rung.wire.client import Client
from rung.wire.origin import Origin

NOBODY = Origin("http", "127.0.0.1", 9)
OLLAMA = Found("Ollama", NOBODY, "", installed=(Model("qwen2.5-coder:1.5b", 10**6),))
STUDIO = Found("LM Studio", NOBODY, "/v1", ("phi-4",))


@pytest.fixture
async def client():
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture
def running(monkeypatch):
    """-> a list of what discovery finds; `asked` keeps how it was asked."""
    found = []

    async def discover(client, **asked):
        running.asked.append(asked)
        return list(found)

    def running(*servers):
        found[:] = servers

    running.asked = []
    monkeypatch.setattr(backends, "discover", discover)
    monkeypatch.setattr(backends, "find_spec", lambda name: object())
    return running


@pytest.fixture
def pulled(tmp_path, monkeypatch):
    """Put the 0.5B where it is looked for: the right size, none of the content; it is never loaded."""

    async def start(self):
        self.health.become("loading")

    monkeypatch.setattr(Embedded, "start", start)

    def put():
        model = row("qwen2.5-coder:0.5b")
        folder = tmp_path / "models"
        folder.mkdir(exist_ok=True)
        with (folder / model.file).open("wb") as file:
            file.truncate(model.bytes)

    return put


@pytest.fixture
def lines(monkeypatch):
    """What rung logs, kept in memory: pytest's own handler writes, which no event loop should wait for."""

    class Keeping(logging.Handler):
        def emit(self, record):
            kept.append(record.getMessage())

    kept = []
    log, keeping = logging.getLogger("rung"), Keeping()
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [keeping])
    monkeypatch.setattr(log, "level", logging.INFO)
    log.manager._clear_cache()
    yield kept
    log.manager._clear_cache()


async def chosen(told, client):
    room = Backends()
    await room.start(told, client)
    current = room.current
    await room.aclose()
    return None if current is None else (current.kind, current.model)


async def embedded(told, client):
    room = Backends()
    await room.start(told, client)
    engine = room.current.engine
    await room.aclose()
    return engine.threads, engine.context, engine.tuning.batch, engine.tuning.repack


async def test_the_engine_runs_as_was_found_to_be_quickest(settings, client, running, pulled, monkeypatch):
    await asyncio.to_thread(pulled)
    told = await asyncio.to_thread(settings)
    machine = hardware.Hardware(8, 64 << 30, 32 << 30)
    monkeypatch.setattr(backends.hardware, "look", lambda: machine)
    assert await embedded(told, client) == (7, 8192, 32, True)
    model = told.paths.models / row("qwen2.5-coder:0.5b").file
    found = Setup(threads=4, batch=128, repack=False)
    await asyncio.to_thread(remember, told.paths.models, model, Measured(30.0, 9.0, 4), "2026-11-22", found)
    assert await embedded(told, client) == (4, 8192, 128, False)
    said = await asyncio.to_thread(settings, "[local]\nthreads = 2\ncontext = 16384\n")
    assert await embedded(said, client) == (2, 16384, 128, False)


async def test_short_memory_is_told(settings, client, running, pulled, lines, monkeypatch):
    await asyncio.to_thread(pulled)
    told = await asyncio.to_thread(settings)
    model = row("qwen2.5-coder:0.5b")
    machine = hardware.Hardware(2, 4 << 30, least_ram(model.bytes, model) + MARGIN)
    monkeypatch.setattr(backends.hardware, "look", lambda: machine)
    assert await embedded(told, client) == (1, 4096, 32, False)
    assert any("memory is short, so 4,096 tokens of context" in line for line in lines)


async def test_crashes_and_restarts_are_counted_beside_the_models(settings, client, running, pulled):
    await asyncio.to_thread(pulled)
    told = await asyncio.to_thread(settings)
    for _ in range(2):  # the second is the gateway started again
        room = Backends()
        await room.start(told, client)
        health = room.current.health
        health.become("ready", loaded=True)
        health.become("failing", "the engine is ending")
        health.become("failing", "the engine crashed (signal 9)")
        health.become("ready", loaded=True)
        await room.aclose()
    async with asyncio.timeout(20):
        while True:  # written behind the event loop's back
            mine = (await asyncio.to_thread(upkeep.kept, told.paths.models)).get("qwen2.5-coder-0.5b")
            if mine is not None and mine.total() == upkeep.Day(crashes=2, restarts=2):
                break
            await asyncio.sleep(0.005)


async def test_without_configuration_the_order_is_ollama_embedded_server(settings, client, running, pulled):
    told = await asyncio.to_thread(settings)
    assert await chosen(told, client) is None
    running(STUDIO)
    assert await chosen(told, client) == ("server", "phi-4")
    await asyncio.to_thread(pulled)
    assert await chosen(told, client) == ("embedded", "qwen2.5-coder-0.5b")
    running(OLLAMA, STUDIO)
    assert await chosen(told, client) == ("ollama", "qwen2.5-coder:1.5b")


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('backend = "embedded"', ("embedded", "qwen2.5-coder-0.5b")),
        ('model = "qwen2.5-coder:0.5b"', ("embedded", "qwen2.5-coder-0.5b")),
        ('backend = "server"', ("server", "phi-4")),
        ('backend = "server"\nmodel = "other"', ("server", "phi-4")),
        ('model = "ollama:qwen2.5-coder:1.5b"', ("ollama", "qwen2.5-coder:1.5b")),
        ('model = "ollama:nobody"', None),
        ("enabled = false", None),
    ],
)
async def test_what_is_named_comes_first(settings, client, running, pulled, toml, expected):
    await asyncio.to_thread(pulled)
    running(OLLAMA, STUDIO)
    assert await chosen(await asyncio.to_thread(settings, f"[local]\n{toml}"), client) == expected


async def test_what_is_named_needs_no_look_around(settings, client, running, pulled):
    await asyncio.to_thread(pulled)
    await chosen(await asyncio.to_thread(settings, '[local]\nmodel = "qwen2.5-coder:0.5b"'), client)
    assert running.asked == []
    toml = '[local]\nbackend = "server"\nserver = "http://127.0.0.1:4000/v1"'
    await chosen(await asyncio.to_thread(settings, toml), client)
    (asked,) = running.asked
    assert asked == {"ollama": None, "servers": ((Origin("http", "127.0.0.1", 4000), "/v1"),), "named": True}


async def test_ollama_is_looked_for_where_the_environment_says(settings, client, running):
    await chosen(await asyncio.to_thread(settings, "", OLLAMA_HOST="127.0.0.1:4711"), client)
    assert running.asked[0]["ollama"][0] == Origin("http", "127.0.0.1", 4711)


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("", "no local rung: there is no model yet; rung models pull qwen2.5-coder:1.5b"),
        ('model = "qwen2.5-coder:0.5b"', "the model qwen2.5-coder:0.5b is not here; get it with: rung models pull"),
        ('model = "ollama:phi4"', "no Ollama answers that has a model"),
        ('backend = "server"', "no model server answers that has a model"),
    ],
)
async def test_none_is_said_once_with_what_to_do(settings, client, running, lines, toml, line):
    room = Backends()
    await room.start(await asyncio.to_thread(settings, f"[local]\n{toml}"), client)
    await room._choose()
    await room.aclose()
    assert [told for told in lines if line in told] == lines != []


async def test_a_damaged_file_is_not_served_and_one_line_says_what_to_do(settings, client, tmp_path, lines):
    model = row("smollm2:135m")
    folder = tmp_path / "models"

    def put():
        folder.mkdir(exist_ok=True)
        with (folder / model.file).open("wb") as file:
            file.truncate(model.bytes)

    await asyncio.to_thread(put)
    told = await asyncio.to_thread(settings, '[local]\nmodel = "smollm2:135m"\n')
    room = Backends()
    await room.start(told, client)
    assert not await room.current.ready(20)
    assert room.told()["local"] == "gone"
    await room.aclose()
    (line,) = [line for line in lines if "gone" in line and "stopped" not in line]
    assert "is damaged or another file" in line
    assert "remove it with `rung models rm smollm2-135m`, then `rung models pull smollm2-135m`" in line


async def test_a_cut_file_is_one_line_too(settings, client, tmp_path, lines):
    mine = tmp_path / "mine.gguf"
    await asyncio.to_thread(mine.write_bytes, b"GGUF" + bytes(20))
    room = Backends()
    await room.start(await asyncio.to_thread(settings, f'[local]\nmodel = "{mine}"'), client)
    assert not await room.current.ready(20)
    await room.aclose()
    await asyncio.get_running_loop().shutdown_default_executor()  # lines are written in threads
    (line,) = [line for line in lines if "mine.gguf" in line]
    assert line.startswith("local model: gone (mine.gguf")


async def test_through_the_gateway_with_ollama(settings, tmp_path):
    """A private call is answered by Ollama, and the ledger says by which weights."""
    async with simulator() as sim:
        toml = f'[local]\nbackend = "ollama"\n[providers.ollama]\nbase_url = "{sim.root("ollama")}"\n'
        told = await asyncio.to_thread(settings, toml)
        async with Gateway(told) as gateway:
            result = await gateway.chat([{"role": "user", "content": "hi"}], private=True)
            assert (result.rung, result.model) == ("local", "local:qwen2.5-coder-1.5b")
            status, ready = gateway.readiness()
            assert (status, ready["local"], ready["local_backend"]) == (200, "ready", "ollama")
            backend = gateway._backends.current
            assert len(backend.version) == 64
            assert result._record.answer.evidence.model_version == backend.version
            assert {"id": "local:qwen2.5-coder-1.5b", "object": "model", "created": 0, "owned_by": "local"} in (
                gateway.models()
            )


async def test_a_model_that_moved_to_the_cloud_is_asked_for_nothing_private(settings):
    """Its name is the same, and its tag says that it runs elsewhere: a private call fails rather than leave."""
    async with simulator() as sim:
        toml = f'[local]\nmodel = "ollama:qwen3:4b"\n[providers.ollama]\nbase_url = "{sim.root("ollama")}"\n'
        async with Gateway(await asyncio.to_thread(settings, toml)) as gateway:
            assert (await gateway.chat([{"role": "user", "content": "hi"}], private=True)).rung == "local"
            installed = sim.providers["ollama"].installed
            moved = installed.models["gpt-oss:120b-cloud"]
            installed.models["qwen3:4b"] = moved
            with pytest.raises(PrivacyError, match="runs elsewhere"):
                await gateway.chat([{"role": "user", "content": "and now?"}], private=True)


async def test_a_backend_that_appears_later_is_taken(settings, client, running, monkeypatch):
    monkeypatch.setattr(backends, "REFRESH", 0.0)
    monkeypatch.setattr(backends, "_tell", lambda state, detail: None)
    changed = []
    room = Backends(lambda: changed.append(room.current.kind))
    await room.start(await asyncio.to_thread(settings), client)
    assert room.told() == {"local": "none"}
    await room._search
    running(STUDIO)
    room.told()
    await room._search
    assert changed == ["server"]
    assert room.told()["local_backend"] == "server"
    await room.aclose()


async def test_the_gateway_wires_it_in(settings, running, monkeypatch):
    monkeypatch.setattr(backends, "REFRESH", 0.0)
    async with ScriptedUpstream(completion_reply("here")) as upstream:
        origin, path = Origin.parse(upstream.base_url)
        async with Gateway(await asyncio.to_thread(settings)) as gateway:
            assert gateway.lineup.local is None
            running(Found("vLLM", origin, path, ("phi-4",)))
            gateway.readiness()
            await gateway._backends._search
            assert gateway.lineup.local.model == "local:phi-4"


async def lines_of(url, body, **headers):
    """-> the lines of a streamed answer, as they came."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    told = {"host": "localhost", "content-type": "application/json", "content-length": len(body), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}connection: close\r\n\r\n".encode() + body)
    try:
        return (await reader.read()).splitlines()
    finally:
        writer.close()


async def test_a_private_stream_is_kept_alive_while_the_model_loads(settings):
    """The load outlasts many heartbeats; the client hears of each, and then the answer."""
    loaded = asyncio.Event()
    beats = []

    async def ollama(asked, writer):
        body = asked.json() if asked.body else {}
        tag = {"name": "phi4:latest", "digest": "d" * 64, "size": 9}
        if asked.target == "/api/chat" and not body["messages"] and not beats:
            beats.append(1)
            await loaded.wait()
        said = {"message": {"role": "assistant", "content": "Hello"}, "done": True, "done_reason": "stop"}
        models = {"models": [tag]}
        answers = {"/api/tags": models, "/api/ps": models, "/api/version": {"version": "1"}, "/api/show": {}}
        writer.write(reply(answers.get(asked.target, said)))
        await writer.drain()

    async with ScriptedUpstream(ollama) as upstream:
        base = upstream.base_url.removesuffix("/v1")
        toml = (
            f'[server]\nheartbeat = "0.1s"\n[local]\nmodel = "ollama:phi4"\n[providers.ollama]\nbase_url = "{base}"\n'
        )
        async with Gateway(await asyncio.to_thread(settings, toml)) as gateway, serves(App(gateway)) as url:
            body = b'{"model":"auto","stream":true,"messages":[{"role":"user","content":"hi"}]}'
            asking = asyncio.create_task(lines_of(url, body, **{"x-rung-private": "true"}))
            await asyncio.sleep(0.35)
            assert gateway.readiness()[1]["local"] == "loading"
            loaded.set()
            lines = await asking
    assert lines[0] == b"HTTP/1.1 200 OK"
    comments = [place for place, line in enumerate(lines) if line == b": keep-alive"]
    (answer,) = [place for place, line in enumerate(lines) if b'"content":"Hello"' in line]
    assert comments
    assert max(comments) < answer
    assert b"data: [DONE]" in lines


async def test_unplugged_the_local_model_answers(settings):
    """No network: the cloud cannot be reached, and `auto` is answered here, told as unproved."""
    async with simulator() as sim:
        toml = (
            f'[local]\nbackend = "ollama"\n[providers.ollama]\nbase_url = "{sim.root("ollama")}"\n'
            '[providers.away]\nbase_url = "http://127.0.0.1:9/v1"\nmodels.strong = "big"\n[retry]\nattempts = 1\n'
            '[ladder]\nreference = "away:big"\n'
        )
        async with Gateway(await asyncio.to_thread(settings, toml)) as gateway:
            assert await gateway._backends.current.ready(20)
            result = await gateway.chat([{"role": "user", "content": "hi"}])
    assert (result.rung, result._record.answer.evidence.unproved) == ("local", True)
    assert "cloud=failed:connect_failed" in result._record.path()


async def test_unplugged_without_a_model_one_line_says_what_to_do(settings, running):
    toml = '[providers.away]\nbase_url = "http://127.0.0.1:9/v1"\nmodels.strong = "big"\n[retry]\nattempts = 1\n'
    async with Gateway(await asyncio.to_thread(settings, toml)) as gateway:
        with pytest.raises(RungError, match=r"127\.0\.0\.1:9") as caught:
            await gateway.chat([{"role": "user", "content": "hi"}])
    assert "\n" not in caught.value.message
