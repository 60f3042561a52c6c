#!/usr/bin/env python3
"""Train the pair head of the semantic cache on generated pairs, and print its weights and held-out figures.

    python scripts/train_pairs.py            needs the [semantic] extra; deterministic; about half a minute

The questions are made here, from hand-written templates: no data set goes in. A pair with the same answer is another
frame, a synonym, a misspelling, fillers or another order; a pair without changes what is asked about: the thing, its
name, its scope, the verb, a number, the person, a negation. Two of the subjects are kept apart to choose the
threshold and to report on. The weights go into `rung.semantic.pairs`.
"""

from __future__ import annotations

import itertools
import sys
from random import Random

import numpy as np

from rung.semantic.embed import load
from rung.semantic.pairs import differences, words

# subject: (verbs with synonyms, things with synonyms, names, qualifiers)
SUBJECTS: dict[str, tuple[list[str], list[str], list[str], list[str]]] = {
    "library": (
        ["borrow", "return/give back", "renew/extend", "reserve/book", "donate/give"],
        ["a book", "an audiobook", "a magazine", "a study room", "a board game", "a map"],
        ["Ashford", "Milton", "Greenhill", "Riverside"],
        ["for my daughter", "for a friend", "as a student", "without a card", "for a school class", "at the weekend"],
    ),
    "gardening": (
        ["prune/trim", "water", "plant", "fertilise", "repot", "propagate"],
        ["a rose bush", "a lemon tree", "tomatoes", "lavender", "an orchid", "a hedge", "strawberries"],
        ["Kent", "Oslo", "Madrid", "Florida"],
        ["in a greenhouse", "on a balcony", "in clay soil", "during a drought", "in winter", "in a small pot"],
    ),
    "databases": (
        ["back up", "migrate/move", "restore/recover", "compress", "encrypt", "partition", "replicate"],
        ["a table", "a database/db", "an index", "a schema", "a view", "the transaction log"],
        ["Postgres", "MySQL", "Oracle", "MariaDB"],
        ["on Linux", "in a container", "without downtime", "as a read-only user", "over the network", "from a script"],
    ),
    "fitness": (
        ["stretch", "strengthen", "warm up", "tape", "massage", "rest"],
        ["a sore shoulder", "my lower back", "a sprained ankle", "my knees", "my calves", "tight hips"],
        ["Pilates", "CrossFit", "Zumba", "Peloton"],
        ["after a marathon", "before a match", "during pregnancy", "for beginners", "for seniors", "with weights"],
    ),
    "museum": (
        ["visit/see", "photograph", "sketch", "book/reserve", "join"],
        ["the sculpture hall", "the Roman wing", "the planetarium", "a guided tour", "the night opening"],
        ["Berlin", "Lisbon", "Prague", "Vienna"],
        ["with a pram", "with a large group", "as a member", "on public holidays", "with a wheelchair", "for schools"],
    ),
    "travel": (
        ["change/switch", "cancel", "book/reserve", "upgrade", "confirm", "postpone/delay"],
        ["a ferry crossing", "a sleeper cabin", "a coach ticket", "a hire car/rental vehicle", "a hotel room"],
        ["Dover", "Marseille", "Hamburg", "Naples"],
        ["with a dog", "with a bicycle", "for a group", "on the day", "with a voucher", "for a minor"],
    ),
    "payroll": (
        ["correct/fix", "approve", "submit/send", "delete/remove", "download", "print"],
        ["a timesheet", "an expense report", "a bonus payment", "a pension form", "an overtime request"],
        ["Workday", "Sage", "Xero", "Gusto"],
        ["for a contractor", "for a part-timer", "after the deadline", "as a manager", "for a past year", "by email"],
    ),
    "kitchen": (
        ["clean/wash", "descale", "repair/fix", "install", "replace/swap", "calibrate"],
        ["an oven", "a dishwasher", "a coffee machine", "an extractor hood", "a kettle", "an ice maker"],
        ["Bosch", "Miele", "Siemens", "Smeg"],
        ["with vinegar", "without chemicals", "under warranty", "in hard water areas", "in a rented flat", "by myself"],
    ),
    "music": (
        ["tune", "restring", "transport", "insure", "amplify", "record"],
        ["a cello", "an acoustic guitar", "a ukulele", "a violin", "a harp", "a mandolin"],
        ["Yamaha", "Fender", "Gibson", "Ibanez"],
        ["in cold weather", "for a concert", "for left-handers", "at home", "on a budget", "for children"],
    ),
    "vets": (
        ["vaccinate", "microchip", "worm", "bathe/wash", "weigh", "register/enrol"],
        ["a puppy", "a kitten", "a rabbit", "a parrot", "a hamster", "a tortoise"],
        ["Denmark", "Ireland", "Portugal", "Norway"],
        ["before boarding", "when it is ill", "after surgery", "without stress", "on my own", "for the first time"],
    ),
}
HELD_OUT = ("vets", "payroll")

SAME_FRAMES = (
    "How do I {v} {o}{q}?", "How can I {v} {o}{q}?", "What's the best way to {v} {o}{q}?",
    "how to {v} {o}{q}", "Can you explain how to {v} {o}{q}?", "I want to {v} {o}{q}. How?",
    "What are the steps to {v} {o}{q}?", "Could you tell me how to {v} {o}{q}, please?",
    "I need to {v} {o}{q}, what do I do?", "hello, how should I {v} {o}{q}", "What is the procedure to {v} {o}{q}?",
    "I've been told to {v} {o}{q}, how is that done?", "I'm stuck, how do I {v} {o}{q}?",
    "Any tips to {v} {o}{q} correctly?", "What should I know before I {v} {o}{q}?",
)  # fmt: skip
OTHER_FRAMES = (
    "How long does it take to {v} {o}{q}?", "How much does it cost to {v} {o}{q}?", "Why should I {v} {o}{q}?",
    "When should I {v} {o}{q}?", "Where can I {v} {o}{q}?", "Who can {v} {o}{q} for me?",
    "Is it safe to {v} {o}{q}?", "How often should I {v} {o}{q}?", "What do I need to {v} {o}{q}?",
)  # fmt: skip
COUNTED = ("{n} times", "in {n} days", "for {n} people", "at {n} degrees", "for under £{n}")


class Maker:
    """Draws pairs. A question is (frame, verb, thing, qualifier, name)."""

    def __init__(self, subjects: list[str], seed: int) -> None:
        self._subjects, self._rng = subjects, Random(seed)

    def pair(self) -> tuple[str, str, bool]:
        """Two questions and whether they have the same answer."""
        rng = self._rng
        verbs, things, names, qualifiers = SUBJECTS[rng.choice(self._subjects)]
        verb, thing = rng.choice(verbs), rng.choice(things)
        qualifier = " " + rng.choice(qualifiers) if rng.random() < 0.5 else ""
        if rng.random() < 0.4:
            qualifier += f" in {rng.choice(names)}"
        if rng.random() < 0.2:
            qualifier += " " + rng.choice(COUNTED).format(n=rng.choice((2, 3, 5, 10, 12, 30)))
        frames = SAME_FRAMES if rng.random() < 0.6 else (rng.choice(OTHER_FRAMES),)
        one = self._say(rng.choice(frames), verb, thing, qualifier)
        if rng.random() < 0.5:
            return one, self._again(frames, verb, thing, qualifier, one), True
        return one, self._otherwise(frames, verb, thing, qualifier, names, qualifiers, verbs, things), False

    def _say(self, frame: str, verb: str, thing: str, qualifier: str) -> str:
        v, o = (self._rng.choice(part.split("/")) for part in (verb, thing))
        return frame.format(v=v, o=o, q=qualifier)

    def _again(self, frames: tuple[str, ...], verb: str, thing: str, qualifier: str, one: str) -> str:
        rng = self._rng
        said = one if rng.random() < 0.35 else self._say(rng.choice(frames), verb, thing, qualifier)
        way = rng.randrange(6)
        if way == 0:
            said = self._misspell(said)
        elif way == 1:
            said = rng.choice(("hi, ", "um ", "so ", "quick question: ", "Please, ", "hey ")) + said
        elif way == 2:
            said = said.lower().rstrip("?.")
        elif way == 3 and qualifier:
            said = f"{qualifier.strip().capitalize()}, {said.replace(qualifier, '')}"
        elif way == 4:
            said += rng.choice((" Thanks!", " thank you", " Cheers", " Many thanks in advance."))
        return said

    def _misspell(self, said: str) -> str:
        rng = self._rng
        parts = said.split()
        long = [at for at, part in enumerate(parts) if len(part) > 5 and part.isalpha()]
        if long:
            at = rng.choice(long)
            word, place = parts[at], rng.randrange(2, len(parts[at]) - 1)
            parts[at] = rng.choice((
                word[:place] + word[place + 1 :],
                word[:place] + word[place] + word[place:],
                word[: place - 1] + word[place] + word[place - 1] + word[place + 1 :],
            ))  # fmt: skip
        return " ".join(parts)

    def _otherwise(
        self, frames: tuple[str, ...], verb: str, thing: str, qualifier: str, names: list[str],
        qualifiers: list[str], verbs: list[str], things: list[str],
    ) -> str:  # fmt: skip
        rng = self._rng
        way = rng.randrange(7)
        if way == 0:
            thing = rng.choice([one for one in things if one != thing])
        elif way == 1:
            verb = rng.choice([one for one in verbs if one != verb])
        elif way == 2:
            named = next((name for name in names if name in qualifier), None)
            other = rng.choice([name for name in names if name != named])
            qualifier = qualifier.replace(named, other) if named else f"{qualifier} in {other}"
        elif way == 3:
            held = next((one for one in qualifiers if one in qualifier), None)
            other = rng.choice([one for one in qualifiers if one != held])
            qualifier = qualifier.replace(held, other) if held else f" {other}{qualifier}"
        elif way == 4:
            thing = rng.choice(("my neighbour's", "my boss's", "a second-hand", "a stolen", "an antique")) + " " + (
                thing.split("/")[0].split(" ", 1)[-1]
            )  # fmt: skip
        elif way == 5:
            frames = (rng.choice([one for one in OTHER_FRAMES if one not in frames]),)
        else:
            verb = rng.choice(("avoid having to", "stop people who", "refuse to", "undo an attempt to")) + " " + (
                verb.split("/")[0]
            )  # fmt: skip
        return self._say(rng.choice(frames), verb, thing, qualifier)


def table(maker: Maker, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of `count` pairs without a veto."""
    embedder = load()
    rows: list[tuple[float, ...]] = []
    same: list[bool] = []
    while len(rows) < count:
        one, other, label = maker.pair()
        if one == other:
            continue
        similarity = float(embedder.embed(one) @ embedder.embed(other))
        found = differences(words(one), words(other), similarity)
        if not found.veto:
            rows.append(found.features)
            same.append(label)
    return np.array(rows), np.array(same, float)


def fit(inputs: np.ndarray, same: np.ndarray, ridge: float = 2.0) -> np.ndarray:
    """Ridge logistic regression by Newton's method; a wrong "same" counts four times."""
    weight = np.where(same > 0, 1.0, 4.0)
    found = np.zeros(inputs.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        gradient = inputs.T @ (weight * (same - p)) - ridge * found
        curve = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs + ridge * np.eye(len(found))
        found += np.linalg.solve(curve, gradient)
    return found


def main() -> int:
    """Fit, choose the threshold on the held-out subjects, print."""
    trained = [one for one in SUBJECTS if one not in HELD_OUT]
    inputs, same = table(Maker(trained, 1), 12_000)
    weights = fit(inputs, same)
    unseen, truth = table(Maker(list(HELD_OUT), 2), 6_000)
    logits = unseen @ weights
    print("WEIGHTS = (" + ", ".join(f"{one:.2f}" for one in weights) + ")")
    for at in itertools.chain(np.arange(-3, 5, 0.5)):
        served = logits >= at
        print(
            f"{at:5.1f}: same served {served[truth > 0].mean():6.1%}, different served {served[truth == 0].mean():6.2%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
