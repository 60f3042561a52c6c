"""Which calls leave only labels, and how a label is told from the probabilities of tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.local.labels import Choice, Tally, read


def asked(content: Any = "x", schema: Any = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], **more}
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    return body


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Sentiment? Answer with one of: good, bad, mixed\n\nText: so so", ("good", "bad", "mixed")),
        (
            "Text: fine\n\nAnswer with exactly one of the following labels: good, bad, or mixed.",
            ("good", "bad", "mixed"),
        ),
        ("Reply only with one of: 'yes' / 'no'", ("yes", "no")),
        ("respond with one of: a | b", ("a", "b")),
    ],
)
def test_a_list_of_labels_in_words(text: str, labels: tuple[str, ...]) -> None:
    assert read(asked(text)) == Choice(labels)


@pytest.mark.parametrize(
    "body",
    [
        asked("Answer with one of your jokes"),
        asked("Answer with one of: yes"),
        asked("Answer with one of: yes, yes"),
        asked("Answer with one of: a sentence that is very long and therefore surely no label at all, b"),
        asked("First.\n\nAnswer with one of: a, b\n\nBut then explain."),
        asked("Answer with one of: yes, no", tools=[{"type": "function"}]),
        asked("Answer with one of: yes, no", logprobs=True),
        asked("Answer with one of: yes, no", stop=["n"]),
        asked([{"type": "text", "text": "Answer with one of: yes, no"}]),
        asked(schema={"type": "object"}),
        asked(schema={"enum": ["a", 1]}),
        asked(schema={"enum": ["a", 'b"c']}),
        asked(schema={"enum": ["a", "b"], "maxLength": 1}),
        asked(schema={"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"enum": ["x", "y"]}}}),
        asked(schema={"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "minProperties": 2}),
        asked(schema={"enum": ["a long label", "another label"]}, max_tokens=2),
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Answer with one of: a, b"}]},
    ],
)
def test_anything_else_is_no_choice(body: dict[str, Any]) -> None:
    assert read(body) is None


def test_a_schema_with_one_enum() -> None:
    assert read(asked(schema={"enum": ["a", "b"]})) == Choice(("a", "b"), '"', '"')
    schema = {"type": "object", "properties": {"k": {"type": "string", "enum": ["a", "b"]}}, "required": ["k"]}
    choice = read(asked(schema=schema))
    assert choice == Choice(("a", "b"), '{"k": "', '"}')
    assert choice.answer("b") == '{"k": "b"}'
    assert read(asked("Answer with one of: yes, no", max_tokens=1)) is not None


def test_the_label_with_most_probability_wins_with_its_share() -> None:
    tally = Tally(Choice(("billing", "sales")))
    assert tally.add([("bill", 0.2), (" Billing", 0.3), ("sales", 0.25), ("The", 0.25)])
    assert tally.label == "billing"
    assert tally.probability == pytest.approx(0.5 / 0.75)


def test_labels_that_begin_alike_take_another_token() -> None:
    tally = Tally(Choice(("card_lost", "card_stolen", "other"), '"', '"'))
    assert tally.add([("card", 0.8), ("other", 0.2)])
    assert (tally.label, tally.typed) == (None, "card")
    assert tally.add([("_st", 0.6), ("_lost", 0.3), ("s", 0.1)])
    assert tally.label == "card_stolen"
    assert tally.probability == pytest.approx(0.8 * 0.6 / 0.9)


@pytest.mark.parametrize(
    ("after", "ends", "goes_on"), [('"', '"}', "nical"), ("", "<|im_end|>", "nical"), ("", ".", "nical")]
)
def test_a_label_that_begins_another(after: str, ends: str, goes_on: str) -> None:
    for likely, label in ((ends, "tech"), (goes_on, "technical")):
        tally = Tally(Choice(("tech", "technical"), after, after))
        assert tally.add([("tech", 0.9)])
        assert (tally.label, tally.typed) == (None, "tech")
        assert tally.add([(likely, 0.8), (ends if likely == goes_on else goes_on, 0.1)])
        assert tally.label == label


def test_a_model_that_would_say_something_else_is_not_pressed() -> None:
    assert not Tally(Choice(("yes", "no"))).add([("I", 0.9), ("yes", 0.1)])
    forced = Tally(Choice(("yes", "no"), '"', '"'))
    assert forced.add([("I", 0.9), ("yes", 0.09), ("no", 0.01)])
    assert (forced.label, forced.probability) == ("yes", pytest.approx(0.9))
    assert not Tally(Choice(("yes", "no"), '"', '"')).add([("I", 0.9)])


def test_case_counts_where_labels_differ_by_nothing_else() -> None:
    tally = Tally(Choice(("US", "us")))
    assert tally.add([("us", 0.6), ("US", 0.4)])
    assert tally.label == "us"


@given(st.sets(st.text("abc", min_size=1, max_size=5), min_size=2, max_size=6), st.data())
def test_a_model_that_is_sure_gets_its_label(labels: set[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(sorted(labels)))
    tally = Tally(Choice(tuple(sorted(labels)), '"', '"'))
    for _ in range(len(wanted) + 1):
        rest = wanted[len(tally.typed) :] + '"'
        cut = data.draw(st.integers(1, len(rest)))
        assert tally.add([(rest[:cut], 0.9)])
        if tally.label is not None:
            break
        assert wanted.startswith(tally.typed)
    assert (tally.label, tally.probability) == (wanted, pytest.approx(1.0))
