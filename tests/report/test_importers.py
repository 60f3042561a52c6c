from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from rung.errors import TrafficError
from rung.report.importers import Recorded, read_traffic

ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
ANSWER = {"created": 1_760_000_000, "choices": [{"message": {"role": "assistant", "content": "hello"}}],
          "usage": {"prompt_tokens": 8, "completion_tokens": 2}}  # fmt: skip


def lines(tmp_path: Path, *told: object, name: str = "traffic.jsonl") -> list[Recorded]:
    path = tmp_path / name
    path.write_bytes(b"\n".join(orjson.dumps(one) for one in told) + b"\n\n")
    return list(read_traffic(path))


def test_plain_requests_and_batch_lines(tmp_path: Path) -> None:
    batch = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": ASKED}
    first, second = lines(tmp_path, ASKED, batch)
    assert first.body == second.body == ASKED
    assert first.answer is None


def test_litellms_log(tmp_path: Path) -> None:
    (told,) = lines(
        tmp_path,
        {
            "call_type": "acompletion", "model": "groq/llama", "messages": ASKED["messages"],
            "model_parameters": {"temperature": 0}, "response": ANSWER, "response_cost": 0.000123,
            "startTime": 1_760_000_000.5, "endTime": 1_760_000_001.0, "prompt_tokens": 8, "completion_tokens": 2,
            "metadata": {"user_api_key_hash": "secret"},
        },
    )  # fmt: skip
    assert told == Recorded(
        {"model": "groq/llama", "messages": ASKED["messages"], "temperature": 0},
        at=1_760_000_000.5, ms=500.0, cost=123_000_000, answer="hello", input_tokens=8, output_tokens=2,
    )  # fmt: skip


def test_request_and_response_also_as_text(tmp_path: Path) -> None:
    first, second, third = lines(
        tmp_path,
        {"request": ASKED, "response": ANSWER, "latency_ms": 420},
        {"reqPayload": orjson.dumps(ASKED).decode(), "respPayload": "not json", "requestedAt": 1_760_000_000_000},
        {"prompt": "hi", "answer": "hello"},
    )
    assert (first.answer, first.ms, first.at, first.input_tokens) == ("hello", 420.0, 1_760_000_000, 8)
    assert (second.body, second.answer, second.at) == (ASKED, None, 1_760_000_000.0)
    assert third.body["messages"][0]["content"] == "hi"


def test_a_har_without_its_headers(tmp_path: Path) -> None:
    entry = {
        "startedDateTime": "2026-11-22T10:00:00.000Z",
        "time": 250.5,
        "request": {
            "url": "https://api.example/v1/chat/completions",
            "headers": [{"name": "authorization", "value": "Bearer secret"}],
            "postData": {"text": orjson.dumps(ASKED).decode()},
        },
        "response": {"content": {"text": orjson.dumps(ANSWER).decode()}},
    }
    other = {"request": {"url": "https://example/style.css"}}
    path = tmp_path / "session.har"
    path.write_bytes(orjson.dumps({"log": {"entries": [other, entry]}}))
    (told,) = read_traffic(path)
    assert told.body == ASKED
    assert (told.answer, told.ms, told.at) == ("hello", 250.5, 1795341600.0)
    assert "secret" not in repr(told)


def test_a_folder_of_prompts_and_a_list(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("second\n")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "c.json").write_bytes(orjson.dumps([ASKED, ASKED]))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    told = [one.body["messages"][0]["content"] for one in read_traffic(tmp_path)]
    assert told == ["first", "second", "hi", "hi"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"messages": []}\n', "line 1: no messages"),
        (orjson.dumps(ASKED) + b"\n{broken\n", "line 2 is no JSON"),
        (b"17\n", "line 1 is no object"),
        (b'[{"messages": "hi"}]', "item 1: no messages"),
        (b"[1", "is no JSON"),
    ],
)
def test_what_is_no_traffic_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(TrafficError, match=message):
        list(read_traffic(path))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="no file or folder"):
        list(read_traffic(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrafficError, match="holds no prompts"):
        list(read_traffic(tmp_path / "empty"))
    (tmp_path / "x.har").write_bytes(b'{"log": {"entries": []}}')
    with pytest.raises(TrafficError, match="no request"):
        list(read_traffic(tmp_path / "x.har"))
    (tmp_path / "y.har").write_bytes(b"[]")
    with pytest.raises(TrafficError, match="no HAR"):
        list(read_traffic(tmp_path / "y.har"))
    (tmp_path / "z.txt").write_text(" \n")
    with pytest.raises(TrafficError, match="is empty"):
        list(read_traffic(tmp_path / "z.txt"))
