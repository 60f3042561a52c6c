"""The kind of call: the rules, the learned head, and what holds for any body."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.ladder.task import TASKS, classify, head
from rung.ladder.task.lexicon import lexicon
from rung.ladder.task.reading import HEAD_CHARS, TAIL_CHARS, read


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ('Pretty print this JSON:\n{"a":1,"b":[2,3]}', "validation_formatting"),
        ('Formate ce JSON :\n{"a":1,"b":[2,3]}', "validation_formatting"),
        ('Is this valid JSON?\n```json\n{"a":1,}\n```', "validation_formatting"),
        ("Convert this YAML to JSON:\nname: a\nport: 80\n", "validation_formatting"),
        ('Check {"a":1} against the schema {"type":"object","properties":{"a":{}}}', "validation_formatting"),
        ('Extract the fields of this schema from the text.\n{"properties":{"a":{}}}\nText: Lou is 9.', "extraction"),
        ('Classify [spam, ham]: "win a cruise now, click here"', "classification"),
        ("Traduis en anglais : le train part à huit heures.", "translation"),
        ('Call one: [{"name":"f","parameters":{"type":"object"}}]\nUser: hello', "function_calling"),
        (
            'def add(a: int, b: int) -> int:\n    """ Add two numbers.\n    >>> add(1, 2)\n    3\n    """\n',
            "code_generation",
        ),
    ],
)
def test_wordings_that_a_rule_decides(text: str, task: str) -> None:
    guess = classify(asked(text))
    assert (guess.task, guess.by_rule) == (task, True)


@pytest.mark.parametrize(
    "text",
    [
        'Write a function that validates JSON like {"a":1}',
        'How do I format JSON such as {"a":1} in VS Code?',
        'Format this JSON and tell me who won: {"a":1,"b":2}',
        'Here is a JSON with sales per month. Which trend do you see? {"jan":10,"feb":12}',
        "Which of these formats is indented?\nA. JSON\nB. YAML\nC. CSV\nD. none",
        "Format my CV nicely: John Doe, cook.",
    ],
)
def test_talk_of_formats_is_not_formatting_for_certain(text: str) -> None:
    guess = classify(asked(text))
    assert not (guess.task == "validation_formatting" and guess.by_rule)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("who painted the night watch", "knowledge_qa"),
        ("A train travels 180 miles in 3 hours. How far will it travel in 5 hours at the same speed?", "math"),
        ("Write a function to find the second largest element in a list.", "code_generation"),
        ("Build a simple to-do list web app with login.", "prototyping"),
        ("Écris un poème sur la pluie.", "chat_writing"),
        ("Quels sont les avantages et les inconvénients du télétravail pour une PME ?", "analysis"),
        ("Set a reminder to call mom at 5pm.", "function_calling"),
        ("asdf", "other"),
    ],
)
def test_what_the_head_learned(text: str, task: str) -> None:
    guess = classify(asked(text))
    assert (guess.task, guess.by_rule) == (task, False)


def test_tools_in_the_request_make_it_function_calling() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    assert classify(asked("What is it like in Oslo?", tools=[tool])).task == "function_calling"
    assert classify(asked("What is it like in Oslo?", tools=[tool], tool_choice="none")).task != "function_calling"


def test_an_answer_schema_that_is_a_choice_makes_it_classification() -> None:
    schema = {"type": "object", "properties": {"label": {"enum": ["bug", "question"]}}}
    form = {"type": "json_schema", "json_schema": {"name": "l", "schema": schema}}
    assert classify(asked("Would be nice to have dark mode", response_format=form)).task == "classification"


def test_a_system_prompt_says_what_the_message_is_for() -> None:
    body = asked("The lift is out of order.")
    body["messages"].insert(0, {"role": "system", "content": "Translate from English to Italian."})
    assert classify(body).task == "translation"


def test_a_turn_without_a_task_goes_on_with_the_one_before() -> None:
    body = asked('Format this JSON:\n{"a":1}')
    body["messages"] += [{"role": "assistant", "content": "{}"}, {"role": "user", "content": "asdf"}]
    guess = classify(body)
    assert (guess.task, guess.by_rule) == ("validation_formatting", False)


def test_parts_of_a_message_are_read_as_one() -> None:
    parts = [{"type": "text", "text": "Minify:"}, {"type": "text", "text": '{"a": 1, "b": 2}'}]
    body = {"messages": [{"role": "user", "content": parts}]}
    assert classify(body).task == "validation_formatting"
    picture = [{"type": "image_url", "image_url": {"url": "data:"}}]
    assert classify({"messages": [{"role": "user", "content": picture}]}).task == "other"


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": []}, {"messages": None}, {"messages": [7]}, {"messages": [{"role": "user", "content": None}]}],
)
def test_a_body_without_words_is_other(body: dict[str, object]) -> None:
    assert classify(body).task == "other"


SIGNS = "{}[]()<>\"'`~:;,=-_/|\\$#*?.\n \tabAé日1«»“”"


@settings(max_examples=60, deadline=None)
@given(st.text(SIGNS, max_size=300), st.text(max_size=60))
def test_any_text_gets_one_of_the_tasks_and_always_the_same(signs: str, words: str) -> None:
    body = asked(signs + words)
    guess = classify(body)
    assert guess.task in TASKS
    assert 0 <= guess.confidence <= 1
    assert classify(body) == guess


def test_of_a_long_message_only_its_ends_are_read() -> None:
    text = "Minify this JSON:\n" + '{"a": 1}' * 10_000
    middle = HEAD_CHARS + 100
    changed = text[:middle] + "write me a poem" + text[middle + 15 :]
    assert len(changed) - middle > TAIL_CHARS
    assert classify(asked(text)) == classify(asked(changed))


def steps(body: dict[str, Any]) -> int:
    """Lines of Python run: what does not depend on the machine's speed."""
    count = 0

    def trace(_frame: object, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        classify(body)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("unit", ["{", '{"a":', "a-b-", "«", "```\n", "a: b\n", "- a\n", "A. a\n", "or a? ", "<a>"])
def test_hostile_text_costs_no_more_when_it_is_longer(unit: str) -> None:
    classify(asked(unit))  # words and weights are loaded
    short, long = (steps(asked(unit * (size // len(unit)))) for size in (6_000, 60_000))
    assert long < 1.5 * short + 200


def test_why_never_repeats_the_prompt() -> None:
    for text in ("tell Zebulon a zygomorphic secret", "Écris un poème sur Zebulon", "what did zebulon invent"):
        assert "zebulon" not in classify(asked(text)).why.lower()


def test_the_weights_know_every_task_and_the_words_every_idea() -> None:
    weights = head.load()
    assert sorted(weights.classes) == sorted(TASKS)
    assert all(0 <= at < len(TASKS) for held in weights.of.values() for at, _ in held)
    ideas = {idea for held in lexicon().values() for idea in held}
    known = {name[1:] for name in weights.of if name[0] == "*" and "&" not in name}
    assert {idea for idea in known if not idea[0].isdigit()} <= ideas


def test_a_system_prompts_words_stand_before_the_users() -> None:
    body = asked("two three")
    body["messages"].insert(0, {"role": "developer", "content": "one"})
    reading = read(body)
    assert (reading.words, reading.user_from) == (["one", "two", "three"], 1)
