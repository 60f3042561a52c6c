"""The sums an answer states, read and done again: every ``a op b = c`` in prose, in LaTeX or between ``<<`` and ``>>``.

What is read is only ever computed here, never run. Text that cannot be read is passed over, not held against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_NUMBERS = re.compile(rf"(?<![\w.])(?:{NUMBER})|(?<=[a-zA-Z$£€(+*/=x-])(?:{NUMBER})")
_ANNOTATION = re.compile(r"<<([^<>]{1,200}?)=([^<>=]{1,60})>>")
_TOKEN = re.compile(
    rf"(?P<number>(?:{NUMBER})(?P<percent>\s?%)?)"
    r"|(?P<op>\*\*|\^|[-+*/×÷−–·]|\\times|\\div|\\cdot|(?<![a-zA-Z])[xX](?![a-zA-Z]))"
    r"|(?P<open>[(\[])|(?P<close>[)\]])|(?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)|(?P<skip>[\s$£€]+|\\(?!times|div|cdot))|(?P<stop>.)",
    re.DOTALL,
)
_OPERATORS = {
    "×": "*",
    "x": "*",
    "X": "*",
    "·": "*",
    "\\times": "*",
    "\\cdot": "*",
    "÷": "/",
    "\\div": "/",
    "−": "-",
    "–": "-",
}
_MOST_WORDS = 4
"""words of units between a number and the next sign"""
_LONGEST = 300
"""characters on either side of ``=``"""
_MOST_SUMS = 100
LARGEST = 1e15
"""larger figures are passed over: they are no longer exact, and no sum in prose needs them"""


@dataclass(slots=True)
class Sum:
    """One stated equation. `value`: what its left side comes to; `claimed`: what the answer says it does."""

    value: float
    claimed: float
    operands: list[float]
    operators: str
    decimals: int
    """digits after the point in what was claimed"""
    annotated: bool

    @property
    def holds(self) -> bool:
        """Up to the rounding of the claimed figure; ``0.4 = 40 %`` holds too."""
        return any(
            _rounds_to(value, self.claimed, self.decimals) for value in (self.value, self.value * 100, self.value / 100)
        )


def numbers(text: str) -> list[float]:
    """The figures of a text, signs and currencies left aside."""
    found = [float(one.replace(",", "")) for one in _NUMBERS.findall(text)]
    return [figure for figure in found if figure < LARGEST]


def sums(text: str) -> list[Sum]:
    """The first 100 equations of a text that can be read and have at least one operation, in order."""
    found: list[tuple[int, Sum]] = []
    for match in _ANNOTATION.finditer(text):
        one = _sum(_tokens(match[1]), _tokens(match[2]), annotated=True)
        if one is not None:
            found.append((match.start(), one))
    plain = re.sub(r"<<[^<>]*(?:>>)?", lambda match: " " * len(match[0]), text)
    for line in re.finditer(r"[^\n]+", plain):
        parts = re.split(r"[=≈]", line[0])
        at = line.start()
        for left, right in pairwise(parts):
            at += len(left) + 1
            one = _sum(_tokens(left[-_LONGEST:]), _tokens(right[:_LONGEST]), annotated=False)
            if one is not None:
                found.append((at, one))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])[:_MOST_SUMS]]


Token = tuple[str, str]


def _tokens(text: str) -> list[Token]:
    out: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "stop"
        if match["percent"]:
            kind = "number"
        if kind != "skip":
            out.append((kind, match[0]))
    return out


def _sum(left: list[Token], right: list[Token], *, annotated: bool) -> Sum | None:
    expression = _last_expression(left)
    signs = [text for kind, text in expression if kind == "op"]
    claim = _first_expression(right)
    if not signs or not claim:
        return None
    value, claimed = evaluate(expression), evaluate(claim)
    if value is None or claimed is None:
        return None
    written = next(text for kind, text in claim if kind == "number").rstrip(" %")
    operands = [_number(text) for kind, text in expression if kind == "number"]
    operators = "".join(_OPERATORS.get(sign, sign) for sign in signs)
    return Sum(value, claimed, operands, operators, len(written.partition(".")[2]), annotated)


def _last_expression(tokens: list[Token]) -> list[Token]:
    """The longest expression that ends a list of tokens, units left out."""
    out: list[Token] = []
    depth, words, want_operand = 0, 0, True
    for kind, text in reversed(tokens):
        if kind == "word":
            words += 1
            if words > _MOST_WORDS or _variable(text):
                break
            continue
        if kind == "close" and want_operand:
            depth += 1
        elif kind == "number" and want_operand:
            want_operand = False
        elif kind == "op" and not want_operand:
            want_operand = True
        elif kind == "open" and depth and not want_operand:
            depth -= 1
        elif text == "/" and want_operand and words:
            continue  # "meters/sprint" is a unit
        else:
            break
        words = 0
        out.append((kind, text))
    out.reverse()
    return _whole(out)


def _first_expression(tokens: list[Token]) -> list[Token]:
    """The expression that begins a list of tokens, units left out."""
    out: list[Token] = []
    depth, words, want_operand = 0, 0, True
    for kind, text in tokens:
        if kind == "word":
            words += 1
            if words > _MOST_WORDS or _variable(text):
                break
            continue
        if kind == "number" and want_operand:
            want_operand = False
        elif kind == "open" and want_operand:
            depth += 1
        elif kind == "op" and (not want_operand or (text in "-−" and not out)):
            want_operand = True
        elif kind == "close" and depth and not want_operand:
            depth -= 1
        else:
            break
        words = 0
        out.append((kind, text))
    return _whole(out)


def _variable(word: str) -> bool:
    """A single letter, as in ``2x + 4 = 10``, is not ours to solve."""
    return len(word) == 1 and word not in "aA"


def _whole(tokens: list[Token]) -> list[Token]:
    """Without signs left over at either end; empty if its brackets do not match."""
    start, end = 0, len(tokens)
    while end > start and tokens[end - 1][0] == "op":
        end -= 1
    while start < end and tokens[start][0] == "op" and tokens[start][1] not in "-−":
        start += 1
    tokens = tokens[start:end]
    kinds = [kind for kind, _ in tokens]
    return tokens if kinds.count("open") == kinds.count("close") else []


def _number(text: str) -> float:
    plain = text.replace(",", "")
    figure = float(plain.rstrip(" %")) / 100 if plain.endswith("%") else float(plain)
    return min(figure, LARGEST)


def evaluate(tokens: list[Token]) -> float | None:
    """The value of numbers, signs and brackets; None if they make no expression, or none that is finite."""
    reader = _Reader(tokens)
    try:
        value = reader.total()
    except (IndexError, TypeError, ValueError, ArithmeticError):
        return None
    return value if reader.at == len(tokens) and abs(value) < LARGEST else None


class _Reader:
    """Recursive descent: total → product → power → atom."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = [(kind, _OPERATORS.get(text, text)) for kind, text in tokens]
        self.at = 0

    def total(self) -> float:
        value = self.product()
        while self._sign("+-"):
            value = value + self.product() if self._took == "+" else value - self.product()
        return value

    def product(self) -> float:
        value = self.power()
        while self._sign("*/"):
            value = value * self.power() if self._took == "*" else value / self.power()
        return value

    def power(self) -> float:
        value = self.atom()
        if self._sign(("**", "^")):
            exponent = self.atom()
            if abs(exponent) > 64:
                raise ValueError
            value = float(value**exponent)
        return value

    def atom(self) -> float:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return _number(text)
        if kind == "op" and text == "-":
            return -self.atom()
        if kind != "open":
            raise ValueError
        value = self.total()
        if self.tokens[self.at][0] != "close":
            raise ValueError
        self.at += 1
        return value

    def _sign(self, signs: str | tuple[str, ...]) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "op" and self.tokens[self.at][1] in signs:
            self._took = self.tokens[self.at][1]
            self.at += 1
            return True
        return False


def _rounds_to(value: float, claimed: float, decimals: int) -> bool:
    slack = 0.0 if decimals == 0 and value == round(value) else 1.01 * 10.0**-decimals
    return abs(value - claimed) <= max(slack, 1e-6 * abs(claimed), 1e-9)
