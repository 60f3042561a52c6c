"""What can be seen on a question and an answer without asking anybody: the evidence a score is made of.

Nothing here knows which answers are right: a scorer learns from labels what each figure is worth (`score.fit`).
`evidence` is for any text, with the sums of `arithmetic` where it has some; what the caller knows besides (label
probability, margin between the best two, agreement of two cheap answers, the outcome of checks) goes in as `extra`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from rung.ladder.trust.arithmetic import LARGEST, NUMBER, Sum, numbers, sums

_FINAL = re.compile(
    r"####\s*(?P<marked>[^\n]*)|\\boxed\{(?P<boxed>[^{}]*)\}|(?:final )?answer(?: is|:)\s*(?P<said>[^\n]*)", re.I
)
_NUMBER_WORDS = {
    "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0,
    "ten": 10.0, "eleven": 11.0, "twelve": 12.0, "fifteen": 15.0, "twenty": 20.0, "thirty": 30.0, "fifty": 50.0,
    "hundred": 100.0, "thousand": 1000.0, "half": 0.5, "twice": 2.0, "double": 2.0, "triple": 3.0, "thrice": 3.0,
    "dozen": 12.0, "quarter": 0.25, "third": 1 / 3, "couple": 2.0, "both": 2.0,
}  # fmt: skip
_CONVERSIONS = (
    (("twice|double",), (2.0,)),
    ((r"half\b|halves",), (2.0, 0.5)),
    (("thrice|triple",), (3.0,)),
    ((r"thirds?\b",), (3.0, 1 / 3, 0.33, 2 / 3)),
    ((r"quarters?\b|fourths?\b",), (4.0, 0.25, 0.75)),
    (("dozen",), (12.0,)),
    (("minute", "hour"), (60.0, 0.5, 1 / 60)),
    (("day|daily", "week"), (7.0, 5.0)),
    (("month", "year"), (12.0,)),
    (("week", "year"), (52.0,)),
    (("cent", "dollar"), (100.0, 0.01)),
)
"""(words that all occur in the question, figures of which one should then be reckoned with)"""
_CONVERSION_RES = tuple(
    (tuple(re.compile(rf"\b(?:{words})", re.I) for words in together), figures) for together, figures in _CONVERSIONS
)
_HEDGE = re.compile(
    r"\b(?:however|cannot|can't|not possible|impossible|mistake|error|sorry|not enough|unclear|incorrect|"
    r"determine|negative|not make sense|contradict\w*|inconsisten\w*|impossible de|erreur|désolé)\b",
    re.I,
)
_GUESS = re.compile(r"\b(?:assum\w*|suppos\w*|let's say|approximately|about|roughly|perhaps|maybe|might)\b", re.I)
_REFUSAL = re.compile(r"\b(?:I(?:'m| am) (?:sorry|unable)|I (?:cannot|can't)|as an AI|je ne peux pas)\b", re.I)
_ALGEBRA = re.compile(r"(?<![\w'])[a-zA-Z]\s*[=+]\s|\d[a-z]\b(?!\w)|\blet [a-z]\b|\bequation\b", re.I)
_WORDS = re.compile(r"[^\W\d_]+")
_ASKS = {
    "asks_percent": r"%|percent",
    "asks_part": r"\d/\d|\bhalf\b|third|quarter|fourth|fifth",
    "asks_times": r"\btimes\b|twice|double|triple",
    "asks_more": r"\bmore\b|fewer|\bless\b|older|younger",
    "asks_each": r"\beach\b|\bevery\b|\bper\b",
    "asks_left": r"\bleft\b|remain|\brest\b",
    "asks_mean": r"average|\bmean\b",
    "asks_if": r"\bif\b",
    "asks_total": r"\btotal\b|altogether|in all\b|combined",
    "asks_order": r"\bafter\b|\bbefore\b|\bthen\b|until",
    "asks_than": r"\bthan\b",
    "asks_ratio": r"ratio|probab|\bodds\b",
    "asks_same": r"\bsame\b|equal",
    "asks_trade": r"profit|discount|\btax\b|interest|\bsale\b|refund",
    "asks_rate": r"speed|\bmph\b|\brate\b|miles",
    "asks_other": r"another|second|\bother\b",
    "asks_except": r"\bonly\b|except|instead|\bbut\b|\bnot\b",
    "asks_money": r"\$|dollar|\bcents?\b|\bcost",
    "asks_start": r"initial|original|at first|begin|start|used to|\bago\b",
    "asks_pairs": r"\bpairs?\b|couple|\beach other\b",
    "asks_time": r"hour|minute|\bday|week|month|year",
}
_ASKS_RES = {name: re.compile(pattern, re.I) for name, pattern in _ASKS.items()}
_ENDS = frozenset(".!?)]}\"'`*…。»")
_CLOSE = 0.006
_MOST_FIGURES = 200
_MOST = 20_000
"""characters of prompt and answer that are looked at, each: from the end of the prompt and of the answer"""


def evidence(prompt: str, answer: str | None = None, extra: Mapping[str, float] | None = None) -> dict[str, float]:
    """Named figures, the same names for the same arguments present. Without an answer only the question speaks."""
    prompt = prompt[-_MOST:]
    found = of_prompt(prompt)
    if answer is not None:
        answer = answer[-_MOST:]
        found.update(of_text(prompt, answer))
        found.update(of_sums(prompt, answer))
    if extra:
        found.update({name: float(value) for name, value in extra.items()})
    return found


def of_prompt(prompt: str) -> dict[str, float]:
    """How long and how numerical the question is, and what kinds of words it uses."""
    words = _WORDS.findall(prompt)
    lines = [line for line in prompt.splitlines() if line.strip()]
    found = {
        "prompt_length": math.log1p(len(prompt)),
        "prompt_words": math.log1p(len(words)),
        "prompt_lines": math.log1p(len(lines)),
        "prompt_sentences": float(len(re.findall(r"[.?!](?:\s|$)", prompt))),
        "prompt_figures": float(len(numbers(prompt))),
        "prompt_figure_words": float(sum(word.lower() in _NUMBER_WORDS for word in words)),
        "prompt_names": float(len(set(re.findall(r"(?<![.?!] )\b[A-Z][a-z]+\b", prompt)))),
        "prompt_word_length": sum(map(len, words)) / max(len(words), 1),
        "prompt_signs": float(len(re.findall(r"[=<>^_{}\\|+*/]", prompt))) ** 0.5,
        "prompt_last_line": math.log1p(len(lines[-1])) if lines else 0.0,
        "prompt_longest_word": float(max(map(len, words), default=0)),
        "prompt_not": float(bool(re.search(r"\bNOT\b|\bEXCEPT\b|\bfalse\b", prompt))),
        "prompt_statements": float("Statement" in prompt),
    }
    found.update({name: float(bool(pattern.search(prompt))) for name, pattern in _ASKS_RES.items()})
    return found


def of_text(prompt: str, answer: str) -> dict[str, float]:
    """Length, shape, hedging, and whether it ends as an answer ends."""
    body = answer.strip()
    final = final_answer(body)
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    questions = [part for part in re.split(r"(?<=[.?!\n])", prompt) if part.endswith("?")]
    asked = {word.lower() for word in _WORDS.findall(questions[-1] if questions else prompt) if len(word) > 3}
    close = {word.lower() for word in _WORDS.findall(" ".join(lines[-3:]))}
    names = set(re.findall(r"(?<![.?!] )\b[A-Z][a-z]+\b", prompt))
    return {
        "answer_length": math.log1p(len(body)),
        "answer_to_prompt": math.log((len(body) + 1) / (len(prompt) + 1)),
        "answer_lines": math.log1p(len(lines)),
        "answer_line_length": math.log1p(len(body) / max(len(lines), 1)),
        "answer_repeats": float(len(lines) - len(set(lines))),
        "hedges": min(len(_HEDGE.findall(body)), 5),
        "guesses": min(len(_GUESS.findall(body)), 5),
        "refuses": float(bool(_REFUSAL.search(body))),
        "final_marked": float(bool(re.search(r"####|\\boxed|answer(?: is|:)", body, re.I))),
        "final_missing": float(final is None),
        "final_words": float(len(_WORDS.findall(final or ""))),
        "cut": float(not lines or ("####" not in lines[-1] and lines[-1][-1] not in _ENDS)),
        "asked_words_missed": len(asked - close) / max(len(asked), 1),
        "names_missed": sum(name not in body for name in names) / max(len(names), 1),
        "asks_back": float(body.endswith("?")),
        "parenthesis": float(len(re.findall(r"\([a-zA-Z]", body))),
    }


def final_answer(text: str) -> str | None:
    """What stands after the last ``####``, in the last ``\\boxed{}`` or after "answer:"; None if nothing does."""
    found = list(_FINAL.finditer(_FRACTION.sub(r"\1/\2", text)))
    if not found:
        return None
    last = found[-1]
    return (last["marked"] or last["boxed"] or last["said"] or "").strip() or None


def final_number(text: str) -> float | None:
    """The number a text gives as its answer, the last one if none is marked; None if it has no number.

    A fraction is its value, a percentage its figure, and a minus before it (and a currency) counts.
    """
    said = final_answer(text)
    marked = list(_SIGNED.finditer(said)) if said else []
    if marked:
        return _figure(marked[0])
    rest = list(_SIGNED.finditer(_FRACTION.sub(r"\1/\2", text)))
    return _figure(rest[-1]) if rest else None


_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,12})\}\{(\d{1,12})\}")
_SIGNED = re.compile(
    rf"(?P<minus>(?<![\w)])[-−]\s?[$£€]?\s?)?(?P<figure>{NUMBER})(?:\s?/\s?(?P<under>[1-9]\d{{0,11}})(?![\d/.]))?"
)


def _figure(found: re.Match[str]) -> float:
    value = min(float(found["figure"].replace(",", "")), LARGEST) / float(found["under"] or 1)
    return -value if found["minus"] else value


def of_sums(prompt: str, answer: str) -> dict[str, float]:
    """What the stated sums say: slips, figures of the question left unused, figures from nowhere, loose ends."""
    steps = sums(answer)
    given = numbers(prompt)[-_MOST_FIGURES:]
    said = [_NUMBER_WORDS[word] for word in _WORDS.findall(prompt.lower()) if word in _NUMBER_WORDS]
    final = final_number(answer)
    operands = [figure for step in steps for figure in step.operands]
    results = [step.claimed for step in steps]
    written = set(numbers(re.sub(r"####.*", "", answer)))
    reached = operands + results
    unused = sum(not _among(figure, reached) and not _among(figure / 100, reached) for figure in given)
    signs = "".join(step.operators for step in steps)
    last = steps[-1].operators if steps else ""
    conversions = [figures for words, figures in _CONVERSION_RES if all(one.search(prompt) for one in words)]
    counts = "how many" in prompt.lower()
    found = {
        "sums": float(len(steps)),
        "sums_none": float(not steps),
        "slips": min(float(sum(not step.holds for step in steps)), 4.0),
        "slip": float(any(not step.holds for step in steps)),
        "slip_share": sum(not step.holds for step in steps) / max(len(steps), 1),
        "annotated": float(any(step.annotated for step in steps)),
        "given_unwritten": float(sum(figure not in written for figure in given)),
        "given_unused": float(unused),
        "given_unused_share": unused / max(len(given), 1),
        "given_overused": float(
            sum(max(0, operands.count(one) - (given + said + results).count(one)) for one in set(given))
        ),
        "steps_per_figure": len(steps) / max(len(given) + len(said), 1),
        "steps_short": float(len(given) + len(said) - 1 - len(steps)),
        "conversions_missed": float(sum(not any(_among(one, operands) for one in figures) for figures in conversions)),
        "signs": float(sum(sign in signs for sign in "+-*/")),
        "longest_sum": float(max((len(step.operands) for step in steps), default=0)),
        "results_repeated": float(len(results) - len({round(result, 6) for result in results})),
        "results_fraction": float(sum(result != round(result) for result in results)),
        "results_negative": float(any(step.claimed < 0 or step.value < 0 for step in steps)),
        "decimals": float(max((step.decimals for step in steps), default=0)),
        "algebra": float(bool(_ALGEBRA.search(answer))),
    }
    found.update({f"sign_{name}": float(sign in signs) for name, sign in _SIGNS.items()})
    found.update({f"last_{name}": float(sign in last) for name, sign in _SIGNS.items()})
    found["left_without_minus"] = float(bool(_ASKS_RES["asks_left"].search(prompt)) and "-" not in signs)
    found["mean_without_division"] = float(bool(_ASKS_RES["asks_mean"].search(prompt)) and "/" not in signs)
    found.update(_of_chain(steps, given + said))
    found.update(_of_final(final, given, results, counts))
    return found


_SIGNS = {"plus": "+", "minus": "-", "times": "*", "over": "/"}


def _of_chain(steps: list[Sum], given: list[float]) -> dict[str, float]:
    """Does each step use what is known by then, and is each result used later?"""
    nowhere = loose = 0
    known = list(given)
    for at, step in enumerate(steps):
        nowhere += sum(not _among(figure, known) for figure in step.operands if figure not in (1.0, 2.0, 100.0))
        known += [step.claimed, step.value, *step.operands]
        later = [figure for following in steps[at + 1 :] for figure in (*following.operands, following.claimed)]
        loose += at + 1 < len(steps) and not _among(step.claimed, later)
    return {
        "from_nowhere": float(nowhere),
        "from_nowhere_any": float(nowhere > 0),
        "loose_ends": float(loose),
        "loose_ends_any": float(loose > 0),
    }


def _of_final(final: float | None, given: list[float], results: list[float], counts: bool) -> dict[str, float]:
    """The final figure: where it comes from, and whether such a thing can be counted."""
    known = final is not None
    value = final or 0.0
    fraction = known and value != round(value)
    return {
        "final_is_last": float(known and bool(results) and abs(results[-1] - value) < _CLOSE),
        "final_is_result": float(known and _among(value, results)),
        "final_is_given": float(known and value in given),
        "final_fraction": float(fraction),
        "final_fraction_count": float(fraction and counts),
        "final_fraction_new": float(fraction and all(figure == round(figure) for figure in given)),
        "final_negative": float(value < 0),
        "final_zero": float(known and value == 0),
        "final_size": math.log1p(abs(value)),
        "final_over_given": math.log1p(abs(value)) - math.log1p(max(given, default=0.0)),
        "final_largest": float(known and bool(results) and value >= max(results) - 1e-9),
        "final_times": float(min(sum(abs(result - value) < _CLOSE for result in results), 4)),
        "results_size": math.log1p(max(map(abs, results), default=0.0)),
    }


def _among(figure: float, figures: list[float]) -> bool:
    return any(abs(figure - one) <= (_CLOSE if one != round(one) else 1e-9 * max(1.0, abs(one))) for one in figures)
