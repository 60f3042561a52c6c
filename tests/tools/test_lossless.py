from __future__ import annotations

import json
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.tools import CannotAnswer, Options, TooBig, lossless, run

numbers = st.one_of(
    st.integers().map(str),
    st.integers(min_value=10**30, max_value=10**60).map(str),
    st.sampled_from(["-0", "0.0", "-0.0", "1e5", "1E+5", "1.50", "1e-7", "123.4500e+00", "1e400"]),
)
escapes = st.sampled_from(['\\"', "\\\\", "\\/", "\\n", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\u0000"])
plain = st.text(st.characters(blacklist_characters='"\\', blacklist_categories=["Cs", "Cc"]), max_size=8)
strings = st.lists(st.one_of(escapes, plain), max_size=4).map(lambda parts: '"' + "".join(parts) + '"')
spaces = st.sampled_from(["", " ", "\n", "\t", " \r\n "])


def joined(opened: str, items: list[str], closed: str, space: str) -> str:
    return opened + space + f"{space},{space}".join(items) + space + closed


documents = st.recursive(
    st.one_of(numbers, strings, st.sampled_from(["true", "false", "null"])),
    lambda inner: st.one_of(
        st.tuples(st.lists(inner, max_size=4), spaces).map(lambda x: joined("[", x[0], "]", x[1])),
        st.tuples(st.lists(st.tuples(strings, inner), max_size=4, unique_by=lambda m: json.loads(m[0])), spaces).map(
            lambda x: joined("{", [f"{key}{x[1]}:{x[1]}{value}" for key, value in x[0]], "}", x[1])
        ),
    ),
    max_leaves=20,
)


def lexemes(text: str) -> list[str]:
    """An independent reading: strings by the standard library's scanner, the rest split at marks and spaces."""
    out: list[str] = []
    i = 0
    while i < len(text):
        if text[i] in " \t\r\n":
            i += 1
        elif text[i] == '"':
            end = json.decoder.scanstring(text, i + 1)[1]  # type: ignore[attr-defined]
            out.append(text[i:end])
            i = end
        elif text[i] in "{}[],:":
            out.append(text[i])
            i += 1
        else:
            end = i
            while end < len(text) and text[end] not in " \t\r\n{}[],:":
                end += 1
            out.append(text[i:end])
            i = end
    return out


@given(documents, st.sampled_from([None, "  ", "    ", "\t"]))
@settings(max_examples=150, deadline=None)
def test_format_keeps_every_token(text: str, indent: str | None) -> None:
    made = run("json", "format", text, Options(indent=indent)).text
    assert lexemes(made) == lexemes(text)
    assert run("json", "format", made, Options(indent=indent)).text == made


@given(documents)
@settings(max_examples=100, deadline=None)
def test_minify_keeps_every_token_and_no_space(text: str) -> None:
    made = run("json", "minify", text).text
    assert lexemes(made) == lexemes(text)
    assert made == "".join(lexemes(made))


@given(documents)
@settings(max_examples=100, deadline=None)
def test_sorted_keys_lose_nothing(text: str) -> None:
    made = run("json", "format", text, Options(sort_keys=True)).text
    assert sorted(lexemes(made)) == sorted(lexemes(text))

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
        return dict(pairs)

    json.loads(made, object_pairs_hook=check)


@given(documents)
@settings(max_examples=100, deadline=None)
def test_the_layout_is_the_usual_one(text: str) -> None:
    marked = json.loads(text, parse_int=lambda x: f"@@{x}", parse_float=lambda x: f"@@{x}")
    if "\\" in text or "@@" in text:
        return  # escapes are kept as written, json.dumps would choose its own
    usual = json.dumps(marked, indent=2, ensure_ascii=False)
    assert run("json", "format", text).text == re.sub(r'"@@([^"]*)"', r"\1", usual)


@given(st.text(string.printable, max_size=40))
@settings(max_examples=200, deadline=None)
def test_validate_agrees_with_the_standard_library_on_noise(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda word: (_ for _ in ()).throw(ValueError(word)))
        valid = True
    except ValueError:
        valid = False
    assert run("json", "validate", text).ok is valid


def test_a_hundred_levels() -> None:
    text = '{"a":[' * 50 + "1" + "]}" * 50
    assert lexemes(run("json", "format", text).text) == lexemes(text)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"x":1,"y":2,"x":3}}]'])
@pytest.mark.parametrize("action", ["format", "minify"])
def test_duplicate_keys_are_declined_and_told(text: str, action: str) -> None:
    with pytest.raises(CannotAnswer, match="repeats a key"):
        run("json", action, text)
    result = run("json", "validate", text)
    assert result.ok is True
    assert result.findings[0].code == "duplicate-key"


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ('{"a": 1,}', "trailing-comma", 1, 8),
        ('{\n  "a": 1\n  "b": 2\n}', "object-next", 3, 3),
        ("[1 2]", "array-next", 1, 4),
        ("{'a': 1}", "single-quote", 1, 2),
        ('{"a": 01}', "number", 1, 7),
        ('{"a": nope}', "word", 1, 7),
        ('{"a" 1}', "colon", 1, 6),
        ('["a\\x"]', "escape", 1, 4),
        ('["a\tb"]', "control", 1, 4),
        ('["abc', "open-string", 1, 2),
        ('{"a": 1', "end", 1, 7),
        ("{} x", "extra", 1, 4),
        ("[1, // no\n2]", "comment", 1, 5),
        ("", "empty", 1, 1),
    ],
)
def test_the_fault_and_its_place(text: str, code: str, line: int, column: int) -> None:
    finding = run("json", "validate", text).findings[0]
    assert (finding.code, finding.line, finding.column) == (code, line, column)
    assert finding.fr


def test_limits() -> None:
    with pytest.raises(TooBig, match="deep"):
        run("json", "format", "[" * 201 + "]" * 201)
    with pytest.raises(TooBig, match="deep"):
        run("json", "validate", "[" * 500_000)
    with pytest.raises(TooBig, match="characters"):
        run("json", "format", "1" * (lossless.MAX_CHARS + 1))


def test_the_proof_notices_a_changed_lexeme() -> None:
    one, two = lossless.parse('{"a":1.0,"b":[]}').value, lossless.parse('{"b":[],"a":1}').value
    assert not lossless.same_members(one, two)
    assert lossless.same_members(one, lossless.parse('{"b":[],"a":1.0}').value)
    assert lossless.tokens('{"a": 1.0}') != lossless.tokens('{"a": 1}')
