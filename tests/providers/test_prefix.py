"""The prefix plan: boundaries, sessions, break-points, break-even."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.call import Call, Prefix
from rung.providers.prefix import (
    NO_CACHE,
    SHORT,
    cache_key,
    cache_rule,
    contents_pay,
    mark_blocks,
    mark_parts,
    read_prefix,
    with_key,
)
from rung.providers.prices import Rates

SYSTEM = {"role": "system", "content": "rule " * 1000}


def call(messages, **told):
    fields = {name: told.pop(name) for name in ("tenant", "session", "private", "model", "mode") if name in told}
    body = {"model": "auto", "messages": messages, **told}
    return Call(body=body, raw=orjson.dumps(body), **{"model": "auto", **fields})


def user(text):
    return {"role": "user", "content": text}


def test_a_conversation_that_grows_shares_what_it_was():
    history = [SYSTEM, user("one")]
    first = read_prefix(call(history))
    second = read_prefix(call([*history, {"role": "assistant", "content": "1"}, user("two")]))
    assert second.common(first.ends) == len(first.sizes) == 4
    assert second.sizes[3] == first.sizes[3]
    assert second.session == first.session
    assert first.shared == 3
    assert first.head == second.head


def test_another_question_shares_the_instructions_and_not_the_session():
    first, second = (read_prefix(call([SYSTEM, user(text)])) for text in ("one", "two"))
    assert second.common(first.ends) == 3
    assert first.head == second.head
    assert first.session != second.session


@pytest.mark.parametrize(
    ("changed", "common"),
    [({"tool_choice": "none"}, 0), ({"tools": [{"type": "function"}]}, 1), ({"tenant": "other"}, 0)],
)
def test_what_separates_caches_separates_prefixes(changed, common):
    told = call([SYSTEM, user("one")], **changed)
    assert read_prefix(told).common(read_prefix(call([SYSTEM, user("one")])).ends) == common


@pytest.mark.parametrize("changed", [{"session": "s"}, {"tenant": "other"}, {"model": "fast"}, {"mode": "fast"}])
def test_a_session_belongs_to_a_tenant_and_to_what_it_asks_for(changed):
    assert (
        read_prefix(call([SYSTEM, user("one")], **changed)).session != read_prefix(call([SYSTEM, user("one")])).session
    )


def test_a_named_session_is_one_whatever_it_says():
    first, second = (read_prefix(call([SYSTEM, user(text)], session="s")) for text in ("one", "two"))
    assert first.session == second.session


def test_short_and_private_calls_have_none():
    assert read_prefix(call([user("x" * (SHORT - 100))])) is None
    assert read_prefix(call([SYSTEM, user("one")], private=True)) is None
    assert read_prefix(call([SYSTEM, user("one")])) is not None


@given(
    st.lists(st.binary(min_size=1, max_size=3), max_size=12),
    st.lists(st.binary(min_size=1, max_size=3), max_size=12),
)
def test_common_is_the_common_beginning(one, other):
    def prefix(parts):
        told = call([{"role": "user", "content": part.hex()} for part in [b"", *parts]], pad="x" * SHORT)
        return read_prefix(told)

    same = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(map(len, (one, other)))
    )
    assert prefix(one).common(prefix(other).ends) == same + 3


def test_rules_come_from_data():
    assert cache_rule("openai:gpt-4o").marks == ""
    assert cache_rule("openai:gpt-6-luna").marks == "parts"
    assert cache_rule("anthropic:claude-sonnet-5-5").marks == "blocks"
    assert cache_rule("gemini:gemini-4-argon").contents is False
    assert cache_rule("vllm:anything") is NO_CACHE


def blocks(count):
    return {
        "tools": [{"name": "a"}, {"name": "b"}],
        "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": str(n)}]} for n in range(count)],
    }


def marked(body):
    return [n for n, message in enumerate(body["messages"]) if "cache_control" in message["content"][0]]


@pytest.mark.parametrize(
    ("count", "places"), [(1, [0]), (15, [14]), (16, [0, 15]), (18, [2, 17]), (31, [15, 30]), (47, [31, 46])]
)
def test_break_points_stand_at_the_end_and_before_it(count, places):
    body = blocks(count)
    assert mark_blocks(body, grows=True)
    assert marked(body) == places  # tools and instructions have the other two
    assert "cache_control" in body["tools"][1]
    assert "cache_control" not in body["tools"][0]
    assert "cache_control" in body["system"][0]


@given(st.integers(1, 200), st.integers(1, 30), st.booleans())
def test_the_next_request_finds_what_this_one_wrote(count, more, bare):
    """Anthropic compares 20 blocks before each mark; a turn may add more than that."""
    before, after = blocks(count), blocks(count + more)
    if bare:
        del before["tools"], after["tools"], before["system"], after["system"]
    assert mark_blocks(before, grows=True)
    assert mark_blocks(after, grows=True)
    marks = sum("cache_control" in one for one in [*after.get("tools", ()), *after.get("system", ())])
    assert marks + len(marked(after)) <= 4
    wrote = marked(before)
    assert any(at - 20 < place <= at for at in marked(after) for place in wrote)


def test_a_single_question_marks_only_what_is_shared():
    body = blocks(3)
    assert mark_blocks(body, grows=False)
    assert marked(body) == []
    assert not mark_blocks({"messages": blocks(1)["messages"]}, grows=False)


def test_thinking_takes_no_mark():
    body = {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "thinking"}]}]}
    assert mark_blocks(body, grows=True)
    assert "cache_control" in body["messages"][0]["content"][0]


def test_parts_are_marked_and_every_other_byte_stays():
    text = b'[ {"type":"text", "text":"\\u00e9 \\"]}" } , {"text":"last","type":"text"} ]'
    raw = b'{"temperature": 1.50, "messages": [{"role":"system","content": %b},\n {"content":%b ,"role":"user"}]}' % (
        text,
        text,
    )
    body = orjson.loads(raw)
    made = mark_parts(raw, body, 1)
    mark = b',"prompt_cache_breakpoint":{"mode":"explicit"}'
    assert made.count(mark) == 2
    assert made.replace(mark, b"") == raw
    told = orjson.loads(made)["messages"]
    assert ["prompt_cache_breakpoint" in part for message in told for part in message["content"]] == [False, True] * 2


def test_plain_texts_are_left_to_the_automatic_cache():
    body = {"messages": [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    assert mark_parts(orjson.dumps(body), body, 1) is None


def test_a_key_is_for_the_prefix_and_not_for_the_user():
    calls = [call([SYSTEM, user(text)]) for text in ("one", "two")]
    for one in calls:
        one.prefix = read_prefix(one)
    keys = {cache_key(one) for one in calls}
    assert len(keys) == 1
    key = keys.pop()
    assert with_key(calls[0].raw, key) == calls[0].raw[:-1] + b',"prompt_cache_key":"%b"}' % key.encode()
    own = call([SYSTEM, user("one")], prompt_cache_key="mine")
    own.prefix = read_prefix(own)
    assert cache_key(own) is None


def test_break_even_is_where_the_documentation_has_it():
    """Gemini 3.8 Flash: 0.75 in, 0.075 read, 0.50 a 1M tokens and hour; what is kept pays from 0.75 reads an hour."""
    kept = Rates(0, 75_000 - 750_000, 0, 0, 0)
    assert contents_pay(kept, 500_000, 5000, 0.75, 0.0, 1.0)
    assert not contents_pay(kept, 500_000, 5000, 0.73, 0.0, 1.0)
    new = Rates(750_000, 75_000, 750_000, 0, 0)
    assert contents_pay(new, 500_000, 5000, 2.0, 0.0, 1.0)
    assert not contents_pay(new, 500_000, 5000, 1.8, 0.0, 1.0)
    assert not contents_pay(new, 500_000, 5000, 2.0, 0.8, 1.0)
    assert not contents_pay(new, 500_000, 0, 99.0, 0.0, 1.0)


def test_prefix_of_nothing_has_nothing_in_common():
    assert Prefix(b"", b"", [], 0).common(b"x" * 8) == 0
