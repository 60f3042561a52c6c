"""What is known about each provider, as data: `data/providers.json`, one row each.

A provider is a row: adding one that speaks an API we have an adapter for is editing that file only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

ROWS_FILE = Path(__file__).parent / "data" / "providers.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One provider. What each field means is told in the file's own `_meta.fields`.

    `key_env`, `host_env`, `fast` and `strong` are None where the provider has none.
    """

    name: str
    base_url: str
    adapter: str = "openai"
    available: bool = True
    key_env: str | None = None
    key_required: bool = True
    host_env: str | None = None
    fast: str | None = None
    strong: str | None = None
    strip: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    usage_in_stream: bool = True
    leaves_host: tuple[str, ...] = ()
    strength: int = 0
    speed: int = 0


@cache
def rows() -> Mapping[str, Row]:
    """Every known provider by name, in the file's order, read once.

    Raises TypeError if the file holds a field that `Row` has not: the file is ours, so that is a bug.
    """
    listed = orjson.loads(ROWS_FILE.read_bytes())["providers"]
    return MappingProxyType({name: _row(name, fields) for name, fields in listed.items()})


def _row(name: str, fields: dict[str, Any]) -> Row:
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    tables = {key: MappingProxyType(value) for key, value in fields.items() if isinstance(value, dict)}
    return Row(name=name, **{**fields, **lists, **tables})
