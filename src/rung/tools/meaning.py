"""What phrases mean together: which things are asked for, adjectives and questions included.

``Sort the keys`` asks for a form, ``are the keys sorted?`` asks about it, ``give me the sorted keys`` asks for
something else; only the first is a task.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rung.tools.intent import LANGUAGES, Reading
from rung.tools.lexicon import Feature

SYNTAX_WORDS = frozenset({"syntax", "syntaxe", "syntactically", "syntaxiquement", "parse", "parses", "parsing"})
_INDENT_WORDS = frozenset({"indentation", "indent", "indented", "indente", "indentee", "indenter", "indentez"})
_WORKS = frozenset({"format", "minify", "expand", "validate", "repair", "convert", "translate", "sort"})
_VERDICT_WANTS = frozenset({"yesno", "truefalse", "validword"})
DOCUMENTS = frozenset({"format", "minify", "sort", "repair", "convert"})


_PLEASE = frozenset({"please", "pls", "plz", "stp", "svp", "plait"})
_YOU_ARE = tuple(frozenset(pair.split()) for pair in ("you are", "act as", "tu es", "vous etes", "agis comme"))


class Unclear(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason


@dataclass(slots=True)
class Said:
    """The features of a reading, ambiguous phrases decided."""

    count: Counter[Feature] = field(default_factory=Counter)
    acts: set[str] = field(default_factory=set)
    adjs: set[str] = field(default_factory=set)
    nouns: set[str] = field(default_factory=set)
    target: set[str] = field(default_factory=set)
    question: bool = False
    syntax: bool = False
    """syntax itself is named"""

    def has(self, kind: str, value: str) -> bool:
        return (kind, value) in self.count

    def values(self, kind: str) -> list[str]:
        return [value for have, value in self.count if have == kind]


def decide(reading: Reading) -> Said:
    said = Said(question=reading.question, syntax=bool(reading.words & SYNTAX_WORDS))
    sure = [features[0] for features in reading.phrases if len(features) == 1]
    hard = {
        value
        for kind, value in sure
        if kind in ("act", "verb") and value not in ("ask", "check", "get", "make", "sort")
    }
    asked = ("verb", "ask") in sure or reading.question
    described = ("verb", "get") in sure or ("verb", "make") in sure or bool(hard)
    later = [i for i, features in enumerate(reading.phrases) if {("adj", "pretty"), ("act", "format")} & set(features)]
    first = next((i for i, features in enumerate(reading.phrases) if features[0][0] != "fill"), 0)
    for i, features in enumerate(reading.phrases):
        ordered = i == first and any(kind == "act" for kind, _ in features)  # "minifie ce JSON formaté"
        if ("adj", "unpretty") in features and later and later[-1] > i and not ordered:
            features = [("adj", "unpretty")]  # "it is on one line, make it readable"
        elif _describes(reading.phrases, i, reading.french > reading.english):
            features = [("adj", "described")]  # "format this single-line JSON"
        said.count[_pick(features, asked, described)] += 1
    said.acts = set(said.values("act"))
    said.adjs = set(said.values("adj"))
    said.nouns = set(said.values("noun"))
    said.target = set(said.values("to"))
    said.nouns |= {value for kind, value in said.count if kind == "in"}
    meant = hard & {"convert", "format"} or ("verb", "get") in said.count
    if said.target and not (said.nouns & LANGUAGES) and not meant:
        # "parsed as JSON", "errors in JSON": the only language named is the payload's own.
        said.nouns, said.target = said.nouns | said.target, set()
    if len(said.target) == 1 and len(said.nouns & LANGUAGES) == 2:
        said.nouns -= said.target  # "JSON to YAML; output only the YAML"
    return said


def _describes(phrases: list[list[Feature]], at: int, french: bool) -> bool:
    """Whether a form is what the payload has: it stands beside a noun, behind a task, and no ``into`` leads to it."""
    if not {("adj", "small"), ("adj", "unpretty"), ("adj", "pretty"), ("adj", "many")} & set(phrases[at]):
        return False
    before = [kind for features in phrases[:at] for kind, _ in features if kind in ("act", "verb", "prep")]
    tasks = {value for features in phrases[:at] for kind, value in features if kind == "act"}
    if not tasks & _WORKS or before[-1] != "act":
        return False  # "and output compact JSON" asks for it
    behind = phrases[at + 1][0] if at + 1 < len(phrases) else ("", "")
    if behind[0] == "noun":
        return behind[1] != "version"
    values = {value for _, value in phrases[at]}
    # In French it stands behind the noun: "indente ce JSON compact".
    return french and phrases[at - 1][0][0] == "noun" and "line" not in values and bool(values & {"small", "pretty"})


def _pick(features: list[Feature], asked: bool, described: bool) -> Feature:
    """One meaning for a phrase that has several (``correct`` the verb and the adjective)."""
    if len(features) == 1:
        return features[0]
    acts = [one for one in features if one[0] == "act"]
    adjs = [one for one in features if one[0] == "adj"]
    if acts and adjs:
        return adjs[0] if described or (asked and adjs[0][1] in ("valid", "correct")) else acts[0]
    if len(acts) > 1:
        raise Unclear("a word has two meanings here")
    return next((one for one in features if one[0] != "fill"), features[0])


def acts_of(said: Said, reading_words: frozenset[str]) -> set[str]:
    """What is asked for, adjectives and questions included; raises Unclear where they contradict."""
    acts = set(said.acts)
    if "expand" in acts:  # "expand this minified JSON": minified is what it is, not what is asked for
        acts = acts - {"expand"} | {"format"}
        said.adjs -= {"small", "line"}
    if "unpretty" in said.adjs and acts == {"repair"} and not said.syntax and not said.adjs & {"broken", "valid"}:
        acts = {"reindent"}  # "its indentation is a mess, fix it"
        said.acts.add("reindent")
    if "flatten" in acts:
        if "line" not in said.adjs:
            raise Unclear("to flatten may mean more than its layout")
        acts = acts - {"flatten"} | {"minify"}
    asked_for = any(said.has("verb", verb) for verb in ("get", "return", "make", "ask"))
    if said.has("noun", "version") and not (said.adjs or said.target or asked_for):
        raise Unclear("a version may be a value")
    if "translate" in acts:
        if not said.target or "convert" in acts or "converted" in said.adjs:
            raise Unclear("a translation of its words may be meant")
        acts = acts - {"translate"} | {"convert"}
    if "cleanup" in acts:
        acts = acts - {"cleanup"} | {"format"}
    if "lint" in acts and said.nouns & {"json", "yaml", "toml", "xml"}:
        acts = acts - {"lint"} | {"validate"}
    if said.has("verb", "sort") or said.has("obj", "keys"):
        put = "convert" in acts and said.has("opt", "alpha")
        if not (said.has("obj", "keys") and (put or said.has("verb", "sort"))) and "sort" not in acts:
            raise Unclear("only keys can be sorted")
        acts.add("sort")
    for role in said.values("role"):
        if not told_who(reading_words) and (said.has("verb", "get") or said.has("verb", "ask")):
            raise Unclear("a tool is asked for, not its work")
        acts.add(role)
    if said.values("sort"):
        acts.add("sort")
    if said.has("verb", "convert"):
        acts.add("convert")
    if not acts and said.values("indent") and reading_words & _INDENT_WORDS:
        acts.add("format")
    if "reindent" in acts:
        acts = acts - {"reindent"} | {"format"}
    if "pyformat" in acts:
        acts = acts - {"pyformat"} | {"format"}
    if said.values("select"):
        acts.add("lint")
    if acts == {"convert", "sort"} and not said.target:
        acts.discard("convert")  # "put the keys in alphabetical order"
    if {"small", "pretty"} <= said.adjs:
        _from_one_form_to_the_other(said)
    if {"small", "pretty"} <= said.adjs:
        raise Unclear("it is not clear which form is wanted")
    wish = said.has("want", "only") or bool(reading_words & _PLEASE)
    if not acts and wish and said.adjs and not said.question and not any(kind == "verb" for kind, _ in said.count):
        said.count["verb", "get"] += 1  # "pretty JSON please"
    _apply_adjectives(said, acts)
    _apply_questions(said, acts)
    _refuse_questions(said, acts)
    return acts


def told_who(words: frozenset[str]) -> bool:
    """``You are a formatter``: who is spoken to is told who they are."""
    return any(pair <= words for pair in _YOU_ARE)


def _from_one_form_to_the_other(said: Said) -> None:
    """``Turn this compact JSON into pretty JSON``: the form before ``into`` is what the payload has."""
    order = list(said.count)
    if ("prep", "to") in order:
        at = order.index(("prep", "to"))
        before = [adj for adj in ("small", "pretty") if order.index(("adj", adj)) < at]
        if len(before) == 1:
            said.adjs -= set(before)


def _refuse_questions(said: Said, acts: set[str]) -> None:
    """``Is it sorted?``, ``check the formatting``, ``give me the sorted keys`` ask about a form, not for it."""
    made = acts & DOCUMENTS
    if made and said.has("verb", "ask") and not said.adjs & {"broken", "unpretty"}:
        raise Unclear("a question about its form, not a task")
    if made and (said.has("verb", "check") or said.has("verb", "analyse")):
        raise Unclear("a check of its form is not a task of ours")
    if acts == {"sort"} and said.has("verb", "get") and not said.values("sort"):
        raise Unclear("the keys may be asked for, not the document")
    if said.has("verb", "analyse") and "lint" not in acts:
        raise Unclear("an analysis is not a task of ours")


def _apply_adjectives(said: Said, acts: set[str]) -> None:
    made = said.has("verb", "make")
    got = (
        said.has("verb", "get")
        or said.has("verb", "return")
        or bool(said.target)
        or "convert" in acts
        or said.has("noun", "version")
    )
    # What the payload is comes last: it may only be said next to a task.
    for adj in sorted(said.adjs, key=lambda one: (one in ("unpretty", "broken"), one)):
        if adj == "line" or (adj == "small" and (made or got or acts & {"format", "minify"})):
            acts.discard("format")
            acts.add("minify")
            if not said.target:
                acts.discard("convert")
        elif adj == "many" or (adj == "pretty" and (made or got or acts & {"format", "repair", "sort"})):
            acts.add("format")
        elif (adj == "valid" and made and not acts) or (adj == "fixed" and (got or "repair" in acts)):
            acts.add("repair")
        elif adj in ("valid", "correct"):
            _valid(said, acts)
        elif adj == "parse":
            if not acts & {"convert"} and not said.target:
                _valid(said, acts)
        elif adj == "broken":
            asked = said.values("ask") or (said.adjs & {"valid"} and said.has("verb", "ask"))
            if (
                "repair" not in acts
                and not asked
                and said.syntax
                and (said.has("verb", "ask") or said.has("verb", "check"))
            ):
                acts.add("validate")  # "check if there are syntax errors"
                said.count["ask", "errors"] += 1
            elif "repair" not in acts and not asked and not said.has("into", "valid"):
                raise Unclear("broken is said, but not what to do")
        elif adj == "unpretty":
            if "format" not in acts:
                raise Unclear("an adjective without a task")
        elif adj == "described":
            continue
        elif adj == "converted":
            acts.add("convert")
        else:
            raise Unclear("an adjective without a task")
    if made and not said.adjs and not {"pyformat", "minify"} & said.acts:
        raise Unclear("make what?")


def _valid(said: Said, acts: set[str]) -> None:
    if acts & {"repair"}:
        return
    if acts - {"validate", "against"}:
        raise Unclear("validity is asked for together with something else")
    asked = said.has("verb", "ask") or said.has("verb", "check")
    if said.has("verb", "get") and not asked and not acts:
        raise Unclear("something valid is asked for, not whether it is")
    if said.question or asked or acts or _VERDICT_WANTS & set(said.values("want")):
        acts.add("validate") if "against" not in acts else None
    else:
        raise Unclear("validity is stated, not asked")


def _apply_questions(said: Said, acts: set[str]) -> None:
    if said.has("ask", "data") and "against" not in acts:
        raise Unclear("the data itself may be meant")
    asked = [value for value in said.values("ask") if value != "data"]
    if asked == ["errors"] and "repair" in acts and not said.has("verb", "ask"):
        return  # "it has errors, fix it"
    if asked:
        if acts - {"validate", "lint", "against"}:
            raise Unclear("errors are asked for together with something else")
        if not acts:
            acts.add("validate")
    if not acts and said.has("verb", "check") and said.nouns & {"json", "yaml", "toml", "xml"}:
        acts.add("validate")
