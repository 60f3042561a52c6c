"""Every key of `rung.toml`, read off the schema: for `rung config keys` and docs/configuration.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from rung.config.sections import NAMED, SECTIONS


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its table as written in the file, its name, its default as TOML ('' for none) and its meaning."""

    table: str
    name: str
    default: str
    doc: str


TABLES: Mapping[str, type] = {
    **SECTIONS,
    "providers.NAME": NAMED["providers"],
    'prices."PROVIDER:MODEL"': NAMED["prices"],
    "checks.NAME": NAMED["checks"],
}


def keys() -> Iterator[Key]:
    """All keys, in the order of the schema."""
    for table, cls in TABLES.items():
        yield from _keys(table, cls, "")


def markdown() -> str:
    """A table per section, as in docs/configuration.md."""
    blocks = []
    for table, cls in TABLES.items():
        lines = [
            f"### `[{table}]`",
            "",
            (cls.__doc__ or "").strip(),
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        for key in _keys(table, cls, ""):
            lines.append(f"| `{key.name}` | {f'`{key.default}`' if key.default else ''} | {key.doc} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _keys(table: str, cls: type[Any], prefix: str) -> Iterator[Key]:
    hints = get_type_hints(cls)
    for part in fields(cls):
        kind = hints[part.name]
        if is_dataclass(kind) and isinstance(kind, type):
            yield from _keys(table, kind, f"{prefix}{part.name}.")
        else:
            yield Key(table, prefix + part.name, _default(part), part.metadata["doc"])


def _default(part: Field[Any]) -> str:
    """The default as one would write it in the file."""
    if part.default_factory is not MISSING:
        return "{}"
    value = None if part.default is MISSING else part.default
    if value is None or value == Path():
        return ""
    unit = part.metadata.get("unit")
    if unit == "bytes":
        return _scaled(value, ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")))
    if unit == "s":
        return _scaled(value, ((3600, "h"),)) if value >= 3600 else f"{value:g}"
    return _toml(value)


def _scaled(value: float, units: tuple[tuple[int, str], ...]) -> str:
    factor, name = next((unit for unit in units if value % unit[0] == 0), (1, ""))
    return f'"{value / factor:g} {name}"' if name else f"{value:g}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
