"""An OpenAI-shaped request as Anthropic's Messages API wants it.

Shapes: https://platform.claude.com/docs/en/api/messages. Cache breakpoints (`cache_control`) that stand in an
OpenAI-shaped request pass on to the block they stand on.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

from rung.providers.chat_request import (
    Asked,
    AudioPart,
    FilePart,
    Function,
    ImagePart,
    Part,
    Returned,
    Said,
    TextPart,
    data_url,
    rejected,
)
from rung.providers.rows import ModelRule

DEFAULT_MAX_TOKENS = 16_384
LEAST_BUDGET = 1024
"""thinking tokens; fewer are refused"""

_ID = re.compile(r"[^a-zA-Z0-9_-]")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}

Remembered = Callable[[str], Any]
"""tool call id -> the thinking blocks of its turn, if this process has seen them"""


def write(asked: Asked, rule: ModelRule, own: dict[str, Any], provider: str, remembered: Remembered) -> dict[str, Any]:
    """The request body without `model` and `stream`. `own`: Anthropic's own members of the request.

    Adds to `asked.stripped` what cannot be said. Raises RejectedFault.
    """
    if asked.n > 1:
        raise rejected(provider, "gives one answer a call (n must be 1)", "n")
    messages = _messages(asked, provider, remembered)
    system = [_text(part) for part in asked.system]
    if not messages:  # instructions alone are no conversation here
        messages, system = [{"role": "user", "content": system}], []
    body: dict[str, Any] = {
        "max_tokens": asked.max_tokens or rule.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if system:
        body["system"] = system
    if asked.functions:
        body["tools"] = [_tool(function) for function in asked.functions]
        if choice := _choice(asked):
            body["tool_choice"] = choice
    if asked.stop:
        body["stop_sequences"] = asked.stop
    if asked.seed is not None:
        asked.stripped.append("seed")
    config: dict[str, Any] = {}
    if asked.format == "schema":
        config["format"] = {"type": "json_schema", "schema": asked.schema}
    elif asked.format:
        asked.stripped.append("response_format")
    _think(asked, rule, body, config)
    body |= own
    if config:
        body["output_config"] = {**config, **(own.get("output_config") or {})}
    _sample(asked, body)
    return body


def _messages(asked: Asked, provider: str, remembered: Remembered) -> list[dict[str, Any]]:
    """Turns, one after the other by role: tool results open the user's turn."""
    messages: list[dict[str, Any]] = []
    for turn in asked.turns:
        role = "assistant" if isinstance(turn, Said) and turn.role == "assistant" else "user"
        blocks = _said(turn, provider, remembered) if isinstance(turn, Said) else [_result(turn, provider)]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def _said(turn: Said, provider: str, remembered: Remembered) -> list[dict[str, Any]]:
    thinking: list[dict[str, Any]] = turn.thinking_blocks
    if not thinking and turn.calls:
        thinking = remembered(turn.calls[0].id) or []
    blocks = [*thinking, *(_block(part, provider, turn.path) for part in turn.parts)]
    blocks += [
        {"type": "tool_use", "id": safe_id(call.id), "name": call.name, "input": call.arguments} for call in turn.calls
    ]
    return blocks


def safe_id(call_id: str) -> str:
    """A call id in the characters Anthropic allows; the same id always gives the same one."""
    if not _ID.search(call_id):
        return call_id
    return f"{_ID.sub('_', call_id)}_{zlib.crc32(call_id.encode()):08x}"


def _result(turn: Returned, provider: str) -> dict[str, Any]:
    content = [_block(part, provider, turn.path) for part in turn.parts]
    told: dict[str, Any] = {"type": "tool_result", "tool_use_id": safe_id(turn.call_id)}
    if content:
        told["content"] = content
    return {**told, "cache_control": turn.cache_control} if turn.cache_control else told


def _text(part: TextPart) -> dict[str, Any]:
    return _marked({"type": "text", "text": part.text}, part.cache_control)


def _marked(block: dict[str, Any], cache_control: dict[str, Any] | None) -> dict[str, Any]:
    return {**block, "cache_control": cache_control} if cache_control else block


def _block(part: Part, provider: str, path: str) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return _text(part)
    if isinstance(part, AudioPart):
        raise rejected(provider, "does not take audio", path)
    if isinstance(part, FilePart):
        return _document(part, provider, path)
    return _image(part, provider, path)


def _image(part: ImagePart, provider: str, path: str) -> dict[str, Any]:
    inline = data_url(part.url)
    if inline is not None:
        source = {"type": "base64", "media_type": inline[0], "data": inline[1]}
    elif part.url.startswith(("https://", "http://")):
        source = {"type": "url", "url": part.url}
    else:
        raise rejected(provider, "takes an image as a data URL or a web address", path)
    return _marked({"type": "image", "source": source}, part.cache_control)


def _document(part: FilePart, provider: str, path: str) -> dict[str, Any]:
    inline = data_url(part.file.file_data or "")
    if inline is None or inline[0] != "application/pdf":
        raise rejected(provider, "takes a file only as a PDF in a data URL in file_data", path)
    source = {"type": "base64", "media_type": inline[0], "data": inline[1]}
    named = {"title": part.file.filename} if part.file.filename else {}
    return _marked({"type": "document", "source": source, **named}, part.cache_control)


def _tool(function: Function) -> dict[str, Any]:
    schema = function.schema or {"properties": {}}
    told: dict[str, Any] = {"name": function.name, "input_schema": {"type": "object", **schema}}
    if function.description:
        told["description"] = function.description
    if function.strict:
        told["strict"] = True
    return _marked(told, function.cache_control)


def _choice(asked: Asked) -> dict[str, Any]:
    choice = asked.choice
    told: dict[str, Any] = {}
    if choice is not None:
        told = {"type": _CHOICES[choice.mode]}
        if len(choice.names) == 1 and choice.mode == "required":
            told = {"type": "tool", "name": choice.names[0]}
        elif choice.names:
            asked.stripped.append("tool_choice.allowed_tools")
    if asked.parallel is False and told.get("type") != "none":
        told = {**(told or {"type": "auto"}), "disable_parallel_tool_use": True}
    return told


def _think(asked: Asked, rule: ModelRule, body: dict[str, Any], config: dict[str, Any]) -> None:
    """`reasoning_effort` as this model knows it: an effort with adaptive thinking, or a budget of tokens."""
    if asked.effort is None:
        return
    if asked.effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    value = rule.effort.get(asked.effort)
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if value is None or forced:  # a forced tool and thinking exclude each other
        asked.stripped.append("reasoning_effort")
        return
    if rule.thinking == "budget":
        budget = min(int(value), body["max_tokens"] // 2)
        if budget < LEAST_BUDGET:
            asked.stripped.append("reasoning_effort")
            return
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        return
    if value != asked.effort:
        asked.stripped.append("reasoning_effort")  # the nearest there is
    body["thinking"] = {"type": "adaptive"}
    config["effort"] = value


def _sample(asked: Asked, body: dict[str, Any]) -> None:
    """Sampling, where the model still takes it: 0 to 1, one of two, and not while it thinks."""
    thinks = body.get("thinking", {"type": "disabled"}).get("type") != "disabled"
    for name, value in asked.sampling.items():
        if thinks or (name == "top_p" and "temperature" in asked.sampling):
            asked.stripped.append(name)
            continue
        body[name] = min(value, 1.0) if name == "temperature" else value
        if body[name] != value:
            asked.stripped.append(name)
