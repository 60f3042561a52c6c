"""When two calls are the same call.

A fingerprint is 16 bytes of BLAKE2b (RFC 7693) over the caller's context and a canonical text of the body:

* object keys are sorted, except inside tools and schemas, where their order reaches the model's prompt and
  grammar; arrays keep their order; unknown fields count;
* `stream` and `stream_options` are left out (a stored answer is replayed in the shape asked for), and so is
  rung's own `rung` member;
* numbers count as they were written: a 64-bit float would make ``0.1`` and ``0.1000000000000000055`` one.

The canonical text is itself JSON with the same value as the body, so equal texts mean equal bodies.
"""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
import orjson

SIZE = 16
"""bytes of a fingerprint"""

_EXCLUDED = frozenset(("stream_options", "rung"))
"""left out, like `stream`"""

_ORDERED = frozenset(
    (
        "tools",
        "functions",
        "response_format",
        "schema",
        "json_schema",
        "input_schema",
        "response_schema",
        "guided_json",
        "structured_outputs",
        "parameters",
        "format",
    )
)
"""members that hold tools or schemas: key order below them is kept"""

_SORTED = frozenset(("messages", "stop", "logit_bias", "metadata", "modalities", "audio", "prediction"))
"""members of the chat body that are known to hold no schema: orjson may sort them at once"""

_PLAIN = _SORTED | {"model", "temperature", "max_tokens", "max_completion_tokens", "n"}
"""members in most bodies, none of which holds a schema"""

_parse = msgspec.json.Decoder(float_hook=orjson.Fragment).decode


def fingerprint(raw: bytes, tenant: str, model: str, config_version: str, private: bool) -> bytes:
    """The identity of a call: `SIZE` bytes.

    `raw` is the chat body as received; `model` the requested name; `config_version` any text that changes
    when the configuration does. A body that cannot be made canonical (nested deeper than the 254 levels
    orjson writes) is identified by its raw bytes. Never raises for JSON that `orjson.loads` accepts.
    """
    try:
        text = b"c" + _canonical(_parse(raw))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        text = _slowly(raw)
    return blake2b(_context(tenant, model, config_version, private) + text, digest_size=SIZE).digest()


@lru_cache(maxsize=1024)
def _context(tenant: str, model: str, config_version: str, private: bool) -> bytes:
    """Each part with its length before it, so that no two contexts run into each other."""
    parts = (tenant, model, config_version, "private" if private else "")
    return "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")


def _canonical(body: dict[str, Any]) -> bytes:
    body.pop("stream", None)
    if not _PLAIN.issuperset(body):
        for name in _EXCLUDED:
            body.pop(name, None)
        for name, value in body.items():
            kind = type(value)
            if (kind is dict or kind is list) and name not in _SORTED:
                body[name] = orjson.Fragment(orjson.dumps(value)) if name in _ORDERED else _ordered_below(value)
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _ordered_below(value: Any) -> Any:
    """The same value with every tool or schema in it already written in its own order."""
    if isinstance(value, list):
        return [_ordered_below(item) for item in value]
    if isinstance(value, dict):
        return {
            name: orjson.Fragment(orjson.dumps(item)) if name in _ORDERED else _ordered_below(item)
            for name, item in value.items()
        }
    return value


def _slowly(raw: bytes) -> bytes:
    """For integers beyond 64 bits, which orjson does not write: the standard library keeps them as text."""
    try:
        return b"c" + _canonical(json.loads(raw, parse_float=orjson.Fragment, parse_int=orjson.Fragment))
    except (TypeError, ValueError, RecursionError):
        return b"r" + raw
