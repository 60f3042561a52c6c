"""What `quick.py` asks: edits that repeat most of a pasted file, and chat that repeats nothing.

Three of the edits are of small files made up for it; the settings of drafts were chosen with them among others. Six are
of real code, functions of the standard library as the running Python has them; they were written down after that
choice and before they were ever measured.
"""

from __future__ import annotations

import calendar
import fractions
import inspect
import ipaddress
import shutil
import statistics
import textwrap

INVENTORY = """import json
from pathlib import Path


class Inventory:
    def __init__(self, path):
        self.path = Path(path)
        self.items = {}

    def load(self):
        if self.path.exists():
            with self.path.open() as handle:
                self.items = json.load(handle)
        return self.items

    def save(self):
        with self.path.open("w") as handle:
            json.dump(self.items, handle, indent=2)

    def add(self, name, count=1):
        if count <= 0:
            raise ValueError("count must be positive")
        self.items[name] = self.items.get(name, 0) + count

    def remove(self, name, count=1):
        if name not in self.items:
            raise KeyError(name)
        left = self.items[name] - count
        if left < 0:
            raise ValueError("not enough items")
        if left == 0:
            del self.items[name]
        else:
            self.items[name] = left

    def total(self):
        return sum(self.items.values())
"""

ORDERS = """def parse_line(line):
    parts = line.strip().split(",")
    if len(parts) != 4:
        return None
    name, quantity, price, date = parts
    return {"name": name, "quantity": int(quantity), "price": float(price), "date": date}


def read_orders(path):
    orders = []
    with open(path) as handle:
        for line in handle:
            order = parse_line(line)
            if order is not None:
                orders.append(order)
    return orders


def total_by_name(orders):
    totals = {}
    for order in orders:
        name = order["name"]
        totals[name] = totals.get(name, 0.0) + order["quantity"] * order["price"]
    return totals


def print_report(totals):
    for name in sorted(totals):
        print(f"{name:20} {totals[name]:10.2f}")
"""

SHAPES = """class Rectangle:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width * self.height

    def perimeter(self):
        return 2 * (self.width + self.height)


class Circle:
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return 3.14159 * self.radius ** 2

    def perimeter(self):
        return 2 * 3.14159 * self.radius


def largest(shapes):
    best = None
    for shape in shapes:
        if best is None or shape.area() > best.area():
            best = shape
    return best
"""

_ASKED: tuple[tuple[str, str], ...] = (
    ("Rename the method `total` to `count_all` and add a docstring to `save`. Return the whole file.", INVENTORY),
    ("Rename the variable `orders` to `rows` everywhere. Return the complete code only.", ORDERS),
    ("Replace 3.14159 by math.pi and import math. Output the full updated code, nothing else.", SHAPES),
)


def _source(*told: object) -> str:
    return "\n\n".join(textwrap.dedent(inspect.getsource(one)) for one in told)  # type: ignore[arg-type]


_REAL: tuple[tuple[str, str], ...] = (
    (
        "Give `copy2` a parameter `verbose=False` that prints both paths. Return all of the code.",
        _source(shutil.copymode, shutil.copy, shutil.copy2),
    ),
    (
        "Rename the parameter `prefix` of `indent` to `lead`. Return both functions.",
        _source(textwrap.indent, textwrap.dedent),
    ),
    (
        "Raise a TypeError if max_denominator is not an int. Return the whole method.",
        _source(fractions.Fraction.limit_denominator),
    ),
    ("Raise ValueError instead of StatisticsError. Return the complete function.", _source(statistics.quantiles)),
    (
        "Add a method `save(self, path, year)` that writes formatyear to a file. Return the whole class.",
        _source(calendar.TextCalendar),
    ),
    (
        "Let the message about versions name both versions. Return the whole function.",
        _source(ipaddress.summarize_address_range),
    ),
)

EDITS = tuple(f"{asked}\n\n```python\n{code}```" for asked, code in _ASKED)
REAL_EDITS = tuple(f"{asked}\n\n```python\n{code}```" for asked, code in _REAL)

CHATS = (
    "Explain what a hash table is and when to use it.",
    "Write a short friendly email to a colleague about moving our meeting to Tuesday.",
    "What are the main differences between TCP and UDP?",
)

SYSTEM = "You are the assistant of a small shop. Follow these rules. " + " ".join(
    f"Rule {number}: when a customer asks about topic {number * 7}, first look into binder {number * 3} and be brief."
    for number in range(1, 20)
)
"""about 500 tokens of the Qwen tokenizer"""

QUESTIONS = (
    "When do you open?",
    "Is the blue lamp in stock?",
    "Can I return a kettle?",
    "Do you ship to Lyon?",
    "How do I pay?",
    "What is rule 3?",
)

MESSAGES = (
    "I was charged 20 dollars twice for my desk lamp.",
    "The app crashes with error 34 whenever I open settings.",
    "Where is my parcel 811? It should have reached Turin by now.",
    "I forgot my password and the reset mail never comes.",
    "I love the new backpack, best thing I bought in 3 years!",
    "Please refund the payment of 55 for the headset.",
    "Tracking says my package has been stuck in Perth for 9 days.",
    "Your website looks much better now, well done.",
)

TEAMS = ("billing", "technical", "shipping", "account", "feedback")

LABEL = f"Which team should read this message? Answer with one of: {', '.join(TEAMS)}"
