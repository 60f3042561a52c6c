"""Which calls can be compared, and by whom."""

from __future__ import annotations

import pytest

from rung.learning.grading import Comparators
from rung.learning.jobs import NOTHING, Said, said_in

GRADER = Comparators()
CALL = {"messages": [{"role": "user", "content": "What is 2 + 3?"}]}
TOOLS = {**CALL, "tools": [{"type": "function", "function": {"name": "f"}}]}


@pytest.mark.parametrize(
    ("task", "body", "judged", "can"),
    [
        ("math", CALL, False, True),
        ("extraction", CALL, False, True),
        ("chat_writing", CALL, False, False),
        ("chat_writing", CALL, True, True),
        ("chat_writing", {**CALL, "response_format": {"type": "json_object"}}, False, True),
        ("other", TOOLS, False, True),
        ("", CALL, True, False),
        ("made_up", TOOLS, True, False),
    ],
)
def test_what_can_be_compared(task, body, judged, can):
    assert GRADER.comparable(task, body, judged=judged) is can


@pytest.mark.parametrize(
    ("task", "lower", "reference", "agrees", "comparator"),
    [
        ("math", "2 + 3 = 5", "The answer is 5.0", True, "number"),
        ("math", "The answer is 6", "The answer is 5", False, "number"),
        ("classification", "spam", "**Spam**", True, "label"),
        ("extraction", '{"b": 1, "a": "x"}', '```json\n{"a": "x", "b": 1}\n```', True, "document"),
        ("extraction", '{"a": 1}', '{"a": 2}', False, "document"),
        ("extraction", "no JSON at all", '{"a": 2}', False, "document"),
    ],
)
def test_comparisons(task, lower, reference, agrees, comparator):
    found = GRADER.compare(task, CALL, Said(lower), Said(reference))
    assert (bool(found.agrees), found.comparator, found.judge) == (agrees, comparator, False)


def test_tool_calls_are_compared_by_name_and_arguments():
    one, same, other = (
        Said("", [{"name": "f", "arguments": told}], "tool_calls") for told in ('{"a": 1}', '{ "a":1 }', '{"a":2}')
    )
    assert GRADER.compare("function_calling", TOOLS, one, same).agrees
    assert not GRADER.compare("function_calling", TOOLS, one, other).agrees
    assert GRADER.compare("function_calling", TOOLS, one, Said("text")).agrees is False
    assert GRADER.compare("function_calling", TOOLS, Said("text"), Said("other")).judge


def test_evidence_is_figures_of_question_and_answer():
    found = GRADER.evidence("math", CALL, Said("2 + 3 = 6"))
    assert found["slip"] == 1.0
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is 2 + 3?"}]}]}
    assert GRADER.evidence("math", parts, Said("2 + 3 = 6")) == found
    assert GRADER.evidence("math", {"messages": [{"role": "user"}]}, Said("x"))["slip"] == 0.0


STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"4"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"2"},"finish_reason":"stop"}]}\n\n'
)
CALLS = (
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}\n\n'
)
BODY = b'{"choices":[{"index":0,"message":{"content":"42"}}]}'


@pytest.mark.parametrize(
    ("data", "finish", "tools", "whole", "found"),
    [
        (BODY, "stop", False, True, Said("42")),
        (STREAM, "stop", False, False, Said("42")),
        (CALLS, "tool_calls", True, False, Said("", [{"name": "f", "arguments": "{}"}], "tool_calls")),
        (BODY, "length", False, True, None),
        (b'{"choices":[]}', "stop", False, True, None),
        (BODY[:-1] + b',"x":', "stop", False, True, None),
        (BODY.replace(b"42", b"x" * 300_000), "stop", False, True, None),
        (
            b'{"choices":[{"index":0,"message":{"content":"a"}},{"index":1,"message":{"content":"b"}}]}',
            "stop",
            False,
            True,
            None,
        ),
    ],
)
def test_what_was_said_is_read_from_either_shape(data, finish, tools, whole, found):
    assert said_in(data, finish, tools, whole=whole) == found


def test_nothing_agrees_with_nothing():
    assert GRADER.compare("math", CALL, NOTHING, NOTHING).agrees is None
    assert not GRADER.compare("chat_writing", CALL, Said("x"), NOTHING).judge
