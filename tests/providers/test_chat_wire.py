"""What is learnt from a chunk: most are told apart at once, and nothing else is taken for one of those."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.errors import Fault
from rung.providers.chat_wire import WORDS, Said, read_chunk
from rung.providers.chunks import Chunks


def chunk(delta: Any, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": members.pop("finish_reason", None)}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], **members}).encode()


@pytest.mark.parametrize(
    "payload",
    [
        chunk({"content": " word"}),
        chunk({"content": "word", "tool_calls": None, "refusal": None}, usage=None),
        chunk({"role": "assistant", "content": "word"}),
    ],
)
def test_words_are_told_apart(payload: bytes) -> None:
    assert read_chunk(payload, "p") is WORDS


def test_words_are_what_the_long_way_finds() -> None:
    two = json.loads(chunk({"content": "a"}))
    two["choices"].append({**two["choices"][0], "index": 1})
    said = read_chunk(json.dumps(two).encode(), "p")
    assert said is not WORDS
    assert (said.content, said.answer, said.blank, said.tool_calls) == (True, True, False, False)
    assert (WORDS.content, WORDS.answer, WORDS.blank, WORDS.tool_calls) == (True, True, False, False)
    assert (WORDS.finish_reason, WORDS.usage) == (None, None)


@pytest.mark.parametrize(
    ("payload", "content", "answer", "blank", "tool_calls", "finish"),
    [
        (chunk({"role": "assistant", "content": ""}), False, False, True, False, None),
        (chunk({"content": " \n"}), True, True, True, False, None),
        (chunk({"content": "end"}, finish_reason="length"), True, True, False, False, "length"),
        (chunk({"content": "x", "tool_calls": [{"index": 0}]}), True, True, False, True, None),
        (chunk({"content": "x", "function_call": {"name": "f"}}), True, True, False, True, None),
        (chunk({"refusal": "no"}), True, True, False, False, None),
        (chunk({"reasoning_content": "hm"}), True, False, True, False, None),
        (chunk({"content": [{"type": "text"}]}), True, True, False, False, None),
        (chunk({}, finish_reason="stop"), False, False, True, False, "stop"),
    ],
)
def test_anything_else_is_read_in_full(
    payload: bytes, content: bool, answer: bool, blank: bool, tool_calls: bool, finish: str | None
) -> None:
    assert read_chunk(payload, "p") == Said(True, content, answer, blank, tool_calls, finish, None, "m")


def test_words_with_usage_keep_it() -> None:
    said = read_chunk(chunk({"content": "x"}, usage={"prompt_tokens": 3}), "p")
    assert said.usage is not None
    assert said.usage.prompt_tokens == 3


@pytest.mark.parametrize("error", ["", "overloaded", {"message": "overloaded"}])
def test_words_do_not_hide_an_error(error: Any) -> None:
    with pytest.raises(Fault, match="reported an error"):
        read_chunk(chunk({"content": "x"}, error=error), "p")
    with pytest.raises(Fault, match="reported an error"):
        read_chunk(chunk({"content": "x"}, x_groq={"error": "overloaded"}), "p")


LATER = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            "",
            " ",
            "\\",
            '"',
            "a\\",
            '","role":"x',
            '"},"finish_reason":"stop"}],"x":[{"delta":{"content":"',
            "é",
            "\x07",
            "\u2028",
        ]
    ),
)


@given(first=st.sampled_from(["one", " two", "3"]), later=st.lists(LATER, max_size=4), encode=st.booleans())
def test_a_chunk_is_the_same_whatever_came_before_it(first: str, later: list[str], encode: bool) -> None:
    chunks = Chunks("p")

    for text in (first, *later):
        # written by a program, or by one that forgets to escape
        told = chunk({"content": text}) if encode else chunk({"content": "@"}).replace(b"@", text.encode())
        for payload in (told.replace(b'": "', b'":"'), told):
            try:
                alone = read_chunk(payload, "p")
            except Fault:
                with pytest.raises(Fault):
                    chunks.read(payload)
            else:
                assert chunks.read(payload) == alone
                assert (chunks.read(payload) is WORDS) is (alone is WORDS)
