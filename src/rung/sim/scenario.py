"""The scenario: one TOML file that says how every simulated provider behaves.

What a scenario leaves out is what `data/default.toml` says: tables are merged, everything else is replaced.
Model ids, aliases, speeds and cache rules are data there, never code.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from rung.config.positions import positions
from rung.errors import ConfigError
from rung.sim import faults
from rung.sim.faults import Fault, Seconds, Share

DEFAULT_FILE = Path(__file__).parent / "data" / "default.toml"
PROVIDERS = ("openai", "groq", "deepseek", "gemini", "anthropic", "ollama")

Positive = Annotated[float, Meta(gt=0)]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Spread(Table, frozen=True):
    """A lognormal distribution, with a share of stalls."""

    median: Positive
    sigma: Annotated[float, Meta(ge=0)] = 0.0
    """of the logarithm; 0 is a constant"""
    stall_rate: Share = 0.0
    stall: Seconds = 10.0
    """seconds instead, for that share"""


class Window(Table, frozen=True):
    """Scenario seconds [start, end)."""

    start: Seconds = 0.0
    end: Seconds = math.inf

    def holds(self, now: float) -> bool:
        return self.start <= now < self.end


class Outage(Window, frozen=True):
    """Every request of that time meets `fault`."""

    fault: Fault = field(default_factory=faults.Refused)


class Slowness(Window, frozen=True):
    """Every first token of that time takes `factor` times as long: slowness that requests share."""

    factor: Positive = 10.0


class CacheRule(Table, frozen=True):
    """Numbers of a provider's prompt cache; what they mean is told in `cachemodel`."""

    rule: Literal["none", "blocks", "units", "breakpoints", "explicit_breakpoints", "implicit"] = "none"
    min_tokens: int = 0
    block: int = 128
    """tokens a block or step"""
    ttl: Seconds = 300.0
    """seconds unused until it is gone"""
    build: Seconds = 0.0
    """seconds from the first token of one answer until another request can read what was written"""
    write_counted: bool = False
    """are writes told in the usage and billed?"""
    hit_rate: Share = 1.0
    """for providers that promise nothing: the share of possible hits that happen"""


class Limits(Table, frozen=True):
    """Token buckets; 0 is no limit."""

    requests: int = 0
    requests_per: Positive = 60.0
    tokens: int = 0
    tokens_per: Positive = 60.0
    concurrency: int = 0


class Model(Table, frozen=True):
    """What can be said of a provider and, stronger, of one of its models. None: see the provider."""

    first_token: float | Spread | None = None
    """seconds"""
    tokens_per_second: float | Spread | None = None
    faults: list[Fault] | None = None
    """each hits its share of the requests; the first that hits counts"""
    script: list[int | str | Fault] | None = None
    """one a request, before `faults`: "ok", a status, a kind, or a table; used up once"""
    cache: CacheRule | None = None
    thinking: str | None = None
    """the level used when the request says nothing; "off" thinks only when asked, "none" cannot think"""
    levels: list[str] | None = None
    """thinking levels the model takes; another one is a 400"""
    context: int | None = None
    accuracy: Share | None = None
    """share of right answers where a truth file knows them"""
    load_seconds: Seconds | None = None
    """Ollama: the time it takes to load"""
    size: int | None = None
    """Ollama: bytes on disk"""
    installed: bool | None = None
    """Ollama: false is a model that must be pulled first"""
    remote_host: str | None = None
    """Ollama: a model that runs elsewhere"""
    signatures: bool | None = None
    """Gemini: must a function call come back with its thought signature?"""
    free_sampling: bool | None = None
    """Anthropic: does it take temperature, top_p and top_k?"""


class Provider(Model, frozen=True):
    key: str | None = None
    """the only key that is taken; None: any, or none"""
    limits: Limits = field(default_factory=Limits)
    outages: list[Outage] = field(default_factory=list)
    slow: list[Slowness] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    """a model's other names"""
    models: dict[str, Model] = field(default_factory=dict)


class Answers(Table, frozen=True):
    """Where answers come from: recorded ones first, then the truth, then a text made from the seed."""

    file: str | None = None
    """JSON lines: match (regular expression) or sha256 of the last user message, and text, reasoning, tool_calls"""
    truth: str | None = None
    """JSON lines: question, answer"""
    words: Annotated[int, Meta(ge=1, le=100_000)] = 40
    """median length of a made answer"""


class Scenario(Table, frozen=True):
    """Everything, checked. Build it with `of`, `parse` or `load`."""

    seed: int = 0
    start: datetime | None = None
    """the provider's wall clock at scenario time 0; None: now (in tests: `clock.START`)"""
    answers: Answers = field(default_factory=Answers)
    outages: list[Outage] = field(default_factory=list)
    """of all providers; where the fault is ``refused``, connections are closed on accept"""
    openai: Provider = field(default_factory=Provider)
    groq: Provider = field(default_factory=Provider)
    deepseek: Provider = field(default_factory=Provider)
    gemini: Provider = field(default_factory=Provider)
    anthropic: Provider = field(default_factory=Provider)
    ollama: Provider = field(default_factory=Provider)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Scenario:
        """The default scenario under `said`. Raises ConfigError."""
        return _convert(said, "scenario", "")

    @classmethod
    def parse(cls, text: str, name: str = "scenario") -> Scenario:
        """From TOML. Raises ConfigError with the line."""
        try:
            said = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _wrong(f"{name}: not valid TOML: {error}") from None
        return _convert(said, name, text)

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """From a file, whose folder is where the files it names are looked for. Raises ConfigError."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _wrong(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
        scenario = cls.parse(text, str(path))
        told = scenario.answers
        files = {name: str(path.parent / value) for name in ("file", "truth") if (value := getattr(told, name))}
        return msgspec.structs.replace(scenario, answers=msgspec.structs.replace(told, **files))

    def provider(self, name: str) -> Provider:
        found: Provider = getattr(self, name)
        return found

    def setting(self, provider: str, model: str, name: str) -> Any:
        """A `Model` field for this model: its own, else its provider's."""
        row = self.provider(provider)
        own = row.models.get(model)
        said = None if own is None else getattr(own, name)
        return getattr(row, name) if said is None else said


def dice(*parts: object) -> Random:
    """The same parts throw the same numbers: that is what a scenario is for."""
    return Random("/".join(map(str, parts)))  # noqa: S311


def draw(spread: float | Spread | None, rng: Random) -> float:
    """One value of a distribution."""
    if spread is None:
        return 0.0
    if not isinstance(spread, Spread):
        return float(spread)
    if spread.stall_rate and rng.random() < spread.stall_rate:
        return spread.stall
    return spread.median * math.exp(spread.sigma * rng.gauss(0, 1)) if spread.sigma else spread.median


def step(entry: int | str | Fault) -> Fault | None:
    """One entry of a script as a fault; None is a good answer. Raises ValueError."""
    if isinstance(entry, str) and entry == "ok":
        return None
    if isinstance(entry, int) or (isinstance(entry, str) and entry.isdigit()):
        return _one({"kind": "status", "status": int(entry)})
    return _one({"kind": entry}) if isinstance(entry, str) else entry


def _one(said: dict[str, Any]) -> Fault:
    try:
        return msgspec.convert(said, Fault)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(" - at `$.kind`", "")) from None


@cache
def _default() -> dict[str, Any]:
    return tomllib.loads(DEFAULT_FILE.read_text(encoding="utf-8"))


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return both


def _convert(said: Mapping[str, Any], name: str, text: str) -> Scenario:
    merged = _merge(_default(), said)
    try:
        scenario = msgspec.convert(merged, Scenario)
    except msgspec.ValidationError as error:
        raise _wrong(_told(str(error), name, text)) from None
    if scenario.start is not None and scenario.start.tzinfo is None:
        scenario = msgspec.structs.replace(scenario, start=scenario.start.replace(tzinfo=UTC))
    for provider in PROVIDERS:
        row = scenario.provider(provider)
        for where, model in [(provider, row), *((f"{provider}.models.{key}", row.models[key]) for key in row.models)]:
            _check(provider, where, model, name)
    return scenario


_ONLY = {"failed_generation": "groq"}


def _check(provider: str, where: str, model: Model, name: str) -> None:
    """What types cannot say: scripts are readable, and a provider's own faults stay its own."""
    listed = list(model.faults or ())
    for number, entry in enumerate(model.script or ()):
        try:
            listed += [fault] if (fault := step(entry)) is not None else []
        except ValueError as error:
            raise _wrong(f"{name}: {where}.script[{number}]: {error}; write ok, a status, a kind or a table") from None
    for fault in listed:
        kind = str(fault.__struct_config__.tag)
        if _ONLY.get(kind, provider) != provider:
            raise _wrong(f"{name}: {where}: the fault {kind} is {_ONLY[kind]}'s own")


_AT = re.compile(r"(?P<what>.*?) - at `(?P<path>[^`]*)`", re.DOTALL)
_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def _told(message: str, name: str, text: str) -> str:
    """msgspec's message with the line of the nearest key that was written."""
    found = _AT.fullmatch(message)
    if found is None:
        return f"{name}: {message}; known tables are {', '.join(('answers', *PROVIDERS))}"
    path = tuple(key or int(index) for key, index in _PART.findall(found["path"].removeprefix("$")))
    lines = positions(text) if text else {}
    unknown = re.search(r"unknown field `(.*)`", found["what"])
    if unknown:
        path = (*path, unknown[1])
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    where = f"{name}:{line}" if line else name
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    what = found["what"].replace(" | null", "").replace("| object", "| table")
    return f"{where}: {dotted}: {what}"


def _wrong(text: str) -> ConfigError:
    return ConfigError(text, problems=[text])
