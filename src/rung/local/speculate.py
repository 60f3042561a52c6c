"""Do the engine's drafts pay? Told from every answer's own times, and no if they do not.

llama.cpp takes no speculation settings with a call (its server has them compiled out since 2026), and no draft from
outside: n-grams of the prompt and of earlier answers are all it drafts from. So the choice is per life of the engine.
Answers in which nothing was drafted are the baseline: the same model, threads and load, decoded a token at a time.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

Kind = Literal["edit", "other"]

LEAST_GAIN = 1.1
"""of speed, below which drafts are not worth having"""

ENOUGH = 400
"""tokens on both sides before anything is decided"""

_SHORT = 16
"""tokens of an answer below which its time is mostly overhead"""

_FORGET = 4000
"""tokens after which what was measured counts half: a machine is not always as busy"""

_BLOCK = re.compile(r"```[^\n]*\n.{200,}?```", re.DOTALL)
_EDIT = re.compile(
    r"\b(?:add|change|convert|correct|edit|fix|insert|modify|move|refactor|remove|rename|replace|rewrite|update)\b",
    re.IGNORECASE,
)


class Drafted(msgspec.Struct):
    """What llama.cpp tells of an answer's drafts; tokens and milliseconds."""

    predicted_n: int = 0
    predicted_ms: float = 0.0
    draft_n: int = 0
    draft_n_accepted: int = 0


class _Timed(msgspec.Struct):
    timings: Drafted | None = None


_timed = msgspec.json.Decoder(_Timed)


def drafted(data: bytes) -> Drafted | None:
    """The drafts told in one of the SSE frames in `data`; None if none tells its times."""
    for frame in data.split(b"\n\n"):
        if b'"timings":' in frame:
            try:
                return _timed.decode(frame.removeprefix(b"data: ")).timings
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None


def kind_of(body: dict[str, Any]) -> Kind:
    """An edit repeats most of what it is given: a pasted block, and a word for changing it."""
    content = body["messages"][-1].get("content")
    if not isinstance(content, str) or len(content) < 200:
        return "other"
    block = _BLOCK.search(content)
    if block is None:
        return "other"
    around = content[: block.start()][-600:] + content[block.end() :][:600]
    return "edit" if _EDIT.search(around) else "other"


class _Sum(msgspec.Struct):
    tokens: float = 0.0
    ms: float = 0.0

    def add(self, tokens: int, ms: float) -> None:
        if self.tokens > _FORGET:
            self.tokens, self.ms = self.tokens / 2, self.ms / 2
        self.tokens += tokens
        self.ms += ms


class Gauge:
    """The drafts of one model on this machine: their accepted share, and what they gain in time."""

    def __init__(self) -> None:
        self._plain = _Sum()
        self._drafted: dict[Kind, _Sum] = {"edit": _Sum(), "other": _Sum()}
        self._offered: dict[Kind, int] = {"edit": 0, "other": 0}
        self._accepted: dict[Kind, int] = {"edit": 0, "other": 0}

    def add(self, kind: Kind, told: Drafted) -> None:
        """Take one answer into account."""
        if told.predicted_n < _SHORT or told.predicted_ms <= 0:
            return
        if told.draft_n:
            self._drafted[kind].add(told.predicted_n, told.predicted_ms)
            self._offered[kind] += told.draft_n
            self._accepted[kind] += told.draft_n_accepted
        else:
            self._plain.add(told.predicted_n, told.predicted_ms)

    def gain(self, kind: Kind) -> float | None:
        """How many times faster answers with drafts were than those without; None before enough was seen."""
        sped = self._drafted[kind]
        if min(sped.tokens, self._plain.tokens) < ENOUGH or not sped.ms:
            return None
        return (self._plain.ms / self._plain.tokens) / (sped.ms / sped.tokens)

    def accepted(self, kind: Kind) -> float | None:
        """The share of drafted tokens that were kept. No proof of any gain."""
        return self._accepted[kind] / self._offered[kind] if self._offered[kind] else None

    @property
    def pays(self) -> bool:
        """False once drafts are known to gain too little for every kind of call that gets any."""
        known = [gain for kind in self._drafted if (gain := self.gain(kind)) is not None]
        return not known or max(known) >= LEAST_GAIN
