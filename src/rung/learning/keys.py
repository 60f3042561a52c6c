"""Names of cells."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import msgspec

from rung.ladder.trust import CellKey

TEMPLATE = "1"
"""version of what is put around a caller's words for a lower model: nothing"""

_SIMULATED = " (simulated)"


@lru_cache(4096)
def cell_id(key: CellKey) -> str:
    """A short name, the same for the same key: 10 hex digits."""
    return blake2b(msgspec.json.encode(key), digest_size=5).hexdigest()


@lru_cache(4096)
def base_of(key: CellKey) -> str:
    """The same for keys that differ in nothing but their score: at any time one of them is in use."""
    return cell_id(msgspec.structs.replace(key, score=""))


def template(reference: str, *, simulated: bool) -> str:
    """What stands in a key beside the model: another reference is another question, and so is a simulated one."""
    return f"{TEMPLATE} {reference}{_SIMULATED if simulated else ''}"


def reference_of(key: CellKey) -> tuple[str, str, bool]:
    """(reference model, template version, is the reference simulated)."""
    version, _, rest = key.template.partition(" ")
    model = rest.removesuffix(_SIMULATED)
    return model, version, model != rest
