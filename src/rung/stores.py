"""The stores of one gateway, opened and closed together: ledger, exact cache, trust, and their writer thread."""

from __future__ import annotations

import asyncio

from rung.config import Settings
from rung.store.exact import ExactCache
from rung.store.exact_disk import DiskCache
from rung.store.ledger import Ledger
from rung.store.semantic import SemanticStore
from rung.store.trust import TrustStore
from rung.store.writer import Writer


class Stores:
    """`ledger`, `cache`, `semantic` and `trust` are None where the settings switch them off."""

    def __init__(self, told: Settings) -> None:
        self.ledger: Ledger | None = None
        self.cache: ExactCache | None = None
        self.trust: TrustStore | None = None
        on_disk = told.exact.enabled and told.exact.disk
        self.semantic: SemanticStore | None = None
        self._writer = Writer() if told.ledger.enabled or on_disk or told.trust.enabled else None
        if told.ledger.enabled and self._writer is not None:
            self.ledger = Ledger(
                told.ledger.path,
                self._writer,
                queue_limit=told.ledger.queue,
                keep_days=told.ledger.keep_days,
                keep_bytes=told.ledger.keep_bytes,
                store_text=told.ledger.store_text,
            )
        if told.trust.enabled and self._writer is not None:
            self.trust = TrustStore(told.paths.trust, self._writer)
        if told.semantic.enabled and told.semantic.disk and self._writer is not None:
            self.semantic = SemanticStore(told.paths.semantic, self._writer, with_text=told.semantic.store_text)
        if told.exact.enabled:
            disk = None
            if on_disk and self._writer is not None:
                disk = DiskCache(told.paths.cache, self._writer, ttl=told.exact.ttl)
            self.cache = ExactCache(
                max_bytes=told.exact.max_bytes,
                ttl=told.exact.ttl,
                max_entry_bytes=told.exact.max_entry_bytes,
                disk=disk,
            )

    async def load(self) -> None:
        """Take over what the disk cache kept."""
        if self.cache is not None:
            await self.cache.load()

    async def aclose(self) -> None:
        """Write what is queued. Safe to call twice."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
            self._writer = None
