"""The same words in another order, other signs, another modal: no hit. A long context hides none of it."""

from __future__ import annotations

import pytest

from rung.semantic.pairs import SERVED_AT, differences, head, words
from rung.semantic.veto import signature, veto

CONTEXT = " ".join(f"drawer {chr(97 + n % 26)}{chr(97 + n // 26)} holds oak and ash, never glass." for n in range(90))


def logit(one: str, other: str) -> float:
    return head(differences(words(one), words(other), 0.99))


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Can my landlord sue me?", "Can I sue my landlord?", "direction"),
        ("Why did Alice leave Bob?", "Why did Bob leave Alice?", "direction"),
        ("How do I replace tabs with spaces?", "How do I replace spaces with tabs?", "direction"),
        ("Comment aller de Lyon à Lille ?", "Comment aller de Lille à Lyon ?", "direction"),
        ("Le chat a peur du chien ?", "Le chien a peur du chat ?", "direction"),
        ("Can I connect two monitors to this laptop?", "Can I connect two laptops to this monitor?", "direction"),
        ("What is 80 * 25?", "What is 80 / 25?", "signs"),
        ("Solve x > 3", "Solve x < 3", "signs"),
        ("What does && mean?", "What does || mean?", "signs"),
        ("What does != mean?", "What does == mean?", "signs"),
        ("Must I register online?", "Can I register online?", "modal"),
        ("Faut-il réserver ?", "Peut-on réserver ?", "modal"),
        ("When did the train leave?", "When will the train leave?", "tense"),
    ],
)
def test_what_order_signs_and_modals_say_is_a_veto(one: str, other: str, why: str) -> None:
    assert veto(signature(one), signature(other)) == veto(signature(other), signature(one)) == why


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I undo the last commit in git?", "git: undo last commit"),
        ("PNG to JPEG, how?", "How do I convert PNG to JPEG?"),
        ("What is the difference between a list and a tuple?", "What is the difference between a tuple and a list?"),
        ("At weekends, is parking free?", "Is parking free at weekends?"),
        ("Can you tell me how to pay?", "Must I say how to pay?"),
        ("What is 5 * 8?", "Multiply 5 by 8"),
    ],
)
def test_other_phrasings_of_a_question_are_none(one: str, other: str) -> None:
    assert veto(signature(one), signature(other)) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of Iran?", "What is the capital of Iraq?"),
        ("What is the capital of Slovenia?", "What is the capital of Slovakia?"),
        ("How do I close a port?", "How do I close a post?"),
        ("What is C#?", "What is C++?"),
    ],
)
def test_another_word_is_no_misspelling(one: str, other: str) -> None:
    assert logit(one, other) < SERVED_AT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is assembly offered?", "Where is assembly not offered?"),
        ("Who founded the company?", "What wood are the tables made of?"),
        ("Do you have oak shelves?", "Do you have ash shelves?"),
        ("We have large lamps. Do you carry large sofas?", "We have large lamps. Do you carry small sofas?"),
    ],
)
def test_a_long_context_hides_nothing_of_the_question(one: str, other: str) -> None:
    for ask in ("{context} Question: {question}", "{question}\n\n{context}"):
        both = [ask.format(context=CONTEXT, question=question) for question in (one, other)]
        assert logit(*both) < SERVED_AT
        assert logit(both[0], both[0] + " Thanks!") >= SERVED_AT
