"""Who is asked and why, and what never leaves, through the door and in front of the simulators."""

import logging
import sqlite3

import pytest

from rung.ladder import privacy

CARD = "4111 1111 1111 1111"
CODE = "Write a Python function that returns the n-th Fibonacci number."


def said(text):
    return [{"role": "user", "content": text}]


async def ask(client, text, **more):
    """-> (model that answered, response headers)."""
    call = {"model": "auto", "messages": said(text), **more}
    raw = await client.chat.completions.with_raw_response.create(**call)
    return raw.headers["x-rung-model"], raw.headers


async def test_each_kind_of_call_goes_where_its_row_says(through):
    async with through({}, "groq", "deepseek", "gemini", "openai") as (client, _):
        for task, provider in (("analysis", "gemini"), ("prototyping", "groq"), ("code_generation", "deepseek")):
            model, headers = await ask(client, f"{task}?", extra_headers={"x-rung-task": task})
            assert (model.partition(":")[0], headers["x-rung-task"]) == (provider, task)
        model, headers = await ask(client, CODE)
        assert (model.partition(":")[0], headers["x-rung-task"]) == ("deepseek", "code_generation")
        stream = await client.chat.completions.create(model="auto", messages=said(f"{CODE} Now."), stream=True)
        note = [chunk async for chunk in stream][-1].model_extra["rung"]
        assert note["task"] == "code_generation"
        assert 0 < note["task_confidence"] <= 1
        assert note["task_why"]


async def test_who_chose_a_reference_is_not_second_guessed(through):
    toml = '[ladder]\nreference = "openai:gpt-6.1-terra"\n'
    async with through({}, "groq", "deepseek", "openai", toml=toml) as (client, _):
        assert (await ask(client, CODE))[0] == "openai:gpt-6.1-terra"


async def test_the_kind_is_looked_for_only_where_it_must_be_known(through, monkeypatch):
    looked = []
    classify = privacy.classify
    monkeypatch.setattr(privacy, "classify", lambda body: looked.append(body) or classify(body))
    async with through({}, "groq", "deepseek") as (client, _):
        await ask(client, "hello", model="groq:openai/gpt-oss-20b")
        await ask(client, "hello", model="fast")
        await ask(client, "hello", extra_headers={"x-rung-task": "math"})
        await ask(client, "Minify this JSON: [1, 2]")
        assert looked == []
        await ask(client, "hello again")
        assert len(looked) == 1
        _, headers = await ask(client, "hello again")
        assert headers["x-rung-climb"].endswith("exact=hit")
        assert len(looked) == 1


DOWN = {"openai": {"outages": [{"fault": {"kind": "status", "status": 503}}]}}


@pytest.mark.parametrize("listed", [False, True])
async def test_whoever_stands_in_is_chosen_by_what_this_call_should_cost(inside, listed):
    toml = '[retry]\nattempts = 1\n[ladder]\nreference = "openai:gpt-6.1-terra"\n'
    if listed:
        toml += 'fallback = ["gemini:gemini-3.8-flash", "groq:openai/gpt-oss-120b"]\n'
    async with inside(DOWN, "openai", "groq", "gemini", toml=toml) as (gateway, _):
        result = await gateway.chat(said("Why is the sky blue?"))
        assert result.model == ("gemini:gemini-3.8-flash" if listed else "groq:openai/gpt-oss-120b")
        start = "openai:gpt-6.1-terra is the reference"
        assert result.why.startswith(
            start if listed else f"{start}; then by expected price: groq:openai/gpt-oss-120b ~0."
        )
        assert listed or result.why.index("groq:") < result.why.index("gemini:")


async def test_an_unknown_price_comes_last_and_says_so(inside):
    toml = """[retry]
attempts = 1
[ladder]
reference = "openai:gpt-6.1-terra"
fallback = ["groq:nobody-knows", "gemini:gemini-3.8-flash"]
order = "price"
"""
    async with inside(DOWN, "openai", "groq", "gemini", toml=toml) as (gateway, _):
        result = await gateway.chat(said("Why is the sky blue?"))
        assert result.model == "gemini:gemini-3.8-flash"
        assert result.why.endswith("groq:nobody-knows price unknown")


async def test_by_latency_whoever_spoke_sooner_is_asked_first(inside):
    toml = '[retry]\nattempts = 1\n[ladder]\nreference = "openai:gpt-6.1-terra"\norder = "latency"\n'
    async with inside(DOWN, "openai", "groq", "gemini", toml=toml) as (gateway, _):
        for model, seconds in (("groq:openai/gpt-oss-120b", 3.0), ("gemini:gemini-3.8-flash", 0.2)):
            gateway._seen.spoke(model, False, seconds)
        result = await gateway.chat(said("Why is the sky blue?"))
        assert result.model == "gemini:gemini-3.8-flash"
        assert "by time to the first content: gemini:gemini-3.8-flash ~0.20 s" in result.why


SECRETS = [CARD, "DE89 3704 0044 0532 0130 00", "bob@acme.fr", "+33 6 12 34 56 78", "sk-proj-Abc123dEf456GhI789jKl012"]
DETECT = '[privacy]\ndetect = ["all"]\n[ledger]\nstore_text = true\n'


@pytest.mark.parametrize("model", ["auto", "fast", "groq:openai/gpt-oss-20b"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_found_goes_nowhere(through, tmp_path, caplog, openai, model, stream):
    caplog.set_level(logging.DEBUG, logger="rung")
    async with through({}, "groq", "deepseek", toml=DETECT) as (client, sim):
        for secret in SECRETS:
            with pytest.raises(openai.PermissionDeniedError) as caught:
                await client.chat.completions.create(model=model, messages=said(f"Look: {secret}!"), stream=stream)
            error = caught.value
            assert error.code == "private_call_cannot_leave"
            assert error.response.headers["x-rung-private"] in {"card", "iban", "email", "phone", "key"}
            assert secret not in str(error)
        answer, _ = await ask(client, "Look: nothing!", model=model)
        assert answer
    assert len(sim.received) == 1
    assert not any(secret in caplog.text for secret in SECRETS)
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as ledger:
        rows = ledger.execute("select private, request_text from climbs").fetchall()
        kept = "".join(ledger.iterdump())
    assert sorted(bool(private) for private, _ in rows) == [False] + [True] * len(SECRETS)
    assert not any(secret in kept for secret in SECRETS)


async def test_long_calls_are_looked_through_too(through, openai):
    async with through({}, "groq", toml=DETECT) as (client, sim):
        with pytest.raises(openai.PermissionDeniedError, match="found in it: card"):
            await ask(client, "word " * 20_000 + CARD)
        assert not sim.received
        await ask(client, "word " * 20_000)


@pytest.mark.parametrize(
    ("rule", "text", "headers"),
    [
        ('words = ["Projet Étoile"]', "the PROJET ÉTOILE files", {}),
        ('models = ["au*"]', "hi", {}),
        ('tasks = ["math"]', "hi", {"x-rung-task": "math"}),
        ('tasks = ["code_generation"]', CODE, {}),
    ],
)
async def test_rules(through, openai, rule, text, headers):
    async with through({}, "groq", toml=f"[privacy]\n{rule}\n") as (client, sim):
        with pytest.raises(openai.PermissionDeniedError):
            await ask(client, text, extra_headers=headers)
        assert not sim.received
        if not rule.startswith("models"):
            await ask(client, "Say hello.")
