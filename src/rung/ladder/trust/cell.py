"""A cell: one kind of call on one model, how far it may be trusted, and why. Pure: no clock, no dice, no I/O.

    closed → shadow → open → quarantined → shadow → ...

The caller does what needs the world: it tosses the coin, asks the models, compares, and writes `snapshot()` down.

    coin = cell.coin(score, fingerprint)          # before anything is known about the outcome
    if random() < coin.pi:                        # record it; then label the call, or queue it: never drop it
        ...
        for change in cell.observe(score, disagrees, coin, session=..., fingerprint=...): ...

Labels must be counted in the order of their coins, and one whose comparison failed, timed out, was UNKNOWN or was
lost counts as `disagrees=True`: if hard calls could come late or never, easy ones would open the cell.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

import msgspec

from rung.ladder.trust.bounds import binomial_tail, clopper_pearson
from rung.ladder.trust.closing import Closing
from rung.ladder.trust.opening import Opening
from rung.ladder.trust.rules import Rules

State = Literal["closed", "shadow", "open", "quarantined"]

REMEMBERED = 4096
"""fingerprints of labelled calls a cell remembers; the store may remember more"""

_FEEDBACK_WINDOW = 2000
"""answers after which old feedback counts half"""


class CellKey(msgspec.Struct, frozen=True, order=True):
    """What trust is kept for. Another value anywhere is another cell, with its own evidence."""

    task: str
    rung: str
    model: str
    version: str
    """hash of the model file, or the provider's version of the model"""
    template: str
    """version of the prompt template, and of whatever else decides what reaches the model"""
    score: str
    """version of the scorer"""
    limit: float
    """the error limit promised: calls under another limit are other calls, and need their own proof"""

    def __str__(self) -> str:
        """``task/rung/model@version/template/score/5%``, hashes cut to 12 characters."""
        short = [part[:12] for part in (self.version, self.template, self.score)]
        return f"{self.task}/{self.rung}/{self.model}@{'/'.join(short)}/{self.limit * 100:g}%"


class Coin(msgspec.Struct, frozen=True):
    """With which probability a call is labelled, fixed before its outcome is known. Kept with the label."""

    pi: float
    floor: float
    """the lowest rate then in force in this cell"""
    epoch: int
    served: bool
    """the cell answers this call: its label is an audit"""
    watched: bool
    """the cell was open: the label may close it"""


class Change(msgspec.Struct, frozen=True):
    """What a label, a report or a sum of money did to a cell.

    `what`: opened, widened, closed, quarantined, shadow. `reason`: evidence, drift, feedback, net_value, user, or
    what the caller gave to `renew`.
    """

    what: str
    reason: str
    epoch: int
    threshold: float | None = None


class Cell(msgspec.Struct):
    """See the module. `thresholds`: `opening.grid` of scores seen earlier; (0.0,) is one threshold for everything."""

    key: CellKey
    rules: Rules
    opening: Opening
    state: State = "shadow"
    reason: str = "new"
    epoch: int = 1
    closing: Closing = msgspec.field(default_factory=Closing)
    sessions: dict[int, None] = {}
    known: dict[int, bool | None] = {}
    """fingerprints of labelled calls: did the answers differ? None: labelled by an older version"""
    waiting: int = 0
    """labels that quarantine still lets pass"""
    quarantines: int = 0
    pinned: bool = False
    answers: float = 0.0
    """given since it opened; halved with `reports` from time to time"""
    reports: float = 0.0
    """answers reported wrong since it opened"""
    saved: int = 0
    """pico-dollars since it opened"""
    spent: int = 0
    """pico-dollars since it opened"""
    reference_pairs: int = 0
    """times the reference was asked the same thing twice"""
    reference_disagreements: int = 0

    @classmethod
    def new(cls, key: CellKey, rules: Rules, thresholds: list[float] | tuple[float, ...] = (0.0,)) -> Cell:
        """A cell in shadow. Raises ValueError for thresholds that do not fall, or a limit not between 0 and 1."""
        if not 0 < key.limit < 1:
            raise ValueError(f"a limit lies between 0 and 1, not at {key.limit}")
        return cls(key, rules, Opening.at(thresholds))

    # What the ladder asks

    @property
    def threshold(self) -> float | None:
        """Answers of at least this score are given, None: none are."""
        if self.state != "open" or (self.refused and not self.pinned):
            return None
        return 0.0 if self.pinned else self.opening.threshold

    def serves(self, score: float) -> bool:
        """May an answer of this score go out?"""
        threshold = self.threshold
        return threshold is not None and score >= threshold

    @property
    def refused(self) -> bool:
        """The reference disagrees with itself more often than the limit allows: nothing could be proved."""
        low, _ = clopper_pearson(self.reference_pairs, self.reference_disagreements, self.rules.delta)
        return low > self.key.limit

    def differed(self, fingerprint: str) -> bool:
        """Was this very call labelled, and did the answers differ?

        A repeated call counts once, so nobody compares its answers again: given out, they could be any share of all
        answers, and no evidence against the cell.
        """
        return self.known.get(_small(fingerprint)) is True

    def coin(self, score: float, fingerprint: str = "") -> Coin:
        """With which probability this call must be labelled now; 0 for one that has been already."""
        served, watched = self.serves(score), self.state == "open"
        if not watched:
            rate = floor = self.rules.shadow_rate
        else:
            uneasy = self.closing.value >= self.rules.uneasy_at
            audit = self.rules.audit_burst if uneasy else self.rules.audit_rate
            rate = audit if served else self.rules.explore_rate
            floor = min(audit, self.rules.explore_rate)
        if self.state == "closed" or (fingerprint and _small(fingerprint) in self.known):
            rate = 0.0
        return Coin(rate, floor, self.epoch, served, watched)

    # What the world tells

    def observe(
        self, score: float, disagrees: bool, coin: Coin, *, session: str = "", fingerprint: str = ""
    ) -> list[Change]:
        """Count the label of a call whose `coin` fell on "label". Late ones of an earlier epoch count for nothing."""
        if self.state == "closed" or coin.epoch != self.epoch or coin.pi <= 0:
            return []
        if self.state == "quarantined":
            return self._sit_out()
        if fingerprint and not self._first_time(fingerprint, disagrees):
            return []
        if len(self.sessions) < self.rules.sessions:
            self.sessions[_small(session)] = None
        alpha, per_request = self.key.limit, self.rules.per == "request"
        v = min(1.0, coin.floor / coin.pi)
        opened = self.opening.observe(score, disagrees, alpha, self.rules.delta, v=v, per_request=per_request)
        changes = self._open(opened)
        if coin.watched and (coin.served or per_request):
            # answers given are all audited at one rate, so each counts whole; per request the unserved count too
            weight = v if per_request else 1.0
            value = self.closing.observe(disagrees and coin.served, alpha, v=weight)
            if value >= self.rules.close_at and self.state == "open" and not self.pinned:
                changes.append(self._quarantine("drift"))
        return changes

    def answered(self, count: int = 1) -> None:
        """So many answers of this cell went out."""
        self.answers += count
        if self.answers > _FEEDBACK_WINDOW:
            self.answers /= 2
            self.reports /= 2

    def feedback(self, wrong: bool) -> list[Change]:
        """A user says an answer of this cell was right or wrong: it may close the cell, never open it.

        Who reports is no sample, so the reports are held against all answers: it closes when more were reported
        wrong than a risk at the limit would let happen once in `close_at` times.
        """
        if not wrong or self.state != "open":
            return []
        self.reports += 1
        tail = binomial_tail(max(round(self.answers), round(self.reports)), round(self.reports), self.key.limit)
        if self.pinned or tail > 1 / self.rules.close_at:
            return []
        return [self._quarantine("feedback")]

    def account(self, *, saved: int = 0, spent: int = 0) -> list[Change]:
        """Money (pico-dollars): what answering here saved, and what shadows, audits, judges and refusals cost.

        What was spent before it opened is spent; the question is whether staying open pays.
        """
        if self.state != "open":
            return []
        self.saved += saved
        self.spent += spent
        if self.pinned or self.answers < self.rules.net_after or self.saved >= self.spent:
            return []
        return [self._close("net_value")]

    def reference_compared(self, disagrees: bool) -> None:
        """The reference was asked the same thing twice, outside any cache."""
        self.reference_pairs += 1
        self.reference_disagreements += disagrees

    # What the user or the house decides

    def close(self) -> Change:
        """Held closed by the user: no answers and no labels until `reset`."""
        self.pinned = True
        return self._close("user")

    def pin(self) -> Change:
        """Held open by the user for every answer, whatever the labels say, until `reset`. It promises nothing."""
        self.pinned = True
        self.state, self.reason = "open", "pinned"
        return Change("opened", "pinned", self.epoch, 0.0)

    def reset(self) -> Change:
        """Forget everything and start in shadow."""
        self.pinned, self.quarantines = False, 0
        self.reference_pairs = self.reference_disagreements = 0
        return self.renew("user")

    def renew(self, reason: str, thresholds: list[float] | None = None) -> Change:
        """A new epoch in shadow, with fresh evidence: what reaches the cell has changed, or its thresholds have."""
        cuts = [level.threshold for level in self.opening.levels] if thresholds is None else thresholds
        self.opening, self.closing = Opening.at(cuts), Closing()
        self.sessions, self.known = {}, {}
        self.epoch += 1
        self.waiting = 0
        self._forget_business()
        if not self.pinned:
            self.state, self.reason = "shadow", reason
        return Change("shadow", reason, self.epoch)

    # What the store keeps

    def snapshot(self) -> dict[str, Any]:
        """Plain data, for msgspec, orjson or json."""
        plain: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        return plain

    @classmethod
    def restore(cls, plain: dict[str, Any], rules: Rules | None = None) -> Cell:
        """From `snapshot`. Other `rules` take effect; if what they promise changed, in a new epoch.

        Raises msgspec.ValidationError for data that is no snapshot.
        """
        cell = msgspec.convert(plain, cls, strict=False)
        if rules is not None and rules != cell.rules:
            promised = (cell.rules.delta, cell.rules.per)
            cell.rules = rules
            if promised != (rules.delta, rules.per):
                cell.renew("rules")
        return cell

    def _open(self, opened: int) -> list[Change]:
        """Open, or open further, as far as the evidence goes. `opened`: thresholds that have done so just now."""
        threshold = self.opening.threshold
        if threshold is None or len(self.sessions) < self.rules.sessions:
            return []
        if self.state == "open":
            return [Change("widened", "evidence", self.epoch, threshold)] if opened else []
        self.state, self.reason = "open", "evidence"
        self.closing = Closing()
        self._forget_business()
        return [Change("opened", "evidence", self.epoch, threshold)]

    def _sit_out(self) -> list[Change]:
        self.waiting -= 1
        if self.waiting > 0:
            return []
        self.state, self.reason = "shadow", "quarantine_over"
        return [Change("shadow", "quarantine_over", self.epoch)]

    def _quarantine(self, reason: str) -> Change:
        self.renew(reason)
        self.waiting = self.rules.quarantine << min(self.quarantines, 5)
        self.quarantines += 1
        self.state = "quarantined" if self.waiting else "shadow"
        return Change("quarantined", reason, self.epoch)

    def _close(self, reason: str) -> Change:
        self.state, self.reason = "closed", reason
        return Change("closed", reason, self.epoch)

    def _forget_business(self) -> None:
        self.answers = self.reports = 0.0
        self.saved = self.spent = 0

    def _first_time(self, fingerprint: str, disagrees: bool) -> bool:
        name = _small(fingerprint)
        if name in self.known:
            return False
        self.known[name] = disagrees
        if len(self.known) > REMEMBERED:
            del self.known[next(iter(self.known))]
        return True


def _small(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=6).digest())
