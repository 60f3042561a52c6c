"""What can go wrong, one class a kind: the `faults`, `script` and `outages` of a scenario are made of these.

A fault hits one request. `Provider` and its files render those about content in the provider's own form;
`sim.server` does those about bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]


class Base(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    rate: Share = 1.0
    """share of the requests it hits, where it stands in `faults`"""


class Status(Base, frozen=True, tag="status"):
    """An HTTP error with the provider's own body and headers."""

    status: Annotated[int, Meta(ge=400, le=599)]
    code: str | None = None
    """the provider's own code, e.g. ``insufficient_quota``; None: the usual one of that status"""
    message: str | None = None
    retry_after: Seconds | None = None
    """seconds, told the provider's way: header, message or body"""
    body: str | None = None
    """these bytes instead of the provider's error body"""
    headers: dict[str, str] = field(default_factory=dict)


class FailedGeneration(Base, frozen=True, tag="failed_generation"):
    """Groq: 400 with the model's raw text (``tool_use_failed`` or ``json_validate_failed``)."""

    code: Literal["tool_use_failed", "json_validate_failed"] = "json_validate_failed"
    text: str = '{"answer": "broken'


class Empty(Base, frozen=True, tag="empty"):
    """A good end with no content at all."""


class Blocked(Base, frozen=True, tag="blocked"):
    """The provider's filter: HTTP 200, no text."""

    where: Literal["prompt", "answer"] = "prompt"
    reason: str = "SAFETY"
    """Gemini's blockReason or finishReason"""


class OnlyThinking(Base, frozen=True, tag="only_thinking"):
    """All of max_tokens went into thinking: no visible text (Gemini: MAX_TOKENS without parts)."""


class BlankJson(Base, frozen=True, tag="blank_json"):
    """The text is replaced by spaces and the answer ends as if it were good (DeepSeek's JSON mode)."""


class BrokenJson(Base, frozen=True, tag="broken_json"):
    """JSON that does not parse, in the text or in a tool call's arguments, and a good end."""


class Finish(Base, frozen=True, tag="finish"):
    """Half the text, and this finish reason in the provider's own words."""

    reason: str = "insufficient_system_resource"


class StreamError(Base, frozen=True, tag="stream_error"):
    """The provider's own error in the middle of a stream (without a stream: a 500)."""

    after_chunks: Count = 2
    message: str = "simulated failure in the middle of the stream"


class Error200(Base, frozen=True, tag="error_200"):
    """The provider's error body under status 200."""


class NoDone(Base, frozen=True, tag="no_done"):
    """The stream ends cleanly without its terminator (Gemini, which has none: without its finish reason)."""


class NoFinish(Base, frozen=True, tag="no_finish"):
    """The stream ends cleanly without finish reason, usage and terminator."""


class Cut(Base, frozen=True, tag="cut"):
    """The body stops after so many bytes or chunks (of the body, framing not counted)."""

    after_bytes: Count | None = None
    after_chunks: Count = 2
    """used where `after_bytes` is not given"""
    how: Literal["close", "clean", "reset"] = "close"
    """close: no last chunk; clean: framed as if it were whole; reset: TCP RST"""


class Garbage(Base, frozen=True, tag="garbage"):
    """Random bytes in the body, after so many chunks."""

    after_chunks: Count = 1
    size: Count = 64


class WrongLength(Base, frozen=True, tag="wrong_length"):
    """Content-Length is off by so much: positive, bytes are missing; negative, bytes are left over."""

    by: int = 10


class HalfClose(Base, frozen=True, tag="half_close"):
    """The sending half closes in the middle; the connection stays until the client leaves."""

    after_chunks: Count = 2


class Stall(Base, frozen=True, tag="stall"):
    """Silence: before the response's head, or after so many chunks; for ever, or for so many seconds."""

    after_chunks: Count | None = None
    seconds: Seconds | None = None


class Keepalives(Base, frozen=True, tag="keepalives"):
    """Comments (a stream) or blank lines (no stream) first; then the answer, or the end of the connection."""

    seconds: Seconds | None = 30.0
    """None: for ever"""
    every: Annotated[float, Meta(gt=0)] = 1.0
    then: Literal["answer", "close"] = "answer"


class Refused(Base, frozen=True, tag="refused"):
    """The connection is reset at once, without a byte."""


class Slow(Base, frozen=True, tag="slow"):
    """A good answer whose first token takes so many seconds."""

    first_token: Seconds = 10.0


class Split(Base, frozen=True, tag="split"):
    """A good answer, sent in pieces of so many bytes: frames, lines and characters are torn."""

    size: Annotated[int, Meta(ge=1)] = 1


Fault = (
    Status | FailedGeneration | Empty | Blocked | OnlyThinking | BlankJson | BrokenJson | Finish | StreamError
    | Error200 | NoDone | NoFinish | Cut | Garbage | WrongLength | HalfClose | Stall | Keepalives | Refused | Slow
    | Split
)  # fmt: skip
