"""Which bytes a model file holds: its sha256, computed once and remembered until the file changes.

Trust in a model is trust in these bytes, so every local answer's record carries the hash.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from rung.errors import ModelFileError
from rung.local.whole import replace_whole

_FILE = "hashes.json"
_MOST = 100


class Stamp(msgspec.Struct):
    """A hash, and what the file looked like when it was taken."""

    bytes: int
    mtime_ns: int
    sha256: str


def sha256_of(path: Path, models_dir: Path) -> str:
    """The file's sha256 in hex; a file that was never hashed takes about two seconds a GB. Blocks.

    Raises ModelFileError if it cannot be read.
    """
    try:
        facts = path.stat()
        for known in (stamp_of(path), _kept(models_dir).get(str(path))):
            if known is not None and (known.bytes, known.mtime_ns) == (facts.st_size, facts.st_mtime_ns):
                return known.sha256
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelFileError(f"the model file {path.name} is missing; get it with `rung models pull`") from None
    except OSError as error:
        raise ModelFileError(f"the model file {path.name} cannot be read: {error.strerror}") from None
    _keep(models_dir, str(path), Stamp(facts.st_size, facts.st_mtime_ns, found))
    return found


def stamp_of(path: Path) -> Stamp | None:
    """What a verified pull left beside the file (`rung.local.pull`), if the file has not changed since."""
    try:
        facts = path.stat()
        stamp = msgspec.json.decode(stamp_file(path).read_bytes(), type=Stamp)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return stamp if (stamp.bytes, stamp.mtime_ns) == (facts.st_size, facts.st_mtime_ns) else None


def stamp(path: Path, sha256: str) -> None:
    """Leave word beside the file that it has been verified as it is now. Raises OSError."""
    facts = path.stat()
    stamp_file(path).write_bytes(msgspec.json.encode(Stamp(facts.st_size, facts.st_mtime_ns, sha256)))


def stamp_file(path: Path) -> Path:
    """Where a file's stamp is kept."""
    return path.with_name(path.name + ".verified")


def _kept(models_dir: Path) -> dict[str, Stamp]:
    try:
        return msgspec.json.decode((models_dir / _FILE).read_bytes(), type=dict[str, Stamp])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _keep(models_dir: Path, key: str, kept: Stamp) -> None:
    """Remember; a disk that refuses costs another hashing next time."""
    known = {**_kept(models_dir), key: kept}
    while len(known) > _MOST:
        del known[next(iter(known))]
    try:
        replace_whole(models_dir / _FILE, msgspec.json.encode(known))
    except OSError:
        return
