"""An OpenAI-shaped request as Ollama's ``/api/chat`` wants it. Shapes: docs/api.md of ollama/ollama."""

from __future__ import annotations

from typing import Any

from rung.providers.chat_request import Asked, ImagePart, Part, Returned, Said, TextPart, data_url, rejected

LOAD_OPTIONS = frozenset(("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict"))
"""options that belong to the loaded model: another value loads it again"""

OWN = (
    "options",
    "keep_alive",
    "num_ctx",
    "think",
    "truncate",
    "shift",
    "presence_penalty",
    "frequency_penalty",
    "min_p",
)
"""its own request fields, and those it takes as options under the same name"""

_OPTIONS = ("num_ctx", "presence_penalty", "frequency_penalty", "min_p")
_THINK: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "high"}


def write(asked: Asked, body: dict[str, Any], provider: str) -> dict[str, Any]:
    """The request without `model` and `stream`. `body`: the caller's, for Ollama's own fields in it.

    Adds to `asked.stripped` what cannot be said. Raises RejectedFault.
    """
    if asked.n > 1:
        raise rejected(provider, "gives one answer a call (n must be 1)", "n")
    messages = [{"role": "system", "content": part.text} for part in asked.system]
    messages += [_said(turn, provider) if isinstance(turn, Said) else _returned(turn, provider) for turn in asked.turns]
    told: dict[str, Any] = {"messages": messages, "truncate": False}
    told |= {name: body[name] for name in ("keep_alive", "think", "truncate", "shift") if body.get(name) is not None}
    if options := _options(asked, body, provider):
        told["options"] = options
    if asked.functions and not (asked.choice and asked.choice.mode == "none"):
        told["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": function.name,
                    "description": function.description,
                    "parameters": function.schema or {"type": "object", "properties": {}},
                },
            }
            for function in asked.functions
        ]
    if asked.choice and (asked.choice.mode == "required" or asked.choice.names):
        asked.stripped.append("tool_choice")
    if asked.parallel is False:
        asked.stripped.append("parallel_tool_calls")
    if asked.format:
        told["format"] = asked.schema if asked.format == "schema" else "json"
    if asked.effort is not None:
        told.setdefault("think", _THINK.get(asked.effort, asked.effort))
    return told


def _options(asked: Asked, body: dict[str, Any], provider: str) -> dict[str, Any]:
    own = body.get("options") or {}
    if not isinstance(own, dict):
        raise rejected(provider, "wants an object as options", "options")
    options: dict[str, Any] = {
        **asked.sampling,
        **{name: body[name] for name in _OPTIONS if body.get(name) is not None},
    }
    if asked.max_tokens is not None:
        options["num_predict"] = asked.max_tokens
    if asked.stop:
        options["stop"] = asked.stop
    if asked.seed is not None:
        options["seed"] = asked.seed
    return {**options, **own}


def _said(turn: Said, provider: str) -> dict[str, Any]:
    told = {"role": turn.role, **_content(turn.parts, provider, turn.path)}
    if turn.reasoning:
        told["thinking"] = turn.reasoning
    if turn.calls:
        told["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in turn.calls
        ]
    return told


def _returned(turn: Returned, provider: str) -> dict[str, Any]:
    told = _content(turn.parts, provider, turn.path)
    return {"role": "tool", **told, "tool_name": turn.name, "tool_call_id": turn.call_id}


def _content(parts: list[Part], provider: str, path: str) -> dict[str, Any]:
    """One text, and the images beside it."""
    texts, images = [], []
    for part in parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
            continue
        inline = data_url(part.url) if isinstance(part, ImagePart) else None
        if inline is None:
            raise rejected(provider, "takes text, and images as data URLs", path)
        images.append(inline[1])
    told: dict[str, Any] = {"content": "\n".join(texts)}
    return {**told, "images": images} if images else told
