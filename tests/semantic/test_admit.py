"""What may be compared by meaning at all."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("numpy")

from rung.semantic.admit import LONGEST, Question, keep_for, question, storable, volatile


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": list(messages), **more}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def asked(*messages: dict[str, Any], **more: Any) -> Question:
    found = question(body(*messages, **more))
    assert isinstance(found, Question), found
    return found


def test_only_the_last_message_is_compared_by_meaning() -> None:
    one, other = asked(user("Why?")), asked(user("How?"))
    assert one.prompt == "Why?"
    assert one.frame == other.frame


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.5},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"user": "somebody"},
        {"model": "fast"},
    ],
)
def test_everything_else_must_be_equal(changed: dict[str, Any]) -> None:
    assert asked(user("Why?")).frame != asked(user("Why?"), **changed).frame


def test_earlier_turns_and_the_system_prompt_must_be_equal() -> None:
    alone = asked(user("Why?")).frame
    assert alone != asked({"role": "system", "content": "Be brief"}, user("Why?")).frame
    assert alone != asked(user("Hello"), {"role": "assistant", "content": "Hi"}, user("Why?")).frame


def test_how_the_answer_is_delivered_does_not_matter() -> None:
    assert asked(user("Why?"), stream=True, stream_options={"include_usage": True}).frame == asked(user("Why?")).frame


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"model": "auto"}, "no_messages"),
        (body({"role": "assistant", "content": "Hi"}), "not_user"),
        (body({"role": "assistant", "tool_calls": [{}]}, user("And?")), "tool_turn"),
        (body({"role": "tool", "content": "1"}, user("And?")), "tool_turn"),
        (body(user("Go"), tool_choice="required"), "tool_turn"),
        (body(user([{"type": "image_url"}])), "not_text"),
        (body(user("  ")), "empty"),
        (body(user("x" * (LONGEST + 1))), "too_long"),
        (body(user("Go"), n=2), "many"),
        (body(user("Go"), logprobs=True), "logprobs"),
    ],
)
def test_what_is_no_question_is_told_why(given: dict[str, Any], why: str) -> None:
    assert question(given) == why


def test_text_parts_are_text() -> None:
    assert asked(user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])).prompt == "a\nb"


@pytest.mark.parametrize(
    "prompt", ["What's the weather?", "Where is my order?", "the latest news", "Quelle heure est-il ?"]
)
def test_what_depends_on_time_or_state_is_kept_shortly(prompt: str) -> None:
    assert volatile(prompt)
    assert keep_for(prompt, 3600, 60) == 60
    assert keep_for(prompt, 3600, 0) == 0


def test_the_rest_is_kept_as_long_as_configured() -> None:
    assert keep_for("Why is the sky blue?", 3600, 60) == 3600


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("stop", True, False, 10, 100), ""),
        (("stop", False, False, 10, 100), "cut"),
        (("length", True, False, 10, 100), "finish_reason"),
        ((None, True, False, 10, 100), "finish_reason"),
        (("stop", True, True, 10, 100), "tool_calls"),
        (("stop", True, False, 101, 100), "too_large"),
    ],
)
def test_only_whole_answers_are_stored(given: tuple[str | None, bool, bool, int, int], why: str) -> None:
    assert storable(*given) == why
