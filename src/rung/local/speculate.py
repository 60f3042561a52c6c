"""Do the engine's drafts pay, per task and model? Told from every answer's own times.

llama.cpp's server takes no speculation setting with a call (tried with the 2026.10 wheel: 13 spellings, none changes
what is drafted) and no draft from outside: it drafts from the conversation's own tokens. So drafts are on or off for a
life of the engine. What they gain is measured task by task; they stay while a task gains from them and no other loses
more than that. Answers in which nothing was drafted are the baseline: the same model, threads and load, decoded a
token at a time.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rung.call import Call

LEAST_GAIN = 1.1
"""of speed, below which drafts are not worth having for a task"""

ENOUGH = 400
"""tokens on both sides before anything is decided"""

_MOST_TASKS = 20

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


def task_of(call: Call) -> str:
    """The class a call's drafts are counted under: ``edit`` where a pasted block is to be changed, and so mostly
    repeated, else its task; ``other`` where none is known."""
    return "edit" if _edits(call.body) else call.task or "other"


def _edits(body: dict[str, Any]) -> bool:
    content = body["messages"][-1].get("content")
    if not isinstance(content, str) or len(content) < 200:
        return False
    block = _BLOCK.search(content)
    if block is None:
        return False
    around = content[: block.start()][-600:] + content[block.end() :][:600]
    return _EDIT.search(around) is not None


class _Sum(msgspec.Struct):
    tokens: float = 0.0
    ms: float = 0.0

    def add(self, tokens: int, ms: float) -> None:
        if self.tokens > _FORGET:
            self.tokens, self.ms = self.tokens / 2, self.ms / 2
        self.tokens += tokens
        self.ms += ms


class _Task(msgspec.Struct):
    drafted: _Sum = msgspec.field(default_factory=_Sum)
    offered: int = 0
    accepted: int = 0


class Gauge:
    """The drafts of one model on this machine: their accepted share, and what they gain in time, by task."""

    def __init__(self) -> None:
        self._plain = _Sum()
        self._tasks: dict[str, _Task] = {}

    def add(self, task: str, told: Drafted) -> None:
        """Take one answer into account."""
        if told.predicted_n < _SHORT or told.predicted_ms <= 0:
            return
        if not told.draft_n:
            self._plain.add(told.predicted_n, told.predicted_ms)
            return
        if task not in self._tasks and len(self._tasks) >= _MOST_TASKS:
            task = "other"
        known = self._tasks.setdefault(task, _Task())
        known.drafted.add(told.predicted_n, told.predicted_ms)
        known.offered += told.draft_n
        known.accepted += told.draft_n_accepted

    def gain(self, task: str) -> float | None:
        """How many times faster answers with drafts were than those without; None before enough was seen."""
        known = self._tasks.get(task)
        if known is None or min(known.drafted.tokens, self._plain.tokens) < ENOUGH:
            return None
        return self._each * known.drafted.tokens / known.drafted.ms

    def accepted(self, task: str) -> float | None:
        """The share of drafted tokens that were kept. No proof of any gain."""
        known = self._tasks.get(task)
        return known.accepted / known.offered if known is not None else None

    @property
    def pays(self) -> bool:
        """False once drafts are known to gain too little for every task that gets any, or to cost others more."""
        gains = [(gain, known.drafted) for task, known in self._tasks.items() if (gain := self.gain(task)) is not None]
        if not gains:
            return True
        saved = sum(self._each * spent.tokens - spent.ms for _, spent in gains)
        return max(gain for gain, _ in gains) >= LEAST_GAIN and saved > 0

    @property
    def _each(self) -> float:
        """Milliseconds of a token without drafts."""
        return self._plain.ms / self._plain.tokens
