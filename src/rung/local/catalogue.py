"""The models rung knows, as data: `catalogue.json`, one row each, best first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from rung.errors import ModelFileError

_FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of a model file inside a wheel of a package index."""

    requirement: str
    """``name==version``, for pip"""
    member: str
    """path inside the wheel"""
    start: int
    """where its first byte lies in the model file"""
    length: int


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Consecutive slices of the file, all `slice_bytes` long but the last."""

    package: str
    version: str
    member: str
    slices: int
    slice_bytes: int


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model file. Sizes in bytes; what each field means is told in the file's own `_meta.fields`."""

    name: str
    title: str
    license: str
    file: str
    bytes: int
    sha256: str
    default: bool
    layers: int
    kv_heads: int
    head_dim: int
    q4_k_bytes: int
    read_bytes: int
    kinds: dict[str, int]
    context_length: int
    vocabulary: int
    urls: tuple[str, ...] = ()
    mirror: Mirror | None = None

    def slices(self) -> tuple[Slice, ...]:
        """The mirror's parts in the order they are joined; empty without a mirror."""
        mirror = self.mirror
        if mirror is None:
            return ()
        starts = range(0, self.bytes, mirror.slice_bytes)
        return tuple(
            Slice(
                f"{mirror.package.format(n=n)}=={mirror.version}",
                mirror.member.format(n=n),
                start,
                min(mirror.slice_bytes, self.bytes - start),
            )
            for n, start in enumerate(starts, 1)
        )

    @property
    def alias(self) -> str:
        """The name as it stands in ``local:NAME``, where a second colon would be odd."""
        return self.name.replace(":", "-")


@cache
def rows() -> tuple[Row, ...]:
    """Every known model, the most capable first."""
    listed = msgspec.json.decode(_FILE.read_bytes())["models"]
    return tuple(msgspec.convert(one, Row) for one in listed)


def row(name: str) -> Row:
    """The model called `name` (``qwen2.5-coder:1.5b``, or with ``-`` for ``:``).

    Raises ModelFileError naming those there are.
    """
    for one in rows():
        if name.lower() in (one.name, one.alias):
            return one
    known = ", ".join(one.name for one in rows())
    raise ModelFileError(f"there is no model {name!r} in the catalogue; try one of: {known}", code="unknown_model")


def size_of(path: Path) -> int:
    """Size of a file in bytes, -1 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
