"""What the learned head sees of a call: named features, so that a guess can say which of them weighed most.

Words at the instruction's place count apart from words in the body of a long text: what is translated or summarised
may be about anything. Six-letter beginnings stand for inflections in both languages.
"""

from __future__ import annotations

import re

from rung.ladder.task.reading import LEAD_WORDS, TAIL_WORDS, Reading

PREFIX = 6
START_WORDS = 3


def features(reading: Reading) -> set[str]:
    """``=word``, ``~prefix`` near the instruction, ``.word`` elsewhere, ``^word`` where it begins, ``$word`` its end;
    ``*idea``, ``*idea&idea``, ``!mark``, ``!mark&idea``; ``@``: in the system prompt."""
    found = {f"!{mark}" for mark in reading.marks}
    words = reading.words
    own = reading.user_from
    lead, tail = own + LEAD_WORDS, len(words) - TAIL_WORDS
    for at, word in enumerate(words):
        if lead <= at < tail:
            found.add("." + word)
        elif word not in STOP:
            found.add("=" + word)
            if len(word) > PREFIX:
                found.add("~" + word[:PREFIX])
            if at < own:
                found.add("@" + word)
    start = reading.start
    for place, word in enumerate(words[start : start + START_WORDS]):
        if place == 0:
            found.add("^" + word)
        elif word not in STOP:
            found.add(f"^{place}{word}")
    if len(words) > own:
        found.add("$" + words[-1])
    ideas = sorted(reading.near)
    for at, idea in enumerate(ideas):
        found.add("*" + idea)
        for other in ideas[at + 1 :]:
            found.add(f"*{idea}&{other}")
    for idea in reading.told:
        found.add("@*" + idea)
    first = sorted((place, idea) for idea, place in reading.ideas.items() if place >= start)[:2]
    for rank, (_, idea) in enumerate(first):
        found.add(f"*{rank}{idea}")
    for mark in reading.marks & MATTER:
        for idea in ideas:
            found.add(f"!{mark}&{idea}")
    return found


STOP = frozenset(
    re.findall(
        r"\w+",
        """
        the a an of to in is are and or for on at by it its this that these those be was were with from as if not but so
        i you we they he she my your our their his her me us them do does did has have had can could will would there
        0 1 2 3 le la les l un une de du des d et ou a au aux en dans sur pour par avec ce cet cette ces il elle on nous
        vous ils je tu se s est sont ne pas que qui mon ma mes ton ta votre notre son sa ses plus
        """,
    )
)
"""words that say nothing alone: any source has its own share of them, which is what a model would learn"""

MATTER = frozenset(
    {"payload", "code", "json", "schema", "schema_mode", "options", "quote", "either"}
    | {"asks", "wh_first", "lower", "numbers:many", "system"}
)
"""marks that change what an idea means"""
