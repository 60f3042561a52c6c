"""The providers' prompt caches, by their unit rules. Every number from here is simulated.

| rule | who | what is stored | what is read |
|---|---|---|---|
| ``blocks`` | Groq, OpenAI up to 5.5 | every whole block of the prompt | the longest run of known blocks, never all |
| ``units`` | DeepSeek | the end of the input and of the output; a prefix seen in two requests | the longest unit |
| ``breakpoints`` | OpenAI 5.6 and later | the ends of the last four messages, or the marks | the longest stored end |
| ``explicit_breakpoints`` | Anthropic | the marked blocks | the longest end within 20 blocks before a mark |
| ``implicit`` | Gemini | the ends of the segments | the longest stored end, if the dice say so |

A prefix is stored per scope: the model and everything else that separates caches (DeepSeek's ``user_id``,
OpenAI's ``prompt_cache_key``, tools and effort where they are not part of the prompt). Reading renews it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from random import Random

from rung.sim.clock import Clock
from rung.sim.prompt import Prefix, Prompt
from rung.sim.scenario import CacheRule

KEPT = 200_000
"""prefixes remembered by one provider"""
SHORT = 3600.0
"""a breakpoint that lives at least so many seconds is billed as a long write"""
WRITTEN = 4
"""OpenAI: breakpoints written by one request; without marks of its own, the last ones (an assumption)"""
LOOK_BACK = 20
"""Anthropic: blocks before a breakpoint that are compared"""


@dataclass(slots=True)
class Hit:
    """Tokens of one prompt: read, and newly written by the time they live. Disjoint."""

    read: int = 0
    write: int = 0
    write_long: int = 0


@dataclass(slots=True)
class _Kept:
    expires: float
    ready: float
    ttl: float


class CacheModel:
    """One provider's cache."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._kept: OrderedDict[tuple[str, bytes], _Kept] = OrderedDict()
        self._seen: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def ask(self, rule: CacheRule, scope: str, prompt: Prompt, rng: Random, first_token: float) -> Hit:
        """What a request reads and writes. What it writes can be read once its first token is there."""
        if rule.rule == "none" or not prompt.segments or prompt.tokens < rule.min_tokens:
            return Hit()
        ready = self.clock.now() + first_token + rule.build
        asked = {
            "blocks": self._blocks,
            "units": self._units,
            "breakpoints": self._breakpoints,
            "explicit_breakpoints": self._breakpoints,
            "implicit": self._implicit,
        }[rule.rule]
        return asked(rule, scope, prompt, ready, rng)

    def answered(self, rule: CacheRule, scope: str, prompt: Prompt) -> None:
        """DeepSeek stores the end of the output too: `prompt` with the answer added."""
        if rule.rule == "units":
            *_, last = prompt.prefixes(0)
            self._store(scope, last, rule.ttl, self.clock.now() + rule.build)

    def _blocks(self, rule: CacheRule, scope: str, prompt: Prompt, ready: float, rng: Random) -> Hit:
        read = 0
        missed = False
        for prefix in prompt.prefixes(rule.block):
            if prefix.tokens % rule.block:
                continue
            missed = missed or not self._fresh(scope, prefix)
            if not missed and prefix.tokens < prompt.tokens:
                read = prefix.tokens
            self._store(scope, prefix, rule.ttl, ready)
        return Hit(read if read >= rule.min_tokens else 0)

    def _units(self, rule: CacheRule, scope: str, prompt: Prompt, ready: float, rng: Random) -> Hit:
        read, common = 0, None
        running = True
        prefixes = list(prompt.prefixes(rule.block))
        for prefix in prefixes:
            if self._fresh(scope, prefix) and prefix.tokens < prompt.tokens:
                read = prefix.tokens
                self._touch(scope, prefix)
            if running and prefix.tokens % rule.block == 0:
                running = (scope, prefix.digest) in self._seen
                common = prefix if running else common
                self._see(scope, prefix)
            elif prefix.tokens % rule.block == 0:
                self._see(scope, prefix)
        if common is not None:
            self._store(scope, common, rule.ttl, ready)
        self._store(scope, prefixes[-1], rule.ttl, ready)
        return Hit(read)

    def _breakpoints(self, rule: CacheRule, scope: str, prompt: Prompt, ready: float, rng: Random) -> Hit:
        ends = list(prompt.prefixes(0))
        marks = [number for number, segment in enumerate(prompt.segments) if segment.mark is not None]
        back = LOOK_BACK
        if rule.rule == "breakpoints":
            back = len(ends)
            marks = (marks or list(range(len(ends))))[-WRITTEN:]
        read = 0
        for mark in marks:
            for prefix in reversed(ends[max(0, mark + 1 - back) : mark + 1]):
                if self._fresh(scope, prefix):
                    read = max(read, prefix.tokens)
                    self._touch(scope, prefix)
                    break
        hit, covered = Hit(read), read
        for mark in marks:
            prefix, ttl = ends[mark], prompt.segments[mark].mark or rule.ttl
            if prefix.tokens < rule.min_tokens or prefix.tokens <= covered:
                continue
            if ttl >= SHORT:
                hit.write_long += prefix.tokens - covered
            else:
                hit.write += prefix.tokens - covered
            covered = prefix.tokens
            self._store(scope, prefix, ttl, ready)
        return hit

    def _implicit(self, rule: CacheRule, scope: str, prompt: Prompt, ready: float, rng: Random) -> Hit:
        read = 0
        for prefix in prompt.prefixes(0):
            if self._fresh(scope, prefix) and rule.min_tokens <= prefix.tokens < prompt.tokens:
                read = prefix.tokens
            self._store(scope, prefix, rule.ttl, ready)
        return Hit(read if rng.random() < rule.hit_rate else 0)

    def _fresh(self, scope: str, prefix: Prefix) -> bool:
        kept = self._kept.get((scope, prefix.digest))
        now = self.clock.now()
        return kept is not None and kept.ready <= now < kept.expires

    def _touch(self, scope: str, prefix: Prefix) -> None:
        kept = self._kept[scope, prefix.digest]
        kept.expires = self.clock.now() + kept.ttl
        self._kept.move_to_end((scope, prefix.digest))

    def _store(self, scope: str, prefix: Prefix, ttl: float, ready: float) -> None:
        key = (scope, prefix.digest)
        kept = self._kept.get(key)
        if kept is not None and self.clock.now() < kept.expires:
            self._touch(scope, prefix)
            return
        self._kept[key] = _Kept(ready + ttl, ready, ttl)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _see(self, scope: str, prefix: Prefix) -> None:
        self._seen[scope, prefix.digest] = None
        self._seen.move_to_end((scope, prefix.digest))
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
