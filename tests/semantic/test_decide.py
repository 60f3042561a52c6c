"""The decider: it learns which answer a prompt gets, serves what it has proved, and obeys vetoes and quarantine."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from random import Random

import pytest

np = pytest.importorskip("numpy")

from rung.semantic.answers import OTHER, AnswerModel  # noqa: E402
from rung.semantic.calibrate import Calibrator  # noqa: E402
from rung.semantic.decide import COMPARED, Decider, Decision, Neighbour  # noqa: E402
from rung.semantic.grams import numbers  # noqa: E402

WIDTH = 32
TOPICS = ["parcel tracking", "garden hose", "piano lessons", "tax return", "bread oven", "mountain hut"]
FRAMES = ["tell me about {}", "{} please", "what about {}", "I wonder about {}", "explain {} to me", "{}"]


@cache
def vector(prompt: str) -> np.ndarray:
    """A toy embedder: the sum of a random direction per word."""
    total = np.zeros(WIDTH)
    for word in prompt.lower().split():
        total += np.random.default_rng(list(word.encode())).normal(size=WIDTH)
    return (total / np.linalg.norm(total)).astype(np.float32)


class World:
    """Prompts about topics; the answer is the topic, or what `answers` says."""

    def __init__(self, seed: int = 0) -> None:
        self.decider = Decider(WIDTH, 0.01, seed)
        self.rows: list[tuple[str, np.ndarray, int, int, str]] = []
        self.named: dict[int, str] = {}

    def decide(self, prompt: str) -> Decision:
        mine = vector(prompt)
        near = sorted(
            (
                Neighbour(at, answer, float(theirs @ mine), text, key)
                for at, (text, theirs, answer, key, _) in enumerate(self.rows)
            ),
            key=lambda one: -one.similarity,
        )[:16]
        return self.decider.decide(prompt, mine, near)

    def learn(self, decision: Decision, prompt: str, truth: str) -> None:
        answer = self.decider.observe(decision, [one for one in decision.compare if self.named.get(one) == truth])
        self.named.setdefault(answer, truth)
        if len(self.rows) < 120:
            self.decider.stored(len(self.rows), answer, decision.words)
            self.rows.append((prompt, vector(prompt), answer, decision.key, truth))

    def ask(self, prompt: str, truth: str) -> Decision:
        decision = self.decide(prompt)
        if decision.serve and not decision.audit:
            self.decider.passed(decision)
        else:
            self.learn(decision, prompt, truth)
        return decision


@pytest.fixture(scope="module")
def grown() -> World:
    world, rng = World(), Random(1)
    for _ in range(1100):
        topic = rng.choice(TOPICS)
        world.ask(rng.choice(FRAMES).format(topic), topic)
    return world


def test_cold_it_shadows() -> None:
    world = World()
    for topic in TOPICS * 5:
        decision = world.ask(f"tell me about {topic}", topic)
        assert not decision.serve
    assert decision.reason == "shadow"
    assert decision.bound == 1.0


def test_it_compares_with_few_answers(grown: World) -> None:
    assert 1 <= len(grown.decide("tell me about the garden hose").compare) <= COMPARED


def test_warm_it_serves_the_right_answer(grown: World) -> None:
    for topic in TOPICS:
        decision = grown.decide(f"what about {topic}")
        assert decision.serve, decision
        assert decision.reason == "served"
        assert grown.named[decision.answer] == topic
        assert grown.rows[decision.entry][4] == topic


def test_vetoes_hold_however_sure_it_is(grown: World) -> None:
    for prompt, why in (("what about 7 piano lessons", "numbers"), ("not piano lessons please", "negation")):
        decision = grown.decide(prompt)
        assert not decision.serve
        assert decision.reason == f"veto_{why}"


def test_a_wrong_hit_quarantines_its_neighbourhood(grown: World) -> None:
    world = deepcopy(grown)
    decision = world.decide("what about bread oven")
    assert decision.serve
    world.decider.quarantine(decision)
    again = world.decide("what about bread oven")
    assert again.answer != decision.answer
    assert not again.serve
    assert world.decide("what about tax return").serve


def test_the_same_seed_decides_the_same() -> None:
    told = []
    for _ in range(2):
        world, rng = World(4), Random(9)
        for _ in range(120):
            topic = rng.choice(TOPICS)
            told.append(world.ask(rng.choice(FRAMES).format(topic), topic).p)
    assert told[:120] == told[120:]


def test_answers_that_prove_equal_become_one() -> None:
    world = World()
    first, second = world.decide("garden hose"), world.decide("garden hose reel")
    one, other = world.decider.observe(first, []), world.decider.observe(second, [])
    assert one != other
    third = world.decide("the garden hose")
    assert world.decider.observe(third, [one, other]) == one
    assert world.decider.answer(other) == one


def test_forgotten_entries_are_not_served(grown: World) -> None:
    decision = grown.decide("tell me about mountain hut")
    assert decision.serve
    world = deepcopy(grown)
    world.decider.forget(range(len(world.rows)))
    world.rows.clear()
    assert world.decide("tell me about mountain hut").entry == -1


def test_the_model_learns_answers_and_knows_strangers() -> None:
    rng = np.random.default_rng(0)
    model = AnswerModel(WIDTH, rng)
    for number in range(400):
        topic = number % len(TOPICS)
        prompt = FRAMES[number % 5].format(TOPICS[topic])
        model.learn(numbers(vector(prompt), prompt), topic)
        model.learn(numbers(vector(f"odd{number} word{number}"), f"odd{number} word{number}"), 1000 + number)
    known = model.guess(numbers(vector("tax return"), "tax return"))
    assert int(known.logits.argmax()) == model.row(TOPICS.index("tax return"))
    strange = model.guess(numbers(vector("odd9999 word9999"), "odd9999 word9999"))
    assert int(strange.logits.argmax()) == OTHER


def test_calibration_converges_where_everything_is_right() -> None:
    calibrator = Calibrator(np.zeros(3), least=10)
    rng = np.random.default_rng(0)
    for _ in range(500):
        calibrator.add(np.array([1.0, *rng.normal(size=2) * 4]), True, 1.0)
    calibrator.fit()
    assert all(calibrator.p(np.array([1.0, *rng.normal(size=2) * 4])) > 0.9 for _ in range(50))


def test_calibration_tells_the_truth() -> None:
    calibrator = Calibrator(np.zeros(2), least=10)
    rng = np.random.default_rng(1)
    for _ in range(4000):
        x = rng.normal()
        calibrator.add(np.array([1.0, x]), bool(rng.random() < 1 / (1 + np.exp(-(1 + 2 * x)))), 1.0)
    calibrator.fit()
    assert calibrator.p(np.array([1.0, 0.0])) == pytest.approx(0.73, abs=0.04)
    assert calibrator.p(np.array([1.0, 1.0])) == pytest.approx(0.95, abs=0.03)
