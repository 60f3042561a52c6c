"""Words compared: a light stemmer for English (and French plurals), and how near two spellings are."""

from __future__ import annotations

import re
from functools import lru_cache

_FORMS = """
be:is,are,was,were,been,being,am have:has,had,having do:does,did,done,doing go:goes,went,gone,going
give:gave,given,gives,giving take:took,taken,takes,taking get:got,gotten,gets,getting make:made,makes,making
find:found,finds,finding write:wrote,written,writes,writing come:came,comes,coming see:saw,seen,sees,seeing
know:knew,known,knows,knowing begin:began,begun,begins,beginning break:broke,broken,breaks
choose:chose,chosen,chooses,choosing eat:ate,eaten,eats drink:drank,drunk drive:drove,driven,drives,driving
fall:fell,fallen,falls fly:flew,flown,flies forget:forgot,forgotten grow:grew,grown hold:held,holds
keep:kept,keeps leave:left lose:lost,loses,losing mean:meant meet:met,meets pay:paid,pays say:said,says
sell:sold,sells send:sent,sends sing:sang,sung sit:sat speak:spoke,spoken spend:spent stand:stood swim:swam,swum
teach:taught think:thought throw:threw,thrown understand:understood wear:wore,worn win:won buy:bought,buys
bring:brought,brings build:built,builds catch:caught draw:drew,drawn feel:felt hear:heard hide:hid,hidden
lead:led rise:rose,risen run:ran,runs,running show:showed,shown,shows,showing tell:told,tells
use:uses,used,using child:children person:people man:men woman:women foot:feet tooth:teeth mouse:mice
index:indices,indexes vertex:vertices matrix:matrices datum:data criterion:criteria leaf:leaves
become:became,becomes contain:contained,contains,containing sort:sorted,sorts,sorting
occur:occurred,occurs,occurring,occuring split:splits,splitting put:puts,putting
"""

_IRREGULAR = {
    form: base for base, _, forms in (entry.partition(":") for entry in _FORMS.split()) for form in forms.split(",")
}

_DOUBLED = re.compile(r"(.)\1")
_VOWELS = frozenset("aeiouyé")


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """What inflections of an English word share: ``sorting``, ``sorted``, ``sorts`` -> ``sort``.

    Comparatives are kept apart from their base: largest is not large.
    """
    if word in _IRREGULAR:
        return _without_e(_IRREGULAR[word])
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word[: -len(ending)]
            if not _VOWELS.isdisjoint(base):
                if base[-1] == base[-2] and base[-1] not in "lsz":
                    base = base[:-1]
                return _without_e(base)
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return _without_e(word[:-1])
    return _without_e(word)


def _without_e(base: str) -> str:
    """A final silent e goes: ``giv`` is what give, giving share."""
    return base[:-1] if base.endswith("e") and len(base) > 3 else base


def misspelt(one: str, other: str) -> bool:
    """Whether one word reads as the other misspelt: long enough, and one edit apart, doubled letters aside.

    Digits never count as a misspelling, nor does another letter in a short word: that makes another word (port, post).
    """
    short, long = sorted((_DOUBLED.sub(r"\1", one), _DOUBLED.sub(r"\1", other)), key=len)
    if len(short) < 4 or not (one.isalpha() and other.isalpha()):
        return False
    if len(long) - len(short) > 1 or one[0] != other[0]:
        return False
    if len(short) < 6 and len(short) == len(long) and sorted(short) != sorted(long):
        return False
    return _distance(short, long, 1) <= 1


def _distance(short: str, long: str, limit: int) -> int:
    """Edits (a swap of neighbours is one), at most `limit` + 1."""
    before: list[int] = []
    row = list(range(len(short) + 1))
    for i, letter in enumerate(long, 1):
        last, before, row = before, row, [i]
        for j, mine in enumerate(short, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != mine))
            if i > 1 and j > 1 and letter == short[j - 2] and long[i - 2] == mine:
                best = min(best, last[j - 2] + 1)
            row.append(best)
        if min(row) > limit:
            return limit + 1
    return row[-1]
