"""What is known about each provider, as data: `data/providers.json`, one row each.

A provider is a row: adding one that speaks an API we have an adapter for is editing that file only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

_RULES_REMEMBERED = 512
"""models whose rule is kept: callers choose names, so the memory of them is bounded"""

ROWS_FILE = Path(__file__).parent / "data" / "providers.json"


@dataclass(frozen=True, slots=True)
class ModelRule:
    """What some models of a provider want otherwise. Its fields are told in the file's `_meta.model_fields`."""

    match: tuple[str, ...] = ("*",)
    strip: tuple[str, ...] = ()
    effort: Mapping[str, str | int] = field(default_factory=lambda: MappingProxyType({}))
    thinking: str = ""
    signatures: bool = False
    max_tokens: int = 0


class ModelRules:
    """The rule of each model: the first whose pattern matches, else one that changes nothing."""

    __slots__ = ("_known", "_rules")

    def __init__(self, rules: Sequence[ModelRule]) -> None:
        self._rules = (*rules, ModelRule())
        self._known: dict[str, ModelRule] = {}

    def of(self, model: str) -> ModelRule:
        rule = self._known.get(model)
        if rule is None:
            if len(self._known) >= _RULES_REMEMBERED:
                self._known.clear()
            matching = (rule for rule in self._rules if any(fnmatchcase(model, pattern) for pattern in rule.match))
            rule = self._known[model] = next(matching)
        return rule


@dataclass(frozen=True, slots=True)
class Row:
    """One provider. What each field means is told in the file's own `_meta.fields`.

    `key_env`, `host_env`, `fast` and `strong` are None where the provider has none.
    """

    name: str
    base_url: str
    adapter: str = "openai"
    key_env: str | None = None
    key_required: bool = True
    host_env: str | None = None
    fast: str | None = None
    strong: str | None = None
    key_header: str = "authorization"
    bearer_prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    strip: tuple[str, ...] = ()
    strip_messages: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    models: tuple[ModelRule, ...] = ()
    usage_in_stream: bool = True
    waits_in_blank_lines: bool = False
    prefix_path: str = ""
    tier_untold: bool = False
    reasoning_back: bool = False
    leaves_host: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    strength: int = 0
    speed: int = 0

    def key_line(self, key: str) -> tuple[str, str]:
        """-> the header (name, value) that shows `key`."""
        if self.key_header == "authorization" or (self.bearer_prefix and key.startswith(self.bearer_prefix)):
            return "authorization", f"Bearer {key}"
        return self.key_header, key


@cache
def rows() -> Mapping[str, Row]:
    """Every known provider by name, in the file's order, read once.

    Raises TypeError if the file holds a field that `Row` has not: the file is ours, so that is a bug.
    """
    listed = orjson.loads(ROWS_FILE.read_bytes())["providers"]
    return MappingProxyType({name: _row(name, fields) for name, fields in listed.items()})


def _row(name: str, fields: dict[str, Any]) -> Row:
    rules = tuple(ModelRule(**_frozen(rule)) for rule in fields.get("models", ()))
    return Row(name=name, **{**_frozen(fields), "models": rules})


def _frozen(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists as tuples, tables read-only."""
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    tables = {key: MappingProxyType(value) for key, value in fields.items() if isinstance(value, dict)}
    return {**fields, **lists, **tables}
