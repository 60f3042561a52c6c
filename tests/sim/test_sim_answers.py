"""What simulated models say, and instances of schemas."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.errors import ConfigError
from rung.sim import scenario
from rung.sim.answers import Answers, Ask, Tool, embedding
from rung.sim.exchange import spread, words
from rung.sim.instance import instance
from rung.sim.prompt import Prompt, count


def ask(question="q", model="m", **more):
    return Ask(model, Prompt(), question, **more)


def answers(tmp_path, rows=(), truth=(), seed=0):
    told = {}
    for name, listed in (("file", rows), ("truth", truth)):
        if listed:
            (tmp_path / name).write_text("".join(f"{json.dumps(row)}\n" for row in listed))
            told[name] = str(tmp_path / name)
    return Answers(scenario.Answers(**told), seed)


def test_the_same_question_has_the_same_answer_under_a_seed(tmp_path):
    made = answers(tmp_path)
    assert made.say(ask(), "openai", None) == made.say(ask(stream=True), "groq", None)
    assert made.say(ask(), "openai", None) != made.say(ask("other"), "openai", None)
    assert made.say(ask(), "openai", None) != answers(tmp_path, seed=1).say(ask(), "openai", None)


def test_recorded_answers_come_first(tmp_path):
    rows = [
        {"sha256": hashlib.sha256(b"q").hexdigest(), "text": "by hash", "provider": "groq"},
        {"match": "^q$", "text": "by pattern", "reasoning": "because", "model": "m"},
        {"match": "tool", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
    ]
    made = answers(tmp_path, rows, [{"question": "q", "answer": "true"}])
    assert made.say(ask(), "groq", None).text == "by hash"
    assert made.say(ask(), "openai", None).text == "by pattern"
    assert made.say(ask(), "openai", None).reasoning == "because"
    assert made.say(ask(model="n"), "openai", None).text == "true"
    said = made.say(ask("use the tool"), "openai", None)
    assert (said.finish, said.tool_calls[0].arguments) == ("tool_calls", {"a": 1})


def test_the_truth_is_told_as_often_as_the_scenario_says(tmp_path):
    truth = [{"question": f"q{number}", "answer": "right"} for number in range(300)]
    made = answers(tmp_path, truth=truth)
    right = sum(made.say(ask(row["question"]), "openai", 0.7).text == "right" for row in truth)
    assert 180 < right < 240
    assert made.say(ask("q1"), "openai", None).text == "right"


def test_limits(tmp_path):
    made = answers(tmp_path, [{"match": ".", "text": "one two three four", "reasoning": "hm hm hm"}])
    assert made.say(ask(stop=("three", "two")), "x", None).text == "one "
    cut = made.say(ask(max_tokens=3), "x", None)
    assert (cut.reasoning, cut.text, cut.finish) == ("hm hm hm", "one ", "length")
    none = made.say(ask(max_tokens=1), "x", None)
    assert (none.reasoning, none.text, none.finish) == ("hm h", "", "length")


def test_forced_tools_json_and_schemas(tmp_path):
    made = answers(tmp_path)
    tools = (Tool("a", {}), Tool("b", {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}))
    assert made.say(ask(tools=tools, force="b"), "x", None).tool_calls[0].arguments == {"n": 1}
    assert made.say(ask(tools=tools, force=""), "x", None).tool_calls[0].name == "a"
    assert made.say(ask(tools=tools), "x", None).finish == "stop"
    assert json.loads(made.say(ask(json=True), "x", None).text)["answer"]
    assert json.loads(made.say(ask(schema={"enum": [7]}), "x", None).text) == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "file:1: not JSON"),
        ("[]", "file:1: each line must be a JSON object"),
        ('{"text": "x"}', 'either "match" or "sha256"'),
        ('{"match": "("}', "not a regular expression"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path, line, said):
    (tmp_path / "file").write_text(line)
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        Answers(scenario.Answers(file=str(tmp_path / "file")), 0)
    with pytest.raises(ConfigError, match="cannot be read"):
        Answers(scenario.Answers(file=str(tmp_path / "none")), 0)


SCHEMAS = [
    {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "array", "minItems": 2, "items": {"type": "null"}}},
    },
    {"anyOf": [{"type": "integer", "minimum": 5, "multipleOf": 3}, {"type": "string"}]},
    {"oneOf": [{"type": "boolean"}, {"type": "null"}]},
    {"allOf": [{"properties": {"a": {"const": 3}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"$ref": "#/$defs/x", "$defs": {"x": {"type": "string", "minLength": 12, "maxLength": 14}}},
    {"type": ["null", "number"], "exclusiveMinimum": 2, "exclusiveMaximum": 4},
    {"type": "number", "minimum": 0, "maximum": 0.5},
    {"type": "number", "maximum": -3},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2},
    {"type": "string", "format": "date"},
    {"required": ["x"]},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_an_instance_is_valid(schema):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(schema).validate(instance(schema))


def test_a_schema_that_refers_to_itself_ends():
    schema = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}
    assert "next" in instance(schema)


@given(st.text())
def test_pieces_give_the_text_back(text):
    pieces = words(text)
    assert "".join(pieces) == text
    assert sum(spread(pieces, count(text))) == (count(text) if text else 0)


def test_embeddings_are_near_for_shared_words():
    def dot(a, b):
        return sum(x * y for x, y in zip(embedding(a, 64), embedding(b, 64), strict=True))

    assert dot("red apple", "red apple") == pytest.approx(1)
    assert dot("red apple pie", "red apple tart") > dot("red apple pie", "blue whale song")
