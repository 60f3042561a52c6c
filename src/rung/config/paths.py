"""Where rung keeps its files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "rung.toml"


@dataclass(frozen=True, slots=True)
class Paths:
    """Directories and files of one installation. Nothing is created by naming them."""

    home: Path
    models: Path
    ledger: Path
    cache: Path
    semantic: Path
    trust: Path
    config: Path
    """`rung.toml` of this home"""


def paths(environ: Mapping[str, str]) -> Paths:
    """``$RUNG_HOME``, else the platform's own place for data
    (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    home = _home(environ)
    return Paths(
        home=home,
        models=home / "models",
        ledger=home / "ledger.sqlite3",
        cache=home / "cache.sqlite3",
        semantic=home / "semantic.sqlite3",
        trust=home / "trust.sqlite3",
        config=home / FILE_NAME,
    )


def candidates(environ: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Where `rung.toml` is looked for when nobody names it; the first that exists is the one."""
    return (cwd / FILE_NAME, paths(environ).config, _user(environ) / ".config" / "rung" / FILE_NAME)


def _home(environ: Mapping[str, str]) -> Path:
    if named := environ.get("RUNG_HOME"):
        return Path(named).expanduser().absolute()
    if (data := environ.get("XDG_DATA_HOME")) and Path(data).is_absolute():
        return Path(data) / "rung"
    if sys.platform == "darwin":
        return _user(environ) / "Library" / "Application Support" / "rung"
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or _user(environ) / "AppData" / "Local") / "rung"
    return _user(environ) / ".local" / "share" / "rung"


def _user(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else Path.home()
