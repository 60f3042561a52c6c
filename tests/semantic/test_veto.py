"""Vetoes: numbers, units, dates, negation, opposites and direction part two prompts however alike they are."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from hypothesis import given
from hypothesis import strategies as st

from rung.semantic.veto import signature, veto


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Is a 3 day pass enough?", "Is a 5 day pass enough?", "numbers"),
        ("What is 1234567 in hex?", "What is 1234568 in hex?", "numbers"),
        ("Install version 3.11 on it", "Install version 3.12 on it", "numbers"),
        ("Can I bring two bags?", "Can I bring three bags?", "numbers"),
        ("Is 20 GB enough?", "Is 20 MB enough?", "units"),
        ("Send 30 euros", "Send 30 dollars", "units"),
        ("Are you open on Monday?", "Are you open on Tuesday?", "dates"),
        ("Does it work offline?", "Does it not work offline?", "negation"),
        ("The printer works", "The printer doesn't work", "negation"),
        ("Est-ce que ça marche ?", "Est-ce que ça ne marche pas ?", "negation"),
        ("How do I mute the channel?", "How do I unmute the channel?", "opposites"),
        ("Comment ouvrir le fichier ?", "Comment fermer le fichier ?", "opposites"),
        ("Trains from Lille to Lyon", "Trains from Lyon to Lille", "direction"),
    ],
)
def test_what_differs_is_named(one: str, other: str, why: str) -> None:
    assert veto(signature(one), signature(other)) == why
    assert veto(signature(other), signature(one)) == why


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is a 3-day pass enough?", "would a three day pass be enough"),
        ("It costs $1,000", "It costs 1000 dollars"),
        ("Is 20% a lot?", "is twenty percent a lot?"),
        ("Trains from Lille to Lyon", "from Lille to Lyon, which trains are there?"),
        ("Open or close the window?", "close or open the window?"),
        ("For non-members", "for those who are not members"),
    ],
)
def test_what_says_the_same_is_not_vetoed(one: str, other: str) -> None:
    assert veto(signature(one), signature(other)) == ""


def test_equal_keys_are_needed_for_a_hit() -> None:
    assert signature("pay 5 euros").key == signature("PAY 5 euros!").key
    assert signature("pay 5 euros").key != signature("pay 6 euros").key
    assert signature("pay it").key != signature("do not pay it").key


@given(st.text(max_size=80))
def test_a_prompt_is_never_vetoed_against_itself(prompt: str) -> None:
    assert veto(signature(prompt), signature(prompt)) == ""


CODE = '''def area_of_room(width, length):
    """
    Return the area of a room whose walls have the given lengths.
    >>> area_of_room(3, 4)
    12
    """
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("area_of_room", "areaOfRoom"),
        ("area_of_room", "get_room_size"),
        ("Return the area", "Returns the areas"),
        ("    ", "  "),
    ],
)
def test_code_that_is_laid_out_or_named_otherwise_is_the_same(old: str, new: str) -> None:
    assert veto(signature(CODE), signature(CODE.replace(old, new))) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("12", "13"),
        ("the area", "the perimeter"),
        ("(3, 4)", "(4, 3)"),
        ("width, length", "width, height"),
        ("have the given", "have not the given"),
        ("area_of_room", "smallest_area_of_room"),
    ],
)
def test_one_changed_token_makes_it_other_code(old: str, new: str) -> None:
    assert veto(signature(CODE), signature(CODE.replace(old, new))) == "code"


def test_comment_marks_do_not_matter() -> None:
    lines = CODE.splitlines()
    told = [f"    # {line.strip()}" for line in lines[2:5]]
    assert veto(signature(CODE), signature("\n".join([lines[0], *told]) + "\n")) == ""


def test_code_is_never_prose() -> None:
    assert veto(signature(CODE), signature("Return the area of a room")) == "code"


def test_a_bare_function_keeps_its_name() -> None:
    assert veto(signature("def add(a, b):\n"), signature("def subtract(a, b):\n")) == "code"
