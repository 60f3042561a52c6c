"""Which file serves for a model of the catalogue: the one under its usual name, or one an update put beside it.

`installed.json` in the models' folder says so; the file is written whole, so a switch is one rename.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from rung.local import catalogue
from rung.local.catalogue import Row, size_of
from rung.local.identity import stamp_of
from rung.local.whole import replace_whole

_FILE = "installed.json"


class Version(msgspec.Struct):
    """One file of a model."""

    file: str
    bytes: int
    sha256: str


class Installed(msgspec.Struct):
    """What serves for one model, and what served before the last update."""

    serving: Version
    previous: Version | None = None


def serving(model: Row, models_dir: Path) -> Version | None:
    """The file that serves for `model`: what an update chose, else the one of its usual name, as it was verified
    when it was pulled or else as the catalogue has it; None if none is there in full. Blocks."""
    chosen = _chosen(model, models_dir)
    for version in (chosen, _stamped(model, models_dir), Version(model.file, model.bytes, model.sha256)):
        if version is not None and size_of(models_dir / version.file) == version.bytes:
            return version
    return None


def models_here(models_dir: Path) -> tuple[Row, ...]:
    """The models for which a file serves, the most capable first. Blocks."""
    return tuple(one for one in catalogue.rows() if serving(one, models_dir) is not None)


def switch(model: Row, models_dir: Path, new: Version) -> None:
    """Let `new` serve from now on; what served is kept as the previous one. Raises OSError."""
    now = serving(model, models_dir)
    _write(models_dir, model.name, Installed(new, now if now is None or now.sha256 != new.sha256 else None))


def previous(model: Row, models_dir: Path) -> Version | None:
    """What served before the last update, if it is kept."""
    told = _read(models_dir).get(model.name)
    return None if told is None else told.previous


def back(model: Row, models_dir: Path) -> Version | None:
    """Let the previous file serve again; None if there is none. Raises OSError."""
    told = _read(models_dir).get(model.name)
    if told is None or told.previous is None or size_of(models_dir / told.previous.file) != told.previous.bytes:
        return None
    _write(models_dir, model.name, Installed(told.previous, told.serving))
    return told.previous


def forget(model: Row, models_dir: Path) -> list[str]:
    """Strike `model` from the list; -> the names of files an update brought. Raises OSError."""
    told = _read(models_dir).get(model.name)
    if told is None:
        return []
    _write(models_dir, model.name, None)
    versions = [told.serving] if told.previous is None else [told.serving, told.previous]
    return [version.file for version in versions]


def _chosen(model: Row, models_dir: Path) -> Version | None:
    told = _read(models_dir).get(model.name)
    return None if told is None else told.serving


def _stamped(model: Row, models_dir: Path) -> Version | None:
    """The file under the model's usual name, by the stamp its own pull left."""
    stamp = stamp_of(models_dir / model.file)
    return None if stamp is None else Version(model.file, stamp.bytes, stamp.sha256)


def _read(models_dir: Path) -> dict[str, Installed]:
    try:
        told = msgspec.json.decode((models_dir / _FILE).read_bytes(), type=dict[str, Installed])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    named = [version.file for one in told.values() for version in (one.serving, one.previous) if version is not None]
    return told if all(Path(name).name == name for name in named) else {}  # never a file of another folder


def _write(models_dir: Path, name: str, told: Installed | None) -> None:
    known = _read(models_dir)
    known.pop(name, None)
    if told is not None:
        known[name] = told
    replace_whole(models_dir / _FILE, msgspec.json.format(msgspec.json.encode(known)))
