"""The unit rules of the prompt caches."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.sim import Clock
from rung.sim.cachemodel import CacheModel, Hit
from rung.sim.prompt import Prompt, count
from rung.sim.scenario import CacheRule

BLOCKS = CacheRule(rule="blocks", min_tokens=256, block=128, ttl=100)
UNITS = CacheRule(rule="units", block=64, ttl=100)
ENDS = CacheRule(rule="breakpoints", min_tokens=100, ttl=100, write_counted=True)
MARKS = CacheRule(rule="explicit_breakpoints", min_tokens=100, ttl=300, write_counted=True)
EVER = CacheRule(rule="implicit", min_tokens=100, ttl=100)


def prompt(*parts, marks=(), ttl=300.0):
    """Segments of so many tokens: a number, or (number, letter)."""
    made = Prompt()
    for place, part in enumerate(parts):
        size, letter = part if isinstance(part, tuple) else (part, "x")
        made.add(letter * 4 * size, mark=ttl if place in marks else None)
    return made


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ask(clock):
    cache = CacheModel(clock)

    def asked(rule, made, scope="", first_token=0.0, rng=None):
        return cache.ask(rule, scope, made, rng or Random(1), first_token)

    asked.cache = cache
    return asked


def test_tokens_are_four_bytes_and_segments_are_padded():
    assert (count(""), count("a"), count("abcd"), count("éé"), count("abcde")) == (0, 1, 1, 1, 2)
    made = Prompt()
    made.add("abcde")
    made.add({"a": 1})
    assert made.tokens == 2 + 2
    assert [prefix.tokens for prefix in made.prefixes(1)] == [1, 2, 3, 4]
    assert [prefix.segment for prefix in made.prefixes(1)] == [None, 0, None, 1]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.lists(st.text(min_size=1), max_size=3))
def test_a_longer_prompt_begins_with_the_same_prefixes(parts, more):
    short, long = Prompt(), Prompt()
    for part in parts:
        short.add(part)
        long.add(part)
    for part in more:
        long.add(part)
    both = [(prefix.tokens, prefix.digest) for prefix in long.prefixes(8)]
    assert {(prefix.tokens, prefix.digest) for prefix in short.prefixes(8)} <= set(both)


def test_blocks_have_a_minimum_never_cover_all_and_idle_out(ask, clock):
    assert ask(BLOCKS, prompt(512)) == Hit()
    assert ask(BLOCKS, prompt(512)) == Hit(384)
    assert ask(BLOCKS, prompt(300)) == Hit(256)
    assert ask(BLOCKS, prompt(255)) == Hit()
    assert ask(BLOCKS, prompt(200, (300, "y"))) == Hit()  # 128 shared tokens are under the minimum
    clock.advance(99)
    assert ask(BLOCKS, prompt(512)) == Hit(384)  # reading renews
    clock.advance(99)
    assert ask(BLOCKS, prompt(512)) == Hit(384)
    clock.advance(101)
    assert ask(BLOCKS, prompt(512)) == Hit()


def test_scopes_do_not_share(ask):
    ask(BLOCKS, prompt(512), scope="a")
    assert ask(BLOCKS, prompt(512), scope="b") == Hit()


def test_parallel_cold_starts_all_miss(ask, clock):
    assert ask(BLOCKS, prompt(512), first_token=2) == Hit()
    assert ask(BLOCKS, prompt(512), first_token=2) == Hit()
    clock.advance(2)
    assert ask(BLOCKS, prompt(512)) == Hit(384)


def test_units_are_whole_prefixes(ask):
    a = (640, "a")
    assert ask(UNITS, prompt(a, (50, "b"))) == Hit()
    assert ask(UNITS, prompt(a, (50, "c"))) == Hit()  # seen twice now, but not stored before
    assert ask(UNITS, prompt(a, (50, "d"))) == Hit(640)
    assert ask(UNITS, prompt(a, (50, "b"), (9, "e"))) == Hit(690)  # the end of the first input


def test_units_end_outputs_too(ask):
    ask(UNITS, prompt(100))
    ask.cache.answered(UNITS, "", prompt(100, (30, "o")))
    assert ask(UNITS, prompt(100, (30, "o"), (5, "q"))) == Hit(130)


def test_the_last_four_ends_are_written_without_marks(ask):
    ask(ENDS, prompt(200, 100, 100, 100, 100))
    assert ask(ENDS, prompt(200, (9, "a"))) == Hit(0, 209)
    assert ask(ENDS, prompt(200, 100, (9, "a"))) == Hit(300, 9)


def test_ends_of_messages_are_written_and_read(ask):
    assert ask(ENDS, prompt(200)) == Hit(0, 200)
    assert ask(ENDS, prompt(200, (50, "a"))) == Hit(200, 50)
    assert ask(ENDS, prompt(200, (50, "b"))) == Hit(200, 50)
    assert ask(ENDS, prompt(99)) == Hit()
    assert ask(ENDS, prompt(400, (50, "b"))) == Hit(0, 450)


def test_marks_are_read_within_twenty_blocks(ask):
    parts = [(10, letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    assert ask(MARKS, prompt(200)) == Hit()  # no mark, no cache
    assert ask(MARKS, prompt(200, marks=[0])) == Hit(0, 200)
    near = prompt(200, *parts[:19], marks=[19])
    assert ask(MARKS, near) == Hit(200, 190)
    far = prompt(200, *reversed(parts[:20]), marks=[20])
    assert ask(MARKS, far) == Hit(0, 400)


def test_an_hours_mark_is_a_long_write(ask):
    assert ask(MARKS, prompt(200, (100, "b"), marks=[0, 1], ttl=3600.0)) == Hit(0, 0, 300)


def test_a_salt_spoils_what_follows_it(ask):
    def salted(salt):
        made = prompt(200, marks=[0])
        made.add("y" * 400, mark=300.0, salt=salt)
        return made

    assert ask(MARKS, salted(b"a")) == Hit(0, 300)
    assert ask(MARKS, salted(b"b")) == Hit(200, 100)
    assert ask(MARKS, salted(b"a")) == Hit(300, 0)
    assert salted(b"b").tokens == salted(b"").tokens


def test_implicit_hits_are_thrown(ask):
    rare = CacheRule(rule="implicit", min_tokens=100, ttl=100, hit_rate=0.3)
    rng = Random(1)
    hits = [ask(rare, prompt(200, (1, "x")), rng=rng).read for _ in range(300)]
    assert set(hits) == {0, 200}
    assert 60 < hits.count(200) < 130
    assert ask(EVER, prompt(200, (1, "z"))) == Hit(200)


def test_none_never_hits(ask):
    for _ in range(2):
        assert ask(CacheRule(), prompt(5000)) == Hit()
