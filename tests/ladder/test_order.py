"""The order of models that stand for each other, as a table."""

import pytest

from rung.ladder.order import USUAL_OUTPUT, Offer, Rates, Seen, arrange, expected_price, told
from rung.testing import ScriptedRung

A, B, C, TOOL = (ScriptedRung([], model=name) for name in ("a:x", "b:x", "c:x", "tool"))


def offers(**known):
    return lambda rung: Offer(rung.model, *known.get(rung.model[0], (None, None)))


TABLE = [
    # by, model: (price, seconds, down), expected
    ("price", {"a": (3, 1.0), "b": (2, 9.0), "c": (1, 5.0)}, "c b a"),
    ("latency", {"a": (3, 1.0), "b": (2, 9.0), "c": (1, 5.0)}, "a c b"),
    ("listed", {"a": (3, 1.0), "b": (2, 9.0), "c": (1, 5.0)}, "a b c"),
    ("price", {"a": (None, 1.0), "b": (2, None), "c": (1, None)}, "c b a"),
    ("latency", {"a": (None, None), "b": (2, 0.5), "c": (1, None)}, "b a c"),
    ("price", {"a": (2, None), "b": (2, None), "c": (2, None)}, "a b c"),
    ("price", {"a": (1, None, True), "b": (None, None), "c": (5, None)}, "c b a"),
    ("price", {"a": (0, None), "b": (0, None, True), "c": (None, None, True)}, "a b c"),
]


@pytest.mark.parametrize(("by", "known", "expected"), TABLE)
def test_the_order_is_the_table(by, known, expected):
    arranged, compared = arrange([A, B, C], [C, B, A], by, offers(**known))
    assert " ".join(rung.model[0] for rung in arranged) == expected
    assert [offer.model for offer in compared] == ([] if by == "listed" else [rung.model for rung in arranged])


def test_only_what_stands_for_each_other_changes_places():
    arranged, compared = arrange([TOOL, B, A, C], [C, B], "price", offers(b=(9, None), c=(1, None)))
    assert arranged == (TOOL, C, A, B)
    assert [offer.model for offer in compared] == ["c:x", "b:x"]
    assert arrange([A, B], [B], "price", offers()) == ((A, B), ())


def test_a_warm_prompt_costs_less_and_changes_the_order():
    cheap_cold = Rates(input=300_000, cache_read=150_000, output=600_000)
    dear_warm = Rates(input=750_000, cache_read=75_000, output=600_000)
    cold, warm = expected_price(cheap_cold, 20_000, 0, 100), expected_price(dear_warm, 20_000, 18_000, 100)
    assert cold == 20_000 * 300_000 + 100 * 600_000
    assert warm == 18_000 * 75_000 + 2_000 * 750_000 + 100 * 600_000 < cold
    assert expected_price(dear_warm, 100, 500, 0) == 100 * 75_000


def test_why_is_told_in_a_line():
    known = [Offer("a:x", 150_000_000, 0.4), Offer("b:x", None, None), Offer("c:x", 1, 2.0, down=True)]
    assert told(known, "price") == ("by expected price: a:x ~0.000150 USD, b:x price unknown, c:x ~0.000000 USD (down)")
    assert told(known, "latency") == (
        "by time to the first content: a:x ~0.40 s, b:x not measured yet, c:x ~2.00 s (down)"
    )
    assert told([], "price") == ""


def test_what_answers_are_like_is_learnt_and_bounded():
    seen = Seen()
    assert seen.output("math") == USUAL_OUTPUT
    assert seen.seconds("a:x", stream=True) is None
    for _ in range(100):
        seen.answered("math", 50)
        seen.spoke("a:x", True, 0.5)
    assert seen.output("math") == pytest.approx(50)
    assert seen.output("math", limit=10) == 10
    assert seen.seconds("a:x", stream=True) == pytest.approx(0.5)
    assert seen.seconds("a:x", stream=False) is None
    seen.spoke("a:x", True, 8.0)
    assert 0.5 < seen.seconds("a:x", stream=True) < 0.7  # one late answer is not the end
    for number in range(2000):
        seen.spoke(f"m:{number}", True, 1.0)
    assert seen.seconds("a:x", stream=True) is None
