"""Stored answers by fingerprint: least recently used out first, bounded in bytes and in time.

Lives on the event loop's thread and never waits: the disk, where the user wants one, is read at start and
written behind (`exact_disk`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rung.store.exact_disk import DiskCache
from rung.store.stored import Stored

LOAD_SLICE = 500
"""entries taken over from disk before the event loop gets a turn"""


@dataclass(slots=True)
class CacheStats:
    """Counts since the start; `bytes` and `entries` are now's."""

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    stored: int
    evicted: int
    expired: int
    too_large: int


class ExactCache:
    """Answers by key. `max_bytes` 0 keeps nothing; `ttl` in seconds; `clock` gives unix seconds."""

    def __init__(
        self,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        ttl: float = 24 * 3600.0,
        max_entry_bytes: int = 1024 * 1024,
        disk: DiskCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_bytes = max_bytes
        self.ttl = ttl
        self.max_entry_bytes = min(max_entry_bytes, max_bytes)
        self._disk = disk
        self._clock = clock
        self.entries: OrderedDict[bytes, Stored] = OrderedDict()
        """to look whether there is one; to use one, `get`"""
        self._bytes = 0
        self._purges = 0
        self.misses = 0
        self._hits = self._stored = self._evicted = self._expired = self._too_large = 0

    def peek(self, key: bytes) -> Stored | None:
        """The live entry of `key`, if there is one; it does not count as used."""
        entry = self.entries.get(key)
        return entry if entry is not None and self._clock() - entry.created < self.ttl else None

    def get(self, key: bytes) -> Stored | None:
        """The live entry of `key`, now the most recently used."""
        entry = self.peek(key)
        if entry is None:
            self.misses += 1
            if key in self.entries:
                self._expired += 1
                self.remove(key)
            return None
        self.entries.move_to_end(key)
        self._hits += 1
        return entry

    def put(self, key: bytes, entry: Stored) -> bool:
        """Keep `entry`, stamped with the present; False if it is too large to keep."""
        entry.created = self._clock()
        if not self._insert(key, entry):
            return False
        self._stored += 1
        if self._disk is not None and not entry.private:
            self._disk.put(key, entry)
        return True

    def remember(self, key: bytes, entry: Stored, shape: str, data: bytes) -> None:
        """Keep `data`, a conversion of `entry`, for the next hit of that shape, if there is room for it."""
        if self.entries.get(key) is entry and entry.size + len(data) <= self.max_entry_bytes:
            entry.remember(shape, data)
            self._bytes += len(data)
            self._shrink()

    def remove(self, key: bytes) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size
            if self._disk is not None and not entry.private:
                self._disk.remove(key)

    def purge(self, tenant: str | None = None) -> int:
        """Forget `tenant`'s entries, or everybody's, on disk too; how many were in memory."""
        self._purges += 1
        doomed = [key for key, entry in self.entries.items() if tenant is None or entry.tenant == tenant]
        for key in doomed:
            self._bytes -= self.entries.pop(key).size
        if self._disk is not None:
            self._disk.purge(tenant)
        return len(doomed)

    def stats(self) -> CacheStats:
        return CacheStats(
            entries=len(self.entries),
            bytes=self._bytes,
            max_bytes=self.max_bytes,
            hits=self._hits,
            misses=self.misses,
            stored=self._stored,
            evicted=self._evicted,
            expired=self._expired,
            too_large=self._too_large,
        )

    async def load(self) -> int:
        """Take over what the disk holds, newest first, without stopping the loop; how many entries."""
        if self._disk is None:
            return 0
        oldest = self._clock() - self.ttl
        purges = self._purges
        found = await asyncio.to_thread(self._disk.load, oldest, self.max_bytes)
        taken = 0
        for place, (key, entry) in enumerate(found):
            if place % LOAD_SLICE == LOAD_SLICE - 1:
                await asyncio.sleep(0)
            if self._purges != purges:
                break  # what was read may hold what was just purged
            if key not in self.entries and self._bytes + entry.size <= self.max_bytes:
                self._insert(key, entry)
                self.entries.move_to_end(key, last=False)
                taken += 1
        return taken

    def _insert(self, key: bytes, entry: Stored) -> bool:
        size = entry.size
        if size > self.max_entry_bytes:
            self._too_large += 1
            return False
        held = self.entries.pop(key, None)
        if held is not None:
            self._bytes -= held.size
        self.entries[key] = entry
        self._bytes += size
        if self._bytes > self.max_bytes:
            self._shrink()
        return True

    def _shrink(self) -> None:
        while self._bytes > self.max_bytes:
            _, entry = self.entries.popitem(last=False)
            self._bytes -= entry.size
            self._evicted += 1
