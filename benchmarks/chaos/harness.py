"""A gateway behind its own HTTP door, simulators behind the gateway, and a client that believes nothing.

The client reads HTTP and SSE by hand and holds every answer to this: it is whole and word for word what one
provider says, or it is an error in OpenAI's shape; a stream that breaks is a true beginning of one provider's
answer with an explicit error at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rung import config
from rung.doors.app import App
from rung.doors.server import running
from rung.gateway import Gateway
from rung.ladder.climb import Climb
from rung.sim import RealClock, Scenario, Simulator, simulator
from rung.sim.faults import Cut
from rung.sim.scenario import PROVIDERS

MODELS = {
    "groq": "openai/gpt-oss-20b",
    "deepseek": "deepseek-flash",
    "gemini": "gemini-3.5-flash-lite",
    "openai": "gpt-6-luna",
    "anthropic": "claude-haiku-5-5",
    "ollama": "qwen2.5-coder:1.5b",
}
ORDER = tuple(MODELS)

HURRY, PATIENCE = 4.0, 20.0
"""seconds each call is given: where silence is a fault that is played, and where it would only be a busy machine"""
GRACE = 8.0
"""seconds after its deadline from which a call counts as hanging"""

JSON_QUESTION = "as JSON"


def says(provider: str, question: str) -> str:
    """What that provider, and no other, answers."""
    if JSON_QUESTION in question:
        return json.dumps({"by": provider, "words": ["ünï", "cödé"]}, ensure_ascii=False)
    return " ".join(f"{provider}-{word}" for word in ("one", "twö", "three", "✓", "fïve"))


class Broken(AssertionError):
    """A promise was not kept; says which call."""


@dataclass
class Outcome:
    """One call as its client saw it. `kind`: whole, short, error, cut or left."""

    kind: str
    status: int = 0
    code: str = ""
    provider: str = ""
    climb: str = ""
    text: str = ""
    continued: bool = False


class Watched(Gateway):
    """Keeps every climb that has ended."""

    def __init__(self, settings: config.Settings) -> None:
        super().__init__(settings)
        self.climbs: list[Climb] = []

    def close(self, record: Climb, error: BaseException | None) -> None:
        first = not record.ended
        super().close(record, error)
        if first:
            self.climbs.append(record)


@dataclass
class Room:
    """All that runs for one phase."""

    url: str
    sim: Simulator
    gateway: Watched
    tables: Mapping[str, Mapping[str, Any]]
    answers: Path
    toml: str
    deadline: float
    counts: Counter[str] = field(default_factory=Counter)
    asked: dict[str, tuple[str, bool, Outcome]] = field(default_factory=dict)
    """question -> model, stream and what came of it, to see later what was kept"""

    async def play(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """The same scenario from its beginning, with these providers' tables and no faults but theirs."""
        said = {name: {**told, "faults": [], **tables.get(name, {})} for name, told in self.tables.items()}
        scenario = await asyncio.to_thread(Scenario.of, {"answers": {"file": str(self.answers)}, **said})
        await asyncio.to_thread(self.sim.use, scenario)

    async def be_patient(self) -> None:
        """Longer deadlines from now on; the cache stays."""
        self.deadline = PATIENCE
        settings = await asyncio.to_thread(_settings, self.answers.parent, self.toml.format(silence=PATIENCE))
        await self.gateway.reload(settings)

    async def ask(
        self,
        question: str,
        *,
        model: str,
        stream: bool,
        leave_after: int | None = None,
        by: str = "",
        go_on: bool = False,
    ) -> Outcome:
        """One call, checked; the client leaves after so many milliseconds. `by`: who said it, if the cache answers;
        `go_on`: a stream that is cut may be continued.

        Raises Broken.
        """
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "stream": stream,
            "rung": {"continue": go_on},
        }
        if JSON_QUESTION in question:
            body["response_format"] = {"type": "json_object"}
        try:
            async with asyncio.timeout(self.deadline + GRACE):
                raw = await _post(self.url, body, leave_after, self.deadline)
            outcome = Outcome("left") if raw is None else _judge(*raw, question, stream, by)
        except TimeoutError:
            raise Broken(f"{question!r} to {model} hangs") from None
        except Broken as broken:
            raise Broken(f"{question!r} to {model}, stream={stream}: {broken}") from None
        self.counts[f"{outcome.kind}{f' {outcome.code}' if outcome.code else ''}"] += 1
        self.asked[question] = (model, stream, outcome)
        return outcome


async def _post(
    url: str, body: Mapping[str, Any], leave_after: int | None, deadline: float
) -> tuple[int, dict[str, str], bytes] | None:
    """-> (status, headers, body), read strictly; None if the client was told to leave."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        data = json.dumps(body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
            f"x-rung-deadline-ms: {round(deadline * 1000)}\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        if leave_after is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(max(leave_after, 1)), 0.001 * leave_after)
            return None
        received = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    top, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        raise Broken(f"no HTTP response but {received[:80]!r}")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        rest = _dechunk(rest)
    elif len(rest) != int(headers["content-length"]):
        raise Broken("the response is shorter or longer than it says")
    return int(first.split()[1]), headers, rest


def _dechunk(data: bytes) -> bytes:
    out = []
    while True:
        size, found, data = data.partition(b"\r\n")
        if not found:
            raise Broken("the chunked response has no end")
        length = int(size, 16)
        if not length:
            return b"".join(out)
        out.append(data[:length])
        data = data[length + 2 :]


def _judge(status: int, headers: dict[str, str], body: bytes, question: str, stream: bool, by: str) -> Outcome:
    climb = headers.get("x-rung-climb", "")
    if status != 200:
        return Outcome("error", status, _error(json.loads(body)), climb=climb)
    provider = by if headers["x-rung"] == "exact" else headers.get("x-rung-model", "").partition(":")[0]
    expected = says(provider, question)
    if not stream:
        choice = json.loads(body)["choices"][0]
        text = choice["message"]["content"]
        return _ended(Outcome("whole", status, "", provider, climb, text or ""), choice["finish_reason"], expected)
    try:
        *frames, rest = body.decode().split("\n\n")
    except UnicodeDecodeError as error:
        raise Broken(f"the stream is not UTF-8: {error}") from None
    if rest:
        raise Broken(f"the stream ends inside a frame: {rest!r}")
    lines = [frame for frame in frames if not frame.startswith(":")]
    if any(not line.startswith("data: ") for line in lines):
        raise Broken(f"not an event: {next(line for line in lines if not line.startswith('data: '))!r}")
    done = lines[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in (lines[:-1] if done else lines)]
    code = "" if done else _error(chunks.pop())
    if len({chunk.get("id") for chunk in chunks}) > 1:
        raise Broken(f"chunks of several answers: { {chunk.get('id') for chunk in chunks} }")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    note = chunks[-1].get("rung", {}) if done else {}
    continued = "continued_at" in note
    if headers["x-rung"] == "pending":  # it was begun with a sign of life: the note says who it was, or the text
        provider = note["model"].partition(":")[0] if done else text.partition("-")[0]
        expected = says(provider, question)
    outcome = Outcome("whole" if done else "cut", status, code, provider, climb, text, continued)
    finish = next((choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")), None)
    if done and finish is None:
        raise Broken("a stream with its terminator, but without a finish reason")
    return _ended(outcome, finish if done else None, expected)


def _ended(outcome: Outcome, finish: str | None, expected: str) -> Outcome:
    """An answer that says itself that it is not all (``length``, say) is `short`; so is broken JSON."""
    if finish not in (None, "stop"):
        outcome.kind, outcome.code = "short", str(finish)
    elif outcome.kind == "whole" and (outcome.text == expected[:-1] or outcome.text.isspace()):
        # the simulated model forgot its last letter, or all of them: only where JSON was asked does it show
        if expected.startswith("{"):
            outcome.kind, outcome.code = "short", "broken_json"
        return outcome
    if outcome.kind == "whole" and expected.startswith("{") and json.loads(outcome.text) == json.loads(expected):
        return outcome  # what Groq could not generate is repaired, in other white space
    blank = not outcome.text.strip()
    good = outcome.text == expected if outcome.kind == "whole" else blank or expected.startswith(outcome.text)
    if not good:
        raise Broken(f"{outcome.provider} said {outcome.text!r} ({outcome.kind}, {finish}); by {outcome.climb}")
    return outcome


def _error(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not all(isinstance(error.get(key), str) for key in ("message", "type", "code")):
        raise Broken(f"neither whole nor a clear error: {body!r}")
    return str(error["code"])


@asynccontextmanager
async def room(
    place: Path,
    toml: str = "",
    *,
    faults: Mapping[str, list[dict[str, Any]]] | None = None,
    seed: int = 0,
    silence: float = PATIENCE,
) -> AsyncIterator[Room]:
    """Simulators, gateway and door; nothing of them is left afterwards, or Broken is raised.

    `silence`: seconds after which the gateway gives a silent provider up.
    """
    await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True)
    said = place / "answers.jsonl"
    rows = [
        {"match": match, "provider": name, "text": says(name, question), "reasoning": "hm"}
        for match, question in ((JSON_QUESTION, JSON_QUESTION), (".", ""))
        for name in ORDER
    ]
    await asyncio.to_thread(said.write_text, "\n".join(json.dumps(row) for row in rows), "utf-8")
    quick = {
        "first_token": 0.002,
        "tokens_per_second": 50_000,
        "limits": {"requests": 0, "tokens": 0, "concurrency": 0},
    }
    tables = {name: {**quick, "faults": (faults or {}).get(name, [])} for name in PROVIDERS}
    tables["ollama"]["load_seconds"] = 0
    scenario = await asyncio.to_thread(Scenario.of, {"answers": {"file": str(said)}, **tables})
    tasks, files = asyncio.all_tasks(), open_files()
    async with simulator(scenario, seed=seed, clock=RealClock()) as sim:
        text = BASE + toml + "".join(f'[providers.{name}]\nbase_url = "{sim.url(name)}"\n' for name in ORDER)
        settings = await asyncio.to_thread(_settings, place, text.format(silence=silence))
        async with Watched(settings) as gateway, running(App(gateway)) as url:
            there = Room(url, sim, gateway, tables, said, text, HURRY if silence < HURRY else PATIENCE)
            yield there
    await _settle(lambda: asyncio.all_tasks() <= tasks and open_files() <= files)
    if left := asyncio.all_tasks() - tasks:
        raise Broken(f"{len(left)} tasks are left: {left}")
    if open_files() > files:
        raise Broken(f"{open_files() - files} files or sockets are left open")
    there.counts["upstream requests"] = sim.books.requests


BASE = """
[local]
enabled = false
[ladder]
reference = "groq:openai/gpt-oss-20b"
strong = "openai:gpt-6-luna"
fallback = ["deepseek:deepseek-flash", "gemini:gemini-3.5-flash-lite", "openai:gpt-6-luna"]
[deadlines]
connect = 1
first_byte = {silence}
idle = {silence}
total = 30
"""


def _settings(place: Path, text: str) -> config.Settings:
    path = place / "rung.toml"
    path.write_text(text)
    return config.load({"RUNG_HOME": str(place), "HOME": str(place)}, path, cwd=place)


def open_files() -> int:
    """How many files and sockets are open; but the embedder's weights, which stay mapped once they are read."""
    gc.collect()
    return len(os.listdir("/dev/fd")) - sum(_mapped(name) for name in os.listdir("/dev/fd"))


def _mapped(name: str) -> bool:
    try:
        return os.readlink(f"/dev/fd/{name}").endswith(".safetensors")
    except OSError:
        return False


async def _settle(reached: Any) -> None:
    """Closing takes the loop a few rounds: wait for it, not for ever."""
    for _ in range(200):
        if reached():
            return
        await asyncio.sleep(0.01)


def cut(after: int, how: str) -> dict[str, Any]:
    return {"kind": Cut.__struct_config__.tag, "after_bytes": after, "how": how}
