from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rung.tools import CannotAnswer, Options, lossless, run
from rung.tools.values import canonical


def convert(source: str, target: str, text: str, types: str = "infer") -> str:
    return run(source, "convert", text, Options(to=target, types=types)).text


trees = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**25), 10**25),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=12),
        st.sampled_from(
            ["yes", "no", "on", "null", "~", "1:30", "010", "0x1F", "2024-01-05", "- a", "a: b", "#c", " x", "1e3"]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.parametrize("target", ["yaml", "toml", "csv"])
@given(tree=trees)
@settings(max_examples=80, deadline=None)
def test_conversions_round_trip_or_decline(target: str, tree: object) -> None:
    text = json.dumps(tree, ensure_ascii=False)
    try:
        made = convert("json", target, text)
    except CannotAnswer:
        return
    back = convert(target, "json", made)
    assert lossless.same_members(canonical(lossless.parse(text).value), canonical(lossless.parse(back).value))


@given(tree=trees)
@settings(max_examples=60, deadline=None)
def test_yaml_reads_the_same_by_another_reader(tree: object) -> None:
    text = json.dumps(tree)
    try:
        made = convert("json", "yaml", text)
    except CannotAnswer:
        return
    assert YAML(typ="safe", pure=True).load(made) == tree


@given(table=st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.integers(), min_size=2), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_flat_tables_do_convert(table: list[dict[str, int]]) -> None:
    assert json.loads(convert("csv", "json", convert("json", "csv", json.dumps(table)))) == table


def test_numbers_keep_their_lexemes() -> None:
    text = '{"big":12345678901234567890123,"one":1.0,"zero":-0,"small":1.50}'
    assert convert("json", "yaml", text) == "big: 12345678901234567890123\none: 1.0\nzero: -0\nsmall: 1.50"
    assert convert("toml", "json", "a = 1.50\nb = 7") == '{\n  "a": 1.50,\n  "b": 7\n}'


def test_yaml_layout() -> None:
    text = '{"a":{"b":[1,{"c":"x","d":[]}]},"e":"yes","f":"two words","g":{}}'
    assert convert("json", "yaml", text) == 'a:\n  b:\n    - 1\n    - c: x\n      d: []\ne: "yes"\nf: two words\ng: {}'


def test_toml_layout() -> None:
    text = '{"t":{"u":{"v":1}},"a":1,"rows":[{"x":1},{"x":2}],"mixed":[1,{"y":2}]}'
    made = convert("json", "toml", text)
    assert made.startswith("a = 1\nmixed = [1, { y = 2 }]")
    assert tomllib.loads(made) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: yes",
        "a: 010",
        "a: 0x1F",
        "a: 1:30",
        "a: .5",
        "a: 1_000",
        "a: +5",
        "a: .inf",
        "1: a",
        "a: &x 1\nb: *x",
        "a: !!python/object:os.system x",
        "a: 1\na: 2",
        "<<: {a: 1}",
        "? [a]\n: b",
        "a: 1\n---\nb: 2",
        "a: [1",
        "",
    ],
)
def test_yaml_that_readers_disagree_on_is_declined(text: str) -> None:
    with pytest.raises(CannotAnswer):
        convert("yaml", "json", text)


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("json", "toml", '{"a":null}'),
        ("json", "toml", "[1]"),
        ("json", "toml", '{"a":9223372036854775808}'),
        ("json", "csv", '[{"a":1},{"b":2}]'),
        ("json", "csv", '[{"a":[1]}]'),
        ("json", "csv", '[{"a":null}]'),
        ("json", "csv", '[{"a":""}]'),
        ("json", "csv", '[{"zip":"01234","n":"12"}]'),
        ("json", "csv", "[]"),
        ("json", "yaml", '{"a":1e5}'),
        ("json", "yaml", '{"a":1,"a":2}'),
        ("json", "yaml", '{"a":"\\ud800"}'),
        ("toml", "json", "a = 2024-01-05"),
        ("toml", "json", "a = inf"),
        ("csv", "json", "a,a\n1,2"),
        ("csv", "json", "a,b\n1"),
        ("csv", "json", "a,b"),
        ("csv", "json", "a;b,c\n1;2,3"),
        ("json", "xml", "{}"),
        ("json", "json", "{}"),
    ],
)
def test_what_has_no_form_in_the_target_is_declined(source: str, target: str, text: str) -> None:
    with pytest.raises(CannotAnswer):
        convert(source, target, text)


def test_csv_cells_are_text_or_numbers_only_when_told() -> None:
    text = "name,age\nAna,30\nBob,41"
    with pytest.raises(CannotAnswer, match="was not said"):
        convert("csv", "json", text, "strict")
    assert json.loads(convert("csv", "json", text, "text"))[0] == {"name": "Ana", "age": "30"}
    assert json.loads(convert("csv", "json", text, "infer"))[0] == {"name": "Ana", "age": 30}
    assert json.loads(convert("csv", "json", "zip\n01234\n99999", "infer")) == [{"zip": "01234"}, {"zip": "99999"}]


def test_csv_quoting_and_other_delimiters() -> None:
    assert json.loads(convert("csv", "json", 'a;b\n"x;1";"y ""z"""')) == [{"a": "x;1", "b": 'y "z"'}]
    assert convert("json", "csv", '[{"a":"x,1","b":"l1\\nl2"}]') == 'a,b\n"x,1","l1\nl2"'


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "yaml",
            "a: &a [x,x]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)),
        ),
        ("yaml", "[" * 5_000),
        ("yaml", "a: b\n" * 50_000),
        ("toml", "a = " + "[" * 5_000),
        ("toml", ".".join("a" * 5_000) + " = 1"),
        ("csv", '"' * 99_999),
    ],
)
def test_bombs_are_declined(source: str, text: str) -> None:
    with pytest.raises(CannotAnswer):
        convert(source, "json", text)
