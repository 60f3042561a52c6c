from __future__ import annotations

import json

import pytest

from rung.tools import CannotAnswer, Options, Result, run

PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
}


def against(document: str, schema: object) -> Result:
    return run("json", "schema", document, Options(schema=schema if isinstance(schema, str) else json.dumps(schema)))


def test_valid_and_not() -> None:
    assert against('{"name":"Ada"}', PERSON).ok is True
    result = against('{"age":"x"}', PERSON)
    assert result.ok is False
    assert {finding.message for finding in result.findings} == {
        "'name' is a required property (at $)",
        "'x' is not of type 'integer' (at $.age)",
    }


def test_broken_documents_are_not_valid() -> None:
    assert against('{"name":', PERSON).ok is False


def test_local_references_work() -> None:
    schema = {"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}
    assert against("[1, 2]", schema).ok is True
    assert against('["a"]', schema).ok is False


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"name": {"$ref": "other.json"}}},
        {"$ref": "#/$defs/missing"},
        {"type": "strin"},
        {"type": 3},
        [1],
        "{",
        {"$ref": "#"},
        {"properties": {"name": {"pattern": "(a+)+$"}}},
        {"properties": {"name": {"pattern": "(a|a)*b"}}},
        {"patternProperties": {"(.*)*x": {}}},
        {"properties": {"name": {"pattern": "["}}},
    ],
)
def test_schemas_that_lead_away_or_never_end_are_declined(schema: object) -> None:
    with pytest.raises(CannotAnswer):
        against('{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}', schema)


def test_references_that_branch_are_stopped() -> None:
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    with pytest.raises(CannotAnswer, match=r"steps|deep"):
        against("1", {"$defs": {**defs, "d40": {}}, "$ref": "#/$defs/d0"})


def test_unique_items_is_bounded() -> None:
    with pytest.raises(CannotAnswer, match="uniqueItems"):
        against(json.dumps([{"a": i} for i in range(600)]), {"uniqueItems": True})


def test_documents_of_an_ordinary_depth_are_within_the_bounds() -> None:
    node = {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}, "type": "object"}}, "$ref": "#/$defs/n"}
    text = '{"next": ' * 18 + "{}" + "}" * 18
    assert against(text, node).ok is True
    with pytest.raises(CannotAnswer, match="too deep"):
        against('{"next": ' * 60 + "{}" + "}" * 60, node)
