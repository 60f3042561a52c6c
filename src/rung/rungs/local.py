"""The small model on this machine, run by the embedded engine (`rung.local.engine`).

It is always asked for a stream with progress, whatever the caller wants: llama.cpp notices that a client has
left only when it writes to it, so an abandoned whole answer would hold the slot to its last token, and an
abandoned prompt until it is read (measured: minutes). With progress the slot is free one batch later.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Self

import orjson
from msgspec.structs import replace

from rung.answer import Answer, Declined, Event, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, ConnectFault, EngineFault, RejectedFault
from rung.local.engine import Engine
from rung.local.toolcalls import read_tool_calls
from rung.providers.openai_compatible import Endpoint, OpenAICompatible
from rung.store.replay import to_frames, to_whole
from rung.wire.client import Client, Deadlines, Origin
from rung.wire.splice import edit

_SILENCE = 60.0
"""seconds without a sign of progress after which the engine counts as hung"""

_NOTICE = 1.0
"""seconds within which the kernel reports a child whose connections broke; it frees its memory first"""

_OVERFLOW = re.compile(r"\((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
_PROGRESS = b'"prompt_progress":'
"""only ever a key: inside a JSON string the quote before the colon would be escaped"""


class LocalRung:
    """The embedded engine as a rung.

    `load_wait`: seconds a call waits for a loading model: one that insists on it, or any if `patient`
    (because there is nobody else to ask).
    """

    name = "local"
    stays_here = True

    def __init__(self, engine: Engine, client: Client, *, load_wait: float = 60.0, patient: bool = False) -> None:
        self.model = f"local:{engine.alias}"
        self._engine = engine
        self._client = client
        self._load_wait = load_wait
        self._patient = patient
        self._life: tuple[Origin, OpenAICompatible] | None = None

    async def attempt(self, call: Call) -> Answer | Declined:
        """Answer, or decline: ``text_only``, ``tools_unsupported``, ``one_choice_only``, ``context_overflow``,
        ``no_local_model``, ``local_loading``, ``local_restarting``, ``local_failed``, ``local_busy``.

        Only a private call, or one that names this model, waits for it to load. If the engine dies before it
        has said anything, such a call is asked again once; otherwise EngineFault is raised.
        """
        unsuited = _unsuited(call.body)
        if unsuited:
            return Declined(unsuited)
        engine = self._engine
        for tries_left in (1, 0):
            if engine.state in ("loading", "restarting") and self._insists(call):
                await engine.ready(min(self._load_wait, call.remaining()))
            if engine.state != "ready":
                return Declined(self._why_not())
            if not await engine.acquire(call.remaining()):
                return Declined(f"local_busy: {engine.slots} running, {engine.waiting} waiting")
            run, origin = _Run(engine), engine.origin
            try:
                if origin is not None:
                    return await self._ask(call, origin, run)
                await run.aclose()  # it died while this call stood in the queue
            except BaseException as error:
                await run.aclose()
                if isinstance(error, RejectedFault) and (told := _OVERFLOW.search(error.message)):
                    return Declined(f"context_overflow: {told[1]} tokens > {told[2]}")
                fault = _as_engine_fault(error)
                if not (tries_left and isinstance(fault, EngineFault) and await engine.lost(origin, _NOTICE)):
                    raise fault from None
        return Declined(self._why_not())

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Nothing to learn yet."""

    def _insists(self, call: Call) -> bool:
        named = call.private or "local" in (call.mode, call.model) or call.model == self.model
        return named or self._patient

    def _why_not(self) -> str:
        code = {"stopped": "no_local_model", "failed": "local_failed", "loading": "local_loading"}
        word = code.get(self._engine.state, "local_restarting")
        return f"{word}: {self._engine.detail}" if self._engine.detail else word

    async def _ask(self, call: Call, origin: Origin, run: _Run) -> Answer:
        left = call.remaining()
        limits = Deadlines(5.0, min(_SILENCE, left), min(_SILENCE, left), left)
        tools = _tools(call.body)
        answer = await self._provider(origin).chat(_streamed(call, tools), self._engine.alias, limits)
        assert answer.events is not None
        run.follow(answer.events)
        answer.rung, answer.evidence.unproved = self.name, True
        answer.events = run
        if call.stream and not tools:
            return answer
        frames = b"".join([event.data async for event in run])
        body = to_whole(frames, answer.evidence.usage)
        if tools:
            body = _with_tool_calls(body, call.body, tools, answer)
        if call.stream:
            answer.events = _once(to_frames(body, call.include_usage, answer.evidence.usage))
        else:
            answer.events, answer.body = None, body
        return answer

    def _provider(self, origin: Origin) -> OpenAICompatible:
        """A new adapter for every life of the engine: its port and key change."""
        if self._life is None or self._life[0] != origin:
            headers = f"authorization: Bearer {self._engine.api_key}\r\ncontent-type: application/json\r\n"
            endpoint = Endpoint(name="local", origin=origin, base_path="/v1", headers=headers.encode(), price=_free)
            self._life = (origin, OpenAICompatible(endpoint, self._client))
        return self._life[1]


class _Run:
    """One answer of the engine as it comes. Holds a slot, which it gives back exactly once: at the end,
    at a fault, or when closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Engine | None = engine
        self._events: AsyncIterator[Event] | None = None

    def follow(self, events: AsyncIterator[Event]) -> None:
        """Take over the adapter's stream."""
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        assert self._events is not None
        try:
            while True:
                event = await anext(self._events)
                data = _without_progress(event.data)
                if data or event.last:
                    return Event(data, event.content, event.last)
        except BaseException as error:
            await self.aclose()
            raise _as_engine_fault(error) from None

    async def aclose(self) -> None:
        """Stop generating and free the slot. Safe to call twice."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        try:
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()
        finally:
            engine.release()


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


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The tools this call may use: none of them if it says so."""
    return [] if body.get("tool_choice") == "none" else body.get("tools") or []


def _streamed(call: Call, tools: list[dict[str, Any]]) -> Call:
    """The same call as a stream with progress (llama-server's ``return_progress``).

    The choice of a tool is left out: llama.cpp cannot force these models, it only stalls; and tools that must
    not be used are better not told.
    """
    body = {**call.body, "stream": True, "return_progress": True}
    remove = ["tool_choice", *([] if tools else ["tools"])]
    raw = edit(call.raw, replace={"stream": b"true", "return_progress": b"true"}, remove=remove)
    usage = call.include_usage and not tools
    return replace(call, body=body, raw=raw, stream=True, include_usage=call.stream and usage)


def _with_tool_calls(body: bytes, asked: dict[str, Any], tools: list[dict[str, Any]], answer: Answer) -> bytes:
    """`body` with the text turned into tool calls, if that is what it is.

    Raises BadAnswerFault if a tool call was required and there is none.
    """
    told = orjson.loads(body)
    choice = told["choices"][0]
    calls = read_tool_calls(choice["message"].get("content") or "", tools)
    wanted = asked.get("tool_choice")
    name = wanted["function"]["name"] if isinstance(wanted, dict) and "function" in wanted else None
    if (wanted == "required" and not calls) or (name and not (calls and all(call["name"] == name for call in calls))):
        raise BadAnswerFault("the local model made no tool call although one was required", code="no_tool_call")
    if not calls:
        return body
    choice["message"] |= {
        "content": None,
        "tool_calls": [
            {"id": f"call_{told['id'][-12:]}_{place}", "type": "function", "function": call}
            for place, call in enumerate(calls)
        ],
    }
    choice["finish_reason"] = answer.evidence.finish_reason = "tool_calls"
    answer.evidence.tool_calls = True
    return orjson.dumps(told)


async def _once(frames: bytes) -> AsyncIterator[Event]:
    yield Event(frames, True, True)


def _without_progress(data: bytes) -> bytes:
    if _PROGRESS not in data:
        return data
    return b"".join(frame + b"\n\n" for frame in data.split(b"\n\n") if frame and _PROGRESS not in frame)


def _as_engine_fault(error: BaseException) -> BaseException:
    """A broken connection to our own child means that it crashed; anything else is what it is."""
    cut = isinstance(error, BadAnswerFault) and error.code not in ("empty_answer", "no_tool_call")
    if cut or isinstance(error, ConnectFault):
        return EngineFault("the local engine stopped in the middle of this call; it is being restarted")
    return error


def _free(model: str, usage: Usage) -> int:
    """What a call costs in pico-dollars: the electricity is not on this bill."""
    return 0
