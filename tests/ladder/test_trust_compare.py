"""When do two answers say the same?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.ladder.trust.compare import COMPARATORS, Outcome, comparator_for, compare, same_tests

YES, NO, UNKNOWN = Outcome.AGREES, Outcome.DISAGREES, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("name", "cheap", "reference", "outcome"),
    [
        ("json", '```json\n{"a": 1.0, "b": "\\u00e9"}\n```', '{"b": "é", "a": 1.0}', YES),
        ("json", '{"a": 1}', '{"a": 1.0}', NO),
        ("json", '{"a": [1, 2]}', '{"a": [2, 1]}', NO),
        ("json", '{"a": 1, "a": 2}', '{"a": 2}', UNKNOWN),
        ("json", "not json", '{"a": 2}', UNKNOWN),
        ("json", '"1"', "1", NO),
        ("document", "a  b\n", "a b", YES),
        ("document", '{"a":1}', '{ "a": 1 }', YES),
        ("document", "a b", '{"a": 1}', UNKNOWN),
        ("text", "```\nx = 1\n```", "x = 1", YES),
        ("text", "e\u0301", "\u00e9", YES),
        ("text", "Yes", "yes", NO),
        ("label", "**Sports**", "sports.", YES),
        ("label", "The answer is: B", "(B) 42", YES),
        ("label", '{"label": "not_spam"}', "Not spam", YES),
        ("label", "B", "C", NO),
        ("label", "It could be many things, and I would say that it depends on what one wants.\nOr not.", "B", UNKNOWN),
        ("number", "so 6 * 7 = 42\n#### 42", "The total is $42.00.", YES),
        ("number", "#### -3", "3", NO),
        ("number", "none", "3", UNKNOWN),
        ("lint", "```python\nimport os\n```", "import sys\n", YES),
        ("lint", "import os\n", "x = 1\n", NO),
        ("tool_calls", '[{"id": "1", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}}]',
         '[{"id": "2", "function": {"name": "f", "arguments": {"a": 1}}}]', YES),
        ("tool_calls", '[{"function": {"name": "f"}}]', '[{"function": {"name": "g"}}]', NO),
        ("tool_calls", "[]", '[{"function": {"name": "g"}}]', NO),
        ("tool_calls", "text", '[{"function": {"name": "g"}}]', UNKNOWN),
        ("text", "", "", UNKNOWN),
    ],
)  # fmt: skip
def test_compared(name: str, cheap: str, reference: str, outcome: Outcome) -> None:
    assert compare(name, cheap, reference) is outcome
    assert outcome.disagrees is (outcome is not YES)


def test_an_unknown_name_is_an_error_not_an_outcome() -> None:
    with pytest.raises(KeyError):
        compare("vibes", "a", "a")


def test_tests_must_be_the_same_to_be_compared() -> None:
    assert same_tests({"a": True, "b": False}, {"a": True, "b": False}) is YES
    assert same_tests({"a": True, "b": False}, {"a": True, "b": True}) is NO
    assert same_tests({"a": True}, {"b": True}) is UNKNOWN
    assert same_tests(None, {"b": True}) is UNKNOWN


QUIZ = "Which?\nA. one\nB. two"


@pytest.mark.parametrize(
    ("task", "body", "name"),
    [
        ("classification", {}, "label"),
        ("math", {}, "number"),
        ("math", {"response_format": {"type": "json_schema"}}, "json"),
        ("other", {"tools": [{}]}, "tool_calls"),
        ("knowledge_qa", {"messages": [{"role": "user", "content": QUIZ}]}, "label"),
        ("knowledge_qa", {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}, None),
        ("chat_writing", {}, None),
        ("code_generation", {}, None),
    ],
)
def test_the_comparator_is_chosen_before_any_answer(task: str, body: dict[str, Any], name: str | None) -> None:
    assert comparator_for(task, body) == name


@given(st.sampled_from(sorted(set(COMPARATORS) - {"lint"})), st.text(max_size=60), st.text(max_size=60))
def test_comparing_is_symmetric_and_never_fails(name: str, one: str, two: str) -> None:
    assert compare(name, one, two).disagrees is compare(name, two, one).disagrees
