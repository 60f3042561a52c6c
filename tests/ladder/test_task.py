"""The kind of call: the rules, and what holds for any body."""

from __future__ import annotations

import pytest

from rung.ladder.task import TASKS, classify


def asked(text: str, **more: object) -> dict[str, object]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ('Pretty print this JSON:\n{"a":1,"b":[2,3]}', "validation_formatting"),
        ('Formate ce JSON :\n{"a":1,"b":[2,3]}', "validation_formatting"),
        ('Is this valid JSON?\n```json\n{"a":1,}\n```', "validation_formatting"),
        ("Traduis en anglais : le train part à huit heures.", "translation"),
        (
            'def add(a: int, b: int) -> int:\n    """ Add two numbers.\n    >>> add(1, 2)\n    3\n    """\n',
            "code_generation",
        ),
    ],
)
def test_wordings_that_a_rule_decides(text: str, task: str) -> None:
    guess = classify(asked(text))
    assert (guess.task, guess.by_rule) == (task, True)


def test_tools_in_the_request_make_it_function_calling() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    assert classify(asked("What is it like in Oslo?", tools=[tool])).task == "function_calling"
    assert classify(asked("What is it like in Oslo?", tools=[tool], tool_choice="none")).task != "function_calling"


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": []}, {"messages": None}, {"messages": [7]}, {"messages": [{"role": "user", "content": None}]}],
)
def test_a_body_without_words_is_other(body: dict[str, object]) -> None:
    assert classify(body).task == "other"


def test_every_guess_is_one_of_the_tasks() -> None:
    assert classify(asked("hello")).task in TASKS
