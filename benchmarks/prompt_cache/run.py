"""How much of what could be read from the providers' prompt caches is read: rung against balancing in turn.

The whole gateway, in process, in front of the simulators on a loopback port; time is virtual. SIMULATED: the
caches are the simulators' models of the providers' documented rules (src/rung/sim/cachemodel.py).

    python benchmarks/prompt_cache/run.py [--seed 5] [--sessions 200] [--out benchmarks/results/prompt_cache.json]
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any

import agents
import orjson

from rung import __version__, config
from rung.errors import RungError
from rung.gateway import Gateway
from rung.sim import Clock, Simulator, simulator
from rung.sim.clock import RealClock

MODELS = ("anthropic:claude-sonnet-5-5", "openai:gpt-6-luna", "deepseek:deepseek-flash")
NAMES = ("strong", "fast", "auto")
"""what the sessions ask for; each has its own first model, and the others to fall back on"""
OUTAGE = {"start": 480.0, "end": 780.0, "fault": {"kind": "status", "status": 529}}
BAR = 0.90
ARMS = ("rung", "derived", "off", "round_robin", "round_robin_marked")

METHOD = """\
200 agent sessions (4 agents: system prompt 3,000 tokens, 8 tools; 8-20 calls each; tool results, user turns, 2 % \
pauses of 8-20 minutes, 2 % turns with 12-18 parallel results) begin within 15 virtual minutes. A call's history is \
what was said, as it was said. Calls run one after the other in the order of virtual time; a session's next call \
comes after its answer has ended and its pause. A third of the sessions asks for each of strong, fast and auto \
(anthropic, openai, deepseek first); the provider behind strong answers 529 from minute 8 to 13.
CACHEABLE input tokens of a call: those up to the last message boundary at which its prompt (tools, then messages) \
equals the beginning of any earlier answered call of the trace, whoever answered that; it depends on the trace alone, \
so cold starts at a second provider, expired caches and moves after a failure all count as losses. In the provider's \
own tokens, in proportion to bytes. READ is what the simulator's books say was read, at most what was cacheable (a \
provider that also stores its output gets no credit for that).
Breaker, retries and hedging are off: they keep real time, the trace keeps virtual time.
arms: rung = the gateway as shipped, with x-rung-session; derived = the same without x-rung-session; off = the same \
names with prompt_cache.enabled = false; round_robin = every call to the next of the three providers in turn (the \
next again where one is down), prompt_cache.enabled = false; round_robin_marked = that with break-points and cache \
keys set as in the first arm."""


class Virtual(Clock):
    """Time that the trace sets; sleeps take none and are added up, so that a call's length is known."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def set(self, now: float) -> None:
        self._now = max(self._now, now)

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(0)


@dataclass(slots=True)
class Sums:
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    cacheable_tokens: int = 0
    read_tokens: int = 0
    input_pico: int = 0
    """what the input cost, by the simulator's books"""

    def told(self) -> dict[str, Any]:
        share = self.read_tokens / self.cacheable_tokens if self.cacheable_tokens else 0.0
        return {**asdict(self), "read_of_cacheable": round(share, 4), "input_usd": self.input_pico / 1e12}


class Seen:
    """Every beginning of a prompt that was ever sent, at message boundaries."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def share(self, tools: list[Any], messages: list[dict[str, Any]]) -> tuple[float, list[bytes]]:
        """-> (share of the bytes that were sent before, this prompt's boundaries)."""
        hashed, size, known, ends = blake2b(digest_size=16), 0, 0, []
        for part in (tools, *messages):
            data = orjson.dumps(part)
            hashed.update(data)
            size += len(data)
            ends.append(hashed.digest())
            known = size if ends[-1] in self._known else known
        return known / size, ends

    def add(self, ends: list[bytes]) -> None:
        self._known.update(ends)


def settings(sim: Simulator, providers: list[str], folder: Path, more: str = "") -> config.Settings:
    tables = "".join(f'[providers.{name}]\nbase_url = "{sim.url(name)}"\n' for name in providers)
    path = folder / "rung.toml"
    path.write_text(f"[local]\nenabled = false\n[ledger]\nenabled = false\n{more}\n{tables}")
    return config.load({"RUNG_HOME": str(folder), "HOME": str(folder)}, path, cwd=folder)


LADDER = f"""
[ladder]
strong = "{MODELS[0]}"
fast = "{MODELS[1]}"
reference = "{MODELS[2]}"
fallback = ["{MODELS[0]}", "{MODELS[1]}", "{MODELS[2]}"]
[breaker]
enabled = false
[retry]
attempts = 1
"""


async def arm(name: str, seed: int, sessions: int) -> dict[str, Any]:
    """The trace through one way of using the gateway."""
    clock = Virtual()
    off = "[prompt_cache]\nenabled = false\n" if name in ("off", "round_robin") else ""
    scenario = {"seed": seed, "anthropic": {"outages": [OUTAGE]}}
    with tempfile.TemporaryDirectory() as folder:
        async with simulator(scenario, clock=clock) as sim:
            told = settings(sim, ["anthropic", "openai", "deepseek"], Path(folder), LADDER + off)
            async with Gateway(told) as gateway:
                gateway.prompts.clock = clock.now
                return await _play(name, gateway, sim, clock, agents.sessions(seed, sessions))


async def _play(
    name: str, gateway: Gateway, sim: Simulator, clock: Virtual, sessions: list[agents.Session]
) -> dict[str, Any]:
    queue: list[tuple[float, int, int]] = [(session.start, session.number, 0) for session in sessions]
    heapq.heapify(queue)
    histories = {one.number: [{"role": "system", "content": one.system}] for one in sessions}
    homes: dict[int, list[str]] = defaultdict(list)
    turn_of = count()
    seen, by_model, total = Seen(), defaultdict(Sums), Sums()
    while queue:
        now, number, place = heapq.heappop(queue)
        session, messages = sessions[number], histories[number]
        clock.set(now)
        clock.slept = 0.0
        turn = session.turns[place]
        new = turn.messages
        if place and "tool_calls" in new[0]:  # the last answer was these calls
            messages[-1] |= new[0]
            new = new[1:]
        messages += new
        share, ends = seen.share(session.tools, messages)
        total.calls += 1
        asked = len(sim.requests)
        message = await _ask(name, gateway, session, messages, next(turn_of))
        if message is None:
            total.failed += 1
            message = {"role": "assistant", "content": "(no answer)", "reasoning_content": ""}
        else:
            seen.add(ends)
            entry = sim.requests[-1]
            model = f"{entry.provider}:{entry.model}"
            homes[number].append(model)
            cacheable = int(share * entry.counts.prompt)
            rates = sim.books.prices.price(model).rates(entry.at, entry.counts.prompt)
            counts = entry.counts
            cost = counts.input * rates.input + counts.cache_read * rates.cache_read
            cost += counts.cache_write * rates.cache_write
            for sums in (total, by_model[model]):
                sums.input_tokens += counts.prompt
                sums.cacheable_tokens += cacheable
                sums.read_tokens += min(cacheable, counts.cache_read)
                sums.input_pico += cost
            by_model[model].calls += 1
        assert len(sim.requests) > asked
        messages.append(message)
        if place + 1 < len(session.turns):
            heapq.heappush(queue, (now + clock.slept + session.turns[place + 1].pause, number, place + 1))
    moves = [sum(a != b for a, b in pairwise(models)) for models in homes.values()]
    told = gateway.prompts.told()
    return {
        **total.told(),
        "virtual_minutes": round(clock.now() / 60, 1),
        "sessions_that_moved": sum(map(bool, moves)),
        "moves": sum(moves),
        "models": {model: sums.told() for model, sums in sorted(by_model.items())},
        "explained_misses": told["reasons"],
    }


async def _ask(
    name: str, gateway: Gateway, session: agents.Session, messages: list[dict[str, Any]], turn: int
) -> dict[str, Any] | None:
    """One call; -> the assistant's message, None if nobody answers."""
    if name.startswith("round_robin"):
        tried = [MODELS[(turn + more) % len(MODELS)] for more in range(len(MODELS))]
    else:
        tried = [NAMES[session.kind]]
    who = {"session": f"agent-session-{session.number}"} if name == "rung" else {}
    for model in tried:
        try:
            result = await gateway.chat(messages, model=model, tools=session.tools, max_tokens=4000, **who)
        except RungError:
            continue
        said = result.body["choices"][0]["message"]
        return {
            "role": "assistant",
            "content": said.get("content") or "",
            "reasoning_content": said.get("reasoning_content") or "",
        }
    return None


# ---- fan-out and cache objects, apart ----


async def fan_out(seed: int, width: int = 16) -> dict[str, Any]:
    """`width` calls with one new 4,000-token prefix at the same moment, with and without holding. Real time."""
    told = {}
    for provider, model in (("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-5-5")):
        for hold in (0, 5):
            scenario = {"seed": seed, provider: {"first_token": 0.15, "tokens_per_second": 2000}}
            with tempfile.TemporaryDirectory() as folder:
                async with simulator(scenario, clock=RealClock(datetime(2026, 11, 23, 12, tzinfo=UTC))) as sim:
                    set_up = settings(sim, [provider], Path(folder), f"[prompt_cache]\nhold = {hold}\n")
                    async with Gateway(set_up) as gateway:
                        session = agents.sessions(seed, 1)[0]
                        asked = [
                            gateway.chat(
                                [
                                    {"role": "system", "content": session.system},
                                    {"role": "user", "content": f"part {number}"},
                                ],
                                model=f"{provider}:{model}",
                                tools=session.tools,
                            )
                            for number in range(width)
                        ]
                        await asyncio.gather(*asked)
                    read = sum(entry.counts.cache_read for entry in sim.requests)
                    prompt = sum(entry.counts.prompt for entry in sim.requests)
            told[f"{provider} hold={hold}s"] = {"calls": width, "read_of_input": round(read / prompt, 4)}
    return told


async def contents(seed: int, calls: int = 60, every: float = 10.0) -> dict[str, Any]:
    """`calls` single questions to Gemini under one 6,000-token instruction, with and without cache objects."""
    told = {}
    for made in (True, False):
        clock = Virtual()
        with tempfile.TemporaryDirectory() as folder:
            async with simulator({"seed": seed}, clock=clock) as sim:
                set_up = settings(
                    sim,
                    ["gemini"],
                    Path(folder),
                    f"[prompt_cache]\ncontents = {str(made).lower()}\n[exact]\nenabled=false",
                )
                text = agents.text(Random(seed), 6000)
                cost = 0
                async with Gateway(set_up) as gateway:
                    gateway.prompts.clock = clock.now
                    for number in range(calls):
                        clock.set(number * every)
                        result = await gateway.chat(
                            [{"role": "system", "content": text}, {"role": "user", "content": f"question {number}"}],
                            model="gemini:gemini-3.8-flash",
                            max_tokens=2000,
                        )
                        cost += result.cost or 0
                        await asyncio.sleep(0.02)  # an object is made beside the calls
                left = len(_contents_left(sim))
                answers = [entry for entry in sim.requests if "generateContent" in entry.path]
        read = sum(entry.counts.cache_read for entry in answers)
        prompt = sum(entry.counts.prompt for entry in answers)
        told["with cache objects" if made else "automatic only"] = {
            "calls": calls,
            "read_of_input": round(read / prompt, 4),
            "usd_all_told": cost / 1e12,
            "objects_left_behind": left,
        }
    return told


def _contents_left(sim: Simulator) -> list[Any]:
    return sim.providers["gemini"].contents.manage("GET", "", {})["cachedContents"]


async def everything(seed: int, sessions: int) -> dict[str, Any]:
    arms = {name: await arm(name, seed, sessions) for name in ARMS}
    return {
        "benchmark": "prompt_cache",
        "simulated": True,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "seed": seed,
        "sessions": sessions,
        "method": METHOD,
        "bar": f"rung reads >= {BAR:.0%} of cacheable input tokens",
        "arms": arms,
        "fan_out": await fan_out(seed),
        "cached_contents": await contents(seed),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=agents.SESSIONS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    told = asyncio.run(everything(options.seed, options.sessions))
    for name, one in told["arms"].items():
        print(
            f"{name:18} {one['calls']} calls, {one['failed']} failed: {one['read_of_cacheable']:.2%} of "
            f"{one['cacheable_tokens']:,} cacheable input tokens read; input {one['input_usd']:.2f} USD; "
            f"{one['moves']} moves   (simulated)"
        )
    for part in ("fan_out", "cached_contents"):
        for name, one in told[part].items():
            print(f"{part}: {name}: {json.dumps(one)}   (simulated)")
    if options.out is not None:
        options.out.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if told["arms"]["rung"]["read_of_cacheable"] >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
