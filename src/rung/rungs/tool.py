"""The tool rung: what can be computed is never asked of a model.

It answers only a call whose whole instruction is one task of `rung.tools`, and whose parameters leave the
answer's form to us. Everything else is `Declined("not_a_tool_task: ...")`, decided in microseconds: every call
of ``auto`` pays for that decision.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson

from rung import completion
from rung.answer import Answer, Declined, Event, Evidence, Usage
from rung.call import Call
from rung.once import Once
from rung.tools import (
    TOOLS,
    CannotAnswer,
    Intent,
    NotATask,
    Options,
    Result,
    render,
    run,
    understand,
    warm,
)

MAX_WORKERS = 2
"""payloads worked on in threads at once; a call beyond that declines instead of queueing"""
MAX_SECONDS = 2.0
"""the longest a call waits for a thread's work"""
CHARS_PER_TOKEN = 2.0
"""fewer characters per token than any usual tokenizer makes of code: an answer is never cut by ``max_tokens``"""

_FORCED = ("required",)
_STANDING_ORDER = re.compile(
    r"""\b(?:from\ now\ on|always|never|every|each|all|whenever|when\ i|rules?|rest\ of|any\ ?time|act\ as|means?
    |(?:answer|respon|prefer|pretend|play|speak|talk|indent|sort)\w*|repl(?:y|ies)|tabs|spaces
    |désormais|dorénavant|à\ partir\ de|toujours|jamais|chaque|tout|tous|toutes?|quand\ je|règles?
    |(?:répon|préf[eé]r|jou|parl)\w*|signifient?|tabulations|espaces|tri[eé]\w*)\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""what an earlier turn may have agreed on about this answer, in words no grammar reads"""

_UNSUPPORTED = ("logprobs", "top_logprobs", "audio", "prediction", "functions", "function_call", "web_search_options")


class ToolRung:
    """Programs as a rung. Nothing it does leaves this machine."""

    name = "tool"
    model = "tool"
    stays_here = True

    def __init__(self) -> None:
        self._busy = 0
        self._words = Once(_read_vocabulary)  # 2 MB and 80 ms that who asks for models by name need not spend

    def warm(self) -> None:
        """Load libraries and vocabulary now. Without it the first call of each kind waits for them, in a thread."""
        warm()
        _read_vocabulary()
        self._words.done = True

    def look(self, call: Call) -> Declined | None:
        """Decline at once what is no task of ours: nearly every call. None if it is one, or if that takes longer."""
        if not self._words.done:
            return None
        task = _task(call)
        return task if isinstance(task, Declined) else None

    async def attempt(self, call: Call) -> Answer | Declined:
        """Answer a whole or streamed call, or decline: ``not_a_tool_task`` (not ours) or ``tool_cannot`` (ours, but
        a limit, a missing library or a missing proof stands in the way)."""
        await self._words.wait()
        task = _task(call)
        if isinstance(task, Declined):
            return task
        try:
            result = await self._work(call, task)
        except CannotAnswer as error:
            return Declined(f"tool_cannot: {error.reason}")
        content = render(result, task.want, task.language)
        refused = _form(call.body, content)
        if refused:
            return Declined(f"tool_cannot: {refused}")
        return _answer(call, content, result)

    def settle(self, call: Call, answer: Answer | None, stored: bytes | None) -> None:
        """Nothing is kept."""

    async def _work(self, call: Call, task: Intent) -> Result:
        tool = TOOLS.get((task.language, task.action))
        if tool is None or (tool.ready and len(task.text) + len(task.options.schema) <= tool.inline):
            return run(task.language, task.action, task.text, task.options)
        if self._busy >= MAX_WORKERS:
            raise CannotAnswer("every worker is busy")
        seconds = min(MAX_SECONDS, call.remaining())
        if seconds <= 0:
            raise CannotAnswer("the call's deadline has passed")
        self._busy += 1
        work = asyncio.ensure_future(asyncio.to_thread(run, task.language, task.action, task.text, task.options))
        # A thread cannot be stopped: it keeps its place among the workers until it has ended.
        work.add_done_callback(self._free)
        try:
            return await asyncio.wait_for(asyncio.shield(work), seconds)
        except TimeoutError:
            raise CannotAnswer("the work took too long") from None

    def _free(self, work: asyncio.Future[Result]) -> None:
        self._busy -= 1
        if not work.cancelled():
            work.exception()  # read, so that an abandoned failure is not reported as lost


def _read_vocabulary() -> None:
    understand("Format this JSON: {}")


def _task(call: Call) -> Intent | Declined:
    """What is asked of a tool, or why nothing is."""
    text = _last_user_text(call.body)
    if text is None:
        return Declined("not_a_tool_task: the last message is not plain user text")
    system = _system_text(call.body)
    if system is None:
        return Declined("not_a_tool_task: the system prompt is long or not text")
    task = understand(text, system)
    if isinstance(task, NotATask):
        return Declined(f"not_a_tool_task: {task.reason}")
    refused = _parameters(call.body) or _earlier_orders(call.body)
    return Declined(f"not_a_tool_task: {refused}") if refused else task


def _last_user_text(body: dict[str, Any]) -> str | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    return _text(last.get("content")) if isinstance(last, dict) and last.get("role") == "user" else None


def _text(content: Any) -> str | None:
    """A message's text; None for images, audio, files, or more than one text part (their joint is not ours to say)."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = content[0]
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            return str(part["text"])
    return None


def _system_text(body: dict[str, Any]) -> str | None:
    found: list[str] = []
    for message in body["messages"]:
        if isinstance(message, dict) and message.get("role") in ("system", "developer"):
            text = _text(message.get("content"))
            if text is None or len(text) > 600:
                return None
            found.append(text)
    return "\n".join(found)


def _earlier_orders(body: dict[str, Any]) -> str:
    """Why earlier turns stand in the way: tool turns, or an order that may still hold."""
    for message in body["messages"][:-1]:
        if message.get("role") in ("system", "developer"):
            continue
        if message.get("role") == "tool" or message.get("tool_calls"):
            return "a tool turn is open"
        text = _text(message.get("content"))
        if text is None:
            return "an earlier turn is not plain text"
        if message.get("role") == "user" and _STANDING_ORDER.search(text):
            return "an earlier turn gives a standing order"
    return ""


def _parameters(body: dict[str, Any]) -> str:
    """Which request parameter asks for something a program cannot give; empty if none does."""
    if body.get("n") not in (None, 1):
        return "n is not 1"
    for name in _UNSUPPORTED:
        if body.get(name):
            return f"{name} is asked for"
    if body.get("modalities") not in (None, ["text"]):
        return "another modality is asked for"
    choice = body.get("tool_choice")
    if choice in _FORCED or isinstance(choice, dict):
        return "a tool call is required"
    return ""


def _form(body: dict[str, Any], content: str) -> str:
    """Why this content does not fit the form the call asks for; empty if it does."""
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        if isinstance(limit, int) and len(content) / CHARS_PER_TOKEN > limit:
            return f"the answer may be longer than {name}"
    stop = body.get("stop") or ()
    if any(isinstance(one, str) and one and one in content for one in ([stop] if isinstance(stop, str) else stop)):
        return "a stop sequence occurs in the answer"
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind in (None, "text"):
        return ""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "response_format asks for JSON, the answer is not"
    if kind == "json_object":
        return "" if isinstance(parsed, dict) else "response_format asks for an object"
    if kind == "json_schema":
        return _against_schema(wanted, content)
    return "this response_format is not known"


def _against_schema(wanted: Any, content: str) -> str:
    given = wanted.get("json_schema")
    schema = given.get("schema") if isinstance(given, dict) else None
    if not isinstance(schema, dict):
        return "response_format holds no schema"
    try:
        result = run("json", "schema", content, Options(schema=orjson.dumps(schema).decode()))
    except CannotAnswer as error:
        return error.reason
    return "" if result.ok else "the answer does not validate against response_format"


def _answer(call: Call, content: str, result: Result) -> Answer:
    evidence = Evidence(
        finish_reason="stop", complete=True, usage=Usage(), cost=0, model_version="tool", edits=result.edits
    )
    if not call.stream:
        body = completion.whole(content, model=ToolRung.model, request_id=call.request_id)
        return Answer(ToolRung.name, ToolRung.model, evidence, body=body)
    frames = completion.frames(
        content, model=ToolRung.model, request_id=call.request_id, include_usage=call.include_usage
    )
    return Answer(ToolRung.name, ToolRung.model, evidence, events=_events(frames, content))


async def _events(frames: list[bytes], content: str) -> AsyncIterator[Event]:
    # The first frame holds only the role, the second the content, the rest the end.
    for i, frame in enumerate(frames):
        yield Event(frame, content=i == 1 and bool(content), last=i == len(frames) - 1)
