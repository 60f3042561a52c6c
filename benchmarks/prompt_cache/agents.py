"""A multi-turn agent trace from a seed: who says what, and when. Nothing here knows a gateway or a cache."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any

SESSIONS = 200
AGENTS = 4
"""different system prompts and tool sets; sessions of one agent share theirs"""
TURNS = (8, 20)
SYSTEM_TOKENS = 3000
TOOLS = 8
BYTES_PER_TOKEN = 4
ARRIVALS = 900.0
"""seconds in which all sessions begin"""

_SYLLABLES = ("ka", "lo", "mi", "ren", "su", "ta", "vel", "no", "dra", "pi", "quo", "se", "ber", "ful", "gin", "hal")


@dataclass(slots=True)
class Turn:
    """One call: the messages that are new in it, and the pause before it in seconds."""

    messages: list[dict[str, Any]]
    pause: float


@dataclass(slots=True)
class Session:
    """`kind`: the name the session's calls ask for, 0, 1 or 2."""

    number: int
    kind: int
    start: float
    system: str
    tools: list[dict[str, Any]]
    turns: list[Turn] = field(default_factory=list)


def text(rng: Random, tokens: int) -> str:
    """About so many tokens of words that mean nothing."""
    words: list[str] = []
    size = 0
    while size < tokens * BYTES_PER_TOKEN:
        word = "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4)))
        words.append(word)
        size += len(word) + 1
    return " ".join(words)


def sessions(seed: int, count: int = SESSIONS) -> list[Session]:
    """The whole trace."""
    rng = Random(seed)
    agents = [(f"You are agent {number}. {text(rng, SYSTEM_TOKENS)}", _tools(rng)) for number in range(AGENTS)]
    made = []
    for number in range(count):
        system, tools = agents[rng.randrange(AGENTS)]
        session = Session(number, number % 3, rng.uniform(0, ARRIVALS), system, tools)
        first = {"role": "user", "content": f"Task {number}: {text(rng, _lognormal(rng, 300, 0.7))}"}
        session.turns.append(Turn([first], 0.0))
        for turn in range(1, rng.randint(*TURNS)):
            session.turns.append(_turn(rng, number, turn))
        made.append(session)
    return made


def _turn(rng: Random, number: int, turn: int) -> Turn:
    """Mostly tool results, sometimes the user's own words; now and then a long pause or very many results."""
    pause = rng.uniform(480, 1200) if rng.random() < 0.02 else _lognormal(rng, 4, 0.8)
    if rng.random() < 0.25:
        pause = max(pause, _lognormal(rng, 30, 0.8))
        return Turn([{"role": "user", "content": text(rng, _lognormal(rng, 120, 0.8))}], float(pause))
    count = rng.randint(12, 18) if rng.random() < 0.02 else rng.choice((1, 1, 1, 2, 3, 4))
    calls = [
        {
            "id": f"call_{number}_{turn}_{place}",
            "type": "function",
            "function": {"name": f"tool_{rng.randrange(TOOLS)}", "arguments": f'{{"path":"{text(rng, 8)}"}}'},
        }
        for place in range(count)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": text(rng, min(4000, _lognormal(rng, 400, 1.0)))}
        for call in calls
    ]
    return Turn([{"tool_calls": calls}, *results], float(pause))


def _tools(rng: Random) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "description": text(rng, 80),
                "parameters": {
                    "type": "object",
                    "properties": {"path": {"type": "string", "description": text(rng, 20)}},
                    "required": ["path"],
                },
            },
        }
        for number in range(TOOLS)
    ]


def _lognormal(rng: Random, median: float, sigma: float) -> int:
    return max(1, round(median * math.exp(sigma * rng.gauss(0, 1))))
