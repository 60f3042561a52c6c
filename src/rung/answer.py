"""What comes back from a rung: `Declined`, or an answer stream (head, events, final evidence).

A whole answer is a stream of one event. The text on the stream is already in the shape the caller asked
for: the bytes of one ``chat.completion`` JSON, or SSE frames each holding one ``chat.completion.chunk``
(https://platform.openai.com/docs/api-reference/chat). Frames never include ``data: [DONE]``: the
terminator belongs to the door, and an upstream's terminator is turned into `Evidence.complete`.

These are msgspec structs, not dataclasses, because several are made for every call: theirs are made in C.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec


class Usage(msgspec.Struct, gc=False):
    """Tokens of one answer, in disjoint classes that add up (each >= 0).

    Providers disagree on what includes what; adapters turn their counts into these.
    """

    input_tokens: int = 0
    """read by the model at the full input price"""
    cache_read_tokens: int = 0
    """read from the provider's prompt cache"""
    cache_write_tokens: int = 0
    """written to the provider's prompt cache for its ordinary time, where that is charged"""
    output_tokens: int = 0
    """visible output, tool calls included"""
    reasoning_tokens: int = 0
    """thinking, billed as output everywhere we know"""
    cache_write_long_tokens: int = 0
    """written for its longer time (Anthropic: 1 h, OpenAI: 12 h), which costs more"""
    service_tier: str = ""
    """the tier that answered, in the provider's lower-case word (``flex``); empty where it did not say"""

    @property
    def prompt_tokens(self) -> int:
        """All input, in OpenAI's sense (cached and written included)."""
        return self.input_tokens + self.cache_read_tokens + self.written_tokens

    @property
    def written_tokens(self) -> int:
        """All that was written to the provider's prompt cache."""
        return self.cache_write_tokens + self.cache_write_long_tokens

    @property
    def completion_tokens(self) -> int:
        """All output, in OpenAI's sense (reasoning included)."""
        return self.output_tokens + self.reasoning_tokens

    def __add__(self, other: Usage) -> Usage:
        """The sum of the tokens; the tier is kept only if both have the same."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_long_tokens + other.cache_write_long_tokens,
            self.service_tier if self.service_tier == other.service_tier else "",
        )


class Declined(msgspec.Struct, gc=False):
    """A rung's polite no. Not an error: the climb goes on.

    `reason` is ``code`` or ``code: detail``; the code is a stable word, the detail is for people and
    holds no prompt text longer than a word or two.
    """

    reason: str

    @property
    def code(self) -> str:
        return self.reason.partition(":")[0]


class Event(msgspec.Struct, gc=False):
    """One step of an answer stream.

    `data`: for a whole answer the JSON body; for a stream one or more complete SSE frames
    (``data: {...}\\n\\n``), byte for byte as they came where nothing had to change.
    `content`: True when it carries something the caller would show or act on (text, reasoning, a tool
    call, audio, a refusal). The first such event is the commit point.
    `last`: True on the final event of a stream that ended as it should; the evidence is complete by then.
    """

    data: bytes
    content: bool = True
    last: bool = False


class Evidence(msgspec.Struct, gc=False):
    """What is known about an answer once its stream has ended (partly before: the model, for one).

    `complete` is True only if a finish reason came *and* the stream ended with its terminator.
    `cost` is in pico-dollars (10^-12 USD), None when the price is unknown (never 0 for unknown).
    """

    finish_reason: str | None = None
    complete: bool = False
    usage: Usage | None = None
    cost: int | None = None
    model_version: str = ""
    tool_calls: bool = False
    edits: tuple[str, ...] = ()
    """what a repair changed, told in the record"""
    unproved: bool = False
    """answered by a model below the reference without trust data"""
    stripped: tuple[str, ...] = ()
    """request fields removed because the model rejects them"""
    simulated: bool = False
    label_probability: float | None = None
    """of an answer that is one of a few labels: the share of the model's probability on labels that is on this one"""


class Answer(msgspec.Struct):
    """A rung's answer: the head now, the events as they come, the evidence at the end.

    Exactly one of `body` (whole) and `events` (stream) is set. Whoever gives up on a stream early must
    call `aclose`, which cancels the upstream work.
    """

    rung: str
    model: str
    """the model that answers, as ``provider:model``; for a program or a cache the rung's own name"""
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    body: bytes | None = None
    events: AsyncIterator[Event] | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """extra response headers this rung wants told (e.g. ``Cache-Status``)"""

    @property
    def whole(self) -> bool:
        return self.body is not None

    async def aclose(self) -> None:
        """Cancel what is still running upstream. Safe to call twice."""
        if self.events is not None:
            close = getattr(self.events, "aclose", None)
            if close is not None:
                await close()
