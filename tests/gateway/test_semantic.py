"""The semantic rung end to end: simulators answer from a file of truths, a real client asks over HTTP."""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("usearch")

from openai import AsyncOpenAI

from rung import caches, config
from rung.doors.app import App
from rung.doors.server import running
from rung.errors import RungError
from rung.gateway import Gateway
from rung.semantic import control, decide
from rung.sim import Clock, simulator
from rung.store import writer

TOPICS = ("parcel tracking", "garden hoses", "piano lessons", "bread ovens", "mountain huts", "contact lenses")
FRAMES = (
    "Tell me about {}", "Please tell me about {}", "Can you tell me about {}?", "Explain {} to me",
    "Could you explain {}?", "What should I know about {}?", "Give me an overview of {}",
)  # fmt: skip
NOVEL = [
    f"{verb} {thing}"
    for verb in ("Paint", "Sell", "Borrow", "Melt", "Draw", "Weigh", "Insure", "Film", "Bury", "Rent", "Lift", "Name")
    for thing in [
        "violins",
        "glaciers",
        "tractors",
        "pigeons",
        "candles",
        "anchors",
        "quilts",
        "turbines",
        "tulips",
        "kayaks",
        "orphans",
        "comets",
    ]
]
"""asked once each: nothing stored answers them"""
OPENS = 200
"""calls after which a scope with a limit of 20 % is open: 100 until thresholds are set, some thirty to prove them"""

TOML = """
[local]
enabled = false
[ladder]
reference = "openai:gpt-6.1-terra"
fallback = []
[exact]
enabled = false
[trust]
usd_per_day = 100
[semantic]
max_error = 0.2
deadline = 5
"""


def question(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(writer, "INTERVAL", 0.002)
    monkeypatch.setattr(control, "_LEAST", 100)
    monkeypatch.setattr(decide, "_REFIT", 50)


@pytest.fixture
async def serving(tmp_path):
    """-> async with serving(toml, environ) as gateway, on one home however often it starts."""
    truth = tmp_path / "truth.jsonl"
    rows = [
        {"question": frame.format(topic), "answer": f"Chapter {at} is about {topic}."}
        for at, topic in enumerate(TOPICS)
        for frame in FRAMES
    ]
    rows += [{"question": text, "answer": f"{text}? Ask number {at}."} for at, text in enumerate(NOVEL)]
    truth.write_text("\n".join(json.dumps(row) for row in rows))

    @asynccontextmanager
    async def serve(toml="", **environ):
        path = tmp_path / "rung.toml"
        path.write_text(f'{TOML}{toml}\n[providers.openai]\nbase_url = "{sim.url("openai")}"\nkey = "k"\n')
        home = {"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path), **environ}
        told = await asyncio.to_thread(config.load, home, path, cwd=tmp_path)
        async with Gateway(told) as gateway:
            yield gateway

    fast = {"first_token": {"median": 0.0001}, "tokens_per_second": {"median": 1e6}}
    scenario = {"answers": {"truth": str(truth)}, "openai": fast}
    async with simulator(scenario, clock=Clock(datetime.now(UTC))) as sim:
        yield serve


async def settled(gateway):
    await asyncio.wait_for(gateway.remembering.hits.idle.wait(), 50)


async def ask(gateway, text, **told):
    result = await gateway.chat(question(text), **told)
    await settled(gateway)
    return result


def asked():
    """What opens a scope: all wordings but one of every topic, and every fourth time something new."""
    dice = random.Random(1)
    for at in range(OPENS):
        yield NOVEL[at // 4] if at % 4 == 3 else dice.choice(FRAMES[1:]).format(dice.choice(TOPICS))


async def opened(gateway):
    """Ask until the scope is open and serves; a slow machine declines some look-ups, and learns less from a round."""
    seen = Counter()
    for _ in range(3):
        for text in asked():
            seen[(await ask(gateway, text)).rung] += 1
        if seen["semantic"] > 10:
            break
    return seen


async def test_a_paraphrase_hits_once_that_is_proved_and_nothing_else_does(serving, tmp_path):
    async with serving(RUNG_KEYS="one,two") as gateway, running(App(gateway)) as url:
        one = AsyncOpenAI(base_url=f"{url}/v1", api_key="one", max_retries=0)
        two = AsyncOpenAI(base_url=f"{url}/v1", api_key="two", max_retries=0)

        async def said(client, text, **told):
            raw = await client.chat.completions.with_raw_response.create(model="auto", messages=question(text), **told)
            await settled(gateway)
            return raw.headers, raw.parse()

        headers, _ = await said(one, FRAMES[0].format("letter writing"))
        assert headers["cache-status"] == "semantic; fwd=miss"
        for text in asked():  # cold it shadows: the reference answers, and every answer is compared
            await said(one, text)
        [cell] = gateway.trust_cells()["semantic"]
        assert (cell["state"], cell["bound"], cell["limit"]) == ("open", 0.2, 0.2)

        headers, answer = await said(one, "Tell me about piano lessons")
        assert (headers["x-rung"], headers["cache-status"]) == ("semantic", "semantic; hit")
        assert answer.choices[0].message.content == "Chapter 2 is about piano lessons."
        assert headers["x-rung-climb"].endswith("semantic=hit")
        assert headers["x-rung-cost-usd"] == "0"

        stream = await one.chat.completions.create(
            model="auto", messages=question("Tell me about garden hoses"), stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == (
            "Chapter 1 is about garden hoses."
        )
        assert chunks[0].object == "chat.completion.chunk"

        for text in ("Do not tell me about piano lessons", "Tell me about 3 piano lessons"):
            headers, _ = await said(one, text)
            assert headers["x-rung"] == "cloud", text
        headers, _ = await said(two, "Tell me about piano lessons")
        assert headers["x-rung"] == "cloud"
        headers, _ = await said(one, "Tell me about piano lessons", temperature=0.2)
        assert headers["x-rung"] == "cloud"  # other sampling is another scope
        await one.close()
        await two.close()


async def test_what_was_learnt_outlives_a_restart_and_a_purge_leaves_nothing_on_disk(serving, tmp_path):
    async with serving() as gateway:
        assert (await opened(gateway))["semantic"] > 10
    async with serving() as gateway:
        first = await ask(gateway, "Tell me about bread ovens")  # the scope comes into memory
        assert first.rung == "cloud"
        await gateway.remembering.partitions.loaded()
        result = await ask(gateway, "Tell me about contact lenses")
        assert (result.rung, result.text) == ("semantic", "Chapter 5 is about contact lenses.")

        await asyncio.to_thread(gateway._stores.semantic.flush, 5.0)
        assert any(map(holds("Sell turbines"), files(tmp_path)))
        [vector] = await asyncio.to_thread(vectors, tmp_path, "Sell turbines")
        assert any(map(holds(vector), files(tmp_path)))
        assert await gateway.purge_cache(match="sell TURBINES") == 1
        assert not any(map(holds("Sell turbines"), files(tmp_path)))
        assert not any(map(holds(vector), files(tmp_path)))
        assert gateway.trust_cells()["semantic"][0]["state"] == "shadow"  # what was learnt from it went with it
        assert gateway.cache_stats()["semantic"]["entries"] > 30
        assert await gateway.purge_cache(tenant="somebody else") == 0
        assert await gateway.purge_cache(tenant="local") > 30
        assert not any(map(holds("piano"), files(tmp_path)))


async def test_a_wrong_hit_is_found_by_feedback_and_not_served_again(serving):
    async with serving() as gateway:
        await opened(gateway)
        hit = await ask(gateway, "Tell me about mountain huts")
        assert hit.rung == "semantic"
        with pytest.raises(RungError):
            await gateway.feedback(hit._record.call.request_id, "somebody else", True, False)
        told = await gateway.feedback(hit._record.call.request_id, "local", True, False)
        assert told["quarantined"]
        assert (await ask(gateway, "Tell me about mountain huts")).rung == "cloud"
        assert (await ask(gateway, "Tell me about piano lessons")).rung == "semantic"


async def test_what_may_not_be_stored_or_matched_is_passed_by(serving):
    async with serving() as gateway:

        async def why(text="Tell me about piano lessons", **told):
            result = await gateway.chat(question(text), **told)
            return result.path.partition("semantic=")[2].partition(",")[0], result.attempts[-2].reason

        for _ in range(3):
            await why()
        await gateway.remembering.partitions.loaded()
        assert await why() == ("miss", "miss: no_candidate")
        assert await why(no_store=True) == ("bypass", "bypass: no_store")
        assert await why(temperature=1.0) == ("bypass", "bypass: temperature")
        assert await why(max_error=0.05) == ("bypass", "bypass: limit")
        assert await why("Tell me about pi\u0430no lessons") == ("bypass", "bypass: look_alikes")
        assert await why("Tell me about piano\u200b lessons") == ("bypass", "bypass: look_alikes")
        await settled(gateway)
        before = gateway.cache_stats()["semantic"]["entries"]
        await ask(gateway, "What is the weather today?")
        assert gateway.cache_stats()["semantic"]["entries"] == before  # bound to its time


async def test_what_waits_to_be_learnt_does_not_come_back_after_a_purge(serving, tmp_path):
    async with serving() as gateway:
        for _ in range(3):
            await gateway.chat(question("Tell me about xylophones"))
        await gateway.remembering.partitions.loaded()
        await gateway.chat(question("Tell me about xylophones"))  # its lesson waits
        await gateway.purge_cache(match="xylophones")
        await settled(gateway)
        assert gateway.cache_stats()["semantic"]["entries"] == 0
        await ask(gateway, "Tell me about piano lessons")
        assert gateway.cache_stats()["semantic"]["entries"] == 1


async def test_the_memory_it_may_take_is_bounded_and_the_newest_stay(serving):
    async with serving("max_bytes = 20000\nmax_entry_bytes = 10000") as gateway:
        for text in NOVEL[:30]:
            await ask(gateway, text)
        told = gateway.cache_stats()["semantic"]
        assert 0 < told["bytes"] <= told["max_bytes"] == 20_000
        assert 3 < told["entries"] < 20
        [partition] = gateway.remembering.partitions._there.values()
        assert NOVEL[29] in {entry.prompt for entry in partition.entries.values()}


async def test_without_the_extra_the_gateway_runs_and_says_how_to_get_it(serving, monkeypatch, caplog):
    caplog.set_level("INFO", "rung.semantic")
    monkeypatch.setattr(caches, "_NEEDED", ("no_such_package",))
    async with serving() as gateway:
        assert gateway.remembering is None
        assert (await gateway.chat(question("Tell me about piano lessons"))).rung == "cloud"
    assert "pip install 'rung[semantic]'" in caplog.text


async def test_off_it_is_not_there(serving):
    async with serving("enabled = false") as gateway:
        assert gateway.remembering is None
        assert "semantic" not in (await gateway.chat(question("hello"))).path
        assert gateway.cache_stats()["semantic"] == {"enabled": False}


async def test_prompts_can_be_kept_as_hashes_only(serving, tmp_path):
    async with serving("store_text = false") as gateway:
        for _ in range(3):
            await ask(gateway, "Tell me about xylophone yodelling")
        await gateway.remembering.partitions.loaded()
        await ask(gateway, "Tell me about xylophone yodelling")
    async with serving("store_text = false") as gateway:
        assert not any(map(holds("xylophone"), files(tmp_path)))
        assert await asyncio.to_thread(count, tmp_path) == 1
        await gateway.chat(question("hello"))
        assert await gateway.purge_cache(match="tell me about  Xylophone yodelling") == 1
        assert await asyncio.to_thread(count, tmp_path) == 0


def files(folder):
    return [path for path in folder.iterdir() if path.name.startswith("semantic")]


def holds(what):
    raw = what.encode() if isinstance(what, str) else what
    return lambda path: raw in path.read_bytes()


def vectors(folder, text):
    with closing(sqlite3.connect(folder / "semantic.sqlite3")) as db:
        return [row[0] for row in db.execute("SELECT vector FROM entries WHERE prompt LIKE ?", (f"%{text}%",))]


def count(folder):
    with closing(sqlite3.connect(folder / "semantic.sqlite3")) as db:
        return db.execute("SELECT count(*) FROM entries").fetchone()[0]
