"""The request for the rest of an answer, where a provider continues a last assistant message with ``"prefix": true``.

DeepSeek's chat prefix completion (https://api-docs.deepseek.com/guides/chat_prefix_completion), under ``/beta``.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from rung.call import Call
from rung.providers.estimate import estimate_tokens

_LIMITS = ("max_tokens", "max_completion_tokens")


def rest_of(call: Call, so_far: str) -> Call:
    """`call`, asking for what follows on `so_far`.

    The model has thought before it began to speak, so it is not asked to think again; of a limit of tokens,
    what `so_far` should have used up (an estimate) is taken off.
    """
    messages = list(call.body["messages"])
    if continues_prefix(call.body):
        so_far = f"{messages.pop()['content']}{so_far}"
    messages.append({"role": "assistant", "content": so_far, "prefix": True})
    body: dict[str, Any] = {**call.body, "messages": messages, "thinking": {"type": "disabled"}}
    body.pop("reasoning_effort", None)
    for name in _LIMITS:
        if isinstance(limit := body.get(name), int):
            body[name] = max(limit - estimate_tokens(so_far), 1)
    return msgspec.structs.replace(call, body=body, raw=orjson.dumps(body), prefix=None)


def continues_prefix(body: dict[str, Any]) -> bool:
    """Does a chat body end with the beginning of the answer?"""
    last = body["messages"][-1]
    return last.get("role") == "assistant" and last.get("prefix") is True and isinstance(last.get("content"), str)


def prefix_base(base_path: str, prefix_path: str) -> str:
    """Where prefixes are taken: `prefix_path` instead of ``/v1`` at the end of `base_path`."""
    return base_path.removesuffix(prefix_path).removesuffix("/v1") + prefix_path
