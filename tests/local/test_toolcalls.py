"""A text is a tool call only if it is nothing but tool calls that suit the tools."""

import orjson
import pytest

from rung.local.toolcalls import read_tool_calls

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}
CALL = '{"name": "get_weather", "arguments": {"city": "Paris", "unit": "C"}}'
MAIL = '{"name": "send_mail", "arguments": {}}'


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"[{CALL}]",
        f" {CALL}\n",
    ],
)
def test_every_way_a_model_writes_one(text):
    (call,) = read_tool_calls(text, [WEATHER, TIME])
    assert call["name"] == "get_weather"
    assert orjson.loads(call["arguments"]) == {"city": "Paris", "unit": "C"}


def test_several_calls():
    text = f'<tool_call>{CALL}</tool_call>\n<tool_call>{{"name": "get_time"}}</tool_call>'
    assert [call["name"] for call in read_tool_calls(text, [WEATHER, TIME])] == ["get_weather", "get_time"]


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny.",
        f"Sure! ```json\n{CALL}\n```",
        f"```json\n{CALL}\n``` I hope that helps",
        MAIL,
        '{"name": "get_weather", "arguments": {}}',
        '{"name": "get_weather", "arguments": {"city": 5}}',
        '{"name": "get_weather", "arguments": {"city": "Paris", "unit": "K"}}',
        '{"name": "get_weather", "arguments": {"city": "Paris", "mood": 1}}',
        '{"name": "get_weather", "arguments": "Paris"}',
        '{"city": "Paris"}',
        "[]",
        "42",
        "",
    ],
)
def test_what_is_no_tool_call_stays_a_text(text):
    assert read_tool_calls(text, [WEATHER, TIME]) is None
