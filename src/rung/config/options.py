"""What was said, unchecked: the environment and the tables of `rung.toml`, with the line of each key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rung.config import positions
from rung.config.check import config_error
from rung.config.paths import candidates

LARGEST_FILE = 1024 * 1024
"""bytes; a larger `rung.toml` is some other file"""

VARIABLES = ("RUNG_CONFIG", "RUNG_HOME", "RUNG_KEYS")
"""variables of our own that are read"""

_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class Options:
    """The raw configuration. `file` is how the source is called in messages, '' without one."""

    environ: Mapping[str, str]
    source: Path | None = None
    file: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[positions.Path, int] = field(default_factory=dict)


def find(environ: Mapping[str, str], path: Path | None, cwd: Path) -> Path | None:
    """The file to read: the one that was named (by `path` or ``$RUNG_CONFIG``), else the first that exists."""
    if path is not None:
        return cwd / path.expanduser()
    if named := environ.get("RUNG_CONFIG"):
        return cwd / Path(named).expanduser()
    return next((candidate for candidate in candidates(environ, cwd) if candidate.is_file()), None)


def read(environ: Mapping[str, str], path: Path | None, cwd: Path) -> Options:
    """Raises ConfigError if the file cannot be read or is not TOML."""
    source = find(environ, path, cwd)
    if source is None:
        return Options(environ)
    file = str(source.relative_to(cwd) if source.is_relative_to(cwd) else source)
    try:
        with source.open("rb") as opened:
            raw = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise config_error([f"{file}: {reason}; check the path given by --config or RUNG_CONFIG"]) from None
    if len(raw) > LARGEST_FILE:
        raise config_error([f"{file}: larger than {LARGEST_FILE // 1024} KiB; this is no rung.toml"])
    values, lines = _parse(raw, file)
    return Options(environ, source, file, values, lines)


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """Warnings for variables that look like ours and are not: a misspelt RUNG_KEYS would leave the door open."""
    return [
        f"environment: {name} is not read; did you mean {near[0]}?"
        for name in environ
        if name.startswith("RUNG") and name not in VARIABLES and (near := get_close_matches(name, VARIABLES, 1, 0.8))
    ]


def _parse(raw: bytes, file: str) -> tuple[dict[str, Any], dict[positions.Path, int]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise config_error([f"{file}:{line}: not UTF-8; save the file in that encoding"]) from None
    try:
        return tomllib.loads(text), positions.positions(text)
    except tomllib.TOMLDecodeError as error:
        raise config_error([_syntax(str(error), text, file)]) from None
    except RecursionError:
        raise config_error([f"{file}: nested too deeply"]) from None


def _syntax(told: str, text: str, file: str) -> str:
    """The parser's message with our position and, for what people do often, what to do about it."""
    found = _LINE.search(told)
    line = int(found.group(1)) if found else text.count("\n") + 1
    what = told.removesuffix(" (at end of document)") if found is None else told[: found.start()]
    if twice := re.match(r"Cannot declare \((.*?),?\) twice", what):
        name = ".".join(part.strip(" '\"") for part in twice.group(1).split(","))
        return f"{file}:{line}: [{name}] is written twice; merge the two"
    if what == "Cannot overwrite a value":
        return f"{file}:{line}: this key is written twice; keep one"
    if what == "Invalid value":
        return f"{file}:{line}: invalid value; texts need quotes, true and false are lower case"
    return f"{file}:{line}: {what[:1].lower()}{what[1:]}"
