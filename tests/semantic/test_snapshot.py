"""What a decider has learnt survives being bytes, and nothing else passes for it."""

from __future__ import annotations

import zlib
from random import Random

import pytest

np = pytest.importorskip("numpy")

from rung.semantic.decide import Decider, Neighbour  # noqa: E402
from rung.semantic.snapshot import dump, restore, taken  # noqa: E402

WIDTH = 16
TOPICS = ("garden hose", "piano lessons", "bread oven")


def vector(text: str) -> np.ndarray:
    made = np.random.default_rng(list(text.encode())).normal(size=WIDTH).astype(np.float32)
    return made / np.linalg.norm(made)


def taught() -> Decider:
    decider, dice, known = Decider(WIDTH, 0.05), Random(1), {}
    for at in range(400):
        topic = dice.choice(TOPICS)
        text = f"tell me about {topic}"
        near = [Neighbour(number, number, 0.9, f"tell me about {name}", 0) for name, number in known.items()]
        decision = decider.decide(text, vector(text), near)
        if at == 50:
            decider.quarantine(decision)
        known[topic] = decider.observe(decision, [known[topic]] if known.get(topic) in decision.compare else [])
    return decider


def test_a_decider_is_the_same_after_it_was_bytes() -> None:
    one = taught()
    other = restore(dump(taken(one)), WIDTH, 0.05, 3)
    assert other is not None
    assert taken(other) == taken(one)
    text = "what about piano lessons"
    assert other.decide(text, vector(text), []).p == one.decide(text, vector(text), []).p
    for decider in (one, other):  # it goes on learning
        decision = decider.decide(text, vector(text), [])
        decider.observe(decision, decision.compare[:1])
    assert other.control.requests == one.control.requests == 401


def test_what_is_no_snapshot_of_such_a_decider_is_refused() -> None:
    data = dump(taken(taught()))
    assert restore(data, WIDTH * 2, 0.05, 0) is None
    assert restore(data, WIDTH, 0.01, 0) is None
    assert restore(data[:-20], WIDTH, 0.05, 0) is None
    assert restore(b"", WIDTH, 0.05, 0) is None
    assert restore(zlib.compress(b"\x81\xa1a\x01"), WIDTH, 0.05, 0) is None


def test_numbers_given_before_are_not_given_again() -> None:
    decider = Decider(WIDTH)
    decider.resume(40)
    text = "tell me about it"
    assert decider.observe(decider.decide(text, vector(text), []), []) == 40
    decider.resume(3)
    assert decider.observe(decider.decide(text, vector(text), []), []) == 41
