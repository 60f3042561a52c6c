"""One answer in every state of every provider's prices, each cost worked out by hand in dollars."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.answer import Usage
from rung.providers.prices import STANDARD, PriceBook, usd

BOOK = PriceBook.load()
QUIET = "2026-11-23T12:00"  # Monday, no peak hour
PEAK = "2026-11-23T02:00"
WEEKEND = "2026-11-21T02:00"  # Saturday
NEXT_YEAR = "2027-01-04T12:00"

# 100,000 input, 800,000 read from cache, 20,000 written, 40,000 written for longer, 30,000 visible and
# 20,000 thought: 960,000 in, 50,000 out. Above every tier.
LARGE = {
    "input_tokens": 100_000,
    "cache_read_tokens": 800_000,
    "cache_write_tokens": 20_000,
    "cache_write_long_tokens": 40_000,
    "output_tokens": 30_000,
    "reasoning_tokens": 20_000,
}
# 10,000 / 80,000 / 2,000 / 4,000 in, 3,000 + 2,000 out: below every tier.
SMALL = {name: count // 10 for name, count in LARGE.items()}


def cost(model: str, at: str, counts: dict[str, int], tier: str = "") -> Decimal | None:
    usage = Usage(**counts, service_tier=tier)  # type: ignore[arg-type]
    pico = BOOK.cost(model, usage, datetime.fromisoformat(at).replace(tzinfo=UTC))
    return None if pico is None else usd(pico)


@pytest.mark.parametrize(
    ("model", "at", "counts", "tier", "dollars"),
    [
        # Groq, 0.15 / 0.075 / - / 0.60. Writes cost what input costs.
        # 16k x 0.15 = .0024, 80k x 0.075 = .006, 5k x 0.60 = .003
        ("groq:openai/gpt-oss-120b", QUIET, SMALL, "", "0.0114"),
        ("groq:openai/gpt-oss-120b", QUIET, SMALL, "on_demand", "0.0114"),
        ("groq:openai/gpt-oss-120b", QUIET, SMALL, "flex", "0.0114"),
        # half, but cached reads keep 0.075: .0012 + .006 + .0015
        ("groq:openai/gpt-oss-120b", QUIET, SMALL, "batch", "0.0087"),
        # no cached rate: 96k x 0.80 = .0768, 5k x 4 = .02
        ("groq:qwen/qwen3.8-27b", QUIET, SMALL, "", "0.0968"),
        # DeepSeek, 0.15 / 0.003 / 0.60 off-peak: .0024 + .00024 + .003
        ("deepseek:deepseek-flash", QUIET, SMALL, "", "0.00564"),
        ("deepseek:deepseek-flash", PEAK, SMALL, "", "0.01128"),
        ("deepseek:deepseek-flash", WEEKEND, SMALL, "", "0.00564"),
        # 0.66 / 0.022 / 1.98: .01056 + .00176 + .0099
        ("deepseek:deepseek-v4-pro", QUIET, SMALL, "", "0.02222"),
        ("deepseek:deepseek-v4-pro", PEAK, SMALL, "", "0.04444"),
        # Gemini, 0.75 / 0.075 / 3.75: .012 + .006 + .01875
        ("gemini:gemini-3.8-flash", QUIET, SMALL, "", "0.03675"),
        ("gemini:gemini-3.8-flash", QUIET, SMALL, "standard", "0.03675"),
        ("gemini:gemini-3.8-flash", QUIET, SMALL, "flex", "0.018375"),
        ("gemini:gemini-3.8-flash", QUIET, SMALL, "priority", "0.06615"),
        ("gemini:gemini-3.8-flash", NEXT_YEAR, SMALL, "", "0.0735"),
        ("gemini:gemini-3.8-flash", NEXT_YEAR, SMALL, "flex", "0.03675"),
        ("gemini:gemini-3.8-flash", NEXT_YEAR, SMALL, "priority", "0.1323"),
        # 0.15 / 0.02 / 1.25: .0024 + .0016 + .00625
        ("gemini:gemini-3.5-flash-lite", QUIET, SMALL, "batch", "0.01025"),
        # 2 / 0.2 / 12: .032 + .016 + .06; above 200k 4 / 0.4 / 18: .64 + .32 + .9
        ("gemini:gemini-3.1-pro-preview", QUIET, SMALL, "", "0.108"),
        ("gemini:gemini-3.1-pro-preview", QUIET, LARGE, "", "1.86"),
        # batch: 2 / 0.4 / 9: .32 + .32 + .45
        ("gemini:gemini-3.1-pro-preview", QUIET, LARGE, "batch", "1.09"),
        # 2 / 0.1 / 10: .032 + .008 + .05; doubled from 2026-12-01
        ("gemini:gemini-4-argon", QUIET, SMALL, "", "0.09"),
        ("gemini:gemini-4-argon", NEXT_YEAR, SMALL, "", "0.18"),
        ("gemini:gemini-4-argon", NEXT_YEAR, SMALL, "priority", "0.324"),
        # OpenAI, 1 / 0.05 / 1.25 / 2.5 for 12 h / 5: .01 + .004 + .0025 + .01 + .025
        ("openai:gpt-6.1-terra", QUIET, SMALL, "", "0.0515"),
        ("openai:gpt-6.1-terra", QUIET, SMALL, "default", "0.0515"),
        ("openai:gpt-6.1-terra", QUIET, SMALL, "flex", "0.02575"),
        ("openai:gpt-6.1-terra", QUIET, SMALL, "priority", "0.103"),
        # above 272k 2 / 0.1 / 2.5 / 5 / 7.5: .2 + .08 + .05 + .2 + .375
        ("openai:gpt-6.1-terra", QUIET, LARGE, "", "0.905"),
        ("openai:gpt-6.1-terra", QUIET, LARGE, "fast", "1.81"),
        # 0.1 / 0.01 / 0.125 / 0.25 / 0.5: .001 + .0008 + .00025 + .001 + .0025
        ("openai:gpt-6-luna", QUIET, SMALL, "", "0.00555"),
        # 0.4 / 0.1 / 1.6: .0064 + .008 + .008; batch leaves cached reads: .0032 + .008 + .004
        ("openai:gpt-4.1-mini", QUIET, SMALL, "", "0.0224"),
        ("openai:gpt-4.1-mini", QUIET, SMALL, "batch", "0.0152"),
        ("openai:gpt-4.1-mini", QUIET, SMALL, "priority", "0.0392"),
        # Anthropic, 2 / 0.1 / 2.5 / 4 for 1 h / 10: .02 + .008 + .005 + .016 + .05
        ("anthropic:claude-sonnet-5-5", QUIET, SMALL, "", "0.099"),
        ("anthropic:claude-sonnet-5-5", QUIET, LARGE, "standard", "0.99"),
        ("anthropic:claude-sonnet-5-5", QUIET, LARGE, "batch", "0.495"),
        # 0.1 / 0.01 / 0.125 / 0.2 / 0.5: .001 + .0008 + .00025 + .0008 + .0025; above 100k ten times the
        # tokens at five times the price
        ("anthropic:claude-haiku-5-5", QUIET, SMALL, "", "0.00535"),
        ("anthropic:claude-haiku-5-5", QUIET, LARGE, "", "0.2675"),
        # 4 / 0.2 / 5 / 8 / 20: .04 + .016 + .01 + .032 + .1; twice that in fast mode
        ("anthropic:claude-opus-5-5", QUIET, SMALL, "", "0.198"),
        ("anthropic:claude-opus-5-5", QUIET, SMALL, "fast", "0.396"),
        ("ollama:phi4", QUIET, LARGE, "", "0"),
        ("local:qwen2.5-coder-1.5b", QUIET, LARGE, "", "0"),
    ],
)
def test_what_an_answer_costs(model: str, at: str, counts: dict[str, int], tier: str, dollars: str) -> None:
    assert cost(model, at, counts, tier) == Decimal(dollars)


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("anthropic:claude-sonnet-5-5", "priority"),  # sold by commitment
        ("groq:openai/gpt-oss-120b", "performance"),
        ("openai:gpt-5.4-nano", "priority"),
        ("gemini:gemini-2.5-flash", "flex"),
        ("nobody:x", ""),
    ],
)
def test_a_tier_nobody_priced_is_unknown_not_ordinary_and_not_free(model: str, tier: str) -> None:
    assert cost(model, QUIET, SMALL, tier) is None
    assert cost(model, QUIET, {}, tier) is None


def test_rates_of_an_unknown_tier_are_an_error() -> None:
    price = BOOK.price("openai:gpt-5.4-nano")
    assert price is not None
    with pytest.raises(LookupError):
        price.rates(datetime(2026, 11, 23, tzinfo=UTC), service_tier="priority")


def test_a_long_write_without_a_rate_of_its_own_costs_as_a_short_one() -> None:
    row = {"input": 1, "output": 1, "cached_input": None, "cache_write": 3}
    at = datetime(2026, 11, 23, tzinfo=UTC)
    assert PriceBook.load({"a:b": row}).cost("a:b", Usage(cache_write_long_tokens=2), at) == 6_000_000


@pytest.mark.parametrize(
    ("tokens", "seconds", "dollars"),
    [
        # 0.50 USD per 1,000,000 tokens and hour
        (1_000_000, 3600, "0.5"),
        (32_768, 300, "0.001365333334"),  # 0.016384 / 12 = 0.00136533333..., up to a whole pico-dollar
        (1, 0.001, "0.000000000001"),
        (0, 3600, "0"),
        (1_000_000, 0, "0"),
    ],
)
def test_storage_is_charged_by_the_second_and_rounded_up(tokens: int, seconds: float, dollars: str) -> None:
    pico = BOOK.storage_cost("gemini:gemini-3.8-flash", tokens, seconds)
    assert pico is not None
    assert usd(pico) == Decimal(dollars)


@pytest.mark.parametrize("model", ["gemini:gemini-3.5-flash-lite", "openai:gpt-6-luna", "nobody:x"])
def test_storage_nobody_priced_is_unknown(model: str) -> None:
    assert BOOK.storage_cost(model, 1000, 3600) is None


@given(st.integers(0, 10**7), st.lists(st.integers(0, 10**6), max_size=5))
def test_storage_in_pieces_never_costs_less_and_at_most_a_pico_more_each(tokens: int, spans: list[int]) -> None:
    whole = BOOK.storage_cost("gemini:gemini-3.8-flash", tokens, sum(spans))
    parts = [BOOK.storage_cost("gemini:gemini-3.8-flash", tokens, span) for span in spans]
    assert whole is not None
    told = sum(part for part in parts if part is not None)
    assert whole <= told <= whole + len(spans)


def test_every_state_has_a_name_and_is_what_rates_tell() -> None:
    price = BOOK.price("deepseek:deepseek-flash")
    assert price is not None
    states = dict(price.states(datetime(2026, 11, 23, 12, tzinfo=UTC)))
    assert next(iter(states)) == "standard"
    assert len(states) == 3
    peak = states["01:00-04:00 UTC Mon-Fri except CN public holidays"]
    assert peak == price.rates(datetime(2026, 11, 23, 2, tzinfo=UTC))
    assert states["standard"] == price.rates(datetime(2026, 11, 21, 2, tzinfo=UTC))
    luna = BOOK.price("openai:gpt-6-luna")
    assert luna is not None
    at = datetime(2026, 11, 23, tzinfo=UTC)
    assert dict(luna.states(at))["flex, above 272000 tokens"] == luna.rates(at, 272_001, "flex")


def test_the_names_of_the_ordinary_tier_cost_the_same() -> None:
    assert {cost("openai:gpt-6-luna", QUIET, SMALL, name) for name in STANDARD} == {Decimal("0.00555")}


def test_sums_of_usage() -> None:
    both = Usage(1, 2, 3, 4, 5, 6, "flex") + Usage(10, 20, 30, 40, 50, 60, "flex")
    assert both == Usage(11, 22, 33, 44, 55, 66, "flex")
    assert (Usage(1, service_tier="flex") + Usage(1)).service_tier == ""
    assert (both.prompt_tokens, both.written_tokens, both.completion_tokens) == (132, 99, 99)
