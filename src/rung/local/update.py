"""Bring an installed model up to the catalogue's revision: beside the old file, and only if it runs.

Nothing here happens by itself: `rung models update` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from rung.errors import ModelFileError
from rung.local import installed, pull, upkeep
from rung.local.catalogue import Row
from rung.local.installed import Version

Probe = Callable[[Path], object]
"""runs the file for a moment; raises ModelFileError if that does not work"""


def outdated(model: Row, models_dir: Path) -> Version | None:
    """What serves for `model`, if it is not the file the catalogue pins; None if it is, or if none is here."""
    now = installed.serving(model, models_dir)
    return now if now is not None and now.sha256 != model.sha256 else None


def update(
    model: Row, models_dir: Path, *, probe: Probe, say: Callable[[str], None], progress: pull.Progress, ways: pull.Ways
) -> Version:
    """Pull the catalogue's file beside the one that serves, probe it, and let it serve from the next start on.

    The old file stays, for `installed.back`. Raises ModelFileError if it cannot be pulled or fails the probe:
    then the new file is removed and the old one serves on.
    """
    beside = msgspec.structs.replace(model, file=_beside(model))
    path = pull.pull(beside, models_dir, say=say, progress=progress, ways=ways)
    say(f"{model.name}: trying the new file")
    try:
        probe(path)
    except ModelFileError as error:
        pull.discard(path)
        raise ModelFileError(
            f"the new {model.name} was removed, for it failed its trial ({error.message}); the old one serves on"
        ) from None
    new = Version(beside.file, model.bytes, model.sha256)
    _drop_older(model, models_dir, keep=new)
    installed.switch(model, models_dir, new)
    upkeep.note(models_dir, model.alias, "updates")
    return new


def _beside(model: Row) -> str:
    stem, _, ending = model.file.rpartition(".")
    return f"{stem}.{model.sha256[:8]}.{ending}"


def _drop_older(model: Row, models_dir: Path, *, keep: Version) -> None:
    """Remove what served before the file that serves now: two are kept, not all there ever were."""
    told = installed.previous(model, models_dir)
    now = installed.serving(model, models_dir)
    if told is not None and told.file not in (keep.file, now.file if now is not None else ""):
        pull.discard(models_dir / told.file)
