"""The cases of ``rung bench local``: six tasks, made from a seed, each with its truth.

A case is a JSON object, and so is a row of ``--data``::

    {"task", "prompt", "truth", "tool_prompt"?, "schema"?, "labels"?, "max_tokens"?}

`tool_prompt` is the same case in the words the tool rung knows, where the model is asked otherwise. What a truth
is depends on the task: see `TASKS`. What all cases of a task share stands first, so that its KV can be kept.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from rung.cli.bench_local_code import code_case

Case = dict[str, Any]

LABELS = ("billing", "technical", "shipping", "account", "feedback")
_NAMES = (
    "Ada",
    "Bo",
    "Chen",
    "Dara",
    "Eli",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kira",
    "Leo",
    "Mina",
    "Noor",
    "Omar",
    "Pia",
)
_LAST = (
    "Berg",
    "Costa",
    "Diaz",
    "Ernst",
    "Fox",
    "Gray",
    "Hale",
    "Ito",
    "Jones",
    "Klein",
    "Lund",
    "Moss",
    "Nagy",
    "Ochoa",
    "Park",
)
_WORDS = (
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "indigo",
    "juniper",
    "kelp",
    "lumen",
    "maple",
    "nectar",
    "opal",
    "pine",
)
_PRODUCTS = ("desk lamp", "water bottle", "USB cable", "notebook", "backpack", "keyboard", "tea kettle", "headset")
_CITIES = ("Lisbon", "Oslo", "Kyoto", "Quito", "Turin", "Gdansk", "Perth", "Austin", "Lyon", "Cork")


def cases(seed: int, count: int, tasks: tuple[str, ...]) -> list[Case]:
    """`count` cases of each task. The same seed gives the same cases; every case of a task differs."""
    out: list[Case] = []
    for task in tasks:
        rng = random.Random(f"{task}:{seed}")  # noqa: S311 - cases, not secrets
        seen: set[str] = set()
        while len(seen) < count:
            made = TASKS[task](rng)
            if made["prompt"] not in seen:
                seen.add(made["prompt"])
                out.append({"task": task, **made})
    return out


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 2 else 6)
    if kind < 2:
        return " ".join(rng.sample(_WORDS, rng.randint(1, 3)))
    if kind < 5:
        return (rng.randint(-50, 9000), round(rng.uniform(0, 200), 2), rng.random() < 0.5)[kind - 2]
    if kind == 5:
        return None
    if kind == 6:
        return [_value(rng, depth + 1) for _ in range(rng.randint(1, 3))]
    return _record(rng, depth + 1)


def _record(rng: random.Random, depth: int = 0) -> dict[str, Any]:
    return {word: _value(rng, depth) for word in rng.sample(_WORDS, rng.randint(2, 5))}


def json_case(rng: random.Random) -> Case:
    """Half: pretty-print with 2 spaces; half: repair. Truth: ``{"value", "text"?}``; with a text, the answer must be
    indented by 2 spaces a level as well."""
    value = _record(rng)
    while len(json.dumps(value)) > 260:
        value = _record(rng)
    if rng.random() < 0.5:
        asked = "Format this JSON with 2-space indentation. Return only the JSON.\n\n" + json.dumps(value)
        text = json.dumps(value, indent=2, ensure_ascii=False)
        return {"prompt": asked, "truth": {"value": value, "text": text}, "max_tokens": 400}
    asked = "Fix this broken JSON. Return only the JSON.\n\n" + _broken(rng, value)
    return {"prompt": asked, "truth": {"value": value}, "max_tokens": 400}


def _broken(rng: random.Random, value: Any) -> str:
    """Text with one or two of the usual slips, from which `value` can still be told."""
    good = json.dumps(value)
    while True:
        text = good
        for slip in rng.sample(_SLIPS, rng.randint(1, 2)):
            text = slip(text)
        try:
            json.loads(text)
        except ValueError:
            return text


_SLIPS: tuple[Callable[[str], str], ...] = (
    lambda text: text[:-1] + ",}",
    lambda text: text[:-1],
    lambda text: text.replace('"', "'"),
    lambda text: text.replace("true", "True").replace("false", "False").replace("null", "None"),
    lambda text: text.replace('", "', '" "', 1) if '", "' in text else text[:-1] + ",}",
    lambda text: "{" + text[1:].replace('"', "", 2),
)


def lint_case(rng: random.Random) -> Case:
    """A Python function, half of them broken (syntax, undefined name, misplaced statement). Truth: yes or no."""
    a, b, name = rng.sample(_WORDS, 3)
    number, width = rng.randint(2, 90), rng.randint(2, 9)
    good = rng.choice(
        (
            f"def {name}({a}):\n    {b} = {a} * {number}\n    return {b} + {width}\n",
            f"def {name}({a}):\n    {b} = []\n    for item in {a}:\n        if item > {number}:\n"
            f"            {b}.append(item)\n    return {b}\n",
            f"def {name}({a}, {b}={number}):\n    while {a} > {b}:\n        {a} -= {width}\n    return {a}\n",
            f"class {name.title()}:\n    def __init__(self, {a}):\n        self.{a} = {a}\n\n"
            f"    def {b}(self):\n        return self.{a} + {number}\n",
            f"import math\n\n\ndef {name}({a}):\n    {b} = math.sqrt({a} + {number})\n    return round({b}, {width})\n",
        )
    )
    broken = rng.random() < 0.5
    code = _break(rng, good) if broken else good
    asked = (
        "Does the Python code below contain a mistake that a linter reports as an error: a syntax error, an "
        f"undefined name, or a statement in a wrong place? Answer with one of: yes, no\n\n```python\n{code}```"
    )
    tool = f"Lint this Python code.\n\n```python\n{code}```"
    return {
        "prompt": asked,
        "tool_prompt": tool,
        "truth": "yes" if broken else "no",
        "labels": ["yes", "no"],
        "max_tokens": 8,
    }


def _break(rng: random.Random, code: str) -> str:
    lines = code.splitlines()
    last = lines[-1]
    ways = (
        code.replace(":\n", "\n", 1),
        code.replace("return ", "retrun ", 1),
        code.replace(")", "", 1),
        code.replace(last, last.replace("return ", "return missing_") if "(" not in last else last + " + missing"),
        code + "\nreturn 0\n",
        "\n".join([*lines[:-1], last + ")"]) + "\n",
        code.replace("    ", "  ", 1) if code.count("    ") > 2 and "while" not in code else code + "\nbreak\n",
        code + "\nprint(undefined_total)\n",
    )
    return rng.choice([one for one in ways if one != code and not _indents_well(one, code)])


def _indents_well(one: str, code: str) -> bool:
    """Did the change leave valid code (an indentation that still is one)?"""
    if "missing" in one or "undefined" in one or one.startswith(code):
        return False
    try:
        compile(one, "case", "exec")
    except SyntaxError:
        return False
    return True


_MESSAGES: dict[str, tuple[str, ...]] = {
    "billing": (
        "I was charged {n} dollars twice for my {p}.",
        "Why does my invoice from {c} show a fee of {n} euros?",
        "Please refund the payment of {n} for the {p}, it went through two times.",
        "My card was declined although I have money, can I pay by transfer?",
        "The receipt number {n} has the wrong VAT on it.",
    ),
    "technical": (
        "The app crashes with error {n} whenever I open settings.",
        "My {p} no longer connects over Bluetooth since the update.",
        "The page stays white and the console says {n} internal error.",
        "Export to PDF hangs at {n} percent every time.",
        "After installing the new firmware the {p} does not turn on.",
    ),
    "shipping": (
        "Where is my parcel {n}? It should have reached {c} by now.",
        "The courier left the {p} at a wrong door in {c}.",
        "Can you deliver the {p} to {c} before Friday?",
        "Tracking says my package has been stuck in {c} for {n} days.",
        "The box arrived damaged and the {p} was missing.",
    ),
    "account": (
        "I forgot my password and the reset mail never comes.",
        "Please change my login email, the user id is {n}.",
        "How do I delete my profile and all {n} saved addresses?",
        "Two-factor codes are sent to my old phone in {c}.",
        "Someone from {c} logged in with my username, lock it please.",
    ),
    "feedback": (
        "I love the new {p}, best thing I bought in {n} years!",
        "Just wanted to say the staff in {c} was wonderful.",
        "It would be nice if the {p} came in green.",
        "Your website looks much better now, well done.",
        "The {p} is fine, but the box could use {n} percent less plastic.",
    ),
}


_LABEL = f"""Answer with one of: {", ".join(LABELS)}

You sort the messages that customers write to a shop:
- billing: charges, invoices, refunds, payments
- technical: something does not work, errors, crashes
- shipping: parcels, deliveries, tracking
- account: passwords, logins, profiles, addresses
- feedback: praise, wishes, opinions"""
"""a line for every label: with an example for each instead, the 1.5B got 48 % right"""


def label_case(rng: random.Random) -> Case:
    """A customer's message, one of five labels. Truth: the label."""
    label = rng.choice(LABELS)
    number = rng.randint(3, 990)
    fill = {"n": number, "p": rng.choice(_PRODUCTS), "c": rng.choice(_CITIES)}
    greeting = rng.choice(("", "Hi, ", "Hello! ", "Good morning. ", f"This is {rng.choice(_NAMES)}. ", "Hey there, "))
    closing = rng.choice(("", " Thanks.", f" Regards, {rng.choice(_NAMES)}", " Please help.", f" (ref {number * 7})"))
    message = greeting + rng.choice(_MESSAGES[label]).format(**fill) + closing
    return {"prompt": f"{_LABEL}\n\nMessage: {message}", "truth": label, "labels": list(LABELS), "max_tokens": 8}


_ORDER = {
    "type": "object",
    "properties": {
        "customer": {"type": "string"},
        "city": {"type": "string"},
        "product": {"type": "string"},
        "quantity": {"type": "integer"},
        "price": {"type": "number"},
        "date": {"type": "string"},
    },
    "required": ["customer", "city", "product", "quantity", "price", "date"],
    "additionalProperties": False,
}


def extract_case(rng: random.Random) -> Case:
    """Six fields of an order. Truth: the object; text is compared without case."""
    day = date(2026, 1, 1) + timedelta(days=rng.randrange(600))
    truth = {
        "customer": f"{rng.choice(_NAMES)} {rng.choice(_LAST)}",
        "city": rng.choice(_CITIES),
        "product": rng.choice(_PRODUCTS),
        "quantity": rng.randint(2, 60),
        "price": rng.randint(300, 9900) / 100,
        "date": day.isoformat(),
    }
    text = rng.choice(
        (
            "On {date}, {customer} from {city} ordered {quantity} pieces of our {product} at {price} euros each.",
            "Hello, {customer} here. Please send {quantity} x {product} ({price} per unit) to {city} by {date}.",
            "Order note. Customer: {customer} ({city}). Wants {quantity} of item '{product}' at {price}, by {date}.",
            "{customer} called: {quantity} units of the {product} for {price} each, on {date}, address in {city}.",
        )
    ).format(**truth)
    asked = (
        "Extract the fields customer, city, product, quantity, price and date from the text. price is the price of one "
        f"piece, product is singular. Reply with one JSON object only.\n\nText: {text}"
    )
    return {"prompt": asked, "truth": truth, "schema": _ORDER, "max_tokens": 160}


_CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Spain": "Madrid",
    "Kenya": "Nairobi", "Egypt": "Cairo", "Peru": "Lima", "Chile": "Santiago",
    "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Poland": "Warsaw",
    "Greece": "Athens", "Turkey": "Ankara", "Canada": "Ottawa", "Australia": "Canberra",
    "Portugal": "Lisbon", "Austria": "Vienna", "Hungary": "Budapest", "Ireland": "Dublin",
    "Cuba": "Havana", "Iran": "Tehran", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Nepal": "Kathmandu", "Morocco": "Rabat", "Ghana": "Accra", "Romania": "Bucharest",
    "Bulgaria": "Sofia",
}  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def short_case(rng: random.Random) -> Case:
    """Facts, sums, words, days. Truth: the answer, compared without case, article and full stop."""
    a, b = rng.randint(3, 99), rng.randint(3, 99)
    words = rng.sample(_WORDS, 5)
    country, shift, day = rng.choice(list(_CAPITALS)), rng.randint(1, 6), rng.randrange(7)
    question, truth = rng.choice(
        (
            (f"What is {a} plus {b}?", str(a + b)),
            (f"What is {a} minus {b}?", str(a - b)),
            (f"What is {a % 12 + 2} times {b % 12 + 2}?", str((a % 12 + 2) * (b % 12 + 2))),
            (f"What is the capital of {country}?", _CAPITALS[country]),
            (f"Which of these words comes first in the alphabet: {', '.join(words)}?", min(words)),
            (f"What is the third word of this list: {', '.join(words)}?", words[2]),
            (f"Today is {_DAYS[day]}. What day is it in {shift} days?", _DAYS[(day + shift) % 7]),
            (f"Which number is the largest: {a}, {b}, {a + 7}, {b + 3}?", str(max(a + 7, b + 3))),
            (f"How many letters has the word {words[0]}?", str(len(words[0]))),
            (f"How many minutes are {a % 20 + 2} hours?", str((a % 20 + 2) * 60)),
        )
    )
    return {"prompt": f"Answer with the answer only, no sentence.\n\n{question}", "truth": truth, "max_tokens": 16}


TASKS: dict[str, Callable[[random.Random], Case]] = {
    "json": json_case,
    "lint": lint_case,
    "label": label_case,
    "extract": extract_case,
    "short": short_case,
    "code": code_case,
}
