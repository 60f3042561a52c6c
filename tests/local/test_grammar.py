"""What of a JSON Schema reaches the engine, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rung.errors import RejectedFault
from rung.local.grammar import grammar, tool_calls, wanted


def compiled(schema: Any) -> dict[str, Any]:
    head, _, told = grammar(schema, "schema").partition("%json ")
    assert head == "%llguidance {}\nstart: "
    out: dict[str, Any] = json.loads(told)
    assert out.pop("x-guidance")["whitespace_flexible"] is False
    return out


def place_refused(schema: Any) -> str:
    with pytest.raises(RejectedFault) as caught:
        grammar(schema, "schema")
    assert (caught.value.status, caught.value.code) == (400, "unsupported_schema")
    assert caught.value.param is not None
    assert caught.value.message.startswith(caught.value.param)
    return caught.value.param


def test_what_is_supported_passes_unchanged() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 40},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z_]{2,8}$"}, "maxItems": 3},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert compiled(schema) == schema


def test_annotations_and_unknown_words_are_left_out() -> None:
    schema = {
        "title": "T",
        "description": "d",
        "default": 1,
        "examples": [1],
        "type": "integer",
        "x-guidance": {"lenient": True},
        "format": "int32",
    }
    assert compiled(schema) == {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"not": {"type": "null"}}, "schema.not"),
        ({"properties": {"a": {"uniqueItems": True}}}, "schema.properties.a.uniqueItems"),
        ({"items": {"contains": {}}}, "schema.items.contains"),
        ({"if": {}, "then": {}}, "schema.if"),
        ({"propertyNames": {"maxLength": 3}}, "schema.propertyNames"),
        ({"dependentRequired": {"a": ["b"]}}, "schema.dependentRequired"),
        ({"dependencies": {"a": ["b"]}}, "schema.dependencies"),
        ({"$ref": "other.json"}, "schema.$ref"),
        ({"$ref": "#/$defs/none"}, "schema.$ref"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "schema.$defs.a.$ref"),
        ({"$dynamicRef": "#x"}, "schema.$dynamicRef"),
        ({"anyOf": [{}, {"unevaluatedItems": False, "$ref": "#"}]}, "schema.anyOf[1].unevaluatedItems"),
        ({"pattern": "^(?=a)b$"}, "schema.pattern"),
        ({"pattern": r"(a)\1"}, "schema.pattern"),
        ({"pattern": r"\bword\b"}, "schema.pattern"),
        ({"pattern": "^a|b$"}, "schema.pattern"),
        ({"pattern": "[a-z&&[^b]]"}, "schema.pattern"),
        ({"pattern": "("}, "schema.pattern"),
        ({"pattern": "a{9999}"}, "schema.pattern"),
        ({"patternProperties": {"a": {}, "b": {}}}, "schema.patternProperties"),
        ({"minLength": 5, "maxLength": 3}, "schema.minLength"),
        ({"required": ["a"], "additionalProperties": False}, "schema.required"),
        ({"enum": []}, "schema.enum"),
        ({"type": "text"}, "schema.type"),
        ({"minimum": "3"}, "schema.minimum"),
        ({"multipleOf": 0.123456789}, "schema.multipleOf"),
        ({"properties": {"a": False}}, "schema.properties.a"),
        (False, "schema"),
        ("string", "schema"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_its_place(schema: Any, place: str) -> None:
    assert place_refused(schema) == place


@pytest.mark.parametrize(
    ("schema", "becomes"),
    [
        ({"if": {}}, {}),
        ({"then": {}, "else": {}}, {}),
        ({"uniqueItems": False}, {}),
        ({"uniqueItems": True, "maxItems": 1}, {"maxItems": 1}),
        ({"contains": {}, "minContains": 0}, {}),
        ({"not": False}, {}),
        ({"dependentRequired": {}}, {}),
        ({"unevaluatedProperties": True}, {}),
        (
            {"properties": {"a": {}}, "unevaluatedProperties": False},
            {"properties": {"a": {}}, "additionalProperties": False},
        ),
        ({"prefixItems": [{}], "unevaluatedItems": False}, {"prefixItems": [{}], "items": False}),
        ({"maxItems": 2.0}, {"maxItems": 2}),
        ({"$schema": "https://example.com/mine", "type": "null"}, {"type": "null"}),
        ({"additionalProperties": {"type": "null"}}, {"additionalProperties": {"type": "null"}}),
        (True, {}),
    ],
)
def test_what_says_nothing_or_the_same_is_rewritten(schema: Any, becomes: dict[str, Any]) -> None:
    assert compiled(schema) == becomes


def test_one_of_is_any_of_where_no_value_fits_two_branches() -> None:
    branches = [{"type": "string"}, {"type": "integer"}, {"type": "null"}]
    assert compiled({"oneOf": branches}) == {"anyOf": branches}
    by_kind = [
        {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in ("cat", "dog")
    ]
    assert compiled({"oneOf": by_kind}) == {"anyOf": by_kind}
    assert compiled({"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"type": "array"}}})["anyOf"]


@pytest.mark.parametrize(
    "branches",
    [
        [{"type": "integer"}, {"type": "number"}],
        [{"type": "string"}, {"minLength": 2}],
        [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}],
        [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}],
        [{"const": 1}, {"const": 1.0}],
    ],
)
def test_one_of_with_branches_that_may_overlap_is_refused(branches: list[Any]) -> None:
    assert place_refused({"oneOf": branches}) == "schema.oneOf"


def test_depth_is_bounded() -> None:
    schema: dict[str, Any] = {}
    for _ in range(60):
        schema = {"items": schema}
    assert place_refused(schema).startswith("schema.items")


def test_what_a_call_wants() -> None:
    assert wanted({"messages": []}) is None
    assert wanted({"response_format": {"type": "text"}}) is None
    assert wanted({"response_format": {"type": "json_object"}}) == ({"type": "object"}, "response_format")
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}}
    assert wanted({"response_format": form}) == ({"type": "null"}, "response_format.json_schema.schema")
    with pytest.raises(RejectedFault, match="must hold a schema"):
        wanted({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}})


def test_a_required_tool_call_has_a_schema() -> None:
    def tool(name: str, **parameters: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    tools = [tool("one", type="object"), tool("two", type="object", required=["a"])]
    assert tool_calls(tools, None) is None
    assert tool_calls(tools, "auto") is None
    both = tool_calls(tools, "required")
    assert both is not None
    assert [branch["properties"]["name"]["const"] for branch in both[0]["anyOf"]] == ["one", "two"]
    named = tool_calls(tools, {"type": "function", "function": {"name": "two"}})
    assert named is not None
    assert named[0]["properties"]["arguments"] == {"type": "object", "required": ["a"]}
    assert compiled(both[0])["anyOf"]
    assert tool_calls(tools, {"type": "function", "function": {"name": "three"}}) is None
