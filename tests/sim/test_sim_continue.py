"""A stream that DeepSeek's simulator cuts, continued by the same model where the client asked for it."""

from rung.sim.scenario import Scenario

MODEL = "deepseek:deepseek-flash"
TOML = "[retry]\nbudget = 1.0\n[breaker]\nenabled = false\n"
GO_ON = {"x-rung-continue": "true"}
QUIET = {"thinking": {"type": "disabled"}}


def asked(number=0, **more):
    messages = [{"role": "user", "content": "What is a ladder?"}]
    return {"model": MODEL, "messages": messages, "stream": True, "seed": number, "extra_body": QUIET, **more}


async def read(client, **call):
    """-> (chunks, the error that ended them)."""
    chunks = []
    try:
        async for chunk in await client.chat.completions.create(**call):
            chunks.append(chunk)
    except Exception as error:
        return chunks, error
    return chunks, None


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def play(sim, *script):
    sim.use(Scenario.of({"deepseek": {"script": list(script)}}))


def cut(after, how="close"):
    return {"kind": "cut", "after_bytes": after, "how": how}


async def test_wherever_it_is_cut_the_same_model_goes_on(through):
    async with through({}, "deepseek", toml=TOML) as (client, sim):
        whole = text_of((await read(client, **asked()))[0])
        ends = []
        for number, after in enumerate(range(0, 40_000, 1531), 1):
            play(sim, cut(after, ("close", "clean", "reset")[number % 3]))
            call = asked(number, extra_headers=GO_ON, stream_options={"include_usage": True})
            chunks, error = await read(client, **call)
            if error is not None:  # all of the text had come, and there was nothing to add
                assert text_of(chunks) == whole
                ends.append("nothing to add")
                continue
            note = chunks[-1].model_extra["rung"]
            assert text_of(chunks) == whole
            assert len({chunk.id for chunk in chunks}) == 1
            assert [c.choices[0].delta.role for c in chunks if c.choices].count("assistant") == 1
            ends.append(note["climb"].rpartition("cloud=")[2])
            if "continued_at" not in note:
                continue
            assert 0 < note["continued_at"] <= len(whole)
            before, cut_off, rest = note["climb"].split(", ")
            assert (before, rest) == ("exact=miss", "cloud=answered:continued")
            assert cut_off in ("cloud=failed:cut_stream", "cloud=failed:answer_cut")
            assert note["cost_usd"] == "unknown"  # of what the first part has used, nothing was told
            assert note["model"] == MODEL
            again = (await read(client, **call))[0][-1].model_extra["rung"]
            assert "exact=hit" not in again["climb"]
        assert {"answered", "answered:continued"} <= set(ends)
        beta = [request for request in sim.received if request.path.startswith("/beta/")]
        assert len(beta) == len(ends) - ends.count("answered")
        assert ends.count("answered:continued") >= 5


async def test_without_asking_for_it_a_cut_is_an_error(through):
    async with through({}, "deepseek", toml=TOML) as (client, sim):
        play(sim, cut(3000))
        chunks, error = await read(client, **asked())
        assert chunks
        assert "cut" in str(error)
        assert len(sim.received) == 1


async def test_it_is_done_once(through):
    async with through({}, "deepseek", toml=TOML) as (client, sim):
        play(sim, cut(3000), cut(3000))
        chunks, error = await read(client, **asked(extra_headers=GO_ON))
        assert "cut" in str(error)
        assert len(sim.received) == 2
        assert text_of(chunks)


async def test_who_was_only_thinking_is_not_continued(through):
    async with through({}, "deepseek", toml=TOML) as (client, sim):
        play(sim, cut(3000))
        chunks, error = await read(client, **asked(extra_headers=GO_ON, extra_body={}))
        assert error is not None
        assert not text_of(chunks)
        assert len(sim.received) == 1


async def test_a_provider_that_cannot_be_given_a_beginning_is_not_asked_for_the_rest(through):
    async with through({"openai": {"script": [cut(3000)]}}, "openai", toml=TOML) as (client, sim):
        chunks, error = await read(
            client, **{**asked(extra_headers=GO_ON, extra_body={}), "model": "openai:gpt-6-luna"}
        )
        assert text_of(chunks)
        assert error is not None
        assert len(sim.received) == 1


async def test_the_rest_keeps_to_the_callers_limit_of_tokens(through):
    async with through({}, "deepseek", toml=TOML) as (client, sim):
        play(sim, cut(3000))
        chunks, error = await read(client, **asked(extra_headers=GO_ON, max_tokens=40))
        assert error is None
        first, second = (request.json() for request in sim.received)
        assert first["max_tokens"] == 40
        assert second["messages"][-1]["prefix"] is True
        assert text_of(chunks).startswith(second["messages"][-1]["content"])
        assert 0 < second["max_tokens"] < 40


async def test_a_rest_of_nothing_is_no_rest(through):
    async with through({}, "deepseek", toml=TOML) as (client, sim):
        for nothing in ("empty", "blank_json"):
            play(sim, cut(3000), {"kind": nothing})
            chunks, error = await read(client, **asked(extra_headers=GO_ON, user=nothing))
            assert text_of(chunks)
            assert error is not None
