"""One request plus its context.

`Call.body` is the parsed OpenAI chat body; `Call.raw` the bytes it came in. Adapters send `raw` with only
the spans changed that must change, so nothing here rewrites it.
"""

from __future__ import annotations

import os
import re
import time
from itertools import count
from typing import Any

import msgspec
import orjson

from rung.errors import InvalidRequestError

MODES = ("auto", "local", "cloud", "fast", "strong")

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""what no name may hold: names go back in headers and into the log"""

DEFAULT_DEADLINE = 600.0
"""seconds a call may take in all, unless it says otherwise (the OpenAI SDK's own default)"""


class Prefix(msgspec.Struct, gc=False):
    """How far a prompt is the same as another one: a chained hash and the bytes so far at every boundary.

    The boundaries are: the parameters that separate prompt caches, the tools, then every message. `shared`
    of them (up to the last of the leading instructions) are the part that many conversations have in common.
    """

    session: bytes
    """who converses: tenant, name asked for, and x-rung-session or else the first messages; 16 bytes"""
    ends: bytes
    """`WIDTH` bytes for each boundary"""
    sizes: list[int]
    shared: int

    WIDTH = 8

    @property
    def head(self) -> bytes:
        """The hash of the shared part."""
        return self.ends[(self.shared - 1) * self.WIDTH : self.shared * self.WIDTH]

    def common(self, ends: bytes) -> int:
        """Boundaries up to which another prompt, given by its `ends`, is the same."""
        low, high, width = 0, min(len(ends), len(self.ends)) // self.WIDTH, self.WIDTH
        while low < high:  # hashes are chained: once they differ they differ for good
            middle = (low + high + 1) // 2
            span = slice((middle - 1) * width, middle * width)
            if ends[span] == self.ends[span]:
                low = middle
            else:
                high = middle - 1
        return low


class Early(msgspec.Struct):
    """What a model that was asked before its turn has said: whatever its adapter wants to find there again.

    `asked`: `time.monotonic()` then; `ticket`: what its breaker gave; `flow`: the stream, where that has begun.
    """

    response: Any
    asked: float
    ticket: int
    flow: Any = None


class Call(msgspec.Struct):
    """What is asked, by whom, and within which limits.

    Attributes:
        body: parsed chat body; never mutated.
        raw: the same as bytes, exactly as received.
        model: requested name: ``auto``, ``local``, ``fast``, ``strong`` or ``provider:model``.
        mode: one of `MODES`; narrows what ``auto`` may use.
        private: must not reach any address off this machine, on any path.
        tenant: who pays and who may share caches: a hash of the caller's token, or ``local``.
        deadline: `time.monotonic()` value after which the answer is worthless.
        provisional: the caller wants to see on a stream what a lower model says before that is accepted.
        stream: the caller wants SSE; `include_usage`: and the usage chunk at its end.
        max_error: the caller's error limit, a share between 0 and 1, or None.
        check: name of the user's check that an answer from below the reference must pass.
        no_store: nothing of this call may be kept by a cache.
        continues: an answer that is cut may be continued by the model that was giving it, where it can.
        door: which API it came through: ``openai``, or ``python`` for an in-process call.
        plain: nothing is said of it but what to ask which model (`rung.fastpath`).
        purpose: empty for a caller's own call, else why rung itself asks: ``shadow``, ``audit``, ``judge``, ``repeat``.
    """

    body: dict[str, Any]
    raw: bytes
    model: str
    request_id: str = ""
    mode: str = "auto"
    private: bool = False
    tenant: str = "local"
    task: str = ""
    session: str = ""
    max_error: float | None = None
    check: str = ""
    no_store: bool = False
    continues: bool = False
    provisional: bool = False
    stream: bool = False
    include_usage: bool = False
    door: str = "python"
    purpose: str = ""
    plain: bool = False
    started: float = msgspec.field(default_factory=time.monotonic)
    deadline: float = 0.0
    fingerprint: bytes | None = None
    """set by the exact rung on its way up, so that nobody hashes twice"""
    task_confidence: float = 1.0
    """of `task`: 1 where the caller said it"""
    task_why: str = ""
    """why it seems to be this task; empty where the caller said it"""
    task_by_rule: bool = True
    """False where only a learned classifier says so: no model below the reference may answer because of that"""
    found: tuple[str, ...] = ()
    """kinds of personal data or secrets found in it, or the rule that made it private"""
    estimated: int = 0
    """estimated tokens of its prompt, 0 until somebody needed them (`rung.providers.estimate.prompt_tokens`)"""
    prefix: Prefix | None = None
    """set by the gateway where a provider's prompt cache may be worth something: never on short or private calls"""
    early: Early | None = None
    """the first model's answer, where it was asked before its turn (`rung.fastpath`)"""

    def __post_init__(self) -> None:
        if not self.deadline:
            self.deadline = self.started + DEFAULT_DEADLINE

    def remaining(self) -> float:
        """Seconds until the deadline; negative once it has passed."""
        return self.deadline - time.monotonic()


_PREFIX = os.urandom(4).hex()
_numbers = count(1)


def new_request_id() -> str:
    """Unique within and across runs: 8 random hex digits of this process and a counter."""
    return f"{_PREFIX}{next(_numbers):08x}"


class _Message(msgspec.Struct):
    role: str
    content: Any = None
    tool_calls: list[Any] | None = None


class _Tool(msgspec.Struct):
    type: str


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str


class _Chat(msgspec.Struct):
    """The fields rung itself reads, with their types. Everything else passes through unread."""

    messages: list[_Message]
    model: str = "auto"
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    n: int | None = None
    tools: list[_Tool] | None = None
    response_format: _ResponseFormat | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


def parse_chat(raw: bytes) -> dict[str, Any]:
    """Parse and check a chat body.

    Raises InvalidRequestError with the position of broken JSON or the path of a field of the wrong type.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"the request body is not valid JSON: {error}", code="invalid_json") from None
    return check_chat(body)


def check_chat(body: Any) -> dict[str, Any]:
    """Check the types of the fields rung reads; returns the same dict.

    Raises InvalidRequestError whose `param` is the field's path.
    """
    if not isinstance(body, dict):
        raise InvalidRequestError("the request body must be a JSON object", code="invalid_type")
    try:
        chat = msgspec.convert(body, _Chat)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        param = path.strip("`").lstrip(".") or None
        where = f" at {param}" if param else ""
        raise InvalidRequestError(f"{text}{where}", code="invalid_type", param=param) from None
    if not chat.messages:
        raise InvalidRequestError("messages must hold at least one message", code="empty_messages", param="messages")
    if not chat.model:
        raise InvalidRequestError("model must not be empty; try 'auto'", code="empty_model", param="model")
    if CONTROL.search(chat.model):
        raise InvalidRequestError("model must not hold control characters", code="invalid_value", param="model")
    if chat.n is not None and chat.n < 1:
        raise InvalidRequestError("n must be at least 1", code="invalid_value", param="n")
    return body
