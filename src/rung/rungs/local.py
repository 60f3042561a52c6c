"""The small model on this machine as a rung: who may be asked, who waits, who had better go on up.

It knows one `Backend` (the embedded engine, Ollama, a local server) and the adapter that speaks to it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, Self

from rung.answer import Answer, Declined, Event
from rung.call import Call
from rung.errors import Fault, RejectedFault
from rung.local.backend import Backend
from rung.local.desk import Ticket
from rung.providers.estimate import Correction, estimate_tokens
from rung.wire.client import Deadlines

_SILENCE = 60.0
"""seconds without a sign of progress after which the backend counts as hung"""

_NOTICE = 1.0
"""seconds within which the kernel reports a child whose connections broke; it frees its memory first"""

_WARM = 4
"""prompts taken to be still in the model's memory: a slot keeps its last one, and engines some more besides"""

_OVERFLOW = re.compile(
    r"\((\d+) tokens\) exceeds the available context size \((\d+) tokens\)"  # llama.cpp
    r"|exceeds the context length|maximum context length"  # Ollama; vLLM, LM Studio
)


class Adapter(Protocol):
    """What this rung needs of a wire adapter (`rung.providers.local`)."""

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer: ...


class LocalRung:
    """One local backend as a rung.

    `load_wait`: seconds a call waits for a loading model: one that insists on it, or any if `patient`
    (because there is nobody else to ask).
    """

    name = "local"
    stays_here = True

    def __init__(self, backend: Backend, adapter: Adapter, *, load_wait: float = 60.0, patient: bool = False) -> None:
        self.model = f"local:{backend.alias}"
        self._backend = backend
        self._adapter = adapter
        self._load_wait = load_wait
        self._patient = patient
        self._sizes = Correction(limit=4)
        self._warm: deque[bytes] = deque(maxlen=_WARM)

    async def attempt(self, call: Call) -> Answer | Declined:
        """Answer, or decline: ``text_only``, ``functions_unsupported``, ``one_choice_only``,
        ``context_overflow``, ``local_busy``, or, as the backend's health is, ``local_loading``,
        ``local_failing``, ``local_gone``.

        Only a private call, or one that names this model, waits for it to load, and is asked once more if the
        backend ends before it has said anything; all others go on up at once. Raises EngineFault for those
        under which it ended.
        """
        unsuited = _unsuited(call.body)
        if unsuited:
            return Declined(unsuited)
        backend, insists = self._backend, self._insists(call)
        prompt = estimate_tokens(call.body)
        for tries_left in (1, 0):
            if not await self._up(call, insists):
                return Declined(self._why_not())
            work = self._work(call, prompt)
            late = backend.desk.wait() + work
            if not insists and late > call.remaining():
                return Declined(f"local_busy: {late:.1f} s > {call.remaining():.1f} s")
            ticket = await backend.desk.acquire(call.remaining(), work)
            if ticket is None:
                return Declined(f"local_busy: {backend.desk.running} running, {backend.desk.waiting} waiting")
            origin = backend.origin
            try:
                if backend.health.up:  # it may have ended while this call stood in the queue
                    return await self._ask(call, ticket, prompt)
                ticket.release()
            except BaseException as error:
                ticket.release()
                if not isinstance(error, Fault):
                    raise
                if isinstance(error, RejectedFault) and (told := _overflow(error.message)):
                    return Declined(told)
                backend.broke(origin, error)
                if not (tries_left and insists and await backend.lost(origin, _NOTICE)):
                    raise
        return Declined(self._why_not())

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Nothing to learn yet."""

    def _insists(self, call: Call) -> bool:
        named = call.private or "local" in (call.mode, call.model) or call.model == self.model
        return named or self._patient

    async def _up(self, call: Call, insists: bool) -> bool:
        """Can the backend be asked now? Sees to it that its model gets loaded; who insists waits for that."""
        backend = self._backend
        if await backend.up():
            return True
        if insists:
            return await backend.ready(min(self._load_wait, call.remaining()))
        backend.wake()
        return False

    def _why_not(self) -> str:
        health = self._backend.health
        word = "local_loading" if health.state == "ready" else f"local_{health.state}"
        return f"{word}: {health.detail}" if health.detail else word

    def _work(self, call: Call, prompt: int) -> float:
        """Seconds this call will take once it has a slot, as far as that can be foreseen."""
        limit = call.body.get("max_completion_tokens") or call.body.get("max_tokens")
        tokens = self._sizes.tokens("local", self.model, round(prompt * (1 - self._held(call))))
        return self._backend.speed.predict(tokens, limit if isinstance(limit, int) else None)

    def _held(self, call: Call) -> float:
        """Share of this prompt that the model has read for a call before, and need not read again."""
        prefix = call.prefix
        if prefix is None or not prefix.sizes[-1]:
            return 0.0
        same = max((prefix.common(ends) for ends in self._warm), default=0)
        return prefix.sizes[same - 1] / prefix.sizes[-1] if same else 0.0

    async def _ask(self, call: Call, ticket: Ticket, prompt: int) -> Answer:
        left = call.remaining()
        limits = Deadlines(5.0, min(_SILENCE, left), min(_SILENCE, left), left)
        answer = await self._adapter.chat(call, self._backend.model, limits)
        answer.rung, answer.model = self.name, self.model
        answer.evidence.unproved = True
        answer.evidence.model_version = self._backend.version or answer.evidence.model_version
        if answer.events is None:
            self._learn(call, answer, prompt)
            ticket.release()
        else:
            answer.events = _Run(answer.events, ticket, self._backend, lambda: self._learn(call, answer, prompt))
        return answer

    def _learn(self, call: Call, answer: Answer, prompt: int) -> None:
        """How many tokens the estimate really was, and which prompt is warm now."""
        usage = answer.evidence.usage
        if call.prefix is not None:
            self._warm.append(call.prefix.ends)
        if usage is not None:
            self._sizes.learn("local", self.model, prompt, usage.prompt_tokens)


class _Run:
    """One answer of the backend as it comes. Holds a slot, which it gives back exactly once: at the end,
    at a fault, or when closed."""

    def __init__(
        self, events: AsyncIterator[Event], ticket: Ticket, backend: Backend, ended: Callable[[], None]
    ) -> None:
        self._events = events
        self._ticket = ticket
        self._backend = backend
        self._origin = backend.origin
        self._ended = ended

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await anext(self._events)
        except BaseException as error:
            await self.aclose()
            if isinstance(error, Fault):
                self._backend.broke(self._origin, error)
            raise
        if event.last:
            self._ended()
        return event

    async def aclose(self) -> None:
        """Stop generating and free the slot. Safe to call twice."""
        try:
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._ticket.release()


def _overflow(message: str) -> str:
    """The reason to decline, if `message` says that the prompt is too long; else empty."""
    told = _OVERFLOW.search(message)
    if told is None:
        return ""
    return f"context_overflow: {told[1]} tokens > {told[2]}" if told[1] else "context_overflow"


def _unsuited(body: dict[str, Any]) -> str:
    """Why the small model should not be asked at all; empty if it may."""
    if body.get("functions"):
        return "functions_unsupported: use tools"
    if (body.get("n") or 1) != 1:
        return "one_choice_only"
    parts = (
        part for message in body["messages"] if isinstance(message.get("content"), list) for part in message["content"]
    )
    if any(not isinstance(part, dict) or part.get("type") not in ("text", "refusal") for part in parts):
        return "text_only"
    return ""
