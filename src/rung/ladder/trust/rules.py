"""What the user promises and pays for: the limits, the confidence, how much is labelled. Plain data."""

from __future__ import annotations

from typing import Literal

import msgspec

LIMITS = (0.01, 0.02, 0.05, 0.10, 0.20)
"""the error limits a request may choose from; each has its own cells, so its own evidence"""

Denominator = Literal["accepted", "request"]


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a cell is opened, watched and closed. Raises ValueError for figures that promise nothing.

    The defaults and their simulated costs are in docs/trust.md.
    """

    delta: float = 0.1
    """the chance that a cell version ever opens at a threshold whose risk is above its limit, per epoch"""
    per: Denominator = "accepted"
    """risk among answers given (`accepted`), or per call that reached the cell (`request`)"""
    limits: tuple[float, ...] = LIMITS
    shadow_rate: float = 1.0
    """share of the calls of a cell in shadow that are labelled"""
    audit_rate: float = 0.03
    """share of the answers given that are compared with the reference"""
    audit_burst: float = 0.30
    """the same while the detector is uneasy"""
    explore_rate: float = 0.10
    """share of the calls an open cell still sends up that are labelled, to open further"""
    uneasy_at: float = 2.0
    """value of the detector from which audits come in bursts"""
    close_at: float = 300.0
    """value of the detector that closes: at a risk at the limit, false closes are at least this many audits apart"""
    sessions: int = 20
    """labels must come from this many sessions before a cell opens"""
    quarantine: int = 30
    """labels that a cell in quarantine lets pass before it gathers evidence again; doubles with each quarantine"""
    net_after: int = 200
    """answers an open cell may give before a negative net value closes it"""

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie between 0 and 1, not {self.delta}")
        if (
            not self.limits
            or any(not 0 < limit < 1 for limit in self.limits)
            or list(self.limits) != sorted(set(self.limits))
        ):
            raise ValueError(f"limits must rise and lie between 0 and 1: {self.limits}")
        for name in ("shadow_rate", "audit_rate", "audit_burst", "explore_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        if self.audit_burst < self.audit_rate:
            raise ValueError("audit_burst must not be below audit_rate")
        if self.close_at <= 1 or self.uneasy_at <= 1:
            raise ValueError("close_at and uneasy_at must be above 1")
        if self.sessions < 1 or self.quarantine < 0 or self.net_after < 0:
            raise ValueError("sessions must be at least 1, quarantine and net_after at least 0")

    def limit_for(self, asked: float | None, default: float) -> float | None:
        """The limit whose cells may answer a call that asked for `asked` (None: nothing, so `default`).

        The largest of the list that is not above it; None where even the strictest is: then nothing below the
        reference may answer.
        """
        wanted = default if asked is None else asked
        return max((limit for limit in self.limits if limit <= wanted + 1e-12), default=None)
