"""The engine in process: the same answers and records as over HTTP."""

import asyncio
import sqlite3

import orjson
import pytest

from rung import LadderExhausted, SyncGateway
from rung.errors import InvalidRequestError, ModelNotFoundError, RungError
from rung.ladder import task
from rung.testing import completion_reply, completion_stream, reply, stream_reply

HI = [{"role": "user", "content": "hi"}]


async def test_a_whole_answer_and_its_record(serving):
    async with serving(completion_reply("hello")) as there:
        result = await there.gateway.chat(HI, model="mock:big", temperature=0)
        assert (result.text, result.rung, result.model) == ("hello", "cloud", "mock:big")
        assert result.path == "exact=miss, cloud=answered"
        assert result.cost is None
        assert result.usage.output_tokens == 5
        assert there.upstream.received[0].json() == {"model": "big", "messages": HI, "temperature": 0}
        again = await there.gateway.chat(HI, model="mock:big", temperature=0)
        assert (again.text, again.rung, again.cost) == ("hello", "exact", 0)


async def test_a_stream_and_its_record(serving):
    async with serving(completion_stream("one two")) as there:
        stream = there.gateway.stream(HI, model="mock:big")
        assert [piece async for piece in stream] == ["one two"]
        assert stream.path == "exact=miss, cloud=answered"


async def test_a_stream_left_early_cancels_the_upstream(serving):
    async def forever(request, writer):
        writer.write(stream_reply([b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'], end=False))
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(forever) as there:
        pieces = there.gateway.stream(HI, model="mock:big").pieces()
        assert await anext(pieces) == "x"
        await pieces.aclose()
        await asyncio.wait_for(there.upstream.left.wait(), 5)


async def test_the_first_calls_of_auto_wait_for_one_reading_of_the_words(serving, monkeypatch):
    read, warm = [], task.warm

    def counted():
        read.append("read")
        warm()

    monkeypatch.setattr(task, "warm", counted)
    toml = '[ladder]\nreference = "mock:big"\n'
    async with serving(*[completion_reply("hello")] * 12, toml=toml) as there:
        asked = [[{"role": "user", "content": f"What is love, {number}?"}] for number in range(12)]
        await there.gateway.chat(asked[0], model="mock:big")
        assert read == []  # who names a model need not wait
        results = await asyncio.gather(*(there.gateway.chat(one, no_store=True) for one in asked[1:]))
        assert {result.text for result in results} == {"hello"}
    assert read == ["read"]


async def test_errors_are_the_doors_errors(serving):
    async with serving(completion_reply("x")) as there:
        with pytest.raises(ModelNotFoundError):
            await there.gateway.chat(HI, model="nobody:x")
        with pytest.raises(InvalidRequestError):
            await there.gateway.chat([], model="mock:big")
        with pytest.raises(InvalidRequestError, match="JSON cannot"):
            await there.gateway.chat(HI, model="mock:big", seed=object())


async def test_a_broken_stream_raises(serving):
    async with serving(stream_reply([b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'])) as there:
        with pytest.raises(RungError, match="without its terminator"):
            _ = [piece async for piece in there.gateway.stream(HI, model="mock:big")]


async def test_every_call_has_its_row_in_the_ledger(serving, tmp_path):
    failing = reply({"error": {"message": "no"}}, 400)
    async with serving(completion_reply("hello"), failing, toml="[ledger]\nstore_text = true") as there:
        gateway = there.gateway
        await gateway.chat(HI, model="mock:big", session="s1")
        await gateway.chat(HI, model="mock:big", session="s1")
        with pytest.raises(LadderExhausted):
            await gateway.chat([{"role": "user", "content": "bad"}], model="mock:big")
        await gateway.chat([{"role": "user", "content": "Minify this JSON: [1, 2]"}], private=True)
        await gateway.aclose()
    db = sqlite3.connect(tmp_path / "ledger.sqlite3")
    db.row_factory = sqlite3.Row
    rows = [dict(row) for row in db.execute("select * from climbs order by id")]
    db.close()
    assert [row["outcome"] for row in rows] == ["answered", "answered", "failed", "answered"]
    assert [row["rung"] for row in rows] == ["cloud", "exact", "", "tool"]
    assert [row["cache"] for row in rows] == ["miss", "hit", "miss", ""]
    assert [row["status"] for row in rows] == [200, 200, 400, 200]
    assert rows[0]["session"] == "s1"
    assert rows[0]["cost_pico"] is None
    assert rows[0]["output_tokens"] == 5
    assert b"hello" in rows[0]["answer_text"]
    assert rows[3]["private"] == 1
    assert rows[3]["request_text"] is None
    assert [step["rung"] for step in orjson.loads(rows[2]["attempts"])] == ["exact", "cloud"]


async def test_new_settings_are_taken_while_calls_go_on(serving, settings):
    async with serving(completion_reply("hello")) as there:
        gateway = there.gateway
        url = there.upstream.base_url
        text = f'[local]\nenabled = false\n[providers.other]\nbase_url = "{url}"\nmodels.strong = "x"\n'
        await gateway.reload(await asyncio.to_thread(settings, text))
        assert (await gateway.chat(HI, model="strong")).model == "other:x"
        with pytest.raises(ModelNotFoundError):
            await gateway.chat(HI, model="mock:big")


def test_the_sync_facade_gives_the_same(settings, tmp_path):
    with SyncGateway(settings("[local]\nenabled = false\n")) as gateway:
        text = 'Minify this JSON: {"a": [1, 2]}'
        result = gateway.chat([{"role": "user", "content": text}])
        assert (result.text, result.rung) == ('{"a":[1,2]}', "tool")
        assert "".join(gateway.stream([{"role": "user", "content": text}])) == '{"a":[1,2]}'
        with pytest.raises(LadderExhausted, match="GROQ_API_KEY"):
            gateway.chat(HI)
    gateway.close()


async def test_a_repair_says_what_it_changed(serving, tmp_path):
    async with serving(completion_reply("x")) as there:
        text = "Repair this JSON: {'a': 1,}"
        result = await there.gateway.chat([{"role": "user", "content": text}])
        assert (result.rung, orjson.loads(result.text)) == ("tool", {"a": 1})
        assert any("removed ," in edit for edit in result.edits)
        await there.gateway.aclose()
    db = sqlite3.connect(tmp_path / "ledger.sqlite3")
    ((attempts,),) = db.execute("select attempts from climbs")
    db.close()
    assert orjson.loads(attempts)[0]["edits"] == len(result.edits)
