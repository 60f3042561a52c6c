"""One label to be made in the background: what was asked and answered, and which coin chose it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Literal

import msgspec
import orjson

from rung.call import Call
from rung.errors import InvalidRequestError
from rung.ladder.checks import texts_of
from rung.ladder.climb import Climb
from rung.ladder.trust import CellKey, Coin
from rung.store.fingerprint import fingerprint
from rung.wire.splice import edit

Kind = Literal["shadow", "audit"]

LARGEST = 256 * 1024
"""bytes of a call, and of an answer, that are worth comparing: longer calls have no cell"""

PATIENCE = 600.0
"""seconds one background attempt may take"""

_OURS = ("stream", "stream_options", "rung")
"""members that say how the caller wanted to be answered, not what was asked"""


_ABOUT = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "store", "service_tier"})
"""members that say who asks or how the provider is to handle it: no other question"""


class Said(msgspec.Struct):
    """One model's whole answer, as a comparator needs it."""

    text: str
    tool_calls: list[dict[str, Any]] = []
    finish_reason: str = "stop"


NOTHING = Said("", [], "")
"""an answer that is cut, or that nothing could be held against: whatever is compared with it disagrees"""


class Job(msgspec.Struct):
    """`shadow`: the reference has answered; `ask` is the lower model, unless `lower` is known already.
    `audit`: the lower model has answered; `ask` is the reference.

    Everything of the call that is kept on disk is in here, and goes when the job is done.
    """

    id: str
    kind: Kind
    cell: str
    key: CellKey
    coin: Coin
    request_id: str
    tenant: str
    session: str
    """a hash"""
    fingerprint: str
    """hex; of the call alone, whoever sent it"""
    created: float
    """unix seconds"""
    raw: bytes
    """the chat body as it came"""
    ask: str
    """the model to ask"""
    lower: Said | None
    reference: Said | None
    score: float | None = None
    tries: int = 0
    on_disk: bool = True

    @property
    def body(self) -> dict[str, Any]:
        told: dict[str, Any] = orjson.loads(self.raw)
        return {name: value for name, value in told.items() if name not in _OURS}

    def call(self) -> Call:
        """The call to make for it: the caller's own words, answered in one piece and never stored by a cache."""
        deadline = time.monotonic() + PATIENCE
        return Call(
            body=self.body,
            raw=edit(self.raw, remove=_OURS),
            model=self.ask,
            request_id=f"{self.request_id}-{self.kind}",
            tenant=self.tenant,
            task=self.key.task,
            session=f"{self.kind}:{self.request_id}",
            no_store=True,
            purpose=self.kind,
            door="trust",
            deadline=deadline,
        )


_decode = msgspec.json.Decoder(Job).decode
_encode = msgspec.json.Encoder().encode


def dump(job: Job) -> bytes:
    return _encode(job)


def read(data: bytes) -> Job:
    """Raises msgspec.MsgspecError for what is no job (of this version)."""
    return _decode(data)


def said(record: Climb) -> Said | None:
    """What was answered; None where nothing can be compared: no answer, a cut or too long one, several choices."""
    answer, data = record.answer, record.text()
    if answer is None or data is None or not answer.evidence.complete:
        return None
    return said_in(data, answer.evidence.finish_reason or "", answer.evidence.tool_calls, whole=answer.body is not None)


def said_in(data: bytes, finish_reason: str, calls_tools: bool, *, whole: bool) -> Said | None:
    """The same of an answer's bytes: its body, or all frames of its stream."""
    if len(data) > 4 * LARGEST or finish_reason not in ("stop", "tool_calls"):
        return None
    try:
        texts = texts_of(data, whole=whole)
        tools = _tool_calls(data, whole=whole) if calls_tools else []
    except (orjson.JSONDecodeError, msgspec.MsgspecError, LookupError, TypeError):
        return None
    if len(texts) > 1 or sum(map(len, texts)) > LARGEST or not (texts or tools):
        return None
    return Said("".join(texts), tools, finish_reason)


def _tool_calls(data: bytes, *, whole: bool) -> list[dict[str, Any]]:
    """``{"name", "arguments"}`` of each call, arguments as the text they came in; streamed pieces are put together."""
    payloads = [data] if whole else [line[5:] for line in data.splitlines() if line.startswith(b"data:")]
    found: dict[int, dict[str, Any]] = {}
    for payload in payloads:
        for choice in orjson.loads(payload).get("choices", ()):
            part = choice.get("message" if whole else "delta") or {}
            for place, call in enumerate(part.get("tool_calls") or ()):
                made = found.setdefault(call.get("index", place), {"name": "", "arguments": ""})
                function = call.get("function") or {}
                made["name"] = made["name"] or function.get("name") or ""
                made["arguments"] += function.get("arguments") or ""
    return [found[place] for place in sorted(found)]


def identity(call: Call) -> str:
    """Hex; equal for calls that ask the same, whoever asks, however they are named."""
    raw = call.raw
    if not _ABOUT.isdisjoint(call.body):
        with contextlib.suppress(InvalidRequestError):  # a member that is there twice
            raw = edit(raw, remove=_ABOUT)
    return fingerprint(raw, tenant="", model="", config_version="", private=False).hex()


def session_of(call: Call) -> str:
    """Who converses: x-rung-session, else how the conversation began. A hash."""
    begun = call.session.encode() if call.session else orjson.dumps(_beginning(call.body["messages"]))
    return blake2b(call.tenant.encode() + b"\0" + begun, digest_size=8).hexdigest()


def _beginning(messages: Iterable[Any]) -> list[Any]:
    """All up to and with the first message of a user."""
    begun: list[Any] = []
    for message in messages:
        begun.append(message)
        if isinstance(message, dict) and message.get("role") == "user":
            break
    return begun
