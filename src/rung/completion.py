"""The shapes of an answer that rung itself writes: one ``chat.completion``, or its ``chat.completion.chunk`` frames.

Shapes: https://platform.openai.com/docs/api-reference/chat/object and .../chat/streaming. Answers that come
from a provider are never rebuilt here; their bytes pass through.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from rung.answer import Usage

DONE = b"data: [DONE]\n\n"


def wire_usage(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's wire names (cached and reasoning tokens are included in the totals)."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def whole(
    content: str, *, model: str, request_id: str, finish_reason: str = "stop", usage: Usage | None = None
) -> bytes:
    """One ``chat.completion`` body holding `content`."""
    return orjson.dumps(
        {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": None},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": wire_usage(usage or Usage()),
        }
    )


def frames(
    content: str,
    *,
    model: str,
    request_id: str,
    include_usage: bool,
    finish_reason: str = "stop",
    usage: Usage | None = None,
) -> list[bytes]:
    """The same answer as SSE frames, in order: role, content, finish, and the usage chunk if asked for.

    With `include_usage` every chunk but the last carries ``usage: null``, as OpenAI's do.
    """
    base: dict[str, Any] = {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    nil: dict[str, Any] = {"usage": None} if include_usage else {}

    def chunk(delta: dict[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + orjson.dumps({**base, "choices": [choice], **nil}) + b"\n\n"

    out = [
        chunk({"role": "assistant", "content": "", "refusal": None}, None),
        chunk({"content": content}, None),
        chunk({}, finish_reason),
    ]
    if include_usage:
        last = {**base, "choices": [], "usage": wire_usage(usage or Usage())}
        out.append(b"data: " + orjson.dumps(last) + b"\n\n")
    return out
