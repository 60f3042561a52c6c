"""Our prices against genai-prices, an independent list and calculator, on every row and state both have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rung.answer import Usage
from rung.providers.prices import PriceBook, usd

snapshots = pytest.importorskip("genai_prices.data_snapshot")
types = pytest.importorskip("genai_prices.types")

BOOK = PriceBook.load()
SNAPSHOT = snapshots.get_snapshot()

TIMES = [
    datetime(2026, 11, 23, 12, tzinfo=UTC),  # Monday, no peak hour
    datetime(2026, 11, 23, 2, tzinfo=UTC),  # DeepSeek's peak
    datetime(2026, 11, 21, 2, tzinfo=UTC),  # the same hour on a Saturday
    datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC),  # Gemini 4 Argon's new price
    datetime(2027, 1, 4, 23, tzinfo=UTC),  # Gemini Flash's new price
]
SIZES = [1_000, 100_001, 200_001, 272_000, 272_001]
TIERS = ["", "default", "flex", "priority", "fast", "batch"]

UNSHARED = {
    "gemini:gemma-4-31b-it": "free: genai-prices has the model without any rate",
}
"""rows only we have, and why"""


def shared() -> Iterator[tuple[str, object, object]]:
    """(our name, their provider, their model)"""
    for name in BOOK.model_ids():
        provider, _, model = name.partition(":")
        theirs = {"gemini": "google"}.get(provider, provider)
        found = SNAPSHOT.find_provider_model(model, None, theirs, None)
        if name not in UNSHARED:
            yield name, *found


def disagreement(name: str, at: datetime, tier: str) -> str:
    """Why both differ there, or nothing."""
    if name.startswith("deepseek:") and at.weekday() >= 5 and at.hour in (1, 2, 3, 6, 7, 8, 9):
        return "genai-prices has no rule for weekdays and takes weekends for peak hours (its issue 582)"
    if tier == "flex" and name.startswith("gemini:"):
        return "genai-prices tells flex of these models in its comments only, so it prices it as standard"
    if tier == "priority" and name in ("gemini:gemini-3.8-flash", "gemini:gemini-4-argon"):
        return "genai-prices tells priority of these models in its comments only, so it prices it as standard"
    return ""


def theirs(provider: object, model: object, usage: Usage, at: datetime, tier: str) -> Decimal:
    # Their counts are inclusive, and a class may only be told where it has a rate.
    counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    rates = model.get_prices(at)  # type: ignore[attr-defined]
    if rates.cache_read_mtok is not None:
        counts["cache_read_tokens"] = usage.cache_read_tokens
    if rates.cache_write_mtok is not None:
        counts["cache_write_tokens"] = usage.cache_write_tokens
    if rates.cache_write_1h_mtok is not None:
        counts["cache_write_tokens"] += usage.cache_write_long_tokens
        counts["cache_write_1h_tokens"] = usage.cache_write_long_tokens
    # To them a batch is a way of processing and Anthropic's fast mode a speed; names of other models' are ignored.
    context = {"service_tier": tier, "processing": tier, "speed": tier} if tier else None
    told = model.calc_price(types.Usage(**counts), provider, genai_request_timestamp=at, price_context=context)  # type: ignore[attr-defined]
    return told.total_price  # type: ignore[no-any-return]


def usage_of(name: str, size: int, tier: str) -> Usage:
    price = BOOK.price(name)
    assert price is not None
    long = 5 if price.fields.get("cache_write_1h") is not None else 0  # they do not hold OpenAI's 12 hours
    return Usage(size - 400 - 30 - long, 400, 30, 70, 50, long, tier)


def test_every_row_of_theirs_and_ours_in_every_state() -> None:
    compared = 0
    wrong: list[str] = []
    listed: set[str] = set()
    for name, provider, model in shared():
        for at in TIMES:
            for size in SIZES:
                for tier in TIERS:
                    usage = usage_of(name, size, tier)
                    ours = BOOK.cost(name, usage, at)
                    if ours is None:
                        continue
                    compared += 1
                    same = usd(ours) == theirs(provider, model, usage, at, tier)
                    reason = disagreement(name, at, tier)
                    if same and reason:
                        wrong.append(f"{name} {at} {size} {tier}: now agreed, drop the disagreement")
                    if not same and not reason:
                        wrong.append(f"{name} {at} {size} {tier}: {usd(ours)} here")
                    if not same:
                        listed.add(reason)
    assert wrong == []
    assert len(listed) == 3
    assert compared > 1500


def test_every_tier_of_theirs_is_one_of_ours() -> None:
    for name, _, model in shared():
        price = BOOK.price(name)
        assert price is not None
        for variant in model.price_variants or ():  # type: ignore[attr-defined]
            assert set(variant.when.values()) <= {*price.fields.get("service_tiers", {}), "default"}, name


def test_what_they_do_not_have() -> None:
    """OpenAI's 12-hour writes and Gemini's storage: told by us alone, so a change there is seen by nobody else."""
    keys = {key for _, _, model in shared() for key in vars(model.get_prices(TIMES[0]))}  # type: ignore[attr-defined]
    assert not {key for key in keys if "12h" in key or "storage_per" in key}
