"""Which bytes a model file holds: its sha256, computed once and remembered until the file changes.

Trust in a model is trust in these bytes, so every local answer's record carries the hash.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from rung.errors import ModelFileError

_FILE = "hashes.json"
_MOST = 100


class _Kept(msgspec.Struct):
    bytes: int
    mtime_ns: int
    sha256: str


class _Stamp(msgspec.Struct):
    """What a verified pull leaves beside the file (`rung.local.pull`)."""

    bytes: int
    mtime_ns: int
    sha256: str


def sha256_of(path: Path, models_dir: Path) -> str:
    """The file's sha256 in hex; a file that was never hashed takes about two seconds a GB. Blocks.

    Raises ModelFileError if it cannot be read.
    """
    try:
        facts = path.stat()
        for known in (_stamp(path), _kept(models_dir).get(str(path))):
            if known is not None and (known.bytes, known.mtime_ns) == (facts.st_size, facts.st_mtime_ns):
                return known.sha256
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelFileError(f"the model file {path.name} is missing; get it with `rung models pull`") from None
    except OSError as error:
        raise ModelFileError(f"the model file {path.name} cannot be read: {error.strerror}") from None
    _keep(models_dir, str(path), _Kept(facts.st_size, facts.st_mtime_ns, found))
    return found


def _stamp(path: Path) -> _Stamp | None:
    try:
        return msgspec.json.decode(path.with_name(path.name + ".verified").read_bytes(), type=_Stamp)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _kept(models_dir: Path) -> dict[str, _Kept]:
    try:
        return msgspec.json.decode((models_dir / _FILE).read_bytes(), type=dict[str, _Kept])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _keep(models_dir: Path, key: str, kept: _Kept) -> None:
    """Remember; a disk that refuses costs another hashing next time."""
    known = {**_kept(models_dir), key: kept}
    while len(known) > _MOST:
        del known[next(iter(known))]
    part = models_dir / f"{_FILE}.part"
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.encode(known))
        os.replace(part, models_dir / _FILE)
    except OSError:
        return
