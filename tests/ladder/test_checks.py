"""Built-in checks can reject and never accept; they reject only what certainly is no answer."""

from __future__ import annotations

import asyncio
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.answer import Answer, Evidence
from rung.ladder.budget import RetryBudget
from rung.ladder.checks import Necessary, Verdict, has_schema, necessary_for, python_blocks_lint
from rung.ladder.climb import Climb, climb
from rung.testing import ScriptedRung, make_call

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
WANTS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n\n```{language}\n{code}\n```\nThat's all."


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("def add(a, b):\n    return a + b", Verdict.NECESSARY_OK),
        ("import os", Verdict.NECESSARY_OK),  # unused, and none of our business
        ("x = 1; y = 2", Verdict.NECESSARY_OK),
        ("def f(:\n    pass", Verdict.FAIL),
        ("print(undefined_name)", Verdict.FAIL),  # F821
        ("if x is 3: pass", Verdict.FAIL),  # F632
        ("return 1", Verdict.FAIL),  # F706
        (">>> 1 + 1\n2", Verdict.UNKNOWN),
    ],
)
def test_code_that_cannot_run_is_rejected(code, verdict):
    assert python_blocks_lint(fenced(code)) is verdict


def test_blocks_are_read_as_one_module_and_other_languages_are_left_alone():
    assert python_blocks_lint(fenced("import os") + fenced("print(os.name)", "py")) is Verdict.NECESSARY_OK
    assert python_blocks_lint("1. this:\n   ```python\n   x = 1\n   ```\n") is Verdict.NECESSARY_OK
    assert python_blocks_lint(fenced("not python {", "js")) is Verdict.UNKNOWN
    assert python_blocks_lint("no code at all (") is Verdict.UNKNOWN


def test_without_a_linter_syntax_is_checked_and_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "ruff", None)
    assert python_blocks_lint(fenced("def f(:")) is Verdict.FAIL
    assert python_blocks_lint(fenced("print(undefined_name)")) is Verdict.UNKNOWN


def test_without_a_validator_a_schema_is_not_checked(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert has_schema(orjson.dumps(SCHEMA).decode(), "{}") is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("schema", "text", "verdict"),
    [
        (SCHEMA, '{"a": 1}', Verdict.NECESSARY_OK),
        (SCHEMA, '{"a": "1"}', Verdict.FAIL),
        (SCHEMA, "[1", Verdict.FAIL),
        ({"$ref": "https://example.com/x.json"}, "{}", Verdict.UNKNOWN),
        ({"type": "string", "pattern": "(a+)+$"}, '"aaaa"', Verdict.UNKNOWN),
    ],
)
def test_schemas(schema, text, verdict):
    assert has_schema(orjson.dumps(schema).decode(), text) is verdict


@given(st.text(max_size=200), st.sampled_from([True, False]))
def test_no_text_is_ever_accepted(text, lower):
    """A check says that it rejects, or nothing: there is no word for "good"."""
    said = Necessary(json=True, schema=SCHEMA).rejects(text, lower=lower)
    assert said in {"", "json", "schema"}


def test_what_a_call_needs():
    assert necessary_for(make_call()) is None
    assert necessary_for(make_call(body={"response_format": {"type": "json_object"}})) == Necessary(json=True)
    assert necessary_for(make_call(body=WANTS_SCHEMA)) == Necessary(json=True, schema=SCHEMA)
    assert necessary_for(make_call(task="code_generation")) == Necessary(python=True)
    assert necessary_for(make_call(task="analysis")) is None  # broken code may be quoted
    assert necessary_for(make_call(task="code_generation", check="tests")) is None  # the user's own knows better


def test_the_reference_is_not_held_to_a_schema():
    answer = Answer(
        "cloud", "big:m", Evidence(finish_reason="stop"), body=b'{"choices":[{"message":{"content":"{}"}}]}'
    )
    needed = Necessary(schema=SCHEMA)
    assert asyncio.run(needed.fails(answer, answer.body, lower=False)) == ""
    assert asyncio.run(needed.fails(answer, answer.body, lower=True)) == "schema"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unproved_answer_without_the_schema_goes_up_and_a_clouds_does_not(stream):
    low = ScriptedRung(["{}"], name="local", model="local:m")
    low.unproved = True
    record = Climb(make_call(stream=stream, body=WANTS_SCHEMA))
    await climb(record.call, [low, ScriptedRung(["{}"]), ScriptedRung([])], record, RetryBudget(0, 0))
    await record.finish()
    assert record.path() == "local=failed:schema_mismatch, cloud=answered"
    assert (record.attempts[0].cost, record.attempts[0].usage is not None) == (0, True)


@pytest.mark.parametrize(
    ("stream", "path"), [(False, "local=failed:broken_code, cloud=answered"), (True, "local=answered")]
)
async def test_unproved_code_is_looked_at_where_nothing_waits_for_that(stream, path):
    low = ScriptedRung([fenced("def f(:")], name="local", model="local:m")
    low.unproved = True
    record = Climb(make_call(stream=stream, task="code_generation"))
    await climb(record.call, [low, ScriptedRung(["up"])], record, RetryBudget(0, 0))
    await record.finish()
    assert record.path() == path


async def test_nobody_is_rejected_when_nobody_else_is_left():
    low = ScriptedRung(["{}"], name="local", model="local:m")
    low.unproved = True
    record = Climb(make_call(body=WANTS_SCHEMA))
    await climb(record.call, [low], record, RetryBudget(0, 0))
    await record.finish()
    assert record.path() == "local=answered"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_gate_is_told_which_check_failed_before_it_decides(stream):
    told = []

    class Gate:
        def guards(self, rung):
            return rung.name == "local"

        def refusal(self, rung):
            return ""

        async def weigh(self, rung, answer, data, failed):
            told.append(failed)
            return f"check_failed: {failed}" if failed else ""

        def passed(self, answer):
            return ""

    low, high = ScriptedRung(["{}"], name="local", model="local:m"), ScriptedRung(["{}"])
    record = Climb(make_call(stream=stream, body=WANTS_SCHEMA), gate=Gate())
    await climb(record.call, [low, high], record, RetryBudget(0, 0))
    await record.finish()
    assert told == ["schema"]
    assert record.path() == "local=declined:check_failed, cloud=answered"
    assert record.attempts[0].usage is not None
