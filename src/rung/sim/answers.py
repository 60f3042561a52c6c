"""What the simulated models say: a recorded answer, else the truth, else a text made from the seed.

The same question to the same model gives the same answer under the same seed, streamed or not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson

from rung.errors import ConfigError
from rung.sim import scenario
from rung.sim.instance import instance
from rung.sim.prompt import BYTES_PER_TOKEN, Prompt, count
from rung.sim.scenario import dice

THINKING = {"off": 0, "none": 0, "minimal": 4, "low": 16, "medium": 48, "high": 128, "xhigh": 256, "max": 512}
"""tokens of thinking by level; another word (``on``, ``default``) thinks like medium"""

_WORDS = re.findall(
    r"\w+",
    """the a this each ladder rung answer call model cache prefix token stream price bound trust check first last
    short long simple whole measured simulated reads writes keeps finds shows needs takes gives returns waits
    before after under over with without because when then where so and but""",
)


@dataclass(slots=True)
class Tool:
    name: str
    schema: Mapping[str, Any]


@dataclass(slots=True)
class Ask:
    """One request for an answer, in neutral words."""

    model: str
    """the priced name: aliases resolved"""
    prompt: Prompt
    question: str
    """the last user message's text"""
    shown: str = ""
    """the model as the answer names it, where that differs"""
    stream: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    force: str | None = None
    """tool that must be called; "" is any"""
    json: bool = False
    schema: Mapping[str, Any] | None = None
    thinking: str = "off"
    scope: str = ""
    """what separates this request's prompt cache from another's, the model apart"""
    tier: str = ""
    """the service tier that answers, as the provider names it; what is charged depends on it"""
    prefix: str = ""
    """the beginning of the answer, given by the client: only the rest is said"""
    explicit: int = 0
    """tokens of a cache object that the request names (Gemini)"""
    usage_told: bool = True
    """does a stream tell the usage?"""
    extra: dict[str, Any] = field(default_factory=dict)
    """what only this provider's file knows of the request"""


@dataclass(slots=True)
class ToolCall:
    name: str
    arguments: Any
    id: str = ""
    raw: str | None = None
    """arguments that are not JSON, where a fault wants that"""

    @property
    def text(self) -> str:
        """The arguments as JSON text."""
        return orjson.dumps(self.arguments).decode() if self.raw is None else self.raw


@dataclass(slots=True)
class Said:
    """One answer. `finish` is stop, length, tool_calls, stop_sequence, filtered, or a provider's own word."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish: str = "stop"
    stop: str | None = None
    """the stop sequence that ended it"""

    @property
    def output_tokens(self) -> int:
        return count(self.text) + sum(count(call.name + call.text) for call in self.tool_calls)


@dataclass(slots=True)
class _Recorded:
    said: Mapping[str, Any]
    pattern: re.Pattern[str] | None
    sha256: str | None

    def fits(self, question: str, provider: str, model: str) -> bool:
        if self.said.get("provider", provider) != provider or self.said.get("model", model) != model:
            return False
        if self.sha256 is not None:
            return self.sha256 == hashlib.sha256(question.encode()).hexdigest()
        return self.pattern is not None and self.pattern.search(question) is not None


class Answers:
    """The answers of one scenario. Reads the files it names: make it before the event loop, or in a thread.

    Raises ConfigError naming the line that cannot be used.
    """

    def __init__(self, told: scenario.Answers, seed: int) -> None:
        self._words = told.words
        self._seed = seed
        self._recorded = [_recorded(*line) for line in _lines(told.file)]
        self._truth = {str(row.get("question", "")): str(row.get("answer", "")) for _, row in _lines(told.truth)}

    def say(self, ask: Ask, provider: str, accuracy: float | None) -> Said:
        """The answer to `ask`, within its limits."""
        rng = dice(self._seed, ask.model, ask.question)
        row = next((one.said for one in self._recorded if one.fits(ask.question, provider, ask.model)), None)
        said = self._made(ask, rng, accuracy) if row is None else self._from_record(row, rng)
        if not said.reasoning and THINKING.get(ask.thinking, THINKING["medium"]):
            said.reasoning = self._text(rng, THINKING.get(ask.thinking, THINKING["medium"]) * BYTES_PER_TOKEN)
        if ask.prefix:
            said.text = said.text.removeprefix(ask.prefix)
            said.reasoning = ""  # that was thought before it began to speak
        return _limited(said, ask)

    def _from_record(self, row: Mapping[str, Any], rng: Random) -> Said:
        calls = [ToolCall(call["name"], call.get("arguments", {}), _id(rng)) for call in row.get("tool_calls", ())]
        return Said(row.get("text", ""), row.get("reasoning", ""), calls, "tool_calls" if calls else "stop")

    def _made(self, ask: Ask, rng: Random, accuracy: float | None) -> Said:
        if ask.force is not None and ask.tools:
            tool = next((tool for tool in ask.tools if tool.name == ask.force), ask.tools[0])
            return Said("", "", [ToolCall(tool.name, instance(tool.schema), _id(rng))], "tool_calls")
        truth = self._truth.get(ask.question)
        if truth is not None:
            right = accuracy is None or rng.random() < accuracy
            return Said(truth if right else self._text(rng, 24))
        if ask.schema is not None:
            return Said(orjson.dumps(instance(ask.schema)).decode())
        words = max(1, round(self._words * 2.718281828 ** (0.4 * rng.gauss(0, 1))))
        text = self._text(rng, words * 6)
        return Said(orjson.dumps({"answer": text}).decode() if ask.json else text)

    def _text(self, rng: Random, size: int) -> str:
        """Sentences of about `size` bytes, cut to exactly that."""
        words: list[str] = []
        while sum(map(len, words)) + len(words) < size:
            sentence = rng.choices(_WORDS, k=rng.randint(6, 14))
            words += [sentence[0].capitalize(), *sentence[1:-1], f"{sentence[-1]}."]
        return " ".join(words)[:size].rstrip()


def embedding(text: str, size: int) -> list[float]:
    """A unit vector of `size` numbers: texts that share words are near each other."""
    vector = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [""]:
        hashed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
        vector[hashed % size] += 1.0 if hashed >> 63 else -1.0
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector] if length else [1.0, *vector[1:]]


def _limited(said: Said, ask: Ask) -> Said:
    """Apply stop sequences and the token limit, which thinking uses up first."""
    found = [(place, word) for word in ask.stop if word and (place := said.text.find(word)) >= 0]
    if found:
        place, word = min(found)
        said.text, said.finish, said.stop = said.text[:place], "stop_sequence", word
    limit = ask.max_tokens
    if limit is None:
        return said
    if count(said.reasoning) + said.output_tokens <= limit:
        return said
    said.reasoning = _head(said.reasoning, limit)
    left = limit - count(said.reasoning)
    said.text, said.tool_calls = _head(said.text, left), []
    said.finish, said.stop = "length", None
    return said


def _head(text: str, tokens: int) -> str:
    return text.encode()[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def _id(rng: Random) -> str:
    return f"{rng.getrandbits(96):024x}"


def _lines(file: str | None) -> list[tuple[str, dict[str, Any]]]:
    if file is None:
        return []
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{file}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{file}:{number}: each line must be a JSON object")
        rows.append((f"{file}:{number}", row))
    return rows


def _recorded(where: str, row: dict[str, Any]) -> _Recorded:
    match, sha256 = row.get("match"), row.get("sha256")
    if (match is None) == (sha256 is None):
        raise ConfigError(f'{where}: say which question it answers: either "match" or "sha256"')
    try:
        return _Recorded(row, None if match is None else re.compile(str(match)), sha256)
    except re.error as error:
        raise ConfigError(f"{where}: match is not a regular expression: {error}") from None
