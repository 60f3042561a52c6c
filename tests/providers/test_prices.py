"""Costs to the pico-dollar, each worked out by hand from the published price."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.answer import Usage
from rung.providers.prices import PriceBook, usd
from rung.providers.rows import rows

BOOK = PriceBook.load()
USAGE = Usage(input_tokens=1000, cache_read_tokens=200, output_tokens=300, reasoning_tokens=50)
NOON = "2026-11-23T12:00"  # a Monday, no peak hour anywhere


def cost(model: str, at: str = NOON, usage: Usage = USAGE) -> int | None:
    return BOOK.cost(model, usage, datetime.fromisoformat(at).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # 1000 x 0.075 + 200 x 0.0375 + 350 x 0.30
        ("groq:openai/gpt-oss-20b", 75_000_000 + 7_500_000 + 105_000_000),
        # no cached rate is published: cached tokens at the input price
        ("groq:qwen/qwen3.8-27b", 1200 * 800_000 + 350 * 4_000_000),
        # 1000 x 2 + 200 x 0.1 + 350 x 10
        ("anthropic:claude-sonnet-5-5", 2_000_000_000 + 20_000_000 + 3_500_000_000),
        ("gemini:gemma-4-31b-it", 0),
        ("local:qwen2.5-coder-1.5b", 0),
        ("ollama:phi4", 0),
    ],
)
def test_flat_prices(model: str, expected: int) -> None:
    assert cost(model) == expected


FLASH = 1000 * 150_000 + 200 * 3_000 + 350 * 600_000
PRO = 1000 * 660_000 + 200 * 22_000 + 350 * 1_980_000


@pytest.mark.parametrize(
    ("at", "factor"),
    [
        ("2026-11-23T00:59:59", 1),
        ("2026-11-23T01:00:00", 2),
        ("2026-11-23T03:59:59", 2),
        ("2026-11-23T04:00:00", 1),
        ("2026-11-23T05:59:59", 1),
        ("2026-11-23T06:00:00", 2),
        ("2026-11-23T09:59:59", 2),
        ("2026-11-23T10:00:00", 1),
        ("2026-11-27T02:00:00", 2),  # Friday
        ("2026-11-28T02:00:00", 1),  # Saturday
        ("2026-11-29T07:00:00", 1),  # Sunday
        ("2026-09-30T02:00:00", 2),  # Wednesday before the holidays
        ("2026-10-01T02:00:00", 1),  # Thursday, National Day
        ("2026-10-07T09:00:00", 1),  # Wednesday, last day off
        ("2026-10-08T09:00:00", 2),  # Thursday
        ("2026-10-10T09:00:00", 1),  # a Saturday people work on is no weekday
    ],
)
def test_deepseek_costs_double_in_its_peak_hours(at: str, factor: int) -> None:
    assert cost("deepseek:deepseek-flash", at) == FLASH * factor
    assert cost("deepseek:deepseek-v4-pro", at) == PRO * factor


def test_the_time_zone_of_the_caller_does_not_matter() -> None:
    beijing = timezone(timedelta(hours=8))
    assert BOOK.cost("deepseek:deepseek-flash", USAGE, datetime(2026, 11, 23, 9, 0, tzinfo=beijing)) == FLASH * 2
    assert BOOK.cost("deepseek:deepseek-flash", USAGE, datetime(2026, 11, 23, 8, 59, tzinfo=beijing)) == FLASH


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        BOOK.cost("groq:openai/gpt-oss-20b", USAGE, datetime(2026, 11, 23))


@pytest.mark.parametrize(
    ("model", "last", "first", "before", "after"),
    [
        # 1000 x 0.75 + 200 x 0.075 + 350 x 3.75, then twice that
        ("gemini:gemini-3.8-flash", "2026-12-31T23:59:59", "2027-01-01T00:00:00", 2_077_500_000, 4_155_000_000),
        # 1000 x 2 + 200 x 0.1 + 350 x 10, then 4 / 0.2 / 20
        ("gemini:gemini-4-argon", "2026-11-30T23:59:59", "2026-12-01T00:00:00", 5_520_000_000, 11_040_000_000),
    ],
)
def test_announced_changes_begin_on_their_day(model: str, last: str, first: str, before: int, after: int) -> None:
    assert cost(model, last) == before
    assert cost(model, first) == after
    assert cost(model, "2030-06-01T00:00") == after


def test_a_tier_prices_the_whole_request_once_the_prompt_is_longer() -> None:
    at_the_limit = Usage(input_tokens=271_000, cache_read_tokens=1_000, output_tokens=10)
    above = Usage(input_tokens=271_001, cache_read_tokens=1_000, output_tokens=10)
    # 0.10 / 0.01 / 0.50, then 0.20 / 0.02 / 0.75
    assert cost("openai:gpt-6-luna", usage=at_the_limit) == 271_000 * 100_000 + 1_000 * 10_000 + 10 * 500_000
    assert cost("openai:gpt-6-luna", usage=above) == 271_001 * 200_000 + 1_000 * 20_000 + 10 * 750_000


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        # above 100k every token five times: 0.5 / 0.05 / 0.625 / 2.5
        (
            "anthropic:claude-haiku-5-5",
            Usage(100_000, 10, 1, 10),
            100_000 * 500_000 + 10 * 50_000 + 625_000 + 10 * 2_500_000,
        ),
        ("anthropic:claude-haiku-5-5", Usage(99_989, 10, 1, 10), 99_989 * 100_000 + 10 * 10_000 + 125_000 + 5_000_000),
        # above 200k: 4 / 0.4 / 18
        ("gemini:gemini-3.1-pro-preview", Usage(200_001, 0, 0, 10), 200_001 * 4_000_000 + 10 * 18_000_000),
        ("gemini:gemini-3.1-pro-preview", Usage(200_000, 0, 0, 10), 200_000 * 2_000_000 + 10 * 12_000_000),
        # written to the cache at 1.25; where writes have no price of their own, as input
        ("openai:gpt-6.1-terra", Usage(0, 0, 100, 0), 100 * 1_250_000),
        ("groq:openai/gpt-oss-20b", Usage(0, 0, 100, 0), 100 * 75_000),
    ],
)
def test_tiers_and_cache_writes(model: str, usage: Usage, expected: int) -> None:
    assert cost(model, usage=usage) == expected


@pytest.mark.parametrize(
    "model", ["groq:llama-3.1-8b-instant", "nobody:x", "", "groq", "ollama:gpt-oss:120b-cloud", "ollama:kimi:cloud"]
)
def test_an_unknown_price_is_none(model: str) -> None:
    assert cost(model) is None
    assert cost(model, usage=Usage()) is None


def test_known_without_a_price_is_not_the_same_as_unknown() -> None:
    assert BOOK.known("ollama:kimi:cloud")
    assert BOOK.price("ollama:kimi:cloud") is None
    assert not BOOK.known("groq:llama-3.1-8b-instant")


@given(
    st.sampled_from(BOOK.model_ids()),
    st.builds(Usage, *[st.integers(0, 10**7)] * 5),
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_a_cost_is_what_its_classes_cost_at_the_same_rates(model: str, usage: Usage, at: datetime) -> None:
    price = BOOK.price(model)
    assert price is not None
    rates = price.rates(at, usage.prompt_tokens)
    exact = (
        Decimal(rates.input) * usage.input_tokens
        + Decimal(rates.cache_read) * usage.cache_read_tokens
        + Decimal(rates.cache_write) * usage.cache_write_tokens
        + Decimal(rates.output) * usage.completion_tokens
    )
    assert price.cost(usage, at) == exact
    assert min(rates.input, rates.cache_read, rates.cache_write, rates.output) >= 0


def test_own_prices_replace_a_row_and_keep_its_context() -> None:
    own = {"groq:openai/gpt-oss-20b": {"input": 1, "output": 2.5, "cached_input": None, "cache_write": None}}
    book = PriceBook.load({**own, "lan:big": {**own["groq:openai/gpt-oss-20b"], "context": 4096}})
    at = datetime(2026, 11, 23, tzinfo=UTC)
    assert book.cost("groq:openai/gpt-oss-20b", USAGE, at) == 1200 * 1_000_000 + 350 * 2_500_000
    assert book.context("groq:openai/gpt-oss-20b") == 131_072
    assert book.context("lan:big") == 4096
    assert "lan:big" in book.model_ids("lan")


@pytest.mark.parametrize(
    "row",
    [
        {"input": 0.0000001, "output": 1},
        {"input": -1, "output": 1},
        {"input": 1, "output": 1, "time_windows": [{"utc": "22:00-02:00", "x": 2}]},
        {"input": 1, "output": 1, "time_windows": [{"utc": "01:00-02:00", "days": "Mon-Fun", "x": 2}]},
        {"input": 1, "output": 1, "time_windows": [{"utc": "01:00-02:00", "days": "Mon except XX holidays", "x": 2}]},
    ],
)
def test_a_row_that_cannot_be_kept_exactly_is_refused_by_name(row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a:b"):
        PriceBook.load({"a:b": row})


def test_a_window_without_days_holds_every_day() -> None:
    book = PriceBook.load({"a:b": {"input": 1, "output": 1, "time_windows": [{"utc": "00:00-24:00", "x": 3}]}})
    for day in range(21, 28):
        assert book.cost("a:b", Usage(1), datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC)) == 3_000_000


def test_names_and_sizes() -> None:
    assert BOOK.model_ids("groq")[0] == "groq:openai/gpt-oss-120b"
    assert BOOK.model_ids("gem") == []
    assert all("*" not in name for name in BOOK.model_ids())
    assert BOOK.context("gemini:gemini-3.8-flash") == 1_048_576
    assert BOOK.context("ollama:phi4") is None
    assert BOOK.context("nobody:x") is None


def test_every_default_model_of_a_row_has_a_price() -> None:
    for row in rows().values():
        for model in (row.fast, row.strong):
            assert model is None or BOOK.price(f"{row.name}:{model}") is not None, (row.name, model)


def test_every_priced_provider_is_a_row() -> None:
    assert {name.partition(":")[0] for name in BOOK.model_ids()} <= set(rows())


def test_age() -> None:
    assert BOOK.age_days(BOOK.as_of + timedelta(days=45)) == 45
    assert not BOOK.stale(BOOK.as_of + timedelta(days=45))
    assert BOOK.stale(BOOK.as_of + timedelta(days=46))
    assert BOOK.as_of >= date(2026, 11, 22)


def test_dollars() -> None:
    assert usd(187_500_000) == Decimal("0.0001875")


def test_names_from_clients_do_not_pile_up() -> None:
    for number in range(3000):
        BOOK.price(f"nobody:{number}")
    assert BOOK._resolve.cache_info().currsize <= 1024
