"""All scopes of the semantic cache: which are in memory, who comes in, who goes, and what is wiped out.

A scope comes into memory with its third call: most calls with earlier turns are the only one of their scope. Nothing
here waits on the event loop; what takes time runs on one thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from rung.errors import ConfigError, StoreError
from rung.partition import Partition
from rung.semantic.embed import Embedder
from rung.store.semantic import Entry, SemanticStore, digest

log = logging.getLogger("rung.semantic")

T = TypeVar("T")

FIRST_CALLS = 3
"""calls after which a scope is worth its memory"""

COUNTED = 10_000
"""scopes whose calls are counted before they come into memory"""

SHARE_DROPPED = 50
"""of the fullest scope's entries, one in so many goes at a time when the memory is full"""

INDEX_GROWTH = 1.2
"""times an index has to grow before it is written again"""

MOVED_AT_ONCE = 16
"""slices of vectors moved into an index before other work of the thread"""


class Partitions:
    """`make_embedder`: called in a thread when the first scope comes in. `folder`: where indexes lie.

    `most`: scopes in memory. `store` None: nothing is kept on disk. `limit`: wrong hits per request.
    """

    def __init__(
        self,
        make_embedder: Callable[[], Embedder],
        store: SemanticStore | None,
        folder: Path,
        *,
        limit: float,
        max_bytes: int,
        most: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limit, self.clock = limit, clock
        self.embedder: Embedder | None = None
        self._make_embedder, self._store, self._folder = make_embedder, store, folder
        self._max_bytes, self._most = max_bytes, most
        self._there: OrderedDict[bytes, Partition] = OrderedDict()
        self._loading: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._known: set[bytes] = set()
        self.purges = 0
        """how often something was wiped out: what was decided before must teach nothing after"""
        self._off = False
        self._last_id = 0
        self._saved: dict[bytes, int] = {}
        self._thread = ThreadPoolExecutor(1, "rung-semantic")

    async def start(self) -> None:
        """See what the store has. A file that cannot be used switches this off, with a warning."""
        if self._store is not None:
            try:
                self._last_id, self._known = await self.run(self._store.known)
                await self.run(self._sweep)
            except (StoreError, sqlite3.Error, OSError) as error:
                self._turn_off(error)

    async def aclose(self) -> None:
        """Write down what was learnt. Safe to call twice."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for partition in self._there.values():
            self._put_away(partition)
        self._there.clear()
        self._thread.shutdown()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """`work` on this cache's own thread, one thing after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def get(self, scope: bytes, tenant: str) -> Partition | str:
        """The scope's partition, or why there is none: ``miss`` (too few calls yet), ``loading`` or ``off``."""
        partition = self._there.get(scope)
        if partition is not None:
            self._there.move_to_end(scope)
            return partition
        if self._off:
            return "off"
        if scope in self._loading:
            return "loading"
        if scope not in self._known:
            calls = self._counts.pop(scope, 0) + 1
            if calls < FIRST_CALLS:
                self._counts[scope] = calls
                if len(self._counts) > COUNTED:
                    self._counts.popitem(last=False)
                return "miss"
        self._loading.add(scope)
        task = asyncio.get_running_loop().create_task(self._come_in(scope, tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return "loading"

    async def loaded(self) -> None:
        """Wait until every scope that is coming into memory is there."""
        await asyncio.gather(*self._tasks)

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def shrink(self) -> None:
        """Drop what is worth least until all fits. For this cache's thread."""
        while sum(one.bytes for one in list(self._there.values())) > self._max_bytes:
            fullest = max(self._there.values(), key=lambda one: one.bytes)
            fullest.remove(fullest.worst(max(1, len(fullest.entries) // SHARE_DROPPED)))

    def settle(self) -> bool:
        """Move some vectors into indexes, and write grown ones; False if there is nothing to do. For the thread."""
        moved = False
        for partition in list(self._there.values()):
            for _ in range(MOVED_AT_ONCE):
                if not partition.vectors.settle():
                    break
                moved = True
            if partition.vectors.indexed > INDEX_GROWTH * self._saved.get(partition.scope, 4000):
                self._save_index(partition)
        return moved

    def current(self, partition: Partition, purges: int) -> bool:
        """Is it still the one in memory, and was nothing wiped out since there were so many `purges`?"""
        return self.purges == purges and self._there.get(partition.scope) is partition

    async def purge(self, tenant: str | None, match: str | None) -> int:
        """Forget entries of `tenant` (None: anybody's) that hold `match` (None: all): in memory, in the file, in its
        log and in indexes; -> how many. Raises OSError if the disk does not let go of them."""
        self.purges += 1
        return await self.run(self._purge, tenant, match)

    def _purge(self, tenant: str | None, match: str | None) -> int:
        own = None if match is None else digest(match)
        wanted = None if match is None else match.casefold()

        def doomed(entry: Entry) -> bool:
            if tenant is not None and entry.tenant != tenant:
                return False
            return wanted is None or entry.digest == own or _holds(entry, wanted)

        gone = 0
        for partition in list(self._there.values()):
            gone += partition.forget(doomed)
        removed = self._store.purge(tenant, match) if self._store is not None else 0
        # which scopes an index on disk belongs to is known, which entries it still holds is not: all are made anew
        for path in self._folder.glob("semantic-*.vectors*"):
            path.unlink(missing_ok=True)
        self._saved.clear()
        return max(gone, removed)

    def told(self) -> list[dict[str, Any]]:
        """The cells in memory, the last used first."""
        return [
            {"scope": one.scope.hex(), "tenant": one.tenant, **one.told()} for one in reversed(self._there.values())
        ]

    def stats(self) -> dict[str, Any]:
        """Entries and bytes in memory, and what the disk missed."""
        there = list(self._there.values())
        return {
            "scopes": len(there),
            "entries": sum(len(one.entries) for one in there),
            "bytes": sum(one.bytes for one in there),
            "max_bytes": self._max_bytes,
            "indexed": sum(one.vectors.indexed for one in there),
            "hits": sum(one.hits for one in there),
            "wrong_known": sum(one.wrong for one in there),
            "dropped": self._store.channel.dropped if self._store is not None else 0,
        }

    async def _come_in(self, scope: bytes, tenant: str) -> None:
        purges = self.purges
        try:
            if self.embedder is None:
                self.embedder = await self.run(self._make_embedder)
            made = Partition(scope, tenant, self.embedder, limit=self.limit, store=self._store, clock=self.clock)
            await self.run(made.load, self._index(scope))
            if len(self._there) >= self._most:
                out, longest = next(iter(self._there.items()))
                del self._there[out]
                self._known.add(out)
                await self.run(self._put_away, longest)
            if self.purges == purges:  # else what was read may hold what was just wiped out
                self._there[scope] = made
        except (ConfigError, StoreError, sqlite3.Error, OSError) as error:
            self._turn_off(error)
        finally:
            self._loading.discard(scope)

    def _turn_off(self, error: Exception) -> None:
        self._off = True
        log.warning("the semantic cache is off: %s", error)

    def _put_away(self, partition: Partition) -> None:
        partition.save()
        self._save_index(partition)
        if self._store is not None:
            self._store.flush(5.0)  # so that who loads it next finds all of it

    def _index(self, scope: bytes) -> Path:
        return self._folder / f"semantic-{scope.hex()}.vectors"

    def _save_index(self, partition: Partition) -> None:
        if self._store is None:
            return
        self._saved[partition.scope] = partition.vectors.indexed
        try:
            partition.vectors.save(self._index(partition.scope))
        except OSError as error:
            log.warning("an index of the semantic cache cannot be written (%s); it will be made anew", error)

    def _sweep(self) -> None:
        """Indexes of scopes that are gone, and unfinished ones."""
        keep = {self._index(scope).name for scope in self._known}
        for path in self._folder.glob("semantic-*.vectors*"):
            if path.name not in keep:
                path.unlink(missing_ok=True)


def _holds(entry: Entry, wanted: str) -> bool:
    """As the store's own condition, in any case."""
    if entry.prompt is not None and wanted in entry.prompt.casefold():
        return True
    return wanted in entry.stored.data.decode("utf-8", "replace").casefold()
