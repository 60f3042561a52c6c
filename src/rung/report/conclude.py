"""Adopt the local model, keep it as a fallback, defer, or use a fast cloud instead: one rule, written out.

    net per day = calls a day x share it may answer x (what the reference costs - what it costs itself)
                  - learning - upkeep

``not_enough_data``  too few calls, or nobody has measured what share it may answer and it might pay
``adopt``            the net is above 0 with 90 % confidence, and callers don't wait longer than they accept
``fallback``         it doesn't pay, but private calls or outages of the cloud need it, and it fits
``defer``            it would pay at no more than `REACH` times today's traffic or prices, or it is not sure yet
``fast_cloud``       it would not
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rung.report.sketch import Interval

Kind = Literal["adopt", "fallback", "defer", "fast_cloud", "not_enough_data"]

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
        learning: per day, for shadows, audits and judges. upkeep: per day, for updates and restarts.
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
    local_seconds: float | None
    reference_seconds: float | None
    private: int
    rescued: int
    fits: bool
    missing: int = 0


class Number(msgspec.Struct, frozen=True):
    """One of the numbers that decide."""

    name: str
    value: float
    text: str


class Conclusion(msgspec.Struct, frozen=True):
    """`opposite`: what would have to be true for another conclusion. `needed`: more calls, where data are missing.
    `at_calls_per_day`, `at_price_factor`: where the net would be 0; None where none would do, or nothing is known."""

    kind: Kind
    text: str
    opposite: str
    numbers: tuple[Number, ...] = ()
    net_per_day: Interval | None = None
    at_calls_per_day: float | None = None
    at_price_factor: float | None = None
    needed: int = 0


def conclude(facts: Facts) -> Conclusion:
    """The conclusion, by the rule above."""
    share, reference, own = facts.share, facts.reference_cost, facts.own_cost
    if facts.calls < ENOUGH or reference is None or own is None:
        return _unknown(facts)
    if share is None:
        best = conclude(msgspec.structs.replace(facts, share=Interval(1.0, 1.0, 1.0)))
        if best.kind == "adopt" or best.needed:
            return _unknown(facts)
        text = f"Even if it could answer every call: {best.text[0].lower()}{best.text[1:]}"
        return msgspec.structs.replace(best, text=text, numbers=best.numbers[1:])
    per_day = facts.calls / facts.days
    saved = Interval(reference.value - own, reference.low - own, reference.high - own)
    fixed = facts.learning + facts.upkeep
    net = _net(per_day, share, saved, fixed)
    each = share.value * saved.value
    at_calls = fixed / each if each > 0 else None
    answered = per_day * share.value
    at_price = (fixed / answered + own) / reference.value if answered and reference.value > 0 else None
    kind, text = _judge(facts, net, per_day, at_calls, at_price)
    return Conclusion(
        kind,
        text,
        _opposite(kind, facts, at_calls, at_price),
        (
            Number("share", share.value, f"it may answer {share.value:.0%} of the calls ({_percent(share)})"),
            Number("saved_per_call", saved.value, f"each such answer saves {_usd(saved.value)} ({_usds(saved)})"),
            Number("fixed_per_day", fixed, f"learning and upkeep take {_usd(fixed)} a day"),
        ),
        net,
        at_calls,
        at_price,
        _more_calls(facts.calls, net) if kind == "defer" and net.low <= 0 < net.high else 0,
    )


def _judge(
    facts: Facts, net: Interval, per_day: float, at_calls: float | None, at_price: float | None
) -> tuple[Kind, str]:
    slow = _slow(facts)
    result = f"it would {'save' if net.value > 0 else 'lose'} {_usd(abs(net.value))} a day ({_usds(net)})"
    if net.low > 0 and facts.fits and not slow:
        return "adopt", f"It saves {_usd(net.value)} a day ({_usds(net)}, with 90 % confidence)."
    why = ", and ".join(part for part in (slow, "there is no memory for it" * (not facts.fits), result) if part)
    why = why[0].upper() + why[1:]
    needs = [f"{facts.private:,} calls may not leave this machine"] if facts.private else []
    needs += [f"it answered {facts.rescued:,} calls after a cloud had failed"] if facts.rescued else []
    if needs and facts.fits:
        return "fallback", f"{why}; but {' and '.join(needs)}."
    if slow or not facts.fits:
        return "fast_cloud", f"{why}."
    if net.low <= 0 < net.high:
        return "defer", f"{why}: not sure yet, {_more_calls(facts.calls, net):,} more calls may tell."
    if at_calls is not None and at_calls <= REACH * per_day:
        return "defer", f"{why}. It would pay at {at_calls:,.0f} calls a day (now {per_day:,.0f})."
    if at_price is not None and at_price <= REACH:
        return "defer", f"{why}. It would pay if the reference cost {at_price:.1f} times as much."
    return "fast_cloud", f"{why}, and no traffic or price in reach changes that."


def _unknown(facts: Facts) -> Conclusion:
    if facts.calls < ENOUGH:
        needed = max(ENOUGH - facts.calls, facts.missing)
        text = f"Not enough yet: {needed:,} more calls ({facts.calls:,} so far)."
    elif facts.share is None:
        needed = max(1, facts.missing)
        text = f"Nobody knows yet how often it agrees with the reference: {needed:,} more calls, with trust learning."
    else:
        needed = max(1, facts.missing)
        text = f"What the reference or the local model costs per call is not known: {needed:,} more calls."
    return Conclusion("not_enough_data", text, "more calls, some of them compared with the reference", needed=needed)


def _net(per_day: float, share: Interval, saved: Interval, fixed: float) -> Interval:
    """The product of two intervals, at its corners: wider than it need be, never narrower."""
    corners = [one * other for one in (share.low, share.high) for other in (saved.low, saved.high)]
    return Interval(per_day * share.value * saved.value - fixed, per_day * min(corners) - fixed,
                    per_day * max(corners) - fixed)  # fmt: skip


def _slow(facts: Facts) -> str:
    limit = max(PATIENCE, facts.reference_seconds or 0.0)
    if facts.local_seconds is None or facts.local_seconds <= limit:
        return ""
    return f"it takes {facts.local_seconds:.1f} s (more than {limit:.1f})"


def _more_calls(calls: int, net: Interval) -> int:
    """Until the interval, which shrinks with the root of the calls, leaves 0 outside."""
    wide = (net.high - net.low) / 2
    return max(1, round(calls * ((wide / max(abs(net.value), wide / 10)) ** 2 - 1)))


def _opposite(kind: Kind, facts: Facts, at_calls: float | None, at_price: float | None) -> str:
    """For adopt: when it would stop to pay. For the others: when it would."""
    parts = []
    word = "fewer than" if kind == "adopt" else "more than"
    if at_calls is not None:
        parts.append(f"{word} {at_calls:,.0f} calls a day")
    if at_price is not None:
        parts.append(f"the reference at {'under' if kind == 'adopt' else 'over'} {at_price:.2g} times its price")
    if kind != "adopt" and not facts.fits:
        parts = [f"more memory, and {' or '.join(parts)}" if parts else "more memory"]
    elif kind != "adopt" and _slow(facts):
        parts = [f"a faster machine or model, and {' or '.join(parts)}" if parts else "a faster machine or model"]
    return " or ".join(parts) or "a reference that costs more than a local answer"


def _usd(value: float) -> str:
    return f"{value:.3g} USD" if abs(value) < 1000 else f"{value:,.0f} USD"


def _usds(told: Interval) -> str:
    return f"{told.low:.2g} to {told.high:.2g}"


def _percent(told: Interval) -> str:
    return f"{told.low:.0%} to {told.high:.0%}"
