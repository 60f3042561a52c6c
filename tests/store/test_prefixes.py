"""Hit rates, money, and the first byte in which two prompts differ."""

from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.answer import Usage
from rung.providers.prefix import read_prefix
from rung.store.prefixes import PrefixBook, compare, mask
from rung.testing import make_call

RATES = SimpleNamespace(input=100, cache_read=10, cache_write=125)
TEXT = "The secret rules of the house are these. " * 120


def asked(messages, **body):
    call = make_call(body={"messages": messages, **body})
    call.prefix = read_prefix(call)
    assert call.prefix is not None
    return call


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


@pytest.fixture
def book():
    """-> book.record(call, read), book.told(), book.time (a list of one: seconds)"""
    time = [1000.0]
    kept = PrefixBook(clock=lambda: time[0], max_bytes=100_000)

    def record(call, read, *, prompt=2000, written=0, rates=RATES, model="openai:m"):
        usage = Usage(prompt - read - written, read, written, 50)
        kept.record(call, model, usage, life=300.0, min_tokens=1024, rates=rates)

    return SimpleNamespace(record=record, told=kept.told, time=time, kept=kept)


def only_miss(book):
    (miss,) = book.told()["misses"]
    return miss


def test_sums_of_a_model_and_of_its_prefixes(book):
    book.record(asked([system(TEXT), user("one")]), 0, written=1900)
    book.record(asked([system(TEXT), user("two")]), 1900)
    (model,) = book.told()["models"]
    assert (model["model"], model["calls"], model["input_tokens"]) == ("openai:m", 2, 4000)
    assert model["hit_rate"] == 1900 / 4000
    assert model["saved"] == 1900 * 90 - 1900 * 25
    assert model["lost"] == 0
    (prefix,) = model["prefixes"]
    assert prefix["calls"] == 2
    assert book.told()["misses"] == []


def test_the_first_call_of_a_prefix_is_no_miss(book):
    book.record(asked([system(TEXT), user("one")]), 0)
    book.record(asked([system("Another app entirely, " * 300), user("one")]), 0)
    assert book.told()["misses"] == []


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("It is 2026-11-22T13:01:44Z. ", "It is 2026-11-22T13:02:07Z. ", "timestamp"),
        ("Id 7d9f1c2e-33aa-4c1f-9a55-0123456789ab. ", "Id 7d9f1c2e-44bb-4c1f-9a55-0123456789ab. ", "identifier"),
        ("You have 12 credits. ", "You have 13 credits. ", "number"),
        ("You serve Alice. ", "You serve Robert. ", "text"),
    ],
)
def test_what_changed_in_the_instructions_is_found_and_masked(book, before, after, reason):
    book.record(asked([system(before + TEXT), user("one")]), 0)
    book.record(asked([system(after + TEXT), user("two")]), 0)
    miss = only_miss(book)
    text = orjson.dumps(system(before + TEXT))
    first = next(n for n, (a, b) in enumerate(zip(text, orjson.dumps(system(after + TEXT)), strict=False)) if a != b)
    assert (miss["reason"], miss["part"], miss["byte"]) == (reason, "messages[0] (system)", first)
    assert miss["lost"] == miss["expected_tokens"] * 90
    assert miss["expected_tokens"] > 1900
    assert "Alice" not in str(book.told())
    assert "secret" not in str(book.told())


def test_an_edited_history_is_found_within_a_session(book):
    turns = [system(TEXT), user("one " * 200), {"role": "assistant", "content": "1"}, user("two")]
    book.record(asked(turns), 0)
    edited = [system(TEXT), user("one " * 200), {"role": "assistant", "content": "2"}, user("two"), user("three")]
    book.record(asked(edited), 0)
    miss = only_miss(book)
    assert (miss["reason"], miss["part"]) == ("number", "messages[2] (assistant)")


def tool(name):
    return {"type": "function", "function": {"name": name, "description": TEXT}}


@pytest.mark.parametrize(
    ("tools", "reason", "part"),
    [
        ([tool("b"), tool("a")], "tools_reordered", "tools[0]"),
        ([tool("a"), tool("c")], "tools_changed", "tools[1]"),
        ([tool("a")], "tools_changed", "tools[1]"),
    ],
)
def test_tools_that_moved_or_changed(book, tools, reason, part):
    book.record(asked([user("one")], tools=[tool("a"), tool("b")]), 0)
    book.record(asked([user("one")], tools=tools), 0)
    miss = only_miss(book)
    assert (miss["reason"], miss["part"]) == (reason, part)


def test_another_programs_tools_are_no_miss(book):
    book.record(asked([user("one")], tools=[tool("a"), tool("b"), tool("c")]), 0)
    book.record(asked([user("one")], tools=[tool("a"), tool("x"), tool("y")]), 0)
    assert book.told()["misses"] == []


def test_a_changed_parameter_is_named(book):
    book.record(asked([system(TEXT), user("one")], reasoning_effort="low"), 0)
    book.record(asked([system(TEXT), user("one"), user("two")], tool_choice="none", reasoning_effort="low"), 0)
    miss = only_miss(book)
    assert (miss["reason"], miss["part"]) == ("parameter", "tool_choice")


@pytest.mark.parametrize(("passed", "reason"), [(10.0, "not_found"), (301.0, "expired"), (-1.0, "parallel")])
def test_the_same_prompt_that_was_not_read(book, passed, reason):
    book.record(asked([system(TEXT), user("one")]), 0)
    book.time[0] += passed
    book.record(asked([system(TEXT), user("two")]), 0)
    assert only_miss(book)["reason"] == reason


def test_short_prompts_and_unknown_prices_lose_nothing_known(book):
    book.record(asked([system(TEXT), user("one")]), 0, rates=None)
    book.record(asked([system(TEXT), user("two")]), 0, prompt=1000)
    assert book.told()["misses"] == []
    book.record(asked([system(TEXT), user("two")]), 0, rates=None)
    assert only_miss(book)["lost"] is None
    assert book.told()["models"][0]["unpriced"] == 2


def test_tenants_are_not_compared(book):
    book.record(asked([system("It is 13:01. " + TEXT), user("one")]), 0)
    call = make_call(body={"messages": [system("It is 13:02. " + TEXT), user("one")]}, tenant="other")
    call.prefix = read_prefix(call)
    book.record(call, 0)
    assert book.told()["misses"] == []


def test_no_store_leaves_no_prompt_behind(book):
    call = asked([system(TEXT), user("one")])
    call.no_store = True
    book.record(call, 0)
    book.record(asked([system(TEXT), user("two")]), 0)
    assert book.told()["misses"] == []
    assert book.told()["models"][0]["calls"] == 2


def test_memory_is_bounded(book):
    for number in range(60):
        book.record(asked([system(f"{number} {TEXT}"), user("one")]), 0)
    assert book.kept._bytes <= 100_000
    assert book.kept._bytes == sum(len(one.raw) for one in book.kept._kept.values())
    assert len(book.told()["misses"]) <= 50


def test_comparisons_are_limited(book):
    for number in range(50):
        book.record(asked([system(f"It is 13:{number:02}. {TEXT}"), user("one")]), 0)
    assert book.told()["reasons"]["not_compared"] > 20


@given(st.text(max_size=60))
def test_a_mask_keeps_the_structure_and_no_word(text):
    masked = mask(text)
    assert len(masked) == len(text)
    assert masked.isascii()
    assert all(one in "x9" or not one.isalnum() for one in masked)
    assert all(a == b for a, b in zip(text, masked, strict=True) if a.isascii() and not a.isalnum())


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_the_first_difference_is_the_first(one, other):
    bodies = [{"messages": [user(TEXT), {"role": "assistant", "content": text}]} for text in (one, other)]
    found = compare(*map(orjson.dumps, bodies))
    if one == other:
        assert found is None
        return
    a, b = (orjson.dumps(body["messages"][1]) for body in bodies)
    assert a[: found[2]] == b[: found[2]]
    assert a[found[2] : found[2] + 1] != b[found[2] : found[2] + 1]
