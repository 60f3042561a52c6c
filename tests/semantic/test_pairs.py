"""The pair head: what is asked about decides, how it is put does not."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from rung.semantic.pairs import SERVED_AT, WEIGHTS, differences, head, words
from rung.semantic.words import misspelt, stem


def logit(one: str, other: str, similarity: float = 0.9) -> float:
    return head(differences(words(one), words(other), similarity))


@pytest.mark.parametrize(
    "other",
    [
        "how do i descale the boiler",
        "um so How do I descale the boiler?",
        "How do I descale the boiller?",
        "How can I descale the boiler, please? Thanks",
        "What's the best way to descale the boiler?",
    ],
)
def test_the_same_question_in_other_words_is_served(other: str) -> None:
    assert logit("How do I descale the boiler?", other) >= SERVED_AT


@pytest.mark.parametrize(
    "other",
    [
        "How do I descale the kettle?",
        "How do I replace the boiler?",
        "How do I descale the boiler in a Vaillant flat?",
        "How do I descale my neighbour's boiler?",
        "When do I descale the boiler?",
        "How do I avoid descaling the boiler?",
    ],
)
def test_another_question_in_the_same_words_is_not(other: str) -> None:
    assert logit("How do I descale the boiler?", other) < SERVED_AT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('What does "principal" mean?', 'What does "principle" mean?'),
        ("Is “parcel” a noun?", "Is “package” a noun?"),
        ("Which shell has `export`?", "Which shell has `expert`?"),
    ],
)
def test_what_is_quoted_is_meant_to_the_letter(one: str, other: str) -> None:
    assert logit(one, other) < SERVED_AT
    assert logit(one, one.replace("?", " please?")) >= SERVED_AT


def test_a_veto_outweighs_everything() -> None:
    assert logit("Add 3 cups", "Add 4 cups", 1.0) == -20.0


def test_there_is_a_weight_for_every_feature() -> None:
    assert len(WEIGHTS) == len(differences(words("a"), words("b"), 0.0).features)


@pytest.mark.parametrize(
    "forms",
    [("sort", "sorts", "sorted", "sorting"), ("write", "wrote", "written"), ("city", "cities"), ("use", "using")],
)
def test_inflections_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize(("one", "other"), [("large", "largest"), ("even", "event"), ("class", "clause"), ("is", "as")])
def test_other_words_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("receipt", "reciept", True),
        ("receipt", "receip", True),
        ("accommodation", "acomodation", True),
        ("row", "rows", False),
        ("house", "mouse", False),
        ("file1", "file2", False),
        ("sort", "shortest", False),
    ],
)
def test_misspellings(one: str, other: str, same: bool) -> None:
    assert misspelt(one, other) is misspelt(other, one) is same
