"""What does the decision "not a tool task" cost an ordinary chat call? Bar: under 50 microseconds.

    python benchmarks/tools/bench_decline.py [--json]

Each kind of call is attempted many times on a warm `ToolRung`; the figure is the median over batches of one
attempt, coroutine included. The calls are made here: short chat, an 80 KB conversation, a prompt of several
KB, code in fences, and messages that begin like a task and are none.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from rung.answer import Declined
from rung.call import Call
from rung.rungs.tool import ToolRung

PROSE = "The committee met on Tuesday and talked about the budget, the roof and the new heating. "
CODE = "```python\n" + "def add(a, b):\n    return {'sum': a + b, 'items': [a, b]}\n\n" * 60 + "```"
BATCHES, PER_BATCH = 40, 50


def user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def conversation() -> dict[str, Any]:
    turns = [{"role": "system", "content": "You are a helpful assistant."}]
    for i in range(20):
        turns.append({"role": "user", "content": f"Question {i}: " + PROSE * 22})
        turns.append({"role": "assistant", "content": PROSE * 22})
    return {"messages": [*turns, {"role": "user", "content": "And what would you change about the third point?"}]}


CALLS: dict[str, dict[str, Any]] = {
    "short chat": user("What's the capital of Peru?"),
    "conversation of 80 KB": conversation(),
    "prompt of 8 KB": user("Summarize the minutes below in three bullet points.\n\n" + PROSE * 90),
    "prompt of 80 KB": user(PROSE * 900 + "\n\nWhat did they decide about the roof?"),
    "code in a fence, question first": user("Why does this function return a dict?\n\n" + CODE),
    "code in a fence, question last": user(CODE + "\n\nAdd type hints and explain your choices."),
    "refactoring request": user("Refactor this Python code to use a dataclass and add tests:\n\n" + CODE),
    "begins like a task": user(
        'Format this JSON and translate the values to French:\n\n{"a": "hello", "b": [1, 2, 3]}'
    ),
    "JSON of 40 KB with a question": user("Which users are older than 30?\n\n" + json.dumps([{"age": 1}] * 3600)),
    "JSON of 40 KB first": user(json.dumps([{"age": 1}] * 3600) + "\n\nWhich users are older than 30?"),
    "write code": user("Write a Python function that validates JSON against a schema and returns all errors."),
    "French": user("Peux-tu m'expliquer la différence entre une liste et un tuple en Python ?"),
    "extraction": user("Extract the name and the city as JSON from this text: " + PROSE * 5),
}


async def measure(rung: ToolRung, body: dict[str, Any]) -> float:
    """Median microseconds of one attempt."""
    call = Call(body=body, raw=b"", model="auto")
    assert isinstance(await rung.attempt(call), Declined), body["messages"][-1]["content"][:80]
    batches = []
    for _ in range(BATCHES):
        start = time.perf_counter()
        for _ in range(PER_BATCH):
            await rung.attempt(call)
        batches.append((time.perf_counter() - start) / PER_BATCH * 1e6)
    return statistics.median(batches)


async def main() -> dict[str, float]:
    rung = ToolRung()
    return {name: round(await measure(rung, body), 1) for name, body in CALLS.items()}


if __name__ == "__main__":
    found = asyncio.run(main())
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        for name, microseconds in found.items():
            print(f"{microseconds:8.1f} us  {name}")
