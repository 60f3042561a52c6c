"""The embedded engine's adapter: llama.cpp's own server on the loopback, as llama.cpp wants to be asked.

It is always asked for a stream with progress, whatever the caller wants: llama.cpp notices that a client has
left only when it writes to it, so an abandoned whole answer would hold the slot to its last token, and an
abandoned prompt until it is read (measured: minutes). With progress the slot is free one batch later.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import orjson
from msgspec.structs import replace

from rung import completion
from rung.answer import Answer, Event, Evidence, Usage
from rung.call import Call
from rung.errors import BadAnswerFault, ConnectFault, EngineFault, Fault, RejectedFault
from rung.local import fields, grammar, labels
from rung.local.backend import Backend
from rung.local.heads import Heads
from rung.local.speculate import Gauge, drafted, task_of
from rung.local.speeds import timings
from rung.local.toolcalls import read_tool_calls
from rung.providers.endpoint import Endpoint, Price
from rung.providers.openai_compatible import OpenAICompatible
from rung.store.replay import chunks, to_frames, to_whole
from rung.tools import CannotAnswer, Options
from rung.tools.schema import against_schema
from rung.wire.client import Client, Deadlines, Origin
from rung.wire.splice import edit

_PROGRESS = b'"prompt_progress":'
"""only ever a key: inside a JSON string the quote before the colon would be escaped"""

_PROGRESSING: dict[str, Any] = {
    "stream": True,
    "return_progress": True,
    "stream_options": {"include_usage": True},
}

_LOOKED_AT = 40
"""tokens whose probability is looked at where a label is chosen"""

_SAMPLING = ("temperature", "top_p", "seed")

_NO_GRAMMARS = "llguidance is not enabled"
"""llama.cpp's words for it"""

_MOST_HEADS = 1000
"""remembered as met in this life of the engine"""

_USAGE_ONLY = b'"choices":[]'
"""only ever a member, for the same reason: the chunk that holds usage and times"""


class Embedded:
    """Chat with the engine behind `backend`; its port and key change with every life it has."""

    def __init__(
        self,
        backend: Backend,
        client: Client,
        *,
        price: Price,
        heads: Callable[[], Heads | None] = lambda: None,
        gauge: Gauge | None = None,
    ) -> None:
        self._backend = backend
        self._client = client
        self._price = price
        self._heads = heads
        self._gauge = gauge
        self._life: tuple[Origin, OpenAICompatible] | None = None
        self._met: dict[str, int] = {}

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        """Answer a call, held to the schema it asks for if any.

        A call that leaves only a few labels is answered from their probabilities, a flat object is filled in member by
        member. Raises EngineFault if the engine
        is not there or breaks off, RejectedFault (400) for a schema that cannot be enforced, else as
        `OpenAICompatible.chat`.
        """
        origin = self._backend.origin
        if origin is None:
            raise _crashed()
        tools = _tools(call.body)
        schema = _schema(call.body, tools)
        try:
            heads = self._heads()
            if heads is not None and (head := heads.name(call)) is not None:
                await self._warm(heads, head, call, model, deadlines)
            choice = labels.read(call.body)
            if choice is not None and (answer := await self._choose(call, model, choice, deadlines)) is not None:
                return answer
            form = None if call.stream else fields.read(call.body)
            if form is not None and (answer := await self._fill(call, model, form, deadlines)) is not None:
                return answer
            answer = await self._provider(origin).chat(_streamed(call, tools, schema), model, deadlines)
            assert answer.events is not None
            usage = call.include_usage or not call.stream or bool(tools)
            clean = self._clean(answer.events, usage=usage, task=task_of(call))
            answer.events = clean if schema is None or tools else _checked(answer, clean, schema[0])
            if call.stream and not tools:
                return answer
            frames = b"".join([event.data async for event in answer.events])
        except BaseException as error:
            raise _as_engine_fault(error) from None
        body = to_whole(frames, answer.evidence.usage)
        if tools:
            body = _with_tool_calls(body, call.body, tools, answer)
        if call.stream:
            answer.events = _once(to_frames(body, call.include_usage, answer.evidence.usage))
        else:
            answer.events, answer.body = None, body
        return answer

    async def _warm(
        self, heads: Heads, head: tuple[str, list[dict[str, Any]]], call: Call, model: str, deadlines: Deadlines
    ) -> None:
        """Give the engine a head it has read in an earlier life; write down one that is used again.

        The first time in this life a kept head is restored. The second time one that is not kept is: the engine
        has it warm, so asking for the head alone costs one token. Nothing here may fail a call.
        """
        name, messages = head
        origin = self._backend.origin
        if origin is None:
            return
        provider = self._provider(origin)
        times = self._met[name] = self._met.get(name, 0) + 1
        if len(self._met) > _MOST_HEADS:
            self._met.clear()
        if times > 2:
            return
        try:
            file = await asyncio.to_thread(heads.find, name)
            if times == 1 and file is not None:
                await self._slot(origin, "restore", file, deadlines)
            elif times == 2 and file is None:
                body = {"model": model, "messages": messages, "max_tokens": 1, "temperature": 0, **_PROGRESSING}
                if tools := _tools(call.body):
                    body |= {"tools": tools, "tool_choice": "none"}
                asked = replace(call, body=body, raw=orjson.dumps(body), stream=True, include_usage=True)
                answer = await provider.chat(asked, model, deadlines)
                assert answer.events is not None
                async for _ in answer.events:
                    pass
                part = await asyncio.to_thread(heads.part, name)
                await self._slot(origin, "save", part, deadlines)
                await asyncio.to_thread(heads.keep, part)
        except (Fault, OSError):
            return

    async def _slot(self, origin: Origin, action: str, file: str, deadlines: Deadlines) -> None:
        """Have the engine write the KV of its slot to `file`, or read it."""
        headers = self._backend.headers + b"content-type: application/json\r\n"
        await self._client.fetch(
            origin, "POST", f"/slots/0?action={action}", headers, orjson.dumps({"filename": file}), deadlines
        )

    async def _choose(self, call: Call, model: str, choice: labels.Choice, deadlines: Deadlines) -> Answer | None:
        """Answer with the likeliest of a few labels; None if the model would rather say something else."""
        tally = labels.Tally(choice)
        told: Usage | None = None
        for _ in range(labels.MAX_ROUNDS):
            tokens, usage = await self._next(call, model, choice.before + tally.typed, deadlines)
            told = usage if told is None else told
            if not tally.add(tokens):
                return None
            if tally.label is not None:
                break
        if tally.label is None:
            return None
        text, usage = choice.answer(tally.label), told or Usage()
        evidence = Evidence("stop", True, usage, self._price(model, usage), label_probability=tally.probability)
        answer = Answer(rung="local", model=f"local:{model}", evidence=evidence)
        if call.stream:
            frames = completion.frames(
                text, model=model, request_id=call.request_id, include_usage=call.include_usage, usage=usage
            )
            answer.events = _once(b"".join(frames))
        else:
            answer.body = completion.whole(text, model=model, request_id=call.request_id, usage=usage)
        return answer

    async def _next(
        self, call: Call, model: str, begun: str, deadlines: Deadlines
    ) -> tuple[list[tuple[str, float]], Usage | None]:
        """The likeliest tokens after the answer has `begun`, with their probabilities, and what asking took."""
        told = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": _LOOKED_AT}
        frames, evidence = await self._go_on(call, model, begun, told, deadlines)
        for chunk in chunks(frames):
            for part in chunk.get("choices") or ():
                for token in (part.get("logprobs") or {}).get("content") or ():
                    likely = [(one["token"], math.exp(one["logprob"])) for one in token["top_logprobs"]]
                    return likely, evidence.usage
        return [], evidence.usage

    async def _fill(
        self, call: Call, model: str, members: tuple[fields.Field, ...], deadlines: Deadlines
    ) -> Answer | None:
        """Answer with an object of these members; None if the model would write something else for one of them."""
        form = fields.Form(members)
        body = call.body
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        told = {name: body[name] for name in _SAMPLING if name in body}
        first: Usage | None = None
        written, said = 0, ""
        while (field := form.due) is not None:
            left = {} if limit is None else {"max_tokens": max(1, limit - written)}
            frames, evidence = await self._go_on(call, model, form.text, told | left | {"stop": field.ends}, deadlines)
            said = orjson.loads(to_whole(frames))["choices"][0]["message"].get("content") or ""
            usage = evidence.usage or Usage()
            first = first or usage
            written = usage.prompt_tokens + usage.completion_tokens - first.prompt_tokens
            if evidence.finish_reason == "length" or (limit is not None and written >= limit):
                break
            if not form.add(said):
                return None
        finish, text = ("stop", form.text) if form.due is None else ("length", form.text + said)
        usage = replace(first or Usage(), output_tokens=written)
        evidence = Evidence(finish, True, usage, self._price(model, usage))
        answer = Answer(rung="local", model=f"local:{model}", evidence=evidence)
        answer.body = completion.whole(text, model=model, request_id=call.request_id, finish_reason=finish, usage=usage)
        return answer

    async def _go_on(
        self, call: Call, model: str, begun: str, told: dict[str, Any], deadlines: Deadlines
    ) -> tuple[bytes, Evidence]:
        """What the model says after its answer has `begun`: the frames, and what it took."""
        origin = self._backend.origin
        if origin is None:
            raise _crashed()
        messages = list(call.body["messages"])
        if begun:
            messages.append({"role": "assistant", "content": begun})
        body = {"model": model, "messages": messages, **told, **_PROGRESSING}
        asked = replace(call, body=body, raw=orjson.dumps(body), stream=True, include_usage=True)
        answer = await self._provider(origin).chat(asked, model, deadlines)
        assert answer.events is not None
        frames = b"".join([event.data async for event in self._clean(answer.events, usage=True, task="")])
        return frames, answer.evidence

    def _provider(self, origin: Origin) -> OpenAICompatible:
        if self._life is None or self._life[0] != origin:
            headers = self._backend.headers + b"content-type: application/json\r\n"
            endpoint = Endpoint("local", origin, self._backend.base_path, headers, price=self._price)
            self._life = (origin, OpenAICompatible(endpoint, self._client))
            self._met.clear()
        return self._life[1]

    async def _clean(self, events: AsyncIterator[Event], *, usage: bool, task: str) -> AsyncGenerator[Event, None]:
        """The stream without its progress and, unless they are wanted, without the chunk of usage and times.

        Raises EngineFault where the engine breaks off. Closing it closes `events`.
        """
        try:
            async for event in events:
                data = _without(event.data, _PROGRESS)
                if event.last:
                    if (told := timings(data)) is not None:
                        self._backend.speed.learn(told)
                    if self._gauge is not None and (drafts := drafted(data)) is not None:
                        self._gauge.add(task, drafts)
                    data = data if usage else _without(data, _USAGE_ONLY)
                elif not data:
                    continue
                yield Event(data, event.content, event.last)
        except Exception as error:
            raise _as_engine_fault(error) from None
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The tools this call may use: none of them if it says so."""
    return [] if body.get("tool_choice") == "none" else body.get("tools") or []


def _schema(body: dict[str, Any], tools: list[dict[str, Any]]) -> tuple[Any, str] | None:
    """The schema the whole answer is held to, and where in the call it stands."""
    return grammar.tool_calls(tools, body.get("tool_choice")) if tools else grammar.wanted(body)


def _streamed(call: Call, tools: list[dict[str, Any]], schema: tuple[Any, str] | None) -> Call:
    """The same call as a stream with progress (llama-server's ``return_progress``) and its times at the end.

    What the answer is held to goes as a grammar of ours; llama.cpp's own reading of ``response_format`` leaves
    keywords out without a word. It takes no grammar beside a choice of tools, so that is said to be ``none``: the
    tools stay in the prompt. Tools that must not be used are better not told.
    """
    told: dict[str, Any] = dict(_PROGRESSING)
    remove = ["tool_choice", *([] if tools else ["tools"])]
    if schema is not None:
        told["grammar"] = grammar.grammar(*schema)
        remove.append("response_format")
        if tools:
            told["tool_choice"] = "none"
            remove.remove("tool_choice")
    body = {**call.body, **told}
    raw = edit(call.raw, replace={name: orjson.dumps(value) for name, value in told.items()}, remove=remove)
    return replace(call, body=body, raw=raw, stream=True, include_usage=True)


async def _checked(answer: Answer, events: AsyncGenerator[Event, None], schema: Any) -> AsyncIterator[Event]:
    """The same events; what has ended by itself is valid under `schema`, or BadAnswerFault is raised.

    The grammar sees to it already. This is for a grammar the engine could not read: it only logs that.
    """
    frames: list[bytes] = []
    async with aclosing(events):
        async for event in events:
            frames.append(event.data)
            if event.last and answer.evidence.finish_reason == "stop":
                text = orjson.loads(to_whole(b"".join(frames)))["choices"][0]["message"].get("content") or ""
                await asyncio.to_thread(_require_valid, text, schema)  # the first time it loads a library
            yield event


def _require_valid(text: str, schema: Any) -> None:
    try:
        result = against_schema(text, Options(schema=orjson.dumps(schema).decode()))
    except CannotAnswer:
        return  # jsonschema is not installed, or the schema costs too much to evaluate: the grammar stands alone
    if not result.ok:
        raise BadAnswerFault("the local model's answer does not have the schema asked for", code="schema_mismatch")


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


def _without(data: bytes, mark: bytes) -> bytes:
    """The frames in which `mark` does not stand."""
    if mark not in data:
        return data
    return b"".join(frame + b"\n\n" for frame in data.split(b"\n\n") if frame and mark not in frame)


def _as_engine_fault(error: BaseException) -> BaseException:
    """A broken connection to our own child means that it crashed; anything else is what it is."""
    if isinstance(error, RejectedFault) and _NO_GRAMMARS in error.message:
        told = "the engine here was compiled without LLGuidance, so it cannot hold an answer to a schema"
        return RejectedFault(f"{told}; take its wheel, or compile it with Rust at hand", code="unsupported_schema")
    cut = isinstance(error, BadAnswerFault) and error.code not in ("empty_answer", "no_tool_call", "schema_mismatch")
    return _crashed() if cut or isinstance(error, ConnectFault) else error


def _crashed() -> EngineFault:
    return EngineFault("the local engine stopped in the middle of this call; it is being restarted")
