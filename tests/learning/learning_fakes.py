"""What the tests of learning share: a world of scripted models, a grader that compares texts, a store on disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rung.answer import Answer, Declined, Evidence, Usage
from rung.call import Call
from rung.completion import whole
from rung.config import Trust
from rung.errors import ConnectFault, RungError
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import necessary_for
from rung.ladder.climb import Climb, climb
from rung.learning import Learner, Worker
from rung.learning.grading import Comparison
from rung.learning.jobs import Said
from rung.store.trust import TrustStore
from rung.store.writer import Writer
from rung.testing import make_call

DAY_TWO = 86_400.0


class Clock:
    def __init__(self, now: float = DAY_TWO) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Model:
    """A model that says what `says` makes of the question; a Declined or an exception is played instead."""

    def __init__(
        self,
        model: str,
        says: Callable[[str], Any] = lambda text: f"right {text}",
        *,
        here: bool = False,
        cost: int = 0,
    ) -> None:
        self.name = "local" if here else "cloud"
        self.model = model
        self.stays_here = here
        self.says = says
        self.cost = cost
        self.version = "v1"
        self.simulated = False
        self.asked: list[Call] = []

    async def attempt(self, call: Call) -> Answer | Declined:
        self.asked.append(call)
        said = self.says(call.body["messages"][-1]["content"])
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, Declined):
            return said
        evidence = Evidence(
            finish_reason="stop",
            complete=True,
            usage=Usage(input_tokens=10, output_tokens=5),
            cost=self.cost,
            model_version=self.version,
            simulated=self.simulated,
            unproved=self.stays_here,
        )
        return Answer(self.name, self.model, evidence, whole(said, model=self.model, request_id=call.request_id))

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Nothing to learn."""


class World:
    """`rungs` by name; what was asked in the background is in `climbs`."""

    def __init__(self, *rungs: Model) -> None:
        self.rungs = {rung.model: rung for rung in rungs}
        self.climbs: list[Climb] = []
        self.is_busy = False
        self.is_wanted = False
        self.price: int | None = 1000

    def rung(self, model: str) -> Model | None:
        return self.rungs.get(model)

    def version(self, rung: Any) -> str:
        return str(rung.version)

    async def ask(self, call: Call, rung: Any) -> Climb:
        record = Climb(call)
        error: BaseException | None = None
        try:
            await climb(call, (rung,), record, RetryBudget(0.0, 0.0, 1))
        except RungError as failed:
            error = failed
        except BaseException as stopped:
            error = stopped
            raise
        finally:
            await record.finish(error)
            self.climbs.append(record)
        return record

    def cost(self, model: str, usage: Usage) -> int | None:
        return self.price

    def busy(self, rung: Any) -> bool:
        return self.is_busy

    def wanted(self, rung: Any) -> bool:
        return self.is_wanted


class Grader:
    """Texts agree when they are equal; an answer looks good unless it says "hm"."""

    def comparable(self, task: str, body: dict[str, Any], *, judged: bool) -> bool:
        return task == "extraction" or (judged and task == "chat_writing")

    def compare(self, task: str, body: dict[str, Any], lower: Said, reference: Said) -> Comparison:
        if task == "chat_writing":
            return Comparison(None, "judge", "", judge=True)
        return Comparison(lower.text == reference.text, "text", "")

    def evidence(self, task: str, body: dict[str, Any], answer: Said) -> dict[str, float]:
        return {"good": 0.1 if "hm" in answer.text else 0.9}


LOCAL, REFERENCE, CHEAP, JUDGE = "local:small", "big:strong", "cheap:model", "judge:model"
FOUND = RungError("gone")
DOWN = ConnectFault("no connection", provider="big")


class Bench:
    """A learner with its worker, and the models around it. `restart` makes another one on the same file."""

    def __init__(self, path: Path, *, told: Trust | None = None) -> None:
        self.path = path
        self.told = told or Trust(max_error=0.2, share=1.0, cpu_share=1.0, audit=1.0)
        self.local = Model(LOCAL, here=True)
        self.reference = Model(REFERENCE, cost=1000)
        self.cheap = Model(CHEAP, cost=10)
        self.judge = Model(JUDGE, lambda text: "SAME", cost=7)
        self.world = World(self.local, self.reference, self.cheap, self.judge)
        self.clock, self.monotonic = Clock(), Clock()
        self.numbers = iter(range(100_000))
        self.repeats = 1.0
        """what falls on the question whether the reference is asked twice; 1: never"""
        self.writer: Writer | None = None

    async def start(self, *, dice: Callable[[], float] | None = None) -> None:
        self.writer = Writer()
        self.kept = TrustStore(self.path, self.writer, clock=self.clock)
        self.learner = Learner(
            self.told, self.kept, self.world, Grader(), clock=self.clock, dice=dice or random.Random(1).random
        )
        await self.learner.load()
        self.learner.reload(self.told, (self.local,))
        self.worker = Worker(self.learner, clock=self.monotonic, dice=lambda: self.repeats)

    async def stop(self) -> None:
        """As at the end of a process."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    async def call(self, text: str = "", *, task: str = "extraction", **told: Any) -> Climb:
        """One ``auto`` call, gated as the gateway does it: the local model, then the reference."""
        call = make_call(text or f"question {next(self.numbers)}", task=task, **told)
        call.request_id = f"r{next(self.numbers)}"
        record = Climb(call)
        gate = self.learner.gate(call, self.reference)
        for rung in (*self.learner.candidates, self.reference):
            if gate.guards(rung) and gate.refusal(rung):
                continue
            answer = await rung.attempt(call)
            if isinstance(answer, Declined):
                continue
            data, needed = answer.body or b"", necessary_for(call)
            failed = await needed.fails(answer, data, lower=True) if needed is not None else ""
            if gate.guards(rung) and await gate.weigh(rung, answer, data, failed):
                continue
            record.answer = answer
            break
        self.learner.learn(gate, record)
        return record

    async def work(self) -> int:
        """Do all that can be done now; -> how many jobs."""
        count = 0
        while await self.worker.step():
            count += 1
        return count

    async def teach(self, count: int, **told: Any) -> None:
        for _ in range(count):
            await self.call(**told)
            await self.work()

    @property
    def cell(self) -> Any:
        (cell,) = self.learner.cells.values()
        return cell


def benches(path: Path) -> Iterator[Bench]:
    bench = Bench(path)
    yield bench
    bench.close()
