"""The embedded engine's adapter: llama.cpp's own server on the loopback, as llama.cpp wants to be asked.

It is always asked for a stream with progress, whatever the caller wants: llama.cpp notices that a client has
left only when it writes to it, so an abandoned whole answer would hold the slot to its last token, and an
abandoned prompt until it is read (measured: minutes). With progress the slot is free one batch later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from msgspec.structs import replace

from rung.answer import Answer, Event
from rung.call import Call
from rung.errors import BadAnswerFault, ConnectFault, EngineFault
from rung.local.backend import Backend
from rung.local.speeds import timings
from rung.local.toolcalls import read_tool_calls
from rung.providers.endpoint import Endpoint, Price
from rung.providers.openai_compatible import OpenAICompatible
from rung.store.replay import to_frames, to_whole
from rung.wire.client import Client, Deadlines, Origin
from rung.wire.splice import edit

_PROGRESS = b'"prompt_progress":'
"""only ever a key: inside a JSON string the quote before the colon would be escaped"""

_USAGE_ONLY = b'"choices":[]'
"""only ever a member, for the same reason: the chunk that holds usage and times"""


class Embedded:
    """Chat with the engine behind `backend`; its port and key change with every life it has."""

    def __init__(self, backend: Backend, client: Client, *, price: Price) -> None:
        self._backend = backend
        self._client = client
        self._price = price
        self._life: tuple[Origin, OpenAICompatible] | None = None

    async def chat(self, call: Call, model: str, deadlines: Deadlines) -> Answer:
        """Raises EngineFault if the engine is not there or breaks off, else as `OpenAICompatible.chat`."""
        origin = self._backend.origin
        if origin is None:
            raise _crashed()
        tools = _tools(call.body)
        try:
            answer = await self._provider(origin).chat(_streamed(call, tools), model, deadlines)
            assert answer.events is not None
            answer.events = self._clean(answer.events, usage=call.include_usage or not call.stream or bool(tools))
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

    def _provider(self, origin: Origin) -> OpenAICompatible:
        if self._life is None or self._life[0] != origin:
            headers = self._backend.headers + b"content-type: application/json\r\n"
            endpoint = Endpoint("local", origin, self._backend.base_path, headers, price=self._price)
            self._life = (origin, OpenAICompatible(endpoint, self._client))
        return self._life[1]

    async def _clean(self, events: AsyncIterator[Event], *, usage: bool) -> AsyncIterator[Event]:
        """The stream without its progress and, unless they are wanted, without the chunk of usage and times.

        Raises EngineFault where the engine breaks off. Closing it closes `events`.
        """
        try:
            async for event in events:
                data = _without(event.data, _PROGRESS)
                if event.last:
                    if (told := timings(data)) is not None:
                        self._backend.speed.learn(told)
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


def _streamed(call: Call, tools: list[dict[str, Any]]) -> Call:
    """The same call as a stream with progress (llama-server's ``return_progress``) and its times at the end.

    The choice of a tool is left out: llama.cpp cannot force these models, it only stalls; and tools that must
    not be used are better not told.
    """
    body = {**call.body, "stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
    remove = ["tool_choice", *([] if tools else ["tools"])]
    told = {"stream": b"true", "return_progress": b"true", "stream_options": b'{"include_usage":true}'}
    return replace(call, body=body, raw=edit(call.raw, replace=told, remove=remove), stream=True, include_usage=True)


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
    cut = isinstance(error, BadAnswerFault) and error.code not in ("empty_answer", "no_tool_call")
    return _crashed() if cut or isinstance(error, ConnectFault) else error


def _crashed() -> EngineFault:
    return EngineFault("the local engine stopped in the middle of this call; it is being restarted")
