"""Flat objects, filled in member by member."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.local.fields import Field, Form, read

TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def body(properties: Any, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), **more}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    return {"messages": [{"role": "user", "content": "x"}], "response_format": form}


def test_a_flat_object_of_plain_members_is_read() -> None:
    told = {"a": TEXT | {"description": "d"}, "b": {"type": "integer"}, "c": {"type": "string", "enum": ["x", "y"]}}
    found = read(body(told, additionalProperties=False))
    assert found == (Field("a", "string"), Field("b", "integer"), Field("c", "string", ("x", "y")))


@pytest.mark.parametrize(
    "asked",
    [
        {"messages": []},
        body({"a": TEXT}),
        body({"a": TEXT, "b": NUMBER}, required=["a"]),
        body({"a": TEXT, "b": NUMBER}, minProperties=1),
        body({"a": TEXT, "b": NUMBER}, additionalProperties=TEXT),
        body({"a": TEXT, "b": {"type": "string", "maxLength": 3}}),
        body({"a": TEXT, "b": {"type": "array"}}),
        body({"a": TEXT, "b": {"type": ["string", "null"]}}),
        body({"a": TEXT, "b": {"enum": [1, 2]}}),
        body({"a": TEXT, "b": True}),
        body({"a": TEXT, "b": {"type": "string", "enum": "x"}}),
        body({"a": TEXT, "b": {"type": "string", "enum": []}}),
        body({"a": TEXT, "b": NUMBER}, required=["a", ["b"]]),
        body({str(number): TEXT for number in range(41)}),
        body({"a": TEXT, "b": NUMBER}) | {"stop": ["x"]},
        body({"a": TEXT, "b": NUMBER}) | {"tools": [{"type": "function"}]},
        {"messages": [], "response_format": {"type": "json_object"}},
    ],
)
def test_what_leaves_more_to_decide_is_not(asked: dict[str, Any]) -> None:
    assert read(asked) is None


@given(
    st.text(max_size=20),
    st.text(max_size=8),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
def test_what_is_filled_in_comes_out(name: str, text: str, whole: int, real: float, truth: bool) -> None:
    fields = (Field(name + "1", "string"), Field("i", "integer"), Field("r", "number"), Field("b", "boolean"))
    form = Form(fields)
    value = {name + "1": text, "i": whole, "r": real, "b": truth}
    for piece in json.dumps(text, ensure_ascii=False)[1:-1].split('"'):  # the model is stopped at every quote
        assert form.add(piece)
    for rest in (str(whole), f" {real!r}", str(truth).lower()):
        assert form.due is not None
        assert form.add(rest)
    assert form.due is None
    assert json.loads(form.text) == value


def test_a_text_that_never_ends_is_given_up() -> None:
    form = Form((Field("a", "string"),))
    assert [form.add("\\") for _ in range(9)] == [True] * 8 + [False]


def test_the_answer_is_begun_up_to_the_value() -> None:
    form = Form((Field("a", "string"), Field("n", "integer")))
    assert (form.text, form.due and form.due.ends) == ('{"a": "', ['"'])
    assert form.add("x \\")  # an escaped quote is not the end
    assert (form.text, form.due and form.due.name) == ('{"a": "x \\"', "a")
    assert form.add("y")
    assert (form.text, form.due and form.due.ends) == ('{"a": "x \\"y", "n": ', [",", "}", "\n"])
    assert form.add("7")
    assert form.text == '{"a": "x \\"y", "n": 7}'


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (Field("a", "integer"), "7.5"),
        (Field("a", "integer"), "true"),
        (Field("a", "integer"), '"7'),
        (Field("a", "number"), "NaN"),
        (Field("a", "number"), "12 euros"),
        (Field("a", "boolean"), "1"),
        (Field("a", "string"), "two\nlines"),
        (Field("a", "string"), "\\x"),
        (Field("a", "string", ("red", "blue")), "green"),
    ],
)
def test_a_value_of_another_kind_is_given_up(field: Field, said: str) -> None:
    assert not Form((field,)).add(said)
