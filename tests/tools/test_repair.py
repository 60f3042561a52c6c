from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.tools import CannotAnswer, Options, run

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=10,
)


@given(values, st.sampled_from([None, 2]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_valid_input_is_never_changed(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False) if _finite(value) else "[]"
    result = run("json", "repair", text)
    assert result.text == text
    assert result.edits == ()
    assert result.proved


def _finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, "b": 2,}', {"a": 1, "b": 2}),
        ("{'name': 'Bob', 'ok': True, 'x': None}", {"name": "Bob", "ok": True, "x": None}),
        ('{"a": [1, 2, 3], "b": "x"', {"a": [1, 2, 3], "b": "x"}),
        ('{"a": 1\n"b": 2}', {"a": 1, "b": 2}),
        ('{name: "Bob", age: 3}', {"name": "Bob", "age": 3}),
        ("[1, 2, 3", [1, 2, 3]),
        ('{"a": 1, // why\n "b": 2}', {"a": 1, "b": 2}),
        ('[{"a": 1} {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ],
)
def test_repairs_and_tells(text: str, value: object) -> None:
    result = run("json", "repair", text)
    assert json.loads(result.text) == value
    assert not result.proved
    assert len(result.edits) >= 2
    assert result.edits[0].startswith("first fault: ")


def test_numbers_keep_their_lexemes() -> None:
    made = run("json", "repair", '{"a": 1.0, "b": 1e3, "c": 12345678901234567890123,}', Options(minify=True)).text
    assert made == '{"a":1.0,"b":1e3,"c":12345678901234567890123}'


@pytest.mark.parametrize(
    "text",
    [
        '{"a":}',  # a value would be invented
        '{"a": undefined}',
        '{"a": tru}',
        '{"a": NaN}',
        '{"a": 1, "a": 2,}',  # one would be dropped
        '{"a": 1} and then some words',
        "no JSON at all",
        "",
        "{'it': 'don't'}",
        "[" * 5_000,
        '{"a":' * 5_000,
        "[1," * 20_000,
    ],
)
def test_what_would_be_a_guess_is_declined(text: str) -> None:
    with pytest.raises(CannotAnswer):
        run("json", "repair", text)


@given(values, st.integers(0, 200), st.sampled_from(["", ",", "}", "'", "x"]))
@settings(max_examples=150, deadline=None)
def test_damage_is_repaired_to_json_or_declined(value: object, at: int, put: str) -> None:
    text = json.dumps(value) if _finite(value) else "[]"
    at = min(at, len(text))
    damaged = text[:at] + put + text[at + 1 :]
    try:
        result = run("json", "repair", damaged)
    except CannotAnswer:
        return
    json.loads(result.text)
