"""Properties of the call's identity: what must not matter, and what must."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.store.fingerprint import SIZE, fingerprint

CONTEXT: dict[str, Any] = {"tenant": "local", "model": "auto", "config_version": "1", "private": False}

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé ", max_size=3), inner, max_size=3),
    max_leaves=4,
)
bodies = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["auto", "local"]),
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": values}), min_size=1
        ),
    },
    optional={"temperature": st.sampled_from([0, 0.0, 0.1, 1]), "seed": st.integers(), "unknown": values},
)


def of(body: Any, **context: Any) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fingerprint(raw, **{**CONTEXT, **context})


def turned(value: Any) -> Any:
    """The same value with the members of every object the other way round."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [turned(item) for item in value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything below the top."""
    inside = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    found = [(*path, place) for place, _ in inside]
    for place, item in inside:
        found += places(item, (*path, place))
    return found


def holder(value: Any, path: tuple[Any, ...]) -> Any:
    for place in path[:-1]:
        value = value[place]
    return value


@given(bodies, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_spelling_does_not_matter(body: dict[str, Any], indent: int | str | None, ascii_only: bool) -> None:
    """Key order, white space and escapes."""
    spelled = json.dumps(turned(body), indent=indent, ensure_ascii=ascii_only).encode()

    assert of(body) == of(spelled)
    assert len(of(body)) == SIZE


@given(bodies, st.data())
def test_any_other_value_is_another_call(body: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(body)))
    other = copy.deepcopy(body)
    old = holder(other, path)[path[-1]]
    new = data.draw(values.filter(lambda value: json.dumps(value) != json.dumps(old, sort_keys=True)))
    holder(other, path)[path[-1]] = new
    if json.dumps(turned(new), sort_keys=True) == json.dumps(old, sort_keys=True):
        return

    assert of(body) != of(other)


@given(bodies, st.data())
def test_a_member_less_is_another_call(body: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(body)))
    other = copy.deepcopy(body)
    del holder(other, path)[path[-1]]

    assert of(body) != of(other)


@given(st.lists(values, min_size=2, max_size=4, unique_by=lambda value: json.dumps(value, sort_keys=True)))
def test_array_order_matters(items: list[Any]) -> None:
    for name in ("messages", "stop", "unknown", "tools"):
        assert of({name: items}) != of({name: items[::-1]})


@pytest.mark.parametrize("name", ["tools", "functions", "response_format", "guided_json"])
def test_key_order_matters_inside_tools_and_schemas(name: str) -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {}}}
    holding: Any = [{"type": "function", "function": {"parameters": schema}}]
    if name in ("response_format", "guided_json"):
        holding = {"type": "json_schema", "json_schema": {"schema": schema}}
    body = {"messages": [{"role": "user", "content": "x"}], name: holding}

    assert of(body) != of(turned(body))
    assert of(body) == of({name: holding, "messages": [{"content": "x", "role": "user"}]})


def test_key_order_matters_in_a_schema_within_an_unknown_member() -> None:
    schema = {"a": 1, "b": 2}

    assert of({"x": {"schema": schema, "n": 1}}) == of({"x": {"n": 1, "schema": schema}})
    assert of({"x": {"schema": schema, "n": 1}}) != of({"x": {"schema": turned(schema), "n": 1}})


@pytest.mark.parametrize(
    "member", [{"stream": True}, {"stream_options": {"include_usage": True}}, {"rung": {"task": "x"}}]
)
def test_the_shape_of_delivery_does_not_matter(member: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": "x"}]}

    assert of(body) == of({**body, **member})
    assert of({**body, "metadata": member}) != of({**body, "metadata": {}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.1", "0.1000000000000000055"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("18446744073709551616", "18446744073709551617"),
        ("-9223372036854775809", "-9223372036854775810"),
        ("1234567890123456789012345", "1234567890123456789012346"),
        ("1e-400", "1e-401"),
        ("1e-400", "0.0"),
        ("1", "1.0"),
        ("1", "true"),
        ("1", '"1"'),
        ("null", "0"),
        ("9007199254740993e1", "9007199254740992e1"),
    ],
)
def test_numbers_do_not_collide(one: str, other: str) -> None:
    def body(number: str) -> bytes:
        return b'{"messages":[{"role":"user","content":"x"}],"seed":%s}' % number.encode()

    assert of(body(one)) != of(body(other))
    assert of(body(one)) == of(b" " + body(one).replace(b",", b" , "))


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=4), min_size=3, max_size=3), st.data())
def test_the_context_counts_and_never_runs_together(context: list[str], data: st.DataObject) -> None:
    tenant, model, version = context
    shift = data.draw(st.integers(0, len(tenant)))
    moved = (tenant[:shift], tenant[shift:] + model, version)
    prints = {
        fingerprint(b"{}", tenant=a, model=b, config_version=c, private=private)
        for a, b, c in {(tenant, model, version), moved, (tenant, model + version, ""), (tenant + "x", model, version)}
        for private in (False, True)
    }

    assert len(prints) == 2 * len(
        {(tenant, model, version), moved, (tenant, model + version, ""), (tenant + "x", model, version)}
    )


def test_a_body_too_deep_to_canonicalise_is_known_by_its_bytes() -> None:
    deep = b'{"messages":%s1%s}' % (b"[" * 400, b"]" * 400)

    assert of(deep) == of(deep)
    assert of(deep) != of(deep.replace(b"1", b"2"))
