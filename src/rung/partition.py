"""One scope of the semantic cache in memory: its entries, their vectors, and what was learnt about them.

A scope is everything of a call that must match exactly; within it only the last user message is compared by meaning.
One lock keeps a decision and a lesson apart: a lesson takes milliseconds and happens in a thread.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rung.semantic.decide import Decider, Decision, Neighbour
from rung.semantic.embed import Embedder
from rung.semantic.grams import Vector
from rung.semantic.pairs import words
from rung.semantic.snapshot import dump, restore, taken
from rung.store.semantic import Entry, Scope, SemanticStore, digest
from rung.store.vectors import Vectors

NEIGHBOURS = 16
"""stored entries a decision looks at"""

PER_ANSWER = 256
"""entries kept of one answer: more wordings of what is known only fill the memory"""

SNAPSHOT_EVERY = 500
"""requests between two snapshots, or a tenth of all; a crash forgets what was learnt since, but never a wrong hit"""

TOLD = 5000
"""of the newest entries the decider is told at a start"""


SCANNED_HERE = 5000
"""vectors scanned on the event loop (about 0.5 ms); more are scanned in a thread"""


class Partition:
    """`limit`: wrong hits per request. `store` None: nothing is kept on disk. `clock`: unix seconds.

    Methods that say so take milliseconds and belong into a thread; all of them may be called from any.
    """

    def __init__(
        self,
        scope: bytes,
        tenant: str,
        embedder: Embedder,
        *,
        limit: float,
        store: SemanticStore | None,
        clock: Callable[[], float],
    ) -> None:
        self.scope, self.tenant = scope, tenant
        self.lock = threading.Lock()
        self.entries: dict[int, Entry] = {}
        self.bytes = 0
        self.hits = self.wrong = 0
        self.audits_waiting = 0
        self._embedder, self._limit, self._store, self._clock = embedder, limit, store, clock
        self._decider = Decider(embedder.width, limit, secrets.randbits(63))
        self.vectors = Vectors(embedder.width)
        self._members: dict[int, list[int]] = {}
        self._by_digest: dict[bytes, int] = {}
        self._used: dict[int, None] = {}
        """entries whose hits the disk does not know yet"""
        self._snapshot_at = SNAPSHOT_EVERY
        self._level = -1

    @property
    def control(self) -> Any:
        """`rung.semantic.control.Control`: how far its proof is."""
        return self._decider.control

    @property
    def quick(self) -> bool:
        """Does a decision take so little time that the event loop may wait for it?"""
        return self._embedder.quick and self.vectors.scanned <= SCANNED_HERE

    def load(self, index: Path | None) -> None:
        """Take over what the store has. For a thread. Raises StoreError, sqlite3.Error, OSError."""
        if self._store is None:
            return
        known, entries = self._store.load(self.scope, self._clock())
        version = self._embedder.version
        with self.lock:
            if known is not None and known.snapshot is not None and known.embedder == version:
                made = restore(known.snapshot, self._embedder.width, self._limit, secrets.randbits(63))
                if made is not None:
                    self._decider = made
                    self._recall(known.told)
            truth: dict[int, bytes] = {}
            for entry in entries:
                vector = self._vector_of(entry)
                if vector is None:
                    self._store.remove((entry.id,))  # another embedder's, and no text to make it anew from
                    continue
                truth[entry.id] = vector
                entry.vector = b""
                self._hold(entry)
            highest = max((entry.answer for entry in self.entries.values()), default=-1)
            self._decider.resume(highest + 1)  # the snapshot may be older than the entries
            for entry in list(self.entries.values())[-TOLD:]:
                if entry.prompt is not None:
                    self._decider.stored(entry.id, entry.answer, words(entry.prompt))
            self._snapshot_at, self._level = self.control.requests + SNAPSHOT_EVERY, self.control.level
            self.vectors.load(index or Path(), truth)

    def embed(self, prompt: str) -> Vector:
        return self._embedder.embed(prompt)

    def decide(self, prompt: str) -> tuple[Decision, Entry | None]:
        """What to do with a call, and the entry to serve if there is one. The caller holds `lock`."""
        vector = self._embedder.embed(prompt)
        now, own = self._clock(), digest(prompt)
        near = []
        for name, like in self.vectors.search(vector, NEIGHBOURS):
            entry = self.entries.get(name)
            if entry is None or entry.expires <= now:
                continue
            text = entry.prompt if entry.prompt is not None else prompt if entry.digest == own else None
            if text is not None:
                near.append(Neighbour(name, entry.answer, like, text, entry.signature, now - entry.created))
        decision = self._decider.decide(prompt, vector, near)
        chosen = self.entries.get(decision.entry) if decision.serve else None
        if chosen is not None and chosen.expires <= now:
            chosen = None
        return decision, chosen

    def compared(self, decision: Decision) -> dict[int, Entry]:
        """A stored entry for each answer the reference's is to be compared with."""
        with self.lock:
            found = {}
            for answer in decision.compare:
                # since the decision two answers may have proved to be one
                for name in reversed(self._members.get(self._decider.answer(answer), ())):
                    if (entry := self.entries.get(name)) is not None:
                        found[answer] = entry
                        break
            return found

    def passed(self, decision: Decision) -> None:
        """A hit that was served and not audited. For a thread."""
        with self.lock:
            self._decider.passed(decision)
        self._keep()

    def passed_now(self, decision: Decision) -> bool:
        """The same in microseconds, and True; False, and nothing is done, where that would take longer."""
        if self._decider.due or self.control.requests >= self._snapshot_at or not self.lock.acquire(blocking=False):
            return False
        try:
            self._decider.passed(decision)
        finally:
            self.lock.release()
        return True

    def learn(self, decision: Decision, equal: Collection[int], new: Entry | None) -> bool:
        """The reference answered: it equals these of `decision.compare`, and may be stored as `new`. For a thread.

        -> was a hit wrong? Then its neighbourhood is quarantined, on disk too.
        """
        with self.lock:
            decider = self._decider
            same = {decider.answer(one) for one in equal}
            answer = decider.observe(decision, list(equal))
            for other in same - {answer}:
                self._members.setdefault(answer, []).extend(self._members.pop(other, ()))
            wrong = decision.serve and decider.answer(decision.answer) != answer
            self.wrong += wrong
            if new is not None and len(self._members.get(answer, ())) < PER_ANSWER:
                self._add(new, answer, decision)
        self._keep(at_once=wrong)
        return wrong

    def quarantine(self, decision: Decision) -> None:
        """Somebody says a hit was wrong. For a thread."""
        with self.lock:
            self._decider.quarantine(decision)
            self.wrong += 1
        self._keep(at_once=True)

    def served(self, entry: Entry) -> None:
        entry.used = self._clock()
        entry.hits += 1
        self.hits += 1
        self._used[entry.id] = None

    def remove(self, names: Collection[int]) -> None:
        """Forget entries, here and on disk."""
        with self.lock:
            self._remove(names)
        if self._store is not None:
            self._store.remove(names)

    def forget(self, doomed: Callable[[Entry], bool]) -> int:
        """A purge: no entry, vector or lesson of these is left in memory; how many there were. For a thread.

        What was learnt from them cannot be told from the rest, so the whole scope is proved anew.
        """
        with self.lock:
            names = [name for name, entry in self.entries.items() if doomed(entry)]
            if names:
                self._remove(names)
                self.vectors.rebuild()
                self._decider = Decider(self._embedder.width, self._limit, secrets.randbits(63))
                self._decider.resume(max((one.answer for one in self.entries.values()), default=-1) + 1)
            return len(names)

    def worst(self, count: int) -> list[int]:
        """The entries that are worth least: expired, then by hits and what a hit saves, then the longest unused."""
        now = self._clock()
        with self.lock:
            ranked = sorted(self.entries.values(), key=lambda one: (one.expires > now, worth(one), one.used))
            return [entry.id for entry in ranked[:count]]

    def told(self) -> dict[str, Any]:
        """Its cell, as ``rung trust`` shows it. Shares are per request."""
        control = self.control
        return {
            "state": "open" if control.level >= 0 else "shadow",
            "limit": control.limit,
            "bound": control.bound,
            "confidence": 1 - control.delta,
            "of": "all requests of this scope",
            "requests": control.requests,
            "hits": self.hits,
            "wrong_known": self.wrong,
            "closed": control.closed,
            "threshold": control.threshold if control.level >= 0 else None,
            "entries": len(self.entries),
            "embedder": self._embedder.version,
        }

    def save(self) -> None:
        """Write down what was learnt. For a thread."""
        if self._store is None or not self.control.requests:
            return
        with self.lock:
            state = taken(self._decider)
            told = msgspec.json.encode(self.told())
        served, self._used = self._used, {}  # the event loop goes on adding
        entries = [self.entries.get(name) for name in list(served)]
        self._store.used([(one.used, one.hits, one.id) for one in entries if one is not None])
        self._store.learnt(Scope(self.scope, self.tenant, self._clock(), self._embedder.version, told, dump(state)))

    def _keep(self, *, at_once: bool = False) -> None:
        level = self.control.level
        if at_once or level != self._level or self.control.requests >= self._snapshot_at:
            self._level = level
            self._snapshot_at = self.control.requests + max(SNAPSHOT_EVERY, self.control.requests // 10)
            self.save()

    def _recall(self, told: bytes) -> None:
        found: Mapping[str, Any] = msgspec.json.decode(told)
        self.hits, self.wrong = int(found.get("hits", 0)), int(found.get("wrong_known", 0))

    def _vector_of(self, entry: Entry) -> bytes | None:
        """The entry's vector by this embedder, made anew if it is another's."""
        if entry.embedder == self._embedder.version and len(entry.vector) == 2 * self._embedder.width:
            return entry.vector
        if entry.prompt is None:
            return None
        vector = self._embedder.embed(entry.prompt).astype(np.float16).tobytes()
        entry.embedder = self._embedder.version
        if self._store is not None:
            self._store.embedded(entry.id, vector, entry.embedder)
        return vector

    def _add(self, entry: Entry, answer: int, decision: Decision) -> None:
        if (known := self._by_digest.get(entry.digest)) is not None:
            self._remove((known,))
            if self._store is not None:
                self._store.remove((known,))
        vector = decision.numbers.embedding
        entry.answer, entry.signature, entry.embedder = answer, decision.key, self._embedder.version
        if self._store is not None:
            entry.vector = vector.astype(np.float16).tobytes()
            self._store.put(entry)
            entry.vector = b""
        self._hold(entry)
        self.vectors.add(entry.id, vector)
        self._decider.stored(entry.id, answer, decision.words)

    def _hold(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        self.bytes += entry.size
        self._by_digest[entry.digest] = entry.id
        self._members.setdefault(self._decider.answer(entry.answer), []).append(entry.id)

    def _remove(self, names: Collection[int]) -> None:
        for name in names:
            entry = self.entries.pop(name, None)
            if entry is None:
                continue
            self.bytes -= entry.size
            if self._by_digest.get(entry.digest) == name:
                del self._by_digest[entry.digest]
            members = self._members.get(self._decider.answer(entry.answer), [])
            if name in members:
                members.remove(name)
        self.vectors.remove(names)
        self._decider.forget(names)


def worth(entry: Entry) -> int:
    """What an entry has saved, in pico-dollars, and at least its hits."""
    return entry.hits * (entry.stored.cost or 1)
