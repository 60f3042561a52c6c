"""One answer, two shapes: checked by the official SDK's types and its own accumulator of streams."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from rung.answer import Usage
from rung.store.replay import REFUSED, all_ended, chunks, to_frames, to_whole, with_usage, without_rung

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}

calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": words,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": words, "arguments": words}),
        }
    ),
    min_size=1,
    max_size=3,
)
tokens = st.fixed_dictionaries(
    {"token": words, "bytes": st.none(), "logprob": st.floats(-9, 0), "top_logprobs": st.just([])}
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | st.just("") | words},
    optional={
        "refusal": words,
        "tool_calls": calls,
        "reasoning_content": words,
        "reasoning": words,
        "reasoning_details": st.just([{"index": 0, "type": "reasoning.text", "text": "x"}]),
        "mood": st.fixed_dictionaries({"deep": words}),
    },
)


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    """A ``chat.completion`` as providers send it."""
    choices = []
    for index in range(draw(st.integers(1, 3))):
        choice: dict[str, Any] = {
            "index": index,
            "message": draw(messages),
            "finish_reason": draw(st.sampled_from(["stop", "tool_calls", "length"])),
        }
        if draw(st.booleans()):
            choice["logprobs"] = draw(st.none() | st.fixed_dictionaries({"content": st.lists(tokens, max_size=3)}))
        if draw(st.booleans()):
            choice["stop_reason"] = draw(words)
        choices.append(choice)
    optional = {
        "system_fingerprint": words,
        "service_tier": st.just("default"),
        "provider": words,
        "usage": st.just(USAGE),
    }
    return {
        "id": draw(words),
        "object": "chat.completion",
        "created": draw(st.integers(1, 2**31)),
        "model": draw(words),
        "choices": choices,
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


def framed(*payloads: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)


def a_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def accumulated(frames: bytes) -> ChatCompletion:
    """What the SDK's own helper makes of the frames."""
    state = ChatCompletionStreamState()
    for chunk in chunks(frames):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return ChatCompletion.model_validate(state.current_completion_snapshot.model_dump())


@given(completions(), st.booleans())
def test_there_and_back(body: dict[str, Any], include_usage: bool) -> None:
    frames = to_frames(json.dumps(body).encode(), include_usage)
    back = json.loads(to_whole(frames))

    if not include_usage:
        body.pop("usage", None)
    assert back == body


@settings(max_examples=30)
@given(completions(), st.booleans())
def test_the_sdk_reads_the_same_answer_from_the_frames(body: dict[str, Any], include_usage: bool) -> None:
    frames = to_frames(json.dumps(body).encode(), include_usage)
    theirs = accumulated(frames)
    ours = ChatCompletion.model_validate_json(to_whole(frames))

    assert (theirs.usage is not None) is (include_usage and "usage" in body)
    for one, other, first in zip(theirs.choices, ours.choices, body["choices"], strict=True):
        assert one.finish_reason == other.finish_reason == first["finish_reason"]
        assert (one.message.content or "") == (other.message.content or "") == (first["message"]["content"] or "")
        assert one.message.refusal == other.message.refusal == first["message"].get("refusal")
        said = [(call.id, call.function.arguments) for call in one.message.tool_calls or ()]
        assert said == [(call.id, call.function.arguments) for call in other.message.tool_calls or ()]
        if first.get("logprobs"):
            assert one.logprobs == other.logprobs


@settings(max_examples=30)
@given(completions())
def test_usage_is_asked_for_or_not_in_both_directions(body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    with_it, without = to_frames(raw, True), to_frames(raw, False)

    assert with_usage(with_it, False) == without
    told = Usage(4, 1, 0, 2, 1)
    added = list(chunks(with_usage(without, True, told)))
    assert added[-1]["choices"] == []
    assert added[-1]["usage"]["total_tokens"] == 8
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in added[:-1])
    assert accumulated(with_usage(without, True, told)).usage is not None
    assert not any("usage" in chunk for chunk in chunks(with_usage(with_usage(without, True, told), False)))


@settings(max_examples=30)
@given(completions(), st.booleans())
def test_every_frame_is_a_chunk_of_the_sdk_and_there_is_no_terminator(
    body: dict[str, Any], include_usage: bool
) -> None:
    frames = to_frames(json.dumps(body).encode(), include_usage)

    assert b"[DONE]" not in frames.replace(json.dumps("[DONE]").encode(), b"")
    for chunk in chunks(frames):
        ChatCompletionChunk.model_validate(chunk, strict=False)
        assert chunk["object"] == "chat.completion.chunk"


def test_a_real_stream_with_reasoning_and_parallel_tool_calls() -> None:
    frames = framed(
        a_chunk({"role": "assistant", "content": None}, system_fingerprint="f", obfuscation="zz"),
        a_chunk({"reasoning_content": "let me "}),
        a_chunk({"reasoning_content": "see"}),
        a_chunk({"content": "ok"}),
        a_chunk(
            {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]}
        ),
        a_chunk(
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]}
        ),
        a_chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": "", "function": {"arguments": "}"}},
                    {"index": 1, "function": {"arguments": "[]"}},
                ]
            }
        ),
        a_chunk({}, "tool_calls"),
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE},
    )

    assert json.loads(to_whole(frames)) == {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "system_fingerprint": "f",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ok",
                    "reasoning_content": "let me see",
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": USAGE,
    }


def test_tool_calls_without_an_index_are_told_apart_by_id() -> None:
    def call(name: str, arguments: str) -> dict[str, Any]:
        return {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}

    frames = framed(a_chunk({"tool_calls": [call("f", "{}"), call("g", "[]")]}, "tool_calls"))

    assert json.loads(to_whole(frames))["choices"][0]["message"]["tool_calls"] == [call("f", "{}"), call("g", "[]")]


def test_usage_in_the_last_content_chunk_moves_to_a_chunk_of_its_own() -> None:
    frames = framed(a_chunk({"content": "x"}), a_chunk({}, "stop", usage=USAGE))

    told = list(chunks(with_usage(frames, True)))

    assert [chunk["usage"] for chunk in told] == [None, None, USAGE]
    assert json.loads(to_whole(frames))["usage"] == USAGE


def test_chunks_that_carry_something_else_stay() -> None:
    filtered = {"id": "", "object": "chat.completion.chunk", "choices": [], "prompt_filter_results": [1]}
    frames = framed(filtered, a_chunk({"content": "x"}, "stop"))

    assert next(chunks(with_usage(frames, False))) == filtered
    assert json.loads(to_whole(frames))["prompt_filter_results"] == [1]


def test_unknown_usage_is_not_invented() -> None:
    frames = framed(a_chunk({"content": "x"}, "stop"))

    assert "usage" not in json.loads(to_whole(frames))
    assert [chunk["usage"] for chunk in chunks(with_usage(frames, True))] == [None]


def test_what_the_first_delivery_said_about_itself_is_not_replayed() -> None:
    frames = framed(a_chunk({"content": "x"}), a_chunk({}, "stop", rung={"cost": 1}))
    whole = json.dumps({**json.loads(to_whole(frames)), "rung": {"cost": 1}}).encode()

    for replayed in (to_whole(frames), with_usage(frames, False), to_frames(whole, False), without_rung(whole)):
        assert b'"rung"' not in replayed


def test_other_spellings_of_an_event_stream() -> None:
    frames = b': hi\r\ndata:{"id":"c",\r\ndata: "choices":[{"index":0,"delta":{"content":"x"}}]}\r\n\r\n'
    frames += b"event: y\ndata: [DONE]\n\n"

    assert json.loads(to_whole(frames))["choices"][0]["message"]["content"] == "x"


def test_a_long_answer_is_put_together_in_linear_time() -> None:
    """Forty thousand deltas; a quadratic join would copy more than a gigabyte."""
    frames = framed(a_chunk({"content": "0123456789"})) * 40_000

    assert json.loads(to_whole(frames))["choices"][0]["message"]["content"] == "0123456789" * 40_000


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[1]}', b"data: x\n\n", b"data: 1\n\n"]
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    for convert in (lambda: to_whole(data), lambda: to_frames(data, True), lambda: with_usage(data, True)):
        with pytest.raises(REFUSED):
            convert()


def test_how_every_choice_ended() -> None:
    frames = framed(a_chunk({"content": "x"}), a_chunk({}, "stop"))
    cut = framed({"choices": [{"index": 1, "delta": {"content": "y"}}]})

    assert all_ended(frames, ("stop",), whole=False)
    assert not all_ended(frames + cut, ("stop",), whole=False)
    assert not all_ended(frames, ("length",), whole=False)
    assert all_ended(to_whole(frames), ("stop",), whole=True)
    assert not all_ended(b'{"choices":[]}', ("stop",), whole=True)
