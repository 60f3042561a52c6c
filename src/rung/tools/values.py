"""Readers and writers between JSON values (as lexemes) and YAML, TOML, CSV, without loss.

Every reader gives `lossless.Value`; every writer's text is read back and compared by lexeme before it counts.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from rung.tools import lossless, yaml_
from rung.tools.lossless import Array, Object, Value, quote
from rung.tools.result import CannotAnswer, Options, Result

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
MAX_CELL = 32_000


def read_json(text: str, options: Options) -> Value:
    try:
        return lossless.require_unique_keys(lossless.parse(text))
    except lossless.InvalidJson as error:
        raise CannotAnswer(f"the payload is not valid JSON ({error.finding.code})") from None


class _Float(str):
    """A TOML float as written."""


def read_toml(text: str, options: Options) -> Value:
    """TOML as a value; floats as written, integers by value. Dates, ``inf`` and ``nan`` have no JSON form."""
    try:
        data = tomllib.loads(text, parse_float=_Float)
    except (tomllib.TOMLDecodeError, ValueError):
        raise CannotAnswer("the payload is not valid TOML") from None
    return _from_toml(data)


def _from_toml(node: Any) -> Value:
    if isinstance(node, dict):
        return Object((quote(key), _from_toml(item)) for key, item in node.items())
    if isinstance(node, list):
        return Array(_from_toml(item) for item in node)
    if isinstance(node, _Float):
        plain = node.replace("_", "").removeprefix("+")
        if not _NUMBER.fullmatch(plain):
            raise CannotAnswer("a TOML number has no JSON form")
        return plain
    if isinstance(node, date | datetime | time):
        raise CannotAnswer("a TOML date has no JSON form")
    return quote(node) if isinstance(node, str) else json.dumps(node)


def read_csv(text: str, options: Options) -> Value:
    """A header line and rows of the same width, as an array of objects. `options.types` decides what cells become."""
    header, rows = csv_rows(text)
    columns = list(zip(*rows, strict=True)) if rows else []
    infer = [_column_kind(column, options.types) for column in columns]
    keys = [quote(name) for name in header]
    out = Array()
    for row in rows:
        out.append(
            Object(
                (key, cell if kind == "bare" else quote(cell)) for key, cell, kind in zip(keys, row, infer, strict=True)
            )
        )
    return out


def _column_kind(cells: tuple[str, ...], types: str) -> str:
    """``bare`` if every cell is a JSON number or literal as written, else ``text``; CannotAnswer if nobody said."""
    bare = all(_NUMBER.fullmatch(cell) or cell in ("true", "false") for cell in cells)
    if not bare or types == "text":
        return "text"
    if types == "strict":
        raise CannotAnswer("a column looks like numbers or booleans: text or number was not said")
    return "bare"


def csv_rows(text: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows. CannotAnswer when widths differ, names repeat or are empty, or quoting is broken."""
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    if sum(mark in first for mark in ",;\t") > 1:
        raise CannotAnswer("the CSV's delimiter is not clear")
    try:
        rows = [row for row in csv.reader(io.StringIO(text.strip("\n")), delimiter=delimiter, strict=True) if row]
    except csv.Error:
        raise CannotAnswer("the payload is not valid CSV") from None
    if len(rows) < 2:
        raise CannotAnswer("the CSV has no rows under its header")
    header, *body = rows
    if len(set(header)) != len(header) or not all(name.strip() == name and name for name in header):
        raise CannotAnswer("the CSV's header has empty or repeated names")
    if any(len(row) != len(header) for row in body):
        raise CannotAnswer("the CSV's rows have different widths")
    return header, body


def write_csv(value: Value, options: Options) -> str:
    """An array of flat objects with the same keys, as CSV (RFC 4180, lines end in ``\\n``)."""
    rows = [row for row in value if isinstance(row, Object) and row] if isinstance(value, Array) else []
    if not rows or len(rows) != len(value):
        raise CannotAnswer("only an array of objects becomes CSV")
    keys = [key for key, _ in rows[0]]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([lossless.text_of(key) for key in keys])
    for row in rows:
        members = dict(row)
        if set(members) != set(keys):
            raise CannotAnswer("the objects have different keys")
        writer.writerow([_cell(members[key]) for key in keys])
    return out.getvalue().rstrip("\n")


def _cell(value: Value) -> str:
    if not isinstance(value, str) or value == "null":
        raise CannotAnswer("a nested value or null has no CSV form")
    if not value.startswith('"'):
        return value
    text = lossless.text_of(value)
    if not text or "\r" in text or _NUMBER.fullmatch(text) or text in ("true", "false"):
        raise CannotAnswer("a text would read back as another type from CSV")
    return text


def write_toml(value: Value, options: Options) -> str:
    """An object as TOML: plain keys first, then tables. null has no TOML form."""
    if not isinstance(value, Object):
        raise CannotAnswer("only an object becomes TOML")
    lines: list[str] = []
    _table(value, "", lines)
    return "\n".join(lines).strip("\n")


def _table(table: Object, path: str, lines: list[str]) -> None:
    inner: list[tuple[str, Value]] = []
    for key, item in table:
        name = _toml_key(key)
        if (isinstance(item, Object) and item) or _is_table_array(item):
            inner.append((name, item))
        else:
            lines.append(f"{name} = {_inline(item)}")
    for name, item in inner:
        full = f"{path}.{name}" if path else name
        if isinstance(item, Object):
            lines += ["", f"[{full}]"]
            _table(item, full, lines)
        else:
            for one in item:
                lines += ["", f"[[{full}]]"]
                _table(one, full, lines)  # type: ignore[arg-type]  # _is_table_array


def _is_table_array(value: Value) -> bool:
    return isinstance(value, Array) and bool(value) and all(isinstance(item, Object) for item in value)


def _toml_key(lexeme: str) -> str:
    text = lossless.text_of(lexeme)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else quote(text)


def _inline(value: Value) -> str:
    if isinstance(value, Object):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_inline(item)}" for key, item in value) + " }" if value else "{}"
    if isinstance(value, Array):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if value == "null":
        raise CannotAnswer("null has no TOML form")
    if value.startswith('"'):
        return quote(lossless.text_of(value))
    if value.lstrip("-").isdigit() and len(value) > 18 and not -(2**63) <= int(value[:40]) < 2**63:
        raise CannotAnswer("TOML integers have 64 bits")
    return value


def write_json(value: Value, options: Options) -> str:
    return lossless.write(value, None if options.minify else ("  " if options.indent is None else options.indent))


def canonical(value: Value) -> Value:
    """The same value with every string as one agreed lexeme, so that lexemes compare."""
    if isinstance(value, Object):
        return Object((quote(lossless.text_of(key)), canonical(item)) for key, item in value)
    if isinstance(value, Array):
        return Array(canonical(item) for item in value)
    return quote(lossless.text_of(value)) if value.startswith('"') else value


READERS: dict[str, Callable[[str, Options], Value]] = {
    "json": read_json,
    "yaml": yaml_.read,
    "toml": read_toml,
    "csv": read_csv,
}
WRITERS: dict[str, Callable[[Value, Options], str]] = {
    "json": write_json,
    "yaml": yaml_.write,
    "toml": write_toml,
    "csv": write_csv,
}


def converter(source: str) -> Callable[[str, Options], Result]:
    """The conversion tool of one source language."""

    def convert(text: str, options: Options) -> Result:
        """From this language to `options.to`, proved by reading the result back and comparing lexemes.

        Raises CannotAnswer when something has no form in the target, or would read back as something else.
        """
        writer = WRITERS.get(options.to)
        if writer is None or options.to == source:
            raise CannotAnswer(f"there is no conversion from {source} to {options.to or 'nothing'}")
        value = READERS[source](text, options)
        if options.sort_keys:
            value = lossless.sort_keys(value)
        out = writer(value, options)
        back = READERS[options.to](out, Options(types="infer"))
        if not lossless.same_members(canonical(value), canonical(back)):
            raise CannotAnswer("the conversion would lose something")
        return Result(out, options.to)

    return convert
