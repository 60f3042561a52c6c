"""What the learned head sees of a call: named features, so that a guess can say which of them weighed most.

Words at the instruction's place count apart from words in the body of a long text: what is translated or summarised
may be about anything. Six-letter beginnings stand for inflections in both languages.
"""

from __future__ import annotations

from rung.ladder.task.reading import LEAD_WORDS, TAIL_WORDS, Reading

PREFIX = 6
START_WORDS = 3


def features(reading: Reading) -> set[str]:
    """``=word``, ``~prefix``, ``+two words`` near the instruction; ``.word`` elsewhere; ``^word`` where it begins;
    ``*idea``, ``*idea&idea``, ``!mark``."""
    found = {f"!{mark}" for mark in reading.marks}
    words = reading.words
    own = reading.user_from
    lead, tail = own + LEAD_WORDS, len(words) - TAIL_WORDS
    before = ""
    for at, word in enumerate(words):
        if lead <= at < tail:
            found.add("." + word)
            before = ""
            continue
        found.add("=" + word)
        if len(word) > PREFIX:
            found.add("~" + word[:PREFIX])
        if before:
            found.add(f"+{before} {word}")
        before = word
    start = reading.start
    for place, word in enumerate(words[start : start + START_WORDS]):
        found.add(f"^{word}" if place == 0 else f"^{place}{word}")
    if len(words) > own:
        found.add("$" + words[-1])
    ideas = sorted(reading.near)
    for at, idea in enumerate(ideas):
        found.add("*" + idea)
        for other in ideas[at + 1 :]:
            found.add(f"*{idea}&{other}")
    first = sorted((place, idea) for idea, place in reading.ideas.items() if place >= start)[:2]
    for rank, (_, idea) in enumerate(first):
        found.add(f"*{rank}{idea}")
    for mark in reading.marks & MATTER:
        for idea in ideas:
            found.add(f"!{mark}&{idea}")
    return found


MATTER = frozenset({"payload", "code", "json", "asks", "system", "options", "numbers:many", "schema"})
"""marks that change what an idea means"""
