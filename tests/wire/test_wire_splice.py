from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.errors import InvalidRequestError
from rung.wire.splice import append_member, edit, members

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
KEYS = st.one_of(st.sampled_from(["model", "rung", "stream", "a", "", ",", '"', "\\", "é", "😀", ":"]), TEXT)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
SPACES = st.text(" \t\n\r", max_size=2)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON spelling of a string: escapes or not, at the author's whim."""
    if draw(st.booleans()):
        return json.dumps(text)
    if draw(st.booleans()):
        return json.dumps(text, ensure_ascii=False)
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at] << 8 | units[at + 1]:04X}" for at in range(0, len(units), 2)) + '"'


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """An object's text with arbitrary spelling, and what it means."""
    value = draw(st.dictionaries(KEYS, VALUES, max_size=6))
    indent = draw(st.sampled_from([None, 1]))
    parts = []
    for key, one in value.items():
        before, colon, after, end = draw(SPACES), draw(SPACES), draw(SPACES), draw(SPACES)
        parts.append(f"{before}{draw(spelled(key))}{colon}:{after}{json.dumps(one, indent=indent)}{end}")
    outer = [draw(SPACES) for _ in range(3)]
    return f"{outer[0]}{{{outer[1] if not parts else ''}{','.join(parts)}}}{outer[2]}".encode(), value


@given(written())
def test_members_lie_where_they_say(case: tuple[bytes, dict[str, Any]]) -> None:
    raw, value = case
    found = members(raw)
    assert list(found) == list(value)
    for key, at in found.items():
        assert json.loads(raw[at.start : at.key_end]) == key
        text = raw[at.value_start : at.value_end]
        assert text == text.strip()
        assert json.loads(text) == value[key]


@given(written(), st.sets(KEYS, max_size=3), st.dictionaries(KEYS, VALUES, max_size=3), st.data())
def test_edit_is_the_dict_edit_and_leaves_every_other_byte(
    case: tuple[bytes, dict[str, Any]], remove: set[str], replace: dict[str, Any], data: st.DataObject
) -> None:
    raw, value = case
    if value and data.draw(st.booleans()):
        remove |= data.draw(st.sets(st.sampled_from(list(value)), max_size=3))
    remove -= replace.keys()
    append = data.draw(
        st.dictionaries(KEYS.filter(lambda k: k not in value and k not in remove | replace.keys()), VALUES, max_size=2)
    )
    edited = edit(
        raw,
        replace={key: json.dumps(one).encode() for key, one in replace.items()},
        remove=remove,
        append={key: json.dumps(one).encode() for key, one in append.items()},
    )
    expected = {key: one for key, one in value.items() if key not in remove} | replace | append
    assert json.loads(edited) == expected
    assert list(json.loads(edited)) == list(expected)
    before, after = members(raw), members(edited)
    for key in value.keys() - remove:
        was, now = before[key], after[key]
        assert raw[was.start : was.value_start] == edited[now.start : now.value_start]
        if key not in replace:
            assert raw[was.value_start : was.value_end] == edited[now.value_start : now.value_end]
    if not remove and not append and replace.keys() <= value.keys():
        gaps, at = [], 0
        for key, one in before.items():
            if key in replace:
                gaps.append(raw[at : one.value_start])
                at = one.value_end
        gaps.append(raw[at:])
        assert edited.startswith(gaps[0])
        assert edited.endswith(gaps[-1])
        assert len(edited) == sum(map(len, gaps)) + sum(len(json.dumps(one)) for one in replace.values())


def test_examples() -> None:
    raw = b'{ "model" : "auto", "n":1.0, "rung": {"a": [1, 2]} }'
    assert edit(raw, replace={"model": b'"m"'}) == b'{ "model" : "m", "n":1.0, "rung": {"a": [1, 2]} }'
    assert edit(raw, remove=["rung", "absent"]) == b'{ "model" : "auto", "n":1.0 }'
    assert edit(raw, remove=["model"]) == b'{ "n":1.0, "rung": {"a": [1, 2]} }'
    assert edit(raw, remove=["model", "n", "rung"]) == b"{  }"
    assert edit(raw, remove=["model", "n", "rung"], append={"a": b"1"}) == b'{ "a":1 }'
    assert edit(raw, append={"a": b"1"}) == b'{ "model" : "auto", "n":1.0, "rung": {"a": [1, 2]},"a":1 }'
    assert edit(b" { } ", replace={"a": b"1"}) == b' {"a":1 } '
    assert edit(raw) == raw


@given(written(), VALUES)
def test_append_member(case: tuple[bytes, dict[str, Any]], new: Any) -> None:
    raw, value = case
    value.pop("new", None)
    raw = edit(raw, remove=["new"])
    assert json.loads(append_member(raw, "new", json.dumps(new).encode())) == value | {"new": new}


@given(written(), st.data())
def test_duplicate_keys_are_refused_however_they_are_spelled(
    case: tuple[bytes, dict[str, Any]], data: st.DataObject
) -> None:
    raw, value = case
    if not value:
        return
    key = data.draw(st.sampled_from(list(value)))
    twice = f"{data.draw(spelled(key))}: {json.dumps(data.draw(VALUES))}".encode()
    brace = raw.rindex(b"}")
    front = raw.index(b"{") + 1
    for text in (raw[:brace] + b"," + twice + raw[brace:], raw[:front] + twice + b"," + raw[front:]):
        with pytest.raises(InvalidRequestError) as caught:
            members(text)
        assert (caught.value.code, caught.value.param) == ("duplicate_key", key)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":",":x","a":1,",":2}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1},"b":2,"a":"x"}',
        b'{"a":",\\"b\\":1","b":1,"a":1}',
        b'{",":0,"a":",",":":0,"a":1}',
    ],
)
def test_duplicates_made_to_fool_the_walk(raw: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        members(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b'{"a":', b'{"a":1}x', b'{"a":1,}', b'{"a":' + b"[" * 100_000, b'{"\xff":1}']
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        members(raw)
    assert caught.value.code == "invalid_json"


def test_misuse() -> None:
    with pytest.raises(ValueError, match="there already"):
        edit(b'{"a":1}', append={"a": b"2"})
    with pytest.raises(ValueError, match="only once"):
        edit(b'{"a":1}', replace={"a": b"2"}, remove=["a"])
