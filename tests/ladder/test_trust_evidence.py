"""Sums are read and done again, and what an answer looks like becomes figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rung.ladder.trust.arithmetic import numbers, sums
from rung.ladder.trust.features import evidence, final_answer, final_number


@pytest.mark.parametrize(
    ("text", "value", "claimed", "holds"),
    [
        ("He runs 3 x 60 = <<3*60=180>>180 meters.", 180, 180, True),
        ("so 5 * $10 * 1.2 = $60 in all", 60, 60, True),
        ("3 sprints * 60 meters/sprint = 180 meters", 180, 180, True),
        ("In 3 days he travels 50 x 24 x 3 = 3600 km", 3600, 3600, True),
        ("(8+10+1+5) / 4 = 6", 6, 6, True),
        ("that is 9 * 8 = 73", 72, 73, False),
        ("1 / 3 = 0.33", 1 / 3, 0.33, True),
        ("240 / 480 = 50%", 0.5, 0.5, True),
        ("so 40 ÷ 7 ≈ 5.71", 40 / 7, 5.71, True),
        ("$4,000 − $3,500 = $500", 500, 500, True),
        ("\\(12 \\times 3 = 35\\)", 36, 35, False),
    ],
)
def test_a_stated_sum_is_done_again(text: str, value: float, claimed: float, holds: bool) -> None:
    last = sums(text)[-1]
    assert last.value == pytest.approx(value)
    assert last.claimed == pytest.approx(claimed)
    assert last.holds is holds


@pytest.mark.parametrize("text", ["2x + 4 = 10", "the total = 5", "x = 3", "a = b", "5 = 5", "", "1 / 0 = 3"])
def test_what_is_no_sum_or_has_an_unknown_is_passed_over(text: str) -> None:
    assert sums(text) == []


def test_a_chain_is_read_link_by_link() -> None:
    chain = sums("(50 + 80) / 2 = 130 / 2 = 66")
    assert [one.holds for one in chain] == [True, False]


def test_figures_are_read_with_their_commas() -> None:
    assert numbers("$1,234.50 and 20kb, .5 of 7") == [1234.5, 20.0, 0.5, 7.0]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### -5", -5),
        ("#### $1,234.50", 1234.5),
        ("so x is -3.", -3),
        (r"thus \boxed{\frac{1}{2}}", 0.5),
        ("The answer is: 25%", 25),
        ("10 - 5 leaves 5", 5),
        ("5-3", 3),
        ("no figure", None),
    ],
)
def test_the_final_number(text: str, number: float | None) -> None:
    assert final_number(text) == number


def test_the_final_answer_is_the_last_one_marked() -> None:
    assert final_answer("#### 3\nno, #### 4") == "4"
    assert final_answer("3 apples") is None


def test_slips_loose_ends_and_unused_figures_are_seen() -> None:
    question = "Jim has 20 apples, eats 4 and gives half of the rest away. How many are left?"
    good = evidence(question, "20 - 4 = 16\n16 / 2 = 8\n#### 8")
    bad = evidence(question, "20 - 4 = 15\n7 * 3 = 21\n#### 15.5")
    assert (good["slip"], good["loose_ends"], good["from_nowhere"], good["final_is_last"]) == (0, 0, 0, 1)
    assert (bad["slip"], bad["loose_ends"], bad["from_nowhere_any"], bad["final_is_last"]) == (1, 1, 1, 0)
    assert (good["conversions_missed"], bad["conversions_missed"]) == (0, 1)
    assert (good["final_fraction_count"], bad["final_fraction_count"]) == (0, 1)


def test_a_cut_answer_shows() -> None:
    assert evidence("q", "15 + 25 = <<15+2")["cut"] == 1
    assert evidence("q", "It is 40.")["cut"] == 0


def test_what_the_caller_knows_goes_in_beside() -> None:
    found = evidence("q", None, {"margin": 0.3})
    assert found["margin"] == 0.3
    assert "answer_length" not in found


@given(st.text(max_size=300), st.text(alphabet="0123456789.,+-*/x=()<>$% \n#^", max_size=300))
@example("9" * 400 + " * 9 = 1", "1e999 0/0 = 1 ** -2 ^ .5 = 3")
@example("q", "-2 ^ .5 = 1\n(((((1=1")
def test_any_text_gives_the_same_finite_figures(prompt: str, answer: str) -> None:
    for text in (prompt, answer):
        found = evidence(prompt, text)
        assert found.keys() == evidence("a", "b").keys()
        assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("piece", ["1=1+", "<<1+1=2>>", "((1+", "minute ", "answer: ", "####", "?", "\\boxed{", "1,"])
def test_a_long_hostile_text_is_bounded(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert evidence(text, text)["sums"] <= 100
