"""From a raw table of the file to its class in `sections`, telling everything that is wrong on the way."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from rung.config import positions
from rung.config.secret import Secret
from rung.config.sections import NAMED, SECTIONS
from rung.errors import ConfigError

T = TypeVar("T")

UNITS: Mapping[str, Mapping[str, float]] = {
    "s": {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400},
    "bytes": {"b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 1000**2, "gb": 1000**3},
}
_MEASURE = re.compile(r"([0-9]+(?:\.[0-9]+)?)[ \t]*([A-Za-z]+)")
_WORDS = {int: "a whole number", float: "a number"}
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "a table"),
)


class Problems:
    """What is wrong, collected; told in the order of the file, the environment last."""

    def __init__(self, file: str, lines: Mapping[positions.Path, int]) -> None:
        self.file = file
        self.lines = lines
        self.told: list[tuple[float, str]] = []

    def at(self, path: positions.Path, text: str) -> None:
        """Something is wrong with the key at `path`, or with the nearest one above it that was written."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                line = self.lines[path[:end]]
                self.told.append((line, f"{self.file}:{line}: {text}"))
                return
        self.told.append((0, f"{self.file}: {text}"))

    def environment(self, name: str, text: str) -> None:
        self.told.append((math.inf, f"environment: {name} {text}"))

    def settle(self) -> None:
        """Raises ConfigError if anything is wrong."""
        if self.told:
            raise config_error([text for _, text in sorted(self.told, key=lambda told: told[0])])


def config_error(problems: Sequence[str]) -> ConfigError:
    return ConfigError("the configuration cannot be used:\n" + "\n".join(problems), problems=problems)


class Wrong(ValueError):
    """A value that cannot be used; the text goes after the key's name."""


def build(cls: type[T], raw: Any, path: positions.Path, problems: Problems) -> T:
    """An instance of `cls` from a raw table. Where a value is wrong, its default stands in."""
    if not isinstance(raw, dict):
        problems.at(path, f"{dotted(path)} must be a table; write [{dotted(path)}]")
        raw = {}
    parts = {part.name: part for part in fields(cast(Any, cls))}
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in parts:
            problems.at((*path, name), unknown(name, list(parts), path))
            continue
        kind = hints[name]
        if is_dataclass(kind):
            values[name] = build(cast(type[Any], kind), value, (*path, name), problems)
            continue
        try:
            values[name] = convert(kind, value, parts[name])
        except Wrong as wrong:
            problems.at((*path, name), f"{dotted((*path, name))} {wrong}")
    for name, part in parts.items():
        if name not in values and part.default is MISSING and part.default_factory is MISSING:
            if name not in raw:
                problems.at(path, f"{dotted(path)} has no {name!r}; add {name} = ...")
            values[name] = 0.0
    return cls(**values)


def unknown(name: str, known: Sequence[str], path: positions.Path) -> str:
    """What to say of a key nobody knows: the nearest known one, or the table it belongs in."""
    where = f"in [{dotted(path)}]" if path else "at the top of the file"
    if near := get_close_matches(name, known, n=1, cutoff=0.6):
        return f"unknown key {name!r} {where}; did you mean {near[0]!r}?"
    for section, cls in SECTIONS.items():
        if name in get_type_hints(cls) and (section,) != path:
            return f"unknown key {name!r} {where}; it belongs in [{section}]"
    return f"unknown key {name!r} {where}; known are {', '.join(known)}"


def unknown_table(name: str) -> str:
    """What to say of a name at the top of the file that is no table of ours."""
    return unknown(name, [*SECTIONS, *NAMED], ())


def dotted(path: positions.Path) -> str:
    """A path as one writes it in the file."""
    return ".".join(key if re.fullmatch(r"[\w-]+", key) else f'"{key}"' for key in map(str, path))


def convert(kind: Any, value: Any, part: Field[Any]) -> Any:
    """`value` as the type `kind`. Raises Wrong."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (kind,) = (arg for arg in args if arg is not NoneType)
        return convert(kind, value, part)
    if origin is Literal:
        return _choice(value, args)
    if origin is tuple:
        if not isinstance(value, list):
            raise Wrong(f"must be a list{_listed(args[0], value)}")
        return tuple(convert(args[0], item, part) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise Wrong("must be a table")
        if args[1] is Secret:  # of a header: those may hold spaces
            return MappingProxyType({name: secret(_text(item), spaces=True) for name, item in value.items()})
        return MappingProxyType({name: convert(args[1], item, part) for name, item in value.items()})
    if kind in (int, float):
        return _number(kind, value, part.metadata)
    if kind is bool:
        if not isinstance(value, bool):
            raise Wrong(f"must be true or false, not {_kind(value)}")
        return value
    text = _text(value)
    if kind is Secret:
        return secret(text)
    return Path(text) if kind is Path else text


def secret(text: str, *, spaces: bool = False) -> Secret:
    """Raises Wrong where the text could not be sent in a header; the text itself is never told."""
    if not (text.isascii() and text.isprintable()) or (" " in text and not spaces):
        raise Wrong("holds a space, a line break or a character outside ASCII: no key does; copy it again")
    return Secret(text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"must be a text in quotes, not {_kind(value)}")
    if not value.strip():
        raise Wrong("must not be empty; remove the line to get the default")
    if not value.isprintable():
        raise Wrong("must not hold line breaks or control characters")
    return value


def _listed(item: Any, value: Any) -> str:
    if isinstance(value, str) and item is str:
        return f'; write ["{value}"]'
    return f", not {_kind(value)}" if not isinstance(value, str) else "; put it in [ ]"


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in choices:
        return value
    said = repr(value) if isinstance(value, str) else _kind(value)
    near = get_close_matches(str(value).lower(), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise Wrong(f"must be one of {', '.join(choices)}, not {said}{hint}")


def _number(kind: type, value: Any, meta: Mapping[str, Any]) -> int | float:
    unit = meta.get("unit") or ""
    if isinstance(value, str) and unit:
        value = _measure(value, unit)
    whole = isinstance(value, int) or (unit == "bytes" and isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not (whole or (kind is float and isinstance(value, float) and math.isfinite(value))):
        also = f", or a text such as {_EXAMPLE[unit]}" if unit else ""
        bare = f"; write {value} without quotes" if isinstance(value, str) and _is_number(value) else ""
        said = value if isinstance(value, float) else _kind(value)
        raise Wrong(f"must be {_WORDS[kind]}{also}, not {said}{bare}")
    low, high = meta.get("low"), meta.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        raise Wrong(f"must be {_span(low, high)}, not {value}")
    return kind(value)  # type: ignore[no-any-return]


_EXAMPLE = {"s": '"10s" or "24h"', "bytes": '"64 MiB"'}


def _measure(text: str, unit: str) -> Any:
    found = _MEASURE.fullmatch(text.strip())
    factor = UNITS[unit].get(found.group(2).lower()) if found else None
    if found is None or factor is None:
        if _is_number(text):
            return text
        raise Wrong(f"cannot be read; write a number, or a text such as {_EXAMPLE[unit]}")
    return float(found.group(1)) * factor


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None


def _span(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"between {low} and {high}"


def _kind(value: Any) -> str:
    for kind, word in _KINDS:
        if isinstance(value, kind):
            return word
    return "a date"
