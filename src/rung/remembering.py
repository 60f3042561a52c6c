"""What a gateway needs for the semantic rung: the rung, its scopes, its store and who labels its hits.

Imported only where the ``[semantic]`` extra is installed and the rung is on: it brings numpy.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from rung.call import Call
from rung.config import Settings
from rung.ladder.policy import Lineup
from rung.ladder.rung import Rung
from rung.learning import Learner, World
from rung.learning.hits import HitLearner
from rung.partitions import Partitions
from rung.rungs.semantic import Lesson, SemanticRung
from rung.semantic.embed import load
from rung.store.semantic import SemanticStore

log = logging.getLogger("rung.semantic")


class Remembering:
    """One for the life of a gateway. `store` None: nothing is kept on disk."""

    def __init__(self, settings: Settings, store: SemanticStore | None, learner: Learner, world: World) -> None:
        told = settings.semantic
        self.partitions = Partitions(
            partial(load, told.embedder, vocabulary=told.vocabulary),
            store,
            settings.paths.home,
            limit=told.max_error,
            max_bytes=told.max_bytes,
            most=told.scopes,
        )
        trust = settings.trust
        self.hits = HitLearner(self.partitions, world, learner.purse, backlog=trust.backlog, judge=trust.judge or "")
        self._lineup = Lineup()
        self._rung: SemanticRung | None = None

    async def start(self) -> None:
        """See what the store has, begin to learn."""
        await self.partitions.start()
        self.hits.start()

    async def aclose(self) -> None:
        """Stop learning, write down what was learnt. Safe to call twice."""
        await self.hits.aclose()
        if self._rung is not None:
            self._rung.aclose()
            self._rung = None
        await self.partitions.aclose()

    def rung(self, settings: Settings) -> SemanticRung:
        """The rung of these settings. What it learns with stays."""
        told = settings.semantic
        self.hits.backlog, self.hits.judge = settings.trust.backlog, settings.trust.judge or ""
        if self._rung is not None:
            self._rung.aclose()
        self._rung = SemanticRung(
            self.partitions,
            config_version=settings.version,
            deadline=told.deadline,
            ttl=told.ttl,
            volatile_ttl=told.volatile_ttl,
            max_entry=told.max_entry_bytes,
            max_temperature=settings.exact.max_temperature,
            shared=frozenset(told.shared),
            reference=self._reference,
            learn=self._learn,
            behind=lambda: self.hits.behind,
        )
        return self._rung

    def reload(self, lineup: Lineup) -> None:
        """Who answers what, now."""
        self._lineup = lineup

    def told(self) -> list[dict[str, Any]]:
        """Its cells, with what waits."""
        return [{**cell, "audits_waiting": self.hits.waiting} for cell in self.partitions.told()]

    def stats(self) -> dict[str, Any]:
        return {"enabled": True, **self.partitions.stats(), **self.hits.counts, "audits_waiting": self.hits.waiting}

    async def purge(self, tenant: str | None, match: str | None) -> int:
        """See `Partitions.purge`."""
        self.hits.forget()
        return await self.partitions.purge(tenant, match)

    def _learn(self, lesson: Lesson) -> None:
        try:
            self.hits.learn(lesson)
        except Exception:  # the caller has been answered
            log.exception("a bug in rung, please report it: nothing could be learnt from a call")

    def _reference(self, call: Call) -> Rung | None:
        """Who would have been asked first, and needs no proof."""
        lineup = self._lineup
        name = call.mode if call.model == "auto" else call.model
        if name in ("fast", "strong"):
            named: Rung | None = getattr(lineup, name)
            return named
        return lineup.reference_for.get(call.task, lineup.reference)
