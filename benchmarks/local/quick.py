"""How quick is the embedded engine here? Warm prefixes, drafts, labels, and the event loop's longest gap.

    python benchmarks/local/quick.py --models FOLDER --out benchmarks/results/local_quick.json     # about 10 minutes
    python benchmarks/local/quick.py --models FOLDER --part drafts --model 0.5b

Needs a quiet machine: generation uses the cores it is given, and llama.cpp's threads wait for each other in a spin.
Drafts are measured by two engines asked in turn, with and without, so that what the machine does to one it does to
the other; the ratio of their best times is taken per prompt. Prompts are read before the clock starts there: only
generation counts.
Everything goes through the product's own way: rung, adapter, child process, HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import orjson
from msgspec.structs import replace
from texts import CHATS, EDITS, LABEL, MESSAGES, QUESTIONS, REAL_EDITS, SYSTEM, TEAMS

from rung.answer import Answer
from rung.call import Call
from rung.cli.bench_local_cases import cases
from rung.local.build import compiled_for
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.speculate import Drafted, drafted
from rung.local.tuning import Tuning
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.wire.client import Client

FILES = {"0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "1.5b": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"}
PARTS = ("warm", "drafts", "labels", "extraction", "gap")
BARS = {
    "warm_1": ("first token, warm 500-token prefix, 1.5B, 1 thread", 1.0, "s, at most"),
    "warm_2": ("the same, 2 threads", 0.5, "s, at most"),
    "edits_1.5b": ("drafts on code edits, 1.5B", 1.3, "times, at least"),
    "edits_0.5b": ("drafts on code edits, 0.5B", 1.7, "times, at least"),
    "chat_1.5b": ("drafts on chat, 1.5B", 0.97, "times, at least"),
    "chat_0.5b": ("drafts on chat, 0.5B", 0.97, "times, at least"),
    "label_words": (
        "a label from probabilities against written out, in words, 1.5B, 2 threads",
        1.0,
        "times, at least",
    ),
    "label_object": ("the same inside an object", 1.3, "times, at least"),
    "extraction": ("six fields filled in, against written under a grammar, 1.5B, 2 threads", 1.0, "times, at least"),
    "gap_1": ("longest gap of the event loop while 1 thread generates", 15.0, "ms, at most"),
}

Said = tuple[float, float, str, Drafted | None]
"""seconds to the first content, seconds in all, the text, the engine's own times"""


@asynccontextmanager
async def engine(path: Path, threads: int, tuning: Tuning) -> AsyncIterator[LocalRung]:
    """The product's local rung over one engine of its own."""
    client = Client()
    made = Engine(path, alias="m", threads=threads, context=4096, tuning=tuning)
    backend = Embedded(made, identify=lambda: path.name)
    try:
        await backend.start()
        if not await backend.ready(300):
            raise SystemExit(f"{path.name}: {backend.health.detail}")
        yield LocalRung(backend, adapter_for(backend, client), patient=True)
    finally:
        await backend.stop()
        await client.aclose()


async def ask(rung: LocalRung, user: str, system: str = "", **more: Any) -> Said:
    """One streamed call, timed from outside."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": user})
    body = {"model": "local", "messages": messages, "stream": True, "temperature": 0, **more}
    call = Call(body=body, raw=orjson.dumps(body), model="local", request_id="b", stream=True, include_usage=True)
    start = time.perf_counter()
    answer = await rung.attempt(call)
    assert isinstance(answer, Answer), answer
    assert answer.events is not None
    first, frames = 0.0, b""
    async for event in answer.events:
        if event.content and not first:
            first = time.perf_counter() - start
        frames += event.data
    whole = time.perf_counter() - start
    parts = [orjson.loads(line[6:]) for line in frames.splitlines() if line.startswith(b"data:")]
    text = "".join(one["choices"][0]["delta"].get("content") or "" for one in parts if one["choices"])
    return first, whole, text, drafted(frames)


async def whole(rung: LocalRung, user: str, **more: Any) -> str:
    """One call that is not streamed: its text."""
    body = {"model": "local", "messages": [{"role": "user", "content": user}], "temperature": 0, **more}
    answer = await rung.attempt(Call(body=body, raw=orjson.dumps(body), model="local", request_id="b"))
    assert isinstance(answer, Answer), answer
    return str(orjson.loads(answer.body or b"")["choices"][0]["message"]["content"])


async def warm(path: Path, threads: int) -> dict[str, Any]:
    """First token of a 500-token prefix: cold, warm, and warm in the engine's next life."""
    with tempfile.TemporaryDirectory() as folder:
        tuning = Tuning(heads=Path(folder))
        async with engine(path, threads, tuning) as rung:
            cold = (await ask(rung, QUESTIONS[0], SYSTEM, max_tokens=4))[0]
            await ask(rung, QUESTIONS[1], SYSTEM, max_tokens=4)  # the head is written to disk
            times = [(await ask(rung, question, SYSTEM, max_tokens=4))[0] for question in QUESTIONS[2:] * 2]
        async with engine(path, threads, tuning) as rung:
            restored = (await ask(rung, QUESTIONS[0], SYSTEM, max_tokens=4))[0]
    out = {"threads": threads, "cold": cold, "warm": statistics.median(times), "worst": max(times)}
    return _rounded(out | {"next_life": restored})


async def drafts(path: Path, threads: int, repeats: int) -> dict[str, Any]:
    """Generation with and without drafts, one engine each, asked in turn; of each prompt and engine the best time
    counts, for what others do to a shared machine only ever slows it down."""
    off = replace(Tuning(), drafts=None)
    out: dict[str, Any] = {"threads": threads}
    async with engine(path, threads, Tuning()) as sped, engine(path, threads, off) as plain:
        for kind, prompts, limit, turns in (
            ("edits", (*EDITS, *REAL_EDITS), 300, repeats),
            ("chat", CHATS, 100, 2 * repeats),
        ):
            rows = [await _with_and_without(sped, plain, prompt, limit, turns) for prompt in prompts]
            ratios = [min(row["off"]) / min(row["on"]) for row in rows]
            offered = sum(row["drafted"] for row in rows)
            kept = sum(row["accepted"] for row in rows) / offered if offered else None
            on, off = (sum(min(row[side]) * row["tokens"] for row in rows) for side in ("on", "off"))
            out[kind] = {
                "gain": round(statistics.median(ratios), 3),
                "in_all": round(off / on, 3),
                "each": [round(one, 2) for one in ratios],
                "plain_ms": round(off / sum(row["tokens"] for row in rows), 3),
                "accepted": kept and round(kept, 3),
                "drafted": offered,
                "same_text": f"{sum(row['same'] for row in rows)}/{len(rows)}",
                "prompts": rows,
            }
    return out


async def _with_and_without(sped: LocalRung, plain: LocalRung, prompt: str, limit: int, turns: int) -> dict[str, Any]:
    """Milliseconds a token with (`on`) and without drafts (`off`), in every turn."""
    row: dict[str, Any] = {"on": [], "off": []}
    texts = set()
    for turn in range(turns):
        sides = [("on", sped), ("off", plain)]
        for name, rung in sides[:: -1 if turn % 2 else 1]:
            await ask(rung, prompt, max_tokens=1)
            _, _, text, told = await ask(rung, prompt, max_tokens=limit)
            assert told is not None
            row[name].append(round(told.predicted_ms / told.predicted_n, 2))
            texts.add(text)
            if name == "on":
                row |= {"tokens": told.predicted_n, "drafted": told.draft_n, "accepted": told.draft_n_accepted}
    return row | {"same": len(texts) == 1}


async def labels(path: Path, threads: int) -> dict[str, Any]:
    """Seconds for one label, in words and in an object: from probabilities, and written out."""
    team = {"type": "object", "properties": {"team": {"enum": list(TEAMS)}}, "required": ["team"]}
    out: dict[str, Any] = {"threads": threads}
    for name, form in (("words", {}), ("object", _form(team))):
        prompts = [(f"{LABEL}\n\nMessage", message) for message in ("Hello.", *MESSAGES)]
        out[name] = await _told_and_written(path, threads, prompts, 24, form)
    return out


async def extraction(path: Path, threads: int) -> dict[str, Any]:
    """Seconds for six fields of an order: filled in member by member, and written out under a grammar."""
    asked = cases(11, 9, ("extract",))
    prompts = [(head, text) for head, _, text in (one["prompt"].rpartition(": ") for one in asked)]
    return {"threads": threads} | await _told_and_written(path, threads, prompts, 160, _form(asked[0]["schema"]))


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}


async def _told_and_written(
    path: Path, threads: int, prompts: list[tuple[str, str]], limit: int, form: dict[str, Any]
) -> dict[str, Any]:
    """Medians of the fast path and of the usual one, in turn; asking for logprobs leaves the fast path. The first
    prompt reads what all have in common and is not counted."""
    fast: list[float] = []
    written: list[float] = []
    same = 0
    async with engine(path, threads, replace(Tuning(), kept_prompts=0)) as rung:
        for number, (head, text) in enumerate(prompts):
            texts = []
            for taken, mark, more in ((fast, "a", {}), (written, "b", {"logprobs": True})):
                marked = f"{head} {number}{mark}: {text}"  # so that neither finds the other's read
                began = time.perf_counter()
                texts.append(await whole(rung, marked, max_tokens=limit, **form, **more))
                taken.append(time.perf_counter() - began)
            same += texts[0] == texts[1]
    told = {"told": statistics.median(fast[1:]), "written": statistics.median(written[1:])}
    return _rounded(told | {"gain": told["written"] / told["told"]}) | {"same_text": f"{same}/{len(prompts)}"}


async def gap(path: Path, threads: int) -> dict[str, Any]:
    """The loop's longest gap, in ms, while an answer is generated and passed on."""
    worst, ticks = 0.0, 0

    async def tick() -> None:
        nonlocal worst, ticks
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0.002)
            now = time.perf_counter()
            worst, before, ticks = max(worst, now - before - 0.002), now, ticks + 1

    async with engine(path, threads, Tuning()) as rung:
        await ask(rung, CHATS[0], max_tokens=4)
        ticker = asyncio.create_task(tick())
        await ask(rung, CHATS[1], max_tokens=120)
        ticker.cancel()
    return {"threads": threads, "longest_ms": round(worst * 1000, 2), "ticks": ticks}


def _rounded(told: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in told.items()}


async def measure(folder: Path, parts: list[str], models: list[str], repeats: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    big = folder / FILES["1.5b"]
    if "warm" in parts:
        out["warm"] = [await warm(big, threads) for threads in (1, 2)]
    if "drafts" in parts:
        out["drafts"] = {name: await drafts(folder / FILES[name], 2, repeats) for name in models}
    if "labels" in parts:
        out["labels"] = await labels(big, 2)
    if "extraction" in parts:
        out["extraction"] = await extraction(big, 2)
    if "gap" in parts:
        out["gap"] = [await gap(big, threads) for threads in (1, 2)]
    return out


def _joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` beside what `old` has of other parts and models."""
    drafts = old.get("drafts", {}) | new.get("drafts", {})
    return old | new | ({"drafts": drafts} if drafts else {})


def reached(told: dict[str, Any]) -> dict[str, float]:
    """The figures the bars are about."""
    out: dict[str, float] = {}
    for one in told.get("warm", ()):
        out[f"warm_{one['threads']}"] = one["warm"]
    for name, one in told.get("drafts", {}).items():
        out |= {f"edits_{name}": one["edits"]["gain"], f"chat_{name}": one["chat"]["gain"]}
    if "labels" in told:
        out |= {f"label_{name}": told["labels"][name]["gain"] for name in ("words", "object")}
    if "extraction" in told:
        out["extraction"] = told["extraction"]["gain"]
    for one in told.get("gap", ()):
        out[f"gap_{one['threads']}"] = one["longest_ms"]
    return {name: value for name, value in out.items() if name in BARS}


def report(told: dict[str, Any]) -> str:
    """Bars and figures as Markdown."""
    machine = told["machine"]
    built = f" compiled for {' '.join(machine['compiled_for'])}" if machine.get("compiled_for") else ""
    lines = [
        f"# Quick: the embedded engine, {machine['date']}",
        "",
        f"{machine['cores']} cores, Python {machine['python']}, xllamacpp {machine['xllamacpp']}{built}, load before "
        f"{machine['load']}. Method: benchmarks/local/quick.py.",
        "",
        *([machine["note"], ""] if "note" in machine else []),
        "| what | measured | bar | |",
        "|---|---|---|---|",
    ]
    for name, value in reached(told).items():
        what, bar, unit = BARS[name]
        holds = value <= bar if "most" in unit else value >= bar
        lines.append(f"| {what} | {value:g} | {bar:g} {unit} | {'yes' if holds else 'MISSED'} |")
    for one in told.get("warm", ()):
        told_warm = f"cold {one['cold']} s, warm {one['warm']} s (worst {one['worst']} s)"
        lines += ["", f"{one['threads']} thread(s): {told_warm}; next life, head kept on disk: {one['next_life']} s."]
    for name, one in told.get("drafts", {}).items():
        for kind in ("edits", "chat"):
            row = one[kind]
            spread = (
                f"gain {row['gain']} in the median of {row['each']}, {row['in_all']} in all; {row['drafted']} drafted"
            )
            kept = f"accepted {row['accepted']}, same text as without in {row['same_text']}"
            lines += ["", f"{name} {kind}: {spread}, {kept}; {row['plain_ms']} ms a token without."]
    forms = {f"Label, {name}": told["labels"][name] for name in ("words", "object") if "labels" in told}
    for name, one in (forms | ({"Six fields": told["extraction"]} if "extraction" in told else {})).items():
        spread = f"{one['told']} s by the fast path, {one['written']} s written out, same text in {one['same_text']}"
        lines += ["", f"{name}: {spread}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of the two GGUF files")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--model", action="append", choices=list(FILES), help="for drafts")
    parser.add_argument("--repeats", type=int, default=2, help="of the drafts' prompts")
    parser.add_argument("--add", action="store_true", help="keep what --out holds of other parts")
    parser.add_argument("--note", help="what the report should say of the machine's state")
    parser.add_argument("--out", type=Path, help="a JSON file; the report is written beside it as .md")
    told = parser.parse_args()
    if not all((told.models / name).exists() for name in FILES.values()):
        print(f"skipped: {', '.join(FILES.values())} are not all in {told.models}")
        return 0
    machine = {
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        "cpu": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "xllamacpp": version("xllamacpp"),
        "compiled_for": compiled_for(),
        "load": [round(one, 2) for one in os.getloadavg()],
    } | ({"note": told.note} if told.note else {})
    parts = told.part or list(PARTS)
    out = {"machine": machine} | asyncio.run(measure(told.models, parts, told.model or list(FILES), told.repeats))
    if told.add and told.out is not None and told.out.exists():
        out = _joined(json.loads(told.out.read_text()), out)
    print(report(out))
    if told.out is not None:
        told.out.write_text(json.dumps(out, indent=2) + "\n")
        told.out.with_suffix(".md").write_text(report(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
