"""Writing OpenAI-shaped answers from what a provider says in its own words, whole or streamed.

Shapes: https://platform.openai.com/docs/api-reference/chat/object and .../chat/streaming. Thinking is told as
`reasoning_content`, the spelling most clients read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson

from rung.answer import Evidence, Usage
from rung.call import Call
from rung.completion import wire_usage
from rung.providers.chat_wire import wants_json
from rung.wire.sse import frame


class _Choice:
    """One choice under way: the message of a whole answer, or what a stream still needs to know."""

    __slots__ = ("calls", "finish", "message", "reasoning", "started", "text")

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.finish: str | None = None
        self.started = False


class ChatWriter:
    """Told piece by piece what the model says, it makes ``chat.completion`` bytes.

    Attributes:
        model: the name told in the answer; may be set until the first piece.
        visible: some choice holds text or a tool call.
        blank: and that is nothing but white space so far.
        thought: some choice holds reasoning.
        extra: members to add to the whole answer or to the last chunk.
    """

    def __init__(self, call: Call, model: str, evidence: Evidence) -> None:
        self.model = model
        self.visible = False
        self.blank = True
        self.thought = False
        self.extra: dict[str, Any] = {}
        self._call = call
        self._json = wants_json(call.body)
        self._evidence = evidence
        self._created = int(time.time())
        self._choices: dict[int, _Choice] = {}
        self._frames: list[bytes] = []
        self._content = False

    # ---- what the model says ----

    def text(self, piece: str, choice: int = 0) -> None:
        if not piece:
            return
        self.visible = True
        self.blank = self.blank and piece.isspace()
        if self._call.stream:
            self._delta(choice, {"content": piece}, content=not (self.blank and self._json))
        else:
            self._choice(choice).text.append(piece)

    def reasoning(self, piece: str, choice: int = 0) -> None:
        if not piece:
            return
        self.thought = True
        if self._call.stream:
            self._delta(choice, {"reasoning_content": piece})
        else:
            self._choice(choice).reasoning.append(piece)

    def tool_call(
        self, call_id: str, name: str, arguments: str, choice: int = 0, extra: Mapping[str, Any] | None = None
    ) -> int:
        """A tool call, or its beginning (then `arguments` is empty); -> its index, for `tool_arguments`.

        `extra`: members beside `function`.
        """
        self.visible, self.blank = True, False
        self._evidence.tool_calls = True
        made = self._choice(choice)
        index = len(made.calls)
        function = {"name": name, "arguments": arguments}
        told = {"index": index, "id": call_id, "type": "function", "function": function, **(extra or {})}
        made.calls.append(told)
        if self._call.stream:
            self._delta(choice, {"tool_calls": [told]})
        return index

    def tool_arguments(self, index: int, piece: str, choice: int = 0) -> None:
        """More of the arguments of tool call `index`."""
        if self._call.stream:
            self._delta(choice, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        else:
            self._choice(choice).calls[index]["function"]["arguments"] += piece

    def attach(self, members: Mapping[str, Any], choice: int = 0) -> None:
        """Members beside `content`, such as what a provider wants back in the history."""
        if self._call.stream:
            self._delta(choice, dict(members), content=False)
        else:
            self._choice(choice).message |= members

    def finish(self, reason: str, choice: int = 0) -> None:
        """OpenAI's finish reason of one choice; the evidence keeps the first that is not ``stop``."""
        self._choice(choice).finish = reason
        told = [made.finish for made in self._choices.values() if made.finish is not None]
        self._evidence.finish_reason = next((one for one in told if one != "stop"), "stop")

    def has_calls(self, choice: int = 0) -> bool:
        return bool(self._choice(choice).calls)

    @property
    def finished(self) -> bool:
        """Every choice that began has ended."""
        return bool(self._choices) and all(made.finish is not None for made in self._choices.values())

    # ---- what the caller gets ----

    def take(self) -> tuple[bytes, bool]:
        """-> (frames to pass on now, do they carry content)."""
        taken = b"".join(self._frames), self._content
        self._frames, self._content = [], False
        return taken

    def end(self, usage: Usage | None) -> bytes:
        """The stream's tail: finish chunks, and the usage chunk if it was asked for."""
        tail = [
            self._chunk([self._one(index, {}, made.finish)], last=place == len(self._choices) - 1)
            for place, (index, made) in enumerate(sorted(self._choices.items()))
        ]
        if self._call.include_usage and usage is not None:
            tail.append(
                frame(orjson.dumps({**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(usage)}))
            )
        return b"".join(tail)

    def whole(self, usage: Usage | None) -> bytes:
        """The whole answer."""
        choices = [
            {"index": index, "message": self._message(made), "logprobs": None, "finish_reason": made.finish}
            for index, made in sorted(self._choices.items())
        ]
        told = {} if usage is None else {"usage": _usage(usage)}
        return orjson.dumps({**self._head("chat.completion"), "choices": choices, **told, **self.extra})

    def _choice(self, index: int) -> _Choice:
        made = self._choices.get(index)
        if made is None:
            made = self._choices[index] = _Choice()
        return made

    def _delta(self, choice: int, delta: dict[str, Any], *, content: bool = True) -> None:
        made = self._choice(choice)
        if not made.started:
            made.started = True
            delta = {"role": "assistant", **delta}
        self._frames.append(self._chunk([self._one(choice, delta, None)]))
        self._content |= content

    def _chunk(self, choices: list[dict[str, Any]], *, last: bool = False) -> bytes:
        told = {**self._head("chat.completion.chunk"), "choices": choices, **(self.extra if last else {})}
        if self._call.include_usage:
            told["usage"] = None
        return frame(orjson.dumps(told))

    @staticmethod
    def _one(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self._call.request_id}",
            "object": kind,
            "created": self._created,
            "model": self.model,
        }

    @staticmethod
    def _message(made: _Choice) -> dict[str, Any]:
        text = "".join(made.text)
        message = {"role": "assistant", "content": text if text or not made.calls else None, "refusal": None}
        if made.reasoning:
            message["reasoning_content"] = "".join(made.reasoning)
        if made.calls:
            calls = [{name: value for name, value in call.items() if name != "index"} for call in made.calls]
            return {**message, "tool_calls": calls, **made.message}
        return {**message, **made.message}


def _usage(usage: Usage) -> dict[str, Any]:
    told = wire_usage(usage)
    if usage.written_tokens:
        told["prompt_tokens_details"]["cache_write_tokens"] = usage.written_tokens
    return told
