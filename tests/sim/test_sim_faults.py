"""Faults of the transport, read byte by byte, and the control pages."""

import asyncio
import json

import pytest

from rung.sim import Clock, simulator
from rung.sim.scenario import PROVIDERS

MODELS = {
    "openai": "gpt-6-luna",
    "groq": "openai/gpt-oss-20b",
    "deepseek": "deepseek-flash",
    "gemini": "gemini-3.8-flash",
    "anthropic": "claude-haiku-5-5",
    "ollama": "qwen2.5-coder:1.5b",
}


def asked(provider, *, stream=True):
    """-> (path, body) of a small question to a provider."""
    model, text = MODELS[provider], "Why?"
    messages = [{"role": "user", "content": text}]
    if provider == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/gemini/v1beta/models/{model}:{verb}", {"contents": [{"parts": [{"text": text}]}]}
    path = {
        "openai": "/openai/v1/chat/completions",
        "groq": "/groq/openai/v1/chat/completions",
        "deepseek": "/deepseek/chat/completions",
        "anthropic": "/anthropic/v1/messages",
        "ollama": "/ollama/api/chat",
    }[provider]
    return path, {"model": model, "messages": messages, "stream": stream, "max_tokens": 400}


class Connection:
    """A bare client: what it reads is what was sent."""

    def __init__(self, sim):
        self.sim = sim

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.sim.port)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    def send(self, path, body=None, method="POST"):
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n"
        self.writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)

    async def head(self):
        """-> (status, headers)"""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers

    async def body(self, headers):
        """-> the decoded body; raises IncompleteReadError where it is cut."""
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body


async def fetch(sim, path, body=None, method="POST"):
    async with Connection(sim) as wire:
        wire.send(path, body, method)
        status, headers = await wire.head()
        return status, headers, await wire.body(headers)


def one(provider, fault):
    return simulator({provider: {"script": [fault]}}, seed=5)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_stream_is_cut_where_the_scenario_says(provider):
    path, body = asked(provider)
    async with simulator({provider: {"script": ["ok", {"kind": "cut", "after_bytes": 333}]}}) as sim:
        _, _, whole = await fetch(sim, path, body)
        async with Connection(sim) as wire:
            wire.send(path, body)
            status, headers = await wire.head()
            assert (status, headers["x-rung-simulated"]) == (200, "true")
            sent = await wire.reader.read()
    pieces, rest = b"", sent
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        pieces, rest = pieces + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert len(pieces) == 333
    assert len(whole) > 333
    assert b"0\r\n\r\n" not in sent[-5:]


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_whole_answer_is_cut_under_its_content_length(how):
    path, body = asked("openai", stream=False)
    async with one("openai", {"kind": "cut", "after_bytes": 20, "how": how}) as sim, Connection(sim) as wire:
        wire.send(path, body)
        _, headers = await wire.head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await wire.body(headers)
        assert sim.requests[0].told is False


@pytest.mark.parametrize("by", [25, -25])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_content_length_that_lies(by, stream):
    path, body = asked("groq", stream=stream)
    async with one("groq", {"kind": "wrong_length", "by": by}) as sim, Connection(sim) as wire:
        wire.send(path, body)
        _, headers = await wire.head()
        sent = await wire.reader.read()
    assert int(headers["content-length"]) - len(sent) == by


async def test_garbage_is_seeded():
    path, body = asked("openai")
    sent = []
    for _ in range(2):
        async with one("openai", {"kind": "garbage", "after_chunks": 1, "size": 50}) as sim:
            sent.append((await fetch(sim, path, body))[2])
    first, rest = sent[0].split(b"\n\n", 1)
    assert first.startswith(b"data: {")
    assert not rest.startswith(b"data: ")
    assert sent[0] == sent[1]


async def test_a_half_close_leaves_the_connection_until_the_client_goes():
    path, body = asked("openai")
    async with one("openai", {"kind": "half_close", "after_chunks": 1}) as sim, Connection(sim) as wire:
        wire.send(path, body)
        await wire.head()
        assert (await wire.reader.read()).count(b"data: ") == 1
        assert sim.requests[0].outcome == "broken"


@pytest.mark.parametrize("after", [None, 0, 2])
async def test_a_stall_lasts_until_the_client_leaves(after):
    path, body = asked("anthropic")
    async with one("anthropic", {"kind": "stall", "after_chunks": after}) as sim:
        async with Connection(sim) as wire:
            wire.send(path, body)
            if after is not None:
                await wire.head()
            for _ in range(after or 0):
                await wire.reader.readuntil(b"\n\n\r\n")
            await sim.busy.wait()
            assert sim.requests[0].outcome == "open"
        await sim.idle.wait()
        assert sim.requests[0].outcome == "left"
        assert sim.requests[0].cost_pico_usd > 0


async def test_keepalives_come_first_and_then_the_answer_or_the_end():
    path, body = asked("deepseek")
    async with simulator({"deepseek": {"script": ["keepalives"]}}) as sim:
        assert (await fetch(sim, path, body))[2].startswith(b": keep-alive\n\n" * 30 + b"data: ")
    fault = {"kind": "keepalives", "then": "close", "every": 0.5, "seconds": 2}
    async with one("deepseek", fault) as sim, Connection(sim) as wire:
        wire.send(path, body | {"stream": False})
        _, headers = await wire.head()
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.body(headers)


async def test_a_stall_of_some_seconds_goes_on():
    path, body = asked("openai")
    async with one("openai", {"kind": "stall", "seconds": 30}) as sim:
        assert (await fetch(sim, path, body))[2].endswith(b"data: [DONE]\n\n")
        assert sim.clock.now() > 30
        assert sim.requests[0].outcome == "whole"


async def test_a_refused_connection_sends_nothing():
    path, body = asked("openai")
    async with one("openai", "refused") as sim, Connection(sim) as wire:
        wire.send(path, body)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.head()
        assert [(entry.outcome, entry.cost_pico_usd) for entry in sim.requests] == [("error", 0)]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_under_status_200(provider, stream):
    path, body = asked(provider, stream=stream)
    async with one(provider, "error_200") as sim:
        status, headers, sent = await fetch(sim, path, body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(sent)["error"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_any_status_may_carry_any_bytes(provider):
    path, body = asked(provider)
    fault = {"kind": "status", "status": 502, "body": "<html>bad gateway", "headers": {"x-a": "b"}}
    async with one(provider, fault) as sim:
        status, headers, sent = await fetch(sim, path, body)
    assert (status, headers["x-a"], sent) == (502, "b", b"<html>bad gateway")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["empty", "only_thinking", "blank_json", "broken_json", "finish", "blocked", "split"])
async def test_faults_of_content_end_as_if_they_were_good(provider, stream, kind):
    path, body = asked(provider, stream=stream)
    async with one(provider, kind) as sim:
        status, _, sent = await fetch(sim, path, body)
        assert (status, sim.requests[0].outcome, sim.requests[0].fault) == (200, "whole", kind)
    assert sent


@pytest.mark.parametrize("wrong", [b"{", b"", b"[]", b'{"model":1}', {"messages": [1]}, {"messages": "x"}, {"stop": 3}])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_request_nobody_can_read_is_a_400(provider, wrong):
    path, body = asked(provider)
    if isinstance(wrong, dict):
        wrong = {**body, **wrong, "contents": [1], "stop_sequences": 3, "options": {"stop": 3}}
    async with simulator() as sim:
        status, _, sent = await fetch(sim, path, wrong)
    assert status == 400
    assert json.loads(sent)["error"]


@pytest.mark.parametrize(
    ("provider", "status"), [("openai", 400), ("groq", 413), ("deepseek", 400), ("gemini", 500), ("anthropic", 400)]
)
async def test_a_prompt_over_the_context_is_refused_in_the_providers_way(provider, status):
    path, body = asked(provider)
    word = "x" * 4_300_000
    body |= {"messages": [{"role": "user", "content": word}], "contents": [{"parts": [{"text": word}]}]}
    async with simulator() as sim:
        assert (await fetch(sim, path, body))[0] == status
        assert len(sim.received[0].body) > len(word)


async def test_rates_are_seeded():
    path, body = asked("openai")
    scenario = {"openai": {"faults": [{"kind": "status", "status": 500, "rate": 0.5}]}}
    runs = []
    for seed in (1, 1, 2):
        async with simulator(scenario, seed=seed) as sim:
            runs.append([(await fetch(sim, path, body))[0] for _ in range(12)])
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 500}


async def test_an_outage_begins_and_ends_in_scenario_time():
    path, body = asked("groq")
    outage = {"start": 100, "end": 200, "fault": {"kind": "status", "status": 503}}
    async with simulator({"groq": {"outages": [outage]}}) as sim:
        statuses = []
        for _ in range(3):
            statuses.append((await fetch(sim, path, body))[0])
            sim.clock.advance(100)
        other = await fetch(sim, *asked("openai"))
    assert statuses == [200, 503, 200]
    assert other[0] == 200


async def test_in_an_outage_of_all_connections_are_closed_on_accept():
    async with simulator({"outages": [{"start": 10}]}) as sim:
        assert (await fetch(sim, "/", method="GET"))[0] == 200
        sim.clock.advance(10)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await fetch(sim, "/", method="GET")


async def test_shared_slowness_and_a_slow_step():
    path, body = asked("openai")
    scenario = {"openai": {"first_token": 1, "tokens_per_second": 0, "slow": [{"start": 50, "factor": 20}]}}
    async with simulator(scenario | {"groq": {"script": ["slow"], "tokens_per_second": 0, "models": {}}}) as sim:
        await fetch(sim, path, body)
        assert sim.clock.now() == 1
        sim.clock.advance(50)
        await fetch(sim, path, body)
        assert sim.clock.now() == 71


async def test_answers_overlap_in_virtual_time():
    path, body = asked("openai")
    async with simulator({"openai": {"first_token": 5, "tokens_per_second": 0}}, clock=Clock()) as sim:
        await asyncio.gather(*(fetch(sim, path, body) for _ in range(5)))
        assert sim.clock.now() < 15


async def test_the_control_pages():
    path, body = asked("openai", stream=False)
    async with simulator({"openai": {"script": [500]}}) as sim:
        _, _, home = await fetch(sim, "/", method="GET")
        assert json.loads(home)["providers"]["groq"] == sim.url("groq")
        assert (await fetch(sim, path, body))[0] == 500
        assert (await fetch(sim, path, body))[0] == 200
        books = json.loads((await fetch(sim, "/sim/books", method="GET"))[2])
        assert books["models"]["openai:gpt-6-luna"]["errors"] == 1
        assert books["told_pico_usd"] == sum(entry.cost_pico_usd for entry in sim.requests)
        told = json.loads((await fetch(sim, "/sim/requests?since=1", method="GET"))[2])["requests"]
        assert [entry["status"] for entry in told] == [200]
        assert (await fetch(sim, "/sim/reset"))[0] == 200
        assert (await fetch(sim, path, body))[0] == 500  # the script begins again
        assert (await fetch(sim, "/sim/scenario", b"[openai]\nscript = [404]"))[0] == 200
        assert (await fetch(sim, path, body))[0] == 404
        assert (await fetch(sim, "/sim/scenario", b"[openai]\nscripts = 1"))[0] == 400
        refused = await fetch(sim, "/sim/scenario", b'[answers]\nfile = "/etc/passwd"')
        assert (refused[0], b"cannot name files" in refused[2]) == (400, True)
        await fetch(sim, "/sim/advance?seconds=60")
        assert sim.clock.now() >= 60
        assert (await fetch(sim, "/sim/advance?seconds=x"))[0] == 400
        assert (await fetch(sim, "/nothing", method="GET"))[0] == 404


async def test_a_connection_serves_many_requests_and_survives_chunked_bodies():
    path, body = asked("openai", stream=False)
    data = json.dumps(body).encode()
    async with simulator() as sim, Connection(sim) as wire:
        for _ in range(3):
            wire.send(path, body)
            status, headers = await wire.head()
            assert status == 200
            await wire.body(headers)
        wire.writer.write(f"POST {path} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        for part in (data[:10], data[10:]):
            wire.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        wire.writer.write(b"0\r\n\r\n")
        assert (await wire.head())[0] == 200


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"\r\n" * 40_000]
)
async def test_what_is_not_http_ends_the_connection(sent):
    async with simulator() as sim, Connection(sim) as wire:
        wire.writer.write(sent)
        try:
            assert await wire.reader.read() == b""
        except ConnectionResetError:
            pass
