"""A stored answer in the shape the next caller asked for.

Three conversions between one ``chat.completion`` and its ``chat.completion.chunk`` frames
(https://platform.openai.com/docs/api-reference/chat/object, .../chat/streaming). Fields unknown to us are
carried over: strings of a delta are concatenated, lists joined (by `index` where items have one), objects
merged, everything else replaced by the latest. Frames never include ``data: [DONE]``.

Bytes that are not such an answer raise one of `REFUSED`.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import orjson

from rung.answer import Usage
from rung.completion import wire_usage

REFUSED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""what the conversions raise for bytes of any other shape"""

_REPLACED = frozenset(("role", "type", "id", "index"))
"""strings of a delta that are said once or repeated, never continued"""

_OWN = ("object", "choices", "usage", "rung", "obfuscation")
"""top-level members that differ between the shapes or belong to one delivery only"""

_HEAD = frozenset(("id", "object", "created", "model", "system_fingerprint", "service_tier"))
"""top-level members every chunk of a stream repeats"""


class _Parts(list[str]):
    """A string still growing; joined once at the end, so that long answers stay linear."""


def to_whole(frames: bytes, usage: Usage | None = None) -> bytes:
    """The ``chat.completion`` that `frames` add up to; `usage` is told where the frames do not tell it."""
    top: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    told: Any = None
    for chunk in chunks(frames):
        told = chunk.get("usage") or told
        for name, value in chunk.items():
            if name not in _OWN and (value is not None or name not in top):
                top[name] = value
        for part in chunk.get("choices") or ():
            _add_choice(choices, part)
    if not choices:
        raise ValueError("the frames hold no choice")
    whole = {
        **top,
        "object": "chat.completion",
        "choices": [_finished(choices[index]) for index in sorted(choices)],
    }
    if told is None and usage is not None:
        told = wire_usage(usage)
    if told is not None:
        whole["usage"] = told
    return orjson.dumps(whole)


def to_frames(body: bytes, include_usage: bool, usage: Usage | None = None) -> bytes:
    """The frames of a ``chat.completion``: per choice its role, its contents, its end; then the usage chunk.

    With `include_usage` every chunk but the last has ``usage: null``. Without any known usage (neither in
    `body` nor given) there is no usage chunk: nothing is invented.
    """
    whole = _object(body)
    base = {name: value for name, value in whole.items() if name not in _OWN}
    base["object"] = "chat.completion.chunk"
    nil: dict[str, Any] = {"usage": None} if include_usage else {}
    out: list[bytes] = []
    for choice in whole.get("choices") or ():
        rest = {name: value for name, value in choice.items() if name not in ("message", "logprobs", "finish_reason")}
        index = rest.pop("index", 0)
        deltas = [*_deltas(choice["message"]), {}]
        # where logprobs go: with the text, else at the end, never with the role (the SDK would add them twice)
        text = next(
            (place for place, delta in enumerate(deltas) if place and delta.keys() & {"content", "refusal"}), -1
        )
        text %= len(deltas)
        for place, delta in enumerate(deltas):
            part: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": None}
            if "logprobs" in choice:
                part["logprobs"] = choice["logprobs"] if place == text else None
            if not delta:
                part |= {"finish_reason": choice.get("finish_reason"), **rest}
            out.append(_frame({**base, "choices": [part], **nil}))
    if not out:
        raise ValueError("the answer holds no choice")
    told = whole.get("usage") or (wire_usage(usage) if usage is not None else None)
    if include_usage and told is not None:
        out.append(_frame({**base, "choices": [], "usage": told}))
    return b"".join(out)


def with_usage(frames: bytes, include_usage: bool, usage: Usage | None = None) -> bytes:
    """The same frames with the usage chunk and ``usage: null`` on the others, or without any usage."""
    out: list[bytes] = []
    told: Any = None
    base: dict[str, Any] = {}
    for chunk in chunks(frames):
        usage_here = chunk.pop("usage", None)
        chunk.pop("rung", None)
        told = usage_here or told
        base = base or {name: value for name, value in chunk.items() if name in _HEAD}
        if not chunk.get("choices") and (usage_here or chunk.keys() <= _HEAD | {"choices", "obfuscation"}):
            continue  # the usage chunk, or one that says nothing
        out.append(_frame({**chunk, "usage": None} if include_usage else chunk))
    if not out:
        raise ValueError("there is no chunk in the frames")
    if told is None and usage is not None:
        told = wire_usage(usage)
    if include_usage and told is not None:
        out.append(_frame({**base, "choices": [], "usage": told}))
    return b"".join(out)


def without_rung(body: bytes) -> bytes:
    """A whole answer without the `rung` member of its first delivery."""
    whole = _object(body)
    whole.pop("rung", None)
    return orjson.dumps(whole)


def all_ended(data: bytes, ends: Container[str | None], *, whole: bool) -> bool:
    """Did every choice of an answer of several end with one of `ends`?"""
    ended: dict[int, str | None] = {}
    for part in (_object(data),) if whole else chunks(data):
        for choice in part.get("choices") or ():
            index = choice.get("index") or 0
            ended[index] = choice.get("finish_reason") or ended.get(index)
    return bool(ended) and all(reason in ends for reason in ended.values())


def chunks(frames: bytes) -> Iterator[dict[str, Any]]:
    """The chunks in SSE `frames`; comments, other fields and ``[DONE]`` are skipped.

    Event streams: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    """
    held: list[bytes] = []
    for line in (*frames.splitlines(), b""):
        if line.startswith(b"data:"):
            held.append(line[5:].removeprefix(b" "))
        elif not line and held:
            data = b"\n".join(held)
            held = []
            if data.strip() != b"[DONE]":
                yield _object(data)


def _object(data: bytes) -> dict[str, Any]:
    value = orjson.loads(data)
    if not isinstance(value, dict):
        raise ValueError("an answer must be a JSON object")
    return value


def _frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _add_choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    index = part.get("index") or 0
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
    for name, value in part.items():
        if name == "delta":
            delta = dict(value or {})
            calls = delta.pop("tool_calls", None)
            _merge(choice["message"], delta)
            for call in calls or ():
                _add_tool_call(choice["message"].setdefault("tool_calls", []), call)
        elif name == "logprobs" and value is not None and choice.get("logprobs") is not None:
            _merge(choice["logprobs"], value)
        elif name != "index" and (value is not None or name not in choice):
            choice[name] = value


def _add_tool_call(calls: list[dict[str, Any]], delta: dict[str, Any]) -> None:
    """Tool call deltas belong together by `index`; without one, a new id starts a new call."""
    index = delta.get("index")
    if index is None:
        fresh = not calls or (delta.get("id") and delta["id"] != calls[-1].get("id"))
        index = len(calls) if fresh else calls[-1]["index"]
    for call in reversed(calls):
        if call["index"] == index:
            _merge(call, delta)
            return
    calls.append({**delta, "index": index})


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    calls = choice["message"].get("tool_calls")
    if calls is not None:
        calls.sort(key=lambda call: call["index"])
        for call in calls:
            del call["index"]
    _join_parts(choice)
    return choice


def _join_parts(value: dict[str, Any] | list[Any]) -> None:
    places: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    for place in places:
        item = value[place]
        if isinstance(item, _Parts):
            value[place] = "".join(item)
        elif isinstance(item, (dict, list)):
            _join_parts(item)


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        held = into.get(name)
        if held is None:
            into[name] = value
        elif value is None or (name in _REPLACED and value == ""):
            continue
        elif isinstance(held, _Parts) and isinstance(value, str):
            held.append(value)
        elif isinstance(held, str) and isinstance(value, str) and name not in _REPLACED:
            into[name] = _Parts((held, value))
        elif isinstance(held, dict) and isinstance(value, dict):
            _merge(held, value)
        elif isinstance(held, list) and isinstance(value, list):
            _join(held, value)
        else:
            into[name] = value


def _join(held: list[Any], more: list[Any]) -> None:
    for item in more:
        index = item.get("index") if isinstance(item, dict) else None
        if index is not None:
            same = next((old for old in reversed(held) if isinstance(old, dict) and old.get("index") == index), None)
            if same is not None:
                _merge(same, item)
                continue
        held.append(item)


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message in the order models stream it: role, reasoning, anything else, text, tool calls."""
    content = message.get("content")
    yield {"role": message.get("role", "assistant"), "content": "" if isinstance(content, str) else None}
    rest = {name: value for name, value in message.items() if name not in ("role", "content", "refusal", "tool_calls")}
    if rest:
        yield rest
    for name in ("content", "refusal"):
        if message.get(name):
            yield {name: message[name]}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield {"tool_calls": [{"index": index, **call}]}
