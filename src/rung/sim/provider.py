"""What all simulated providers share: deciding what a request meets, and saying no.

A provider's file subclasses `Provider`: it reads its own requests into an `Ask`, and writes a `Turn` or a
`Refusal` in its own form.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from rung.providers.prices import PriceBook
from rung.providers.rows import rows
from rung.sim import faults
from rung.sim.answers import Answers, Ask, Said
from rung.sim.books import Counts
from rung.sim.cachemodel import CacheModel
from rung.sim.clock import Clock
from rung.sim.exchange import Piece, Refusal, Reply, Request, Turn
from rung.sim.faults import Fault
from rung.sim.limits import RateLimits
from rung.sim.prompt import count
from rung.sim.scenario import CacheRule, Outage, Scenario, dice, draw, step

log = logging.getLogger(__name__)


@dataclass(slots=True)
class World:
    """What all providers of one simulator share."""

    scenario: Scenario
    clock: Clock
    answers: Answers
    prices: PriceBook
    seed: int


class Provider:
    """One simulated provider. Raises `Refusal` inside, never outside `reply`."""

    name: ClassVar[str]

    def __init__(self, world: World) -> None:
        self.world = world
        self.row = world.scenario.provider(self.name)
        self.cache = CacheModel(world.clock)
        self.limits = RateLimits(self.row.limits, world.clock)
        self.running = 0
        """answers being given; the server counts"""
        self._asked = 0
        self._scripts = {"": list(self.row.script or ())} | {
            name: list(model.script) for name, model in self.row.models.items() if model.script is not None
        }
        row = rows()[self.name]
        names = [model.partition(":")[2] for model in world.prices.model_ids(self.name)]
        self.models = list(dict.fromkeys([*names, *self.row.models, *filter(None, (row.fast, row.strong))]))
        """ids that exist; aliases apart"""

    def reply(self, request: Request) -> Reply:
        """The response to one request."""
        try:
            try:
                self.authorise(request)
                return self.route(request)
            except (AttributeError, KeyError, TypeError) as error:
                # Every field is read as if it had its documented type; a client that sends another gets told so.
                log.info("%s: a request could not be read", self.name, exc_info=error)
                raise Refusal(400, "The request has a field of the wrong type.") from error
        except Refusal as refusal:
            reply = self.refuse(refusal)
            reply.fault, reply.model = refusal.fault, refusal.model
            if isinstance(refusal.fault, faults.Status):
                told = refusal.fault
                reply.headers = {**reply.headers, **told.headers}
                if told.body is not None:
                    reply.pieces = [Piece(told.body.encode())]
            return reply

    def over(self, turn: Turn, outcome: str) -> None:
        """An answer has ended: whole, broken or left."""

    def authorise(self, request: Request) -> None:
        """Raises Refusal 401 where the scenario names a key and this request has another."""
        if self.row.key is not None and self.key(request) != self.row.key:
            raise Refusal(401, "Invalid API Key", code="invalid_api_key")

    def key(self, request: Request) -> str | None:
        return request.bearer

    def route(self, request: Request) -> Reply:
        """Find and answer. Raises Refusal."""
        raise Refusal(404, f"Unknown request URL: {request.method} {request.path}", code="unknown_url")

    def refuse(self, refusal: Refusal) -> Reply:
        """The provider's error body and headers."""
        raise refusal

    def resolve(self, model: Any) -> str:
        """The priced name of a model. Raises Refusal 404 (or 400 where there is none)."""
        if not isinstance(model, str) or not model:
            raise Refusal(400, "you must provide a model parameter", param="model")
        found = self.row.aliases.get(model, model)
        if found not in self.models:
            raise self.unknown_model(model)
        return found

    def unknown_model(self, model: str) -> Refusal:
        return Refusal(404, f"The model `{model}` does not exist or you do not have access to it.",
                       code="model_not_found", param="model")  # fmt: skip

    def setting(self, model: str, name: str) -> Any:
        return self.world.scenario.setting(self.name, model, name)

    def level(self, model: str, wanted: str | None) -> str:
        """The thinking level of a request that asked for `wanted`. Raises Refusal 400 for one the model lacks."""
        usual = self.setting(model, "thinking") or "none"
        if wanted is None:
            return str(usual)
        levels = self.setting(model, "levels") or ()
        if wanted not in levels:
            raise self.bad_level(model, wanted, list(levels))
        return wanted

    def bad_level(self, model: str, wanted: str, levels: list[str]) -> Refusal:
        told = ", ".join(f"`{level}`" for level in levels)
        return Refusal(400, f"`reasoning_effort` must be one of {told}", param="reasoning_effort",
                       code="unsupported_value")  # fmt: skip

    def begin(self, ask: Ask) -> Turn:
        """Decide everything about one answer. Raises Refusal where the scenario or a limit says so."""
        try:
            return self._begin(ask)
        except Refusal as refusal:
            refusal.model = ask.model
            raise

    def _begin(self, ask: Ask) -> Turn:
        self._asked += 1
        rng = dice(self.world.seed, self.name, self._asked)
        fault = self._fault(ask.model, rng)
        first = draw(self.setting(ask.model, "first_token"), rng) * self._slowness()
        speed = draw(self.setting(ask.model, "tokens_per_second"), rng)
        if isinstance(fault, faults.Slow):
            first, fault = fault.first_token, None
        if isinstance(fault, faults.Status):
            raise self._refusal(fault)
        if isinstance(fault, faults.FailedGeneration):
            raise self.failed_generation(fault)
        if isinstance(fault, faults.StreamError) and not ask.stream:
            raise _from(fault, Refusal(500, fault.message))
        context = self.world.prices.context(f"{self.name}:{ask.model}")
        if context is not None and ask.prompt.tokens + ask.explicit > context:
            raise self.too_long(ask, context)
        self._limit(ask)
        said = self.world.answers.say(ask, self.name, self.setting(ask.model, "accuracy"))
        said = self.damaged(said, fault, ask)
        counts = self._counts(ask, said, rng, first)
        return Turn(
            number=self._asked,
            ask=ask,
            said=said,
            counts=counts,
            created=int(self.world.clock.at().timestamp()),
            fault=fault,
            first_token=first,
            token_time=1 / speed if speed else 0.0,
        )

    def _fault(self, model: str, rng: Random) -> Fault | None:
        now = self.world.clock.now()
        outages: list[Outage] = [*self.world.scenario.outages, *self.row.outages]
        for outage in outages:
            if outage.holds(now):
                return outage.fault
        script = self._scripts.get(model, self._scripts[""])
        if script:
            return step(script.pop(0))
        for fault in self.setting(model, "faults") or ():
            if rng.random() < fault.rate:
                return fault  # type: ignore[no-any-return]
        return None

    def _slowness(self) -> float:
        now = self.world.clock.now()
        factor = 1.0
        for window in self.row.slow:
            factor *= window.factor if window.holds(now) else 1.0
        return factor

    def _refusal(self, fault: faults.Status) -> Refusal:
        message = fault.message or self.usual(fault)
        return _from(fault, Refusal(fault.status, message, code=fault.code, retry_after=fault.retry_after))

    def usual(self, fault: faults.Status) -> str:
        """The provider's own words for an error whose scenario has none."""
        return f"Simulated error {fault.status}."

    def failed_generation(self, fault: faults.FailedGeneration) -> Refusal:
        """Only Groq has it."""
        return _from(fault, Refusal(400, "generation failed", code=fault.code, extra={"failed_generation": fault.text}))

    def too_long(self, ask: Ask, context: int) -> Refusal:
        """The prompt alone does not fit the model."""
        told = f"This model's maximum context length is {context} tokens, but the messages have {ask.prompt.tokens}."
        return Refusal(400, told, code="context_length_exceeded", param="messages")

    def _limit(self, ask: Ask) -> None:
        most = self.row.limits.concurrency
        if most and self.running >= most:
            raise Refusal(429, "Too many requests at once: the account's concurrency limit is reached",
                          code="rate_limit_exceeded")  # fmt: skip
        hit = self.limits.take(ask.prompt.tokens)
        if hit is not None:
            raise self.limited(ask, *hit)

    def limited(self, ask: Ask, what: str, wait: float) -> Refusal:
        """The 429 of a limit that is used up."""
        return Refusal(429, f"Rate limit reached for {ask.model} on {what}.", code="rate_limit_exceeded",
                       retry_after=wait, extra={"type": what})  # fmt: skip

    def broken_stream(self, turn: Turn) -> str:
        """What a stream's error says, where the scenario breaks it."""
        return turn.fault.message if isinstance(turn.fault, faults.StreamError) else ""

    def damaged(self, said: Said, fault: Fault | None, ask: Ask) -> Said:
        """`said` as a fault about content leaves it."""
        if isinstance(fault, faults.Empty):
            return Said()
        if isinstance(fault, faults.Blocked):
            return Said(finish=f"blocked_{fault.where}")
        if isinstance(fault, faults.OnlyThinking):
            return Said(reasoning=said.reasoning or "thinking " * max(1, (ask.max_tokens or 64) // 3), finish="length")
        if isinstance(fault, faults.BlankJson):
            return Said(" " * max(8, len(said.text)), said.reasoning)
        if isinstance(fault, faults.BrokenJson):
            if said.tool_calls:
                said.tool_calls[0].raw = said.tool_calls[0].text[:-1]
            else:
                said.text = said.text.rstrip()[:-1] or ("" if ask.prefix else "{")
        if isinstance(fault, faults.Finish):
            said.text, said.tool_calls, said.finish = said.text[: len(said.text) // 2], [], fault.reason
        return said

    def _counts(self, ask: Ask, said: Said, rng: Random, first_token: float) -> Counts:
        rule: CacheRule = self.setting(ask.model, "cache") or CacheRule()
        hit = self.cache.ask(rule, f"{ask.model}\0{ask.scope}", ask.prompt, rng, first_token)
        read, write, long = hit.read + ask.explicit, hit.write, hit.write_long
        if not rule.write_counted:
            write = long = 0
        total = ask.prompt.tokens + ask.explicit
        self.limits.give_back(read)
        return Counts(total - read - write - long, read, write, long, said.output_tokens, count(said.reasoning))


def _from(fault: Fault, refusal: Refusal) -> Refusal:
    refusal.fault = fault
    return refusal
