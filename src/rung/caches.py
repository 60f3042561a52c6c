"""A gateway's caches together: set up, counted, emptied."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rung.config import Settings
from rung.errors import StoreError
from rung.store.exact import ExactCache

if TYPE_CHECKING:
    from rung.proving import Proving
    from rung.remembering import Remembering
    from rung.stores import Stores

log = logging.getLogger("rung.semantic")

_NEEDED = ("numpy", "tokenizers", "usearch")


async def remember(settings: Settings, stores: Stores, proving: Proving | None) -> Remembering | None:
    """The semantic cache, where it is on and can be had: nothing is served unproved, so it needs trust to be on."""
    if not settings.semantic.enabled or proving is None:
        return None
    room = await asyncio.to_thread(_room)
    if room is None:
        return None
    made: Remembering = room.Remembering(settings, stores.semantic, proving.learner, proving)
    return made


def _room() -> Any:
    """The module of the semantic cache, by name: it brings numpy, which the core is without. None without the extra."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        log.info("the semantic cache is off; to have it: pip install 'rung[semantic]'")
        return None
    return importlib.import_module("rung.remembering")


def stats(exact: ExactCache | None, semantic: Remembering | None) -> dict[str, Any]:
    """Counts and bytes of the exact cache, and under ``semantic`` of the other."""
    found: dict[str, Any] = {"enabled": False}
    if exact is not None:
        found = {"enabled": True, **asdict(exact.stats())}
    return {**found, "semantic": semantic.stats() if semantic is not None else {"enabled": False}}


async def purge(exact: ExactCache | None, semantic: Remembering | None, tenant: str | None, match: str | None) -> int:
    """Forget `tenant`'s stored answers, or everybody's; -> how many there were.

    With `match` those that hold this text, in any case; of the exact cache, which keeps no prompts, all of them.
    Raises StoreError if the disk does not let go of what the semantic cache kept.
    """
    gone = exact.purge(tenant) if exact is not None else 0
    if semantic is not None:
        try:
            gone += await semantic.purge(tenant, match)
        except OSError as error:
            raise StoreError(str(error)) from None
    return gone
