"""What passes between the server and a simulated provider: `Request` in, `Reply` out, made of `Piece`s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from rung.sim.answers import Ask, Said
from rung.sim.books import Counts
from rung.sim.faults import Fault


class Refusal(Exception):
    """The provider says no; its file turns this into its own error body. `code` is the provider's word."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.extra = extra or {}
        """more members of the error object"""
        self.body: Any = None
        """the whole error body, where it is not the provider's usual one"""
        self.model = ""
        """the priced name of the model, where it was known"""
        self.fault: Fault | None = None
        """the scenario's fault that caused it"""


@dataclass(slots=True)
class Request:
    """One HTTP request. `path` is what follows the provider's prefix, without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """names in lower case"""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, which must be an object. Raises Refusal 400."""
        try:
            value = orjson.loads(self.body or b"null")
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"We could not parse the JSON body of your request: {error}") from None
        if not isinstance(value, dict):
            raise Refusal(400, "missing request body" if value is None else "The body must be a JSON object")
        return value

    @property
    def bearer(self) -> str | None:
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key if scheme.lower() == "bearer" else None


@dataclass(slots=True)
class Piece:
    """Bytes that travel together: one SSE event, one NDJSON line, or a whole body."""

    data: bytes
    tokens: int = 0
    """tokens generated for it"""
    role: str = "content"
    """start, content, finish, usage or end (the terminator)"""
    tells_usage: bool = False


@dataclass(slots=True)
class Turn:
    """One answer being given: what was asked, what is said, what it uses and when it comes."""

    number: int
    ask: Ask
    said: Said
    counts: Counts
    created: int
    """seconds since 1970"""
    fault: Fault | None = None
    first_token: float = 0.0
    """scenario seconds"""
    token_time: float = 0.0
    load_time: float = 0.0

    @property
    def id(self) -> str:
        return f"sim{self.number:08d}"


@dataclass(slots=True)
class Reply:
    """A response before the transport touches it."""

    status: int
    pieces: Iterable[Piece]
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    stream: bool = False
    """chunked, piece by piece"""
    turn: Turn | None = None
    fault: Fault | None = None
    model: str = ""
    keepalive: bytes = b"\n"
    """what the provider sends while the answer waits"""
    error_piece: bytes = b""
    """what the provider sends when a stream fails in the middle"""
    delay: float = 0.0
    """scenario seconds before it, where there is no turn"""


def whole(value: Any, status: int = 200, headers: Mapping[str, str] | None = None, turn: Turn | None = None) -> Reply:
    """A JSON body in one piece."""
    tokens = turn.counts.completion if turn is not None else 0
    piece = Piece(orjson.dumps(value), tokens=tokens, tells_usage=turn is not None)
    return Reply(
        status,
        [piece],
        headers or {},
        turn=turn,
        fault=turn.fault if turn is not None else None,
        model=turn.ask.model if turn is not None else "",
    )


def words(text: str) -> list[str]:
    """`text` in pieces of about a word, as models stream it; joined they give it back."""
    parts = text.split(" ")
    return [part if place == 0 else f" {part}" for place, part in enumerate(parts) if part or place] if text else []


def spread(pieces: list[str], tokens: int) -> list[int]:
    """`tokens` shared out over `pieces` by their length."""
    total = sum(map(len, pieces))
    shares, done, at = [], 0, 0
    for piece in pieces:
        at += len(piece)
        upto = tokens * at // total if total else 0
        shares.append(upto - done)
        done = upto
    return shares
