"""Adopt the local model, keep it as a fallback, defer, or use a fast cloud instead: one rule, written out.

    net per day = calls a day x share it may answer x (what the reference costs - what it costs itself)
                  - learning - upkeep

``not_enough_data``  too few calls, or nobody has measured what share it may answer and it might pay
``adopt``            the net is above 0 with 90 % confidence, and callers don't wait longer than they accept
``fallback``         it doesn't pay, but private calls or outages of the cloud need it, and it fits
``defer``            it would pay at no more than `REACH` times today's traffic or prices, or it is not sure yet
``fast_cloud``       it would not

Upkeep is an assumption, so what the conclusion would be without it is always said.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rung.report.sketch import Interval
from rung.report.words import ENGLISH, Words

Kind = Literal["adopt", "fallback", "defer", "fast_cloud", "not_enough_data"]

KINDS: dict[Kind, str] = {
    "adopt": "adopt the local model",
    "fallback": "keep the local model as a fallback",
    "defer": "defer the local model",
    "fast_cloud": "use the fast cloud instead",
    "not_enough_data": "not enough data yet",
}

ENOUGH = 200
"""calls below which no share of anything is told"""

REACH = 10.0
"""how many times today's traffic or prices may be waited for"""

PATIENCE = 2.0
"""seconds an answer may take in any case; or as long as the reference's, if that is more"""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What decides. Money in dollars.

    Attributes:
        share: of all calls, that the local model may answer at the user's error limit; None: not measured.
        reference_cost: of one of those calls, on average. own_cost: of a local answer (energy); None: not known.
        learning: per day, for shadows, audits and judges. upkeep: per day, a person's time for updates and restarts;
            hour_usd: what an hour of it is worth.
        local_seconds, reference_seconds: medians until the whole answer; None: never seen.
        private: calls that may not leave. rescued: calls it answered after a cloud had failed.
        fits: is there memory for it here? missing: more calls needed until `share` is known, as far as can be told.
    """

    calls: int
    days: float
    share: Interval | None
    reference_cost: Interval | None
    own_cost: float | None
    learning: float
    upkeep: float
    hour_usd: float = 60.0
    local_seconds: float | None
    reference_seconds: float | None
    private: int
    rescued: int
    fits: bool
    missing: int = 0

    def minutes(self, per_day: float) -> float | None:
        """So many dollars a day as minutes of a person's time a month."""
        return per_day * 30 * 60 / self.hour_usd if self.hour_usd > 0 else None


class Number(msgspec.Struct, frozen=True):
    """One of the numbers that decide."""

    name: str
    value: float
    text: str


class Conclusion(msgspec.Struct, frozen=True):
    """`opposite`: what would have to be true for another conclusion. `needed`: more calls, where data are missing.
    `at_calls_per_day`, `at_price_factor`, `at_upkeep_minutes` (a month): where the net would be 0; None where none
    would do, or nothing is known. `without_upkeep`: the conclusion if a person's time were free; None: not known."""

    kind: Kind
    text: str
    opposite: str
    numbers: tuple[Number, ...] = ()
    net_per_day: Interval | None = None
    at_calls_per_day: float | None = None
    at_price_factor: float | None = None
    at_upkeep_minutes: float | None = None
    without_upkeep: Kind | None = None
    needed: int = 0


def conclude(facts: Facts, say: Words = ENGLISH) -> Conclusion:
    """The conclusion, by the rule above."""
    share, reference, own = facts.share, facts.reference_cost, facts.own_cost
    if facts.calls < ENOUGH or reference is None or own is None:
        return _unknown(facts, say)
    if share is None:
        best = conclude(msgspec.structs.replace(facts, share=Interval(1.0, 1.0, 1.0)), say)
        if best.kind == "adopt" or best.needed:
            return _unknown(facts, say)
        text = say("Even if it could answer every call: {0}", f"{best.text[0].lower()}{best.text[1:]}")
        return msgspec.structs.replace(best, text=text, numbers=best.numbers[1:])
    per_day = facts.calls / facts.days
    saved = Interval(reference.value - own, reference.low - own, reference.high - own)
    fixed = facts.learning + facts.upkeep
    net = _net(per_day, share, saved, fixed)
    each = share.value * saved.value
    at_calls = fixed / each if each > 0 else None
    answered = per_day * share.value
    at_price = (fixed / answered + own) / reference.value if answered and reference.value > 0 else None
    kind, text = _judge(facts, net, per_day, at_calls, at_price, say)
    free = kind
    if facts.upkeep:
        free = conclude(msgspec.structs.replace(facts, upkeep=0.0), say).kind
        text += " " + _assumed(facts, same=free == kind, free=free, say=say)
    gross = net.value + facts.upkeep
    return Conclusion(
        kind,
        text,
        _opposite(kind, facts, at_calls, at_price, gross, say),
        (
            Number("share", share.value,
                   say("it may answer {0} of the calls ({1})", say.percent(share.value), _percents(share, say))),
            Number("saved_per_call", saved.value,
                   say("each such answer saves {0} ({1})", say.usd(saved.value), _usds(saved, say))),
            Number("fixed_per_day", fixed, say("learning takes {0} a day, upkeep {1} (assumed)",
                   say.usd(facts.learning), say.usd(facts.upkeep))),
        ),
        net,
        at_calls,
        at_price,
        facts.minutes(gross) if gross > 0 else None,
        free,
        _more_calls(facts.calls, net) if kind == "defer" and net.low <= 0 < net.high else 0,
    )  # fmt: skip


def _judge(
    facts: Facts, net: Interval, per_day: float, at_calls: float | None, at_price: float | None, say: Words
) -> tuple[Kind, str]:
    slow = _slow(facts, say)
    if net.low > 0 and facts.fits and not slow:
        return "adopt", say("It saves {0} a day ({1}, with 90 % confidence).", say.usd(net.value), _usds(net, say))
    parts = [slow, "" if facts.fits else say("there is no memory for it")]
    parts.append(say("it would save {0} a day ({1})" if net.value > 0 else "it would lose {0} a day ({1})",
                     say.usd(abs(net.value)), _usds(net, say)))  # fmt: skip
    why = say(", and ").join(part for part in parts if part)
    why = why[0].upper() + why[1:]
    needs = [say("{0} calls may not leave this machine", say.number(facts.private))] if facts.private else []
    needs += [say("it answered {0} calls after a cloud had failed", say.number(facts.rescued))] if facts.rescued else []
    if needs and facts.fits:
        return "fallback", say("{0}; but {1}.", why, say(" and ").join(needs))
    if slow or not facts.fits:
        return "fast_cloud", f"{why}."
    if net.low <= 0 < net.high:
        more = _more_calls(facts.calls, net)
        days = say.number(max(1, more / per_day))
        return "defer", say("{0}: not sure yet, {1} more calls may tell (days at this rate: {2}).", why,
                            say.number(more), days)  # fmt: skip
    if at_calls is not None and at_calls <= REACH * per_day:
        return "defer", say("{0}. It would pay at {1} calls a day (now {2}).", why, say.number(at_calls),
                            say.number(per_day))  # fmt: skip
    if at_price is not None and at_price <= REACH:
        return "defer", say("{0}. It would pay if the reference cost {1} times as much.", why, say.short(at_price, 2))
    return "fast_cloud", f"{why}."


def _assumed(facts: Facts, *, same: bool, free: Kind, say: Words) -> str:
    minutes, money = say.short(facts.minutes(facts.upkeep) or 0.0, 2), say.usd(facts.upkeep)
    if same:
        return say("The {0} minutes of upkeep a month ({1} a day) are assumed; without them the conclusion would be "
                   "the same.", minutes, money)  # fmt: skip
    return say("Without the {0} minutes of upkeep a month ({1} a day), which are assumed, the conclusion would be: "
               "{2}.", minutes, money, say(KINDS[free]))  # fmt: skip


def _unknown(facts: Facts, say: Words) -> Conclusion:
    if facts.calls < ENOUGH:
        needed = max(ENOUGH - facts.calls, facts.missing)
        text = say("Not enough yet: {0} more calls ({1} so far).", say.number(needed), say.number(facts.calls))
    elif facts.share is None:
        needed = max(1, facts.missing)
        text = say("Nobody knows yet how often it agrees with the reference: {0} more calls, with trust learning.",
                   say.number(needed))  # fmt: skip
    else:
        needed = max(1, facts.missing)
        text = say("What the reference or the local model costs per call is not known: {0} more calls.",
                   say.number(needed))  # fmt: skip
    opposite = say("more calls, some of them compared with the reference")
    return Conclusion("not_enough_data", text, opposite, needed=needed)


def _net(per_day: float, share: Interval, saved: Interval, fixed: float) -> Interval:
    """The product of two intervals, at its corners: wider than it need be, never narrower."""
    corners = [one * other for one in (share.low, share.high) for other in (saved.low, saved.high)]
    return Interval(per_day * share.value * saved.value - fixed, per_day * min(corners) - fixed,
                    per_day * max(corners) - fixed)  # fmt: skip


def _slow(facts: Facts, say: Words) -> str:
    limit = max(PATIENCE, facts.reference_seconds or 0.0)
    if facts.local_seconds is None or facts.local_seconds <= limit:
        return ""
    return say("it takes {0} s (more than {1})", say.number(facts.local_seconds, ".1f"), say.number(limit, ".1f"))


def _more_calls(calls: int, net: Interval) -> int:
    """Until the interval, which shrinks with the root of the calls, leaves 0 outside."""
    wide = (net.high - net.low) / 2
    return max(1, round(calls * ((wide / max(abs(net.value), wide / 10)) ** 2 - 1)))


def _opposite(
    kind: Kind, facts: Facts, at_calls: float | None, at_price: float | None, gross: float, say: Words
) -> str:
    """For adopt: when it would stop to pay. For the others: when it would."""
    parts, adopted = [], kind == "adopt"
    if at_calls is not None:
        parts.append(
            say("fewer than {0} calls a day" if adopted else "more than {0} calls a day", say.number(at_calls))
        )
    if at_price is not None:
        parts.append(say("the reference at under {0} times its price" if adopted
                         else "the reference at over {0} times its price", say.short(at_price, 2)))  # fmt: skip
    minutes = facts.minutes(gross)
    if minutes is not None and gross > 0 and (adopted or facts.upkeep > gross):
        parts.append(say("more than {0} minutes of upkeep a month" if adopted
                         else "less than {0} minutes of upkeep a month", say.short(minutes, 2)))  # fmt: skip
    either = say(" or ")
    if not adopted and not facts.fits:
        parts = [say("more memory, and {0}", either.join(parts)) if parts else say("more memory")]
    elif not adopted and _slow(facts, say):
        parts = [
            say("a faster machine or model, and {0}", either.join(parts)) if parts else say("a faster machine or model")
        ]
    return either.join(parts) or say("a reference that costs more than a local answer")


def _usds(told: Interval, say: Words) -> str:
    return say("{0} to {1}", say.short(told.low), say.short(told.high))


def _percents(told: Interval, say: Words) -> str:
    return say("{0} to {1}", say.percent(told.low), say.percent(told.high))
