"""The prefix plan: how far a prompt can be shared, where a provider should cache it, and when that pays.

Pure. What each provider's prompt cache does is data (`data/prompt_caches.json`); the bytes of a prompt are never
changed, only members that the APIs define for caching are added, and never where the caller has set their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b, sha1
from pathlib import Path
from typing import Any

import msgspec
import orjson

from rung.call import Call, Prefix
from rung.providers.prices import Rates
from rung.store.prefixes import FIXED_PARTS, leading_instructions, parts
from rung.wire.splice import append_member, edit, members

RULES_FILE = Path(__file__).parent / "data" / "prompt_caches.json"

SHORT = 4096
"""bytes of a request below which no provider caches enough to be worth a thought"""

BYTES_PER_TOKEN = 4
"""a rough mean, for what is only compared with a minimum"""

MOST_MARKS = 4
"""break-points a request may have (Anthropic; OpenAI writes as many)"""

STRIDE = 15
"""blocks between two break-points: Anthropic looks back 20 from each"""


@dataclass(frozen=True, slots=True)
class CacheRule:
    """The prompt cache of some models. Fields are told in the file's `_meta.fields`; `ttl` in seconds."""

    match: tuple[str, ...] = ("*",)
    min_tokens: int = 1024
    ttl: float = 0.0
    key: bool = False
    marks: str = ""
    contents: bool = False
    hold: bool = False


NO_CACHE = CacheRule()


def _read_rules() -> dict[str, tuple[CacheRule, ...]]:
    listed = orjson.loads(RULES_FILE.read_bytes())["providers"]
    return {
        name: tuple(CacheRule(**{**fields, "match": tuple(fields["match"])}) for fields in told)
        for name, told in listed.items()
    }


_RULES = _read_rules()  # small, and read before there is an event loop to keep waiting


@lru_cache(maxsize=512)
def cache_rule(model_id: str) -> CacheRule:
    """The rule of ``provider:model``; one whose `ttl` is 0 where no prompt cache is known."""
    provider, _, model = model_id.partition(":")
    for rule in _RULES.get(provider, ()):
        if any(fnmatchcase(model, pattern) for pattern in rule.match):
            return rule
    return NO_CACHE


def has_cache(provider: str) -> bool:
    """Is anything known about this provider's prompt cache?"""
    return provider in _RULES


# ---- how far a prompt can be shared ----


def read_prefix(call: Call) -> Prefix | None:
    """Where `call`'s prompt may be the same as another's; None if it is private or too short to matter."""
    if call.private or len(call.raw) < SHORT:
        return None
    body = call.body
    instructions, unnamed = leading_instructions(body), not call.session
    tenant = f"{call.tenant}\0".encode("utf-8", "surrogatepass")
    hashed = sha1(tenant, usedforsecurity=False)  # twice as fast as blake2b where the processor helps
    asked = f"{call.model}\0{call.mode}\0{call.task}\0{call.session}".encode("utf-8", "surrogatepass")
    own = blake2b(tenant + asked, digest_size=16)
    ends: list[bytes] = []
    sizes: list[int] = []
    size = 0
    for text in parts(call.raw, body):
        hashed.update(text)
        size += memoryview(text).nbytes
        ends.append(hashed.digest()[: Prefix.WIDTH])
        sizes.append(size)
        place = len(ends) - FIXED_PARTS
        if unnamed and place > 0:
            own.update(text)
            unnamed = place <= instructions  # up to the first turn
    return Prefix(own.digest(), b"".join(ends), sizes, FIXED_PARTS + instructions)


def continues(call: Call) -> bool:
    """Will the conversation go on, as far as one can see? It has a session, tools, or a history."""
    body = call.body
    return bool(call.session or body.get("tools") or any(one.get("role") == "assistant" for one in body["messages"]))


def cache_key(call: Call) -> str | None:
    """A `prompt_cache_key` for everyone who shares this prefix within the tenant, not one for every user."""
    prefix = call.prefix
    if prefix is None or "prompt_cache_key" in call.body:
        return None
    return f"rung-{prefix.head.hex()}"


# ---- break-points ----


def mark_blocks(body: dict[str, Any], *, grows: bool) -> bool:
    """Set Anthropic's break-points in a request of theirs: tools, instructions and, if the conversation `grows`,
    the newest block and as many before it, `STRIDE` blocks apart, as are left. -> were any set?

    The latter let a request find what the one before wrote although a turn added more blocks than are looked
    back. They cost nothing: what is written is written once.
    """
    control = {"type": "ephemeral"}
    marked: list[dict[str, Any]] = []
    for part in (body.get("tools"), body.get("system")):
        if part:
            marked.append(part[-1])
    if grows:
        blocks = [block for message in body["messages"] for block in message["content"]]
        last = len(blocks) - 1
        while last >= 0 and (blocks[last]["type"] in _UNMARKED or blocks[last] == {"type": "text", "text": ""}):
            last -= 1
        places = [place for place in range(last, -1, -STRIDE) if blocks[place]["type"] not in _UNMARKED]
        marked += [blocks[place] for place in places[: MOST_MARKS - len(marked)]]
    for block in marked:
        block["cache_control"] = control
    return bool(marked)


_UNMARKED = ("thinking", "redacted_thinking")
"""blocks that take no break-point"""


def mark_parts(raw: bytes, body: dict[str, Any], shared: int) -> bytes | None:
    """`raw` with OpenAI's break-points on the last part of the instructions and of the newest message.

    `shared`: leading messages that are instructions. None where a message's content is a plain text: it would
    have to be written in another way, and half the marks are worse than the automatic ones.
    """
    messages = body["messages"]
    places = sorted({place for place in (shared - 1, len(messages) - 1) if place >= 0})
    for place in places:
        content = messages[place].get("content")
        if not isinstance(content, list) or not content or content[-1].get("type") != "text":
            return None
    span = members(raw)["messages"]
    text = raw[span.value_start : span.value_end]
    for place in reversed(places):
        text = _in_item(text, place, _mark_last_part)
    return raw[: span.value_start] + text + raw[span.value_end :]


def _mark_last_part(message: bytes) -> bytes:
    span = members(message)["content"]
    content = message[span.value_start : span.value_end]
    content = _in_item(content, -1, lambda part: append_member(part, "prompt_cache_breakpoint", b'{"mode":"explicit"}'))
    return message[: span.value_start] + content + message[span.value_end :]


_items = msgspec.json.Decoder(list[msgspec.Raw])


def _in_item(array: bytes, place: int, change: Callable[[bytes], bytes]) -> bytes:
    """A JSON array with one item changed and every other byte as it was."""
    items = [bytes(item) for item in _items.decode(array)]
    place %= len(items)
    start = 0
    for item in items[:place]:
        start = array.index(item, start) + len(item)
    start = array.index(items[place], start)
    return array[:start] + change(items[place]) + array[start + len(items[place]) :]


def with_key(raw: bytes, key: str) -> bytes:
    """`raw` with ``prompt_cache_key`` as its last member."""
    return edit(raw, append={"prompt_cache_key": orjson.dumps(key)})


# ---- break-even ----


def contents_pay(
    rates: Rates, storage: int, tokens: int, reads_per_hour: float, found_anyway: float, hours: float
) -> bool:
    """Is an explicit cache of `tokens` worth making for the next `hours`?

    Making it costs its tokens at the input price and `storage` pico-dollars per token and hour; each read saves
    what the automatic cache would not have found anyway (a share from 0 to 1).
    """
    saved = reads_per_hour * hours * (1 - found_anyway) * (rates.input - rates.cache_read)
    return tokens > 0 and saved > rates.input + storage * hours
