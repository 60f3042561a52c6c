"""Asking the cases of ``rung bench local``: one rung at a time, one call after the other, every outcome kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson

from rung.answer import Answer
from rung.call import Call
from rung.cli.bench_local_cases import Case
from rung.cli.bench_local_code import passes
from rung.errors import ConnectFault, EngineFault, ModelFileError, RungError, TimeoutFault
from rung.ladder.rung import Rung
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.hosted import Server
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.rungs.tool import ToolRung
from rung.wire.client import Client, Origin

CONTEXT = 2048
UNANSWERED = "unanswered: "
"""begins the problem of a case that the machine is to blame for, not the model"""

_LOAD = 300.0
_DEADLINE = 600.0
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_FENCE = re.compile(r"```[\w-]*\n(.*?)\n?```", re.DOTALL)


class Outcome(msgspec.Struct):
    """One case asked. `right` is None where the rung declined, or could not answer in time (`UNANSWERED`).

    `cpu`: seconds of the engine's process, None if it is not ours. `probability`: the label's, where it is one.
    """

    model: str
    task: str
    key: str
    right: bool | None
    problem: str
    seconds: float
    cpu: float | None = None
    probability: float | None = None
    prompt: str = ""
    said: str = ""


class Subject(msgspec.Struct):
    """Who is asked. `pid` gives the process whose time is counted, None if there is none."""

    name: str
    rung: Rung
    pid: Callable[[], int | None] = lambda: None


def key_of(case: Case) -> str:
    """Tells cases apart, across runs."""
    return hashlib.blake2b(f"{case['task']}\n{case['prompt']}".encode(), digest_size=8).hexdigest()


@asynccontextmanager
async def tools(rung: ToolRung) -> AsyncIterator[Subject]:
    """The tool rung, warm."""
    await asyncio.to_thread(rung.warm)
    yield Subject("tool", rung)


@asynccontextmanager
async def embedded(name: str, path: Path, threads: int) -> AsyncIterator[Subject]:
    """The embedded engine with the model at `path`. Raises ModelFileError if it cannot be run."""
    engine = Engine(path, alias=name, threads=threads, context=CONTEXT, load_deadline=_LOAD)
    backend = Embedded(engine)
    client = Client()
    try:
        await backend.start()
        if not await backend.ready(_LOAD):
            raise ModelFileError(f"{path.name} could not be run: {backend.health.detail or backend.health.state}")
        yield Subject(name, LocalRung(backend, adapter_for(backend, client), patient=True), lambda: engine.pid)
    finally:
        await backend.stop()
        await client.aclose()


@asynccontextmanager
async def served(base_url: str, model: str) -> AsyncIterator[Subject]:
    """A model of a server on this machine that speaks OpenAI's API: Ollama's ``/v1``, llama-server, vLLM, LM Studio.

    Raises ModelFileError if it is not there, ConfigError for an address that is none.
    """
    origin, base_path = Origin.parse(base_url)
    client = Client()
    backend = Server(client, origin, base_path, model)
    try:
        await backend.start()
        if not await backend.ready(_LOAD):
            raise ModelFileError(f"{model} at {origin.label}: {backend.health.detail or backend.health.state}")
        yield Subject(model, LocalRung(backend, adapter_for(backend, client), patient=True))
    finally:
        await backend.stop()
        await client.aclose()


async def ask(subject: Subject, case: Case) -> Outcome:
    """Ask one case and judge the answer."""
    by_tool = subject.name == "tool"
    asked = case.get("tool_prompt", case["prompt"]) if by_tool else case["prompt"]
    body: dict[str, Any] = {
        "model": "local",
        "messages": [{"role": "user", "content": asked}],
        "temperature": 0,
    }
    if not by_tool:  # a program knows where to end
        body["max_tokens"] = case.get("max_tokens", 256)
    if "schema" in case:
        told = {"name": case["task"], "schema": case["schema"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": told}
    now = time.monotonic()
    call = Call(body=body, raw=orjson.dumps(body), model="local", request_id="bench", deadline=now + _DEADLINE)
    outcome = Outcome(subject.name, case["task"], key_of(case), False, "", 0.0)
    burnt, start = _cpu(subject.pid()), time.perf_counter()
    try:
        answer = await subject.rung.attempt(call)
    except (ConnectFault, EngineFault, TimeoutFault) as error:
        outcome.right, outcome.problem = None, f"{UNANSWERED}{error.message}"
    except RungError as error:
        outcome.problem = f"{error.code}: {error.message}"
    else:
        if isinstance(answer, Answer):
            outcome.said = orjson.loads(answer.body or b"")["choices"][0]["message"]["content"] or ""
            outcome.probability = getattr(answer.evidence, "label_probability", None)
        else:
            outcome.right, outcome.problem = None, f"declined: {answer.reason}"
    outcome.seconds = time.perf_counter() - start
    spent = _cpu(subject.pid())
    if spent is not None and burnt is not None:
        outcome.cpu = spent - burnt
    if not outcome.problem:
        outcome.problem = await judge(case, outcome.said, by_tool=by_tool)
        outcome.right = not outcome.problem
    if outcome.problem:
        outcome.prompt = case["prompt"]
    return outcome


async def judge(case: Case, said: str, *, by_tool: bool = False) -> str:
    """Why `said` is not the case's truth; empty if it is."""
    truth = case["truth"]
    if case["task"] == "code":
        return await passes(_unfenced(said), truth)
    if by_tool and case["task"] == "lint":
        said = "no" if said.startswith("No findings") else "yes"
    return _JUDGES[case["task"]](_unfenced(said), truth)


def _json(said: str, truth: dict[str, Any]) -> str:
    try:
        value = json.loads(said)
    except ValueError:
        return "it is not JSON"
    if json.dumps(value, sort_keys=True) != json.dumps(truth["value"], sort_keys=True):
        return "the value differs"
    return "" if "text" not in truth or _indented(said) else "it is not indented as asked"


def _indented(said: str) -> bool:
    """On several lines, each 2 spaces for every level open before it? A small list or object may share a line."""
    depth = 0
    for line in said.splitlines():
        bare = _TEXT.sub("", line.lstrip(" "))
        if len(line) - len(line.lstrip(" ")) != 2 * (depth - (bare[:1] in ("}", "]"))):
            return False
        depth += bare.count("{") + bare.count("[") - bare.count("}") - bare.count("]")
    return "\n" in said


def _word(said: str, truth: str) -> str:
    found = re.match(r"\W*([\w-]+)", said.lower())
    return "" if found is not None and found[1] == truth.lower() else f"not {truth}"


def _fields(said: str, truth: dict[str, Any]) -> str:
    try:
        found = json.loads(said)
    except ValueError:
        return "it is not JSON"
    if not isinstance(found, dict):
        return "it is not an object"
    wrong = [name for name, value in truth.items() if _plain(found.get(name)) != _plain(value)]
    return f"wrong: {', '.join(wrong)}" if wrong else ""


def _plain(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _short(said: str, truth: str) -> str:
    text = re.sub(r"^(the|a|an) ", "", said.strip().strip("'\"`*").rstrip(".").strip("'\"`*").lower())
    return "" if text == truth.lower() else f"not {truth}"


def _unfenced(said: str) -> str:
    found = _FENCE.search(said)
    return found[1] if found else said.strip()


_JUDGES: dict[str, Callable[[str, Any], str]] = {
    "json": _json,
    "lint": _word,
    "label": _word,
    "extract": _fields,
    "short": _short,
}


def _cpu(pid: int | None) -> float | None:
    """Seconds of processor time the process has used so far (proc(5)); None where that cannot be known."""
    if pid is None:
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
