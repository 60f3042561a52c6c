"""Stored answers: bounded in bytes and time, least recently used out first."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import Clock, an_entry

from rung.answer import Usage
from rung.completion import whole
from rung.store.exact import ExactCache
from rung.store.stored import ENTRY_OVERHEAD, SHAPES, Stored, shape_of

KIB = 1024


def test_what_is_put_is_found_until_it_is_too_old() -> None:
    clock = Clock()
    cache = ExactCache(ttl=60, clock=clock)
    assert cache.put(b"k", an_entry())

    clock.now += 59.9
    assert cache.get(b"k") is not None
    clock.now += 0.1
    assert cache.get(b"k") is None
    stats = cache.stats()
    assert (stats.entries, stats.bytes, stats.hits, stats.misses, stats.expired) == (0, 0, 1, 1, 1)


def test_the_least_recently_used_goes_first() -> None:
    size = an_entry(KIB).size
    cache = ExactCache(max_bytes=3 * size)
    for key in (b"a", b"b", b"c"):
        cache.put(key, an_entry(KIB))
    cache.get(b"a")

    cache.put(b"d", an_entry(KIB))

    assert [key for key in (b"a", b"b", b"c", b"d") if cache.get(key)] == [b"a", b"c", b"d"]
    assert cache.stats().evicted == 1


def test_an_entry_over_the_limit_is_not_kept() -> None:
    cache = ExactCache(max_entry_bytes=ENTRY_OVERHEAD + 10)

    assert cache.put(b"k", an_entry(10))
    assert not cache.put(b"l", an_entry(11))
    assert cache.stats().too_large == 1
    assert not ExactCache(max_bytes=0).put(b"k", an_entry(0))


def test_a_tenant_is_purged_and_the_others_stay() -> None:
    cache = ExactCache()
    cache.put(b"a", an_entry(tenant="one"))
    cache.put(b"b", an_entry(tenant="two"))

    assert cache.purge("one") == 1
    assert cache.get(b"a") is None
    assert cache.get(b"b") is not None
    assert cache.purge() == 1
    assert (cache.stats().entries, cache.stats().bytes) == (0, 0)


def test_a_conversion_counts_and_is_kept_only_if_it_fits() -> None:
    body = whole("x" * 100, model="m", request_id="r")
    entry = Stored(body, "whole", "m", "cloud")
    frames = entry.converted("stream")
    cache = ExactCache(max_entry_bytes=entry.size + len(frames))
    cache.put(b"k", entry)
    before = cache.stats().bytes

    cache.remember(b"k", entry, "stream", frames)
    cache.remember(b"k", entry, "stream+usage", entry.converted("stream+usage"))
    cache.remember(b"other", entry, "stream", frames)

    assert cache.stats().bytes == before + len(frames)
    assert [shape for shape in SHAPES if entry.replay(shape) is not None] == ["whole", "stream"]
    cache.remove(b"k")
    assert cache.stats().bytes == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "get", "remove", "purge", "wait", "remember"]),
            st.integers(0, 5),
            st.integers(0, 400),
        ),
        max_size=60,
    )
)
def test_the_bytes_counted_are_the_bytes_held(steps: list[tuple[str, int, int]]) -> None:
    clock = Clock()
    limit = 4 * ENTRY_OVERHEAD
    cache = ExactCache(max_bytes=limit, ttl=1000, max_entry_bytes=ENTRY_OVERHEAD + 300, clock=clock)
    for step, number, size in steps:
        key = bytes([number])
        if step == "put":
            cache.put(key, an_entry(size, tenant=str(number % 2)))
        elif step == "get":
            cache.get(key)
        elif step == "remove":
            cache.remove(key)
        elif step == "purge":
            cache.purge(str(number % 2))
        elif step == "wait":
            clock.now += size
        elif (entry := cache.entries.get(key)) is not None and entry.replay("stream") is None:
            cache.remember(key, entry, "stream", b"y" * size)
        held = sum(entry.size for entry in cache.entries.values())
        assert cache.stats().bytes == held <= limit


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        ({"stream": False, "include_usage": False}, "whole"),
        ({"stream": False, "include_usage": True}, "whole"),
        ({"stream": True, "include_usage": False}, "stream"),
        ({"stream": True, "include_usage": True}, "stream+usage"),
    ],
)
def test_shapes(asked: dict[str, Any], shape: str) -> None:
    assert shape_of(**asked) == shape
    assert shape in SHAPES


@pytest.mark.parametrize("first", SHAPES)
@pytest.mark.parametrize("asked", SHAPES)
def test_every_shape_of_every_shape(first: str, asked: str) -> None:
    body = Stored(whole("hi", model="m", request_id="r", usage=Usage(3, 0, 0, 2)), "whole", "m", "cloud")
    data = body.data if first == "whole" else body.converted(first)

    again = Stored(data, first, "m", "cloud", usage=Usage(3, 0, 0, 2))
    replay = again.replay(asked) or again.converted(asked)

    assert replay == (body.data if asked == "whole" else body.converted(asked)) or asked == "whole"
    assert b"hi" in replay
    assert (b'"prompt_tokens":3' in replay) is (asked != "stream")


def test_the_shape_it_came_in_is_served_untouched_but_for_the_rung_member() -> None:
    plain = b'{"choices": [ {"message":{"content":"the \\"rung\\": key"}} ]}'
    told = b'{"choices":[{"message":{"content":"x"}}],"rung":{"cost":1}}'

    assert Stored(plain, "whole", "m", "cloud").replay("whole") is plain
    entry = Stored(told, "whole", "m", "cloud")
    assert entry.replay("whole") is None
    assert entry.converted("whole") == b'{"choices":[{"message":{"content":"x"}}]}'
