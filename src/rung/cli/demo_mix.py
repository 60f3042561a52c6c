"""A mixed sample of everyday calls, made up here: what ``rung demo`` asks, and what its recording was made of."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

MANUAL = "You are the support assistant of a bicycle shop. " + "Be exact, be brief, be kind. " * 200

_KINDS = {"document": 22, "repeat": 12, "extraction": 28, "classification": 20, "math": 6, "writing": 4, "support": 4,
          "private": 4}  # fmt: skip
"""in percent: our own guess at one developer's day, nobody's statistics"""

_NAMES = ("Maria", "Jonas", "Aiko", "Liam", "Zoe", "Omar", "Ines", "Paul", "Nora", "Igor", "Salma", "Tom")
_TOWNS = ("Lyon", "Porto", "Graz", "Turku", "Ghent", "Brno", "Cork", "Bari")
_THINGS = ("saddle", "bell", "lamp", "pump", "chain", "helmet", "rack", "mirror")
_REVIEWS = {
    "positive": ("we loved every minute of it", "best purchase this year", "it works and looks lovely",
                 "friendly people, quick answer, I will come back"),
    "negative": ("it broke on the second day", "I want my money back", "never again, rude and slow",
                 "the box was empty and nobody answers"),
}  # fmt: skip
_TICKETS = {
    "billing": ("my card was charged twice", "the invoice shows the wrong amount", "where do I find my receipt"),
    "delivery": ("the parcel has not arrived", "the courier left it at the wrong house", "tracking says lost"),
    "login": ("I forgot my password", "the code by text message never comes", "my account is locked"),
}
_DOCUMENTS = (
    "Format this JSON: {0}", "Minify this JSON: {0}", "Sort the keys of this JSON: {0}", "Is this JSON valid? {0}",
    "Validate this JSON: {0}", "Convert this JSON to YAML: {0}", "Convert this JSON to TOML: {0}",
)  # fmt: skip
_QUESTIONS = ("My chain squeaks.", "My brake rubs.", "How often do I oil the chain?", "Which pump do I need?",
              "The gears slip uphill.", "Do you repair tyres?")  # fmt: skip


class Ask(NamedTuple):
    """One call. `answer`: the true one, empty where a simulated model may make one up. `kind`: of `_KINDS`."""

    kind: str
    text: str
    answer: str = ""
    system: str = ""
    session: str = ""
    private: bool = False
    task: str = ""
    """as a caller who knows it says it; only then are answers compared"""

    @property
    def limit(self) -> int:
        """``max_tokens``: little where a local model may have to say it, on a slow machine."""
        return 300 if self.kind in ("document", "writing", "support") else 48

    @property
    def messages(self) -> list[dict[str, Any]]:
        head = [{"role": "system", "content": self.system}] if self.system else []
        return [*head, {"role": "user", "content": self.text}]

    @property
    def told(self) -> dict[str, Any]:
        """The rest of the call, for `rung.gateway.Gateway.chat`."""
        fields = {"task": self.task, "session": self.session, "private": self.private}
        return {"temperature": 0, "max_tokens": self.limit, **{name: value for name, value in fields.items() if value}}


def mix(count: int, seed: int) -> Iterator[Ask]:
    """`count` calls; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 (no secret)
    asked: list[Ask] = []
    for number in range(count):
        (kind,) = dice.choices(tuple(_KINDS), tuple(_KINDS.values()))
        if kind == "repeat" and asked:
            yield dice.choice(asked)._replace(kind="repeat")
            continue
        one = _made(kind, number, dice)
        if kind in ("extraction", "classification", "math"):
            asked.append(one)
        yield one


def _made(kind: str, number: int, dice: random.Random) -> Ask:
    if kind == "document":
        record = {"order": number, "town": dice.choice(_TOWNS), "items": [dice.choice(_THINGS), dice.choice(_THINGS)]}
        return Ask(kind, dice.choice(_DOCUMENTS).format(orjson.dumps(record).decode()))
    if kind == "classification":
        return _labelled(number, dice)
    if kind == "math":
        first, second = dice.randint(3, 60), dice.randint(3, 60)
        text = (
            f"Day {number}: {first} bikes sold before noon, {second} after. How many in all? End with: The answer is N"
        )
        return Ask(kind, text, f"The answer is {first + second}", task=kind)
    if kind == "writing":
        return Ask(kind, f"Write a kind line to {dice.choice(_NAMES)} for birthday {dice.randint(18, 90)}.")
    if kind == "support":
        return Ask(kind, f"Customer {number}: {dice.choice(_QUESTIONS)}", system=MANUAL, session="support")
    name, age, town = dice.choice(_NAMES), dice.randint(18, 90), dice.choice(_TOWNS)
    if kind == "private":
        told = f"{name}, patient {number}, is {age} years old and lives in {town}."
        text = f"Extract name and age as JSON with the keys name and age, nothing else: {told}"
        return Ask(kind, text, orjson.dumps({"name": name, "age": age}).decode(), private=True, task="extraction")
    thing, pieces = dice.choice(_THINGS), dice.randint(2, 40)
    told = f"Order {number}: {name} from {town} wants {pieces} pieces of the {thing}."
    text = f"Extract name, town and pieces as JSON with just these keys, nothing else: {told}"
    answer = orjson.dumps({"name": name, "town": town, "pieces": pieces}).decode()
    return Ask("extraction", text, answer, task="extraction")


def _labelled(number: int, dice: random.Random) -> Ask:
    if dice.random() < 0.5:
        label = dice.choice(tuple(_REVIEWS))
        head = f"Answer with one word, positive or negative. Review {number}"
        return Ask("classification", f"{head}: {dice.choice(_REVIEWS[label])}.", label, task="classification")
    label = dice.choice(tuple(_TICKETS))
    head = f"Is ticket {number} about billing, delivery or login? Answer with one word"
    return Ask("classification", f"{head}: {dice.choice(_TICKETS[label])}.", label, task="classification")
