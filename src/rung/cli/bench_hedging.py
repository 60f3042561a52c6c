"""``rung bench hedging``: what a second attempt buys and costs, on the ladder's own code in simulated time.

First contents are drawn from a lognormal distribution with stalls, or from a file of your own. Calls arrive at
random, go through `rung.ladder.climb` with and without a `Hedger`, and nothing is waited for: the event loop's
clock jumps. Three worlds: attempts that are slow independently of each other, which is what hedging is for;
slowness that all calls share for a while; slowness that lies in the call itself. In the last two a second attempt
is as slow as the first, and hedging should stop by itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import click
from msgspec import to_builtins

from rung.answer import Answer, Declined, Event, Evidence, Usage
from rung.call import Call
from rung.ladder.budget import RetryBudget
from rung.ladder.climb import Climb, climb
from rung.ladder.hedge import Hedger, HedgeRules
from rung.providers.prices import PriceBook

T = TypeVar("T")

MEDIAN, SIGMA, STALLS, STALL = 0.4, 0.8, 0.01, 10.0
"""seconds, of the logarithm, share, seconds: the distribution the bar is set for"""

SLOW_EVERY, SLOW_FOR, SLOW_FACTOR = 300.0, 60.0, 8.0
"""seconds, seconds, times: shared slowness"""

BAR_P99, BAR_EXTRA = -0.20, 0.05

PRICED = "groq:openai/gpt-oss-120b"
USAGE = Usage(input_tokens=1000, output_tokens=300)
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer. For coroutines that only wait for time."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def pass_time(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self._loop.pass_time(timeout)
            timeout = 0
        return super().select(timeout)


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a `VirtualLoop` to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@dataclass(frozen=True, slots=True)
class World:
    """How long the first content of a call's attempt takes: `first_token(call, attempt, now)` -> seconds."""

    name: str
    told: str
    first_token: Callable[[int, int, float], float]


@dataclass(slots=True)
class Outcome:
    """One world, hedged or not. Times in seconds; `slow_hedges`: second attempts while slowness was shared."""

    p50: float
    p95: float
    p99: float
    p999: float
    calls: int
    hedges: int = 0
    wins: int = 0
    slow_hedges: int = 0


class _Timed:
    """A model that says one word after a while."""

    name = "cloud"
    model = "simulated:model"
    stays_here = False

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked = 0
        self.seconds_asked: list[float] = []

    async def attempt(self, call: Call) -> Answer | Declined:
        number = int(call.request_id)
        again = call.session == "asked"
        if again:
            self.seconds_asked.append(asyncio.get_running_loop().time())
        call.session = "asked"
        wait = self._world.first_token(number, int(again), asyncio.get_running_loop().time())
        self.asked += 1
        evidence = Evidence(finish_reason="stop", complete=True, usage=USAGE, simulated=True)
        return Answer(self.name, self.model, evidence, events=self._speak(wait))

    async def _speak(self, wait: float) -> AsyncIterator[Event]:
        await asyncio.sleep(wait)
        yield Event(b"data: {}\n\n", last=True)

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        pass


async def _play(world: World, calls: int, rate: float, seed: int, rules: HedgeRules | None) -> Outcome:
    """`calls` through the ladder, arriving at random `rate` times a second."""
    loop = asyncio.get_running_loop()
    rung = _Timed(world)
    budget = RetryBudget()
    hedger = Hedger(rules, budget) if rules is not None else None
    times: list[float] = []
    body: dict[str, Any] = {"messages": [{"role": "user", "content": ""}]}

    async def one(number: int) -> None:
        call = Call(body=body, raw=b"{}", model="auto", request_id=str(number), stream=True)
        record = Climb(call)
        started = loop.time()
        await climb(call, [rung], record, budget, hedger)
        times.append(loop.time() - started)
        await record.finish()

    arrivals = Random(f"{seed}/arrivals")  # noqa: S311
    async with asyncio.TaskGroup() as running:
        for number in range(calls):
            await asyncio.sleep(arrivals.expovariate(rate))
            running.create_task(one(number))
    times.sort()
    slow = sum(in_slow_time(second) for second in rung.seconds_asked)
    hedges, wins = (hedger.hedges, hedger.wins) if hedger is not None else (0, 0)
    p50, p95, p99, p999 = (_quantile(times, share) for share in (0.5, 0.95, 0.99, 0.999))
    return Outcome(p50, p95, p99, p999, rung.asked - hedges, hedges, wins, slow)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(math.ceil(share * len(ordered)), len(ordered)) - 1]


def in_slow_time(now: float) -> bool:
    return now % SLOW_EVERY >= SLOW_EVERY - SLOW_FOR


def worlds(seed: int, measured: Sequence[float] = ()) -> list[World]:
    """The three worlds; `measured` first-content times are drawn from instead of the distribution."""

    def draw(call: int, attempt: int, now: float = 0.0) -> float:
        rng = Random(seed << 40 | call << 1 | attempt)  # noqa: S311
        if measured:
            return rng.choice(measured)
        return STALL if rng.random() < STALLS else MEDIAN * math.exp(SIGMA * rng.gauss(0, 1))

    def shared(call: int, attempt: int, now: float) -> float:
        return draw(call, attempt) * (SLOW_FACTOR if in_slow_time(now) else 1.0)

    def of_the_call(call: int, attempt: int, now: float) -> float:
        return draw(call, 0)

    slow = f"everything is {SLOW_FACTOR:g} times as slow for {SLOW_FOR:g} of every {SLOW_EVERY:g} s"
    return [
        World("independent", "every attempt is slow or quick by itself", draw),
        World("shared", slow, shared),
        World("of the call", "a second attempt takes exactly as long as the first", of_the_call),
    ]


def load(path: Path) -> list[float]:
    """First-content times in seconds: a number a line, or JSON lines with `first_token` or `first_content_ms`.

    Raises click.UsageError naming the line that is none of these.
    """
    times = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            if isinstance(told, dict):
                told = told["first_token"] if "first_token" in told else told["first_content_ms"] / 1e3
            seconds = float(told)
            if not 0 < seconds < 86400:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise click.UsageError(
                f"{path}:{number}: write seconds, or JSON with first_token (s) or first_content_ms"
            ) from None
        times.append(seconds)
    if len(times) < 2:
        raise click.UsageError(f"{path}: at least two times are needed")
    return times


def run(
    calls: int, seed: int, rate: float, rules: HedgeRules, measured: Sequence[float] = ()
) -> dict[str, dict[str, Any]]:
    """-> world -> ``{"told", "plain", "hedged", "p99", "extra"}``; the last two as shares of `plain`."""
    told: dict[str, dict[str, Any]] = {}
    for world in worlds(seed, measured):
        plain, hedged = (in_virtual_time(_play(world, calls, rate, seed, given)) for given in (None, rules))
        told[world.name] = {
            "told": world.told,
            "plain": asdict(plain),
            "hedged": asdict(hedged),
            "p99": hedged.p99 / plain.p99 - 1,
            "extra": hedged.hedges / calls,
        }
    return told


@click.command()
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your first-token times.")
@click.option("--calls", default=20_000, show_default=True, type=click.IntRange(100, 1_000_000))
@click.option("--seed", default=7, show_default=True)
@click.option("--rate", default=10.0, show_default=True, type=click.FloatRange(0.01), help="Calls a second.")
@click.option("--quantile", default=0.95, show_default=True, type=click.FloatRange(0.5, 0.999))
@click.option("--share", default=0.05, show_default=True, type=click.FloatRange(0, 0.5), help="Extra calls allowed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context,
    data: Path | None,
    calls: int,
    seed: int,
    rate: float,
    quantile: float,
    share: float,
    as_json: bool,
) -> None:
    """What hedging buys and costs, simulated. Exit 1 if it misses its bar (p99 -20 % at 5 % extra calls)."""
    measured = load(data) if data is not None else []
    told = run(calls, seed, rate, HedgeRules(quantile=quantile, share=share), measured)
    call_cost = PriceBook.load().cost(PRICED, USAGE, AT)
    good = told["independent"]["p99"] <= BAR_P99 and all(row["extra"] <= BAR_EXTRA for row in told.values())
    report = {
        "simulated": True,
        "calls": calls,
        "seed": seed,
        "rate": rate,
        "quantile": quantile,
        "share": share,
        "first_token": f"{len(measured)} measured times" if measured else _distribution(),
        "bar": {"p99": BAR_P99, "extra": BAR_EXTRA, "kept": good},
        "cost": {"priced_as": PRICED, "usage": to_builtins(USAGE), "pico_usd_a_call": call_cost},
        "worlds": told,
    }
    click.echo(json.dumps(report, indent=1) if as_json else _text(report))
    context.exit(0 if good else 1)


def _distribution() -> str:
    return f"lognormal, median {MEDIAN:g} s, sigma {SIGMA:g}, and {STALLS:.0%} stalls of {STALL:g} s"


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"simulated: {report['calls']} calls a world, {report['rate']:g} a second, seed {report['seed']}",
        f"first token: {report['first_token']}; second attempt after the {report['quantile']:.0%} quantile, learnt",
        "",
        f"{'':14}{'':10}{'p50':>8}{'p95':>8}{'p99':>8}{'p99.9':>8}{'extra':>8}{'won':>7}",
    ]
    cost = report["cost"]["pico_usd_a_call"]
    for name, row in report["worlds"].items():
        for kind in ("plain", "hedged"):
            at = row[kind]
            times = "".join(f"{at[key]:7.2f}s" for key in ("p50", "p95", "p99", "p999"))
            more = f"{row['extra']:8.2%}{at['wins']:7}" if kind == "hedged" else ""
            lines.append(f"{name if kind == 'plain' else '':14}{kind:10}{times}{more}")
        spent = f", at most {row['extra'] * 1000 * cost / 1e12:.6f} USD per 1000 calls" if cost else ""
        lines.append(f"{'':14}p99 {row['p99']:+.0%}; {row['told']}")
        lines.append(f"{'':14}cost at most {row['extra']:+.2%} (a loser charged as a whole call){spent}")
    shared = report["worlds"]["shared"]
    lines += [
        "",
        f"of the {shared['hedged']['hedges']} hedges in the world 'shared', {shared['hedged']['slow_hedges']} fell "
        "into the slow fifth of the time",
        f"bar: p99 {BAR_P99:+.0%} with at most {BAR_EXTRA:.0%} extra calls: "
        f"{'kept' if report['bar']['kept'] else 'missed'}",
    ]
    return "\n".join(lines)
