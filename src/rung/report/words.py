"""How a report says it, in English or French: the English sentence is its own key in the other's catalogue."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from rung.report.french import SENTENCES

Language = Literal["en", "fr"]

LANGUAGES: tuple[Language, ...] = ("en", "fr")

_FIGURES = str.maketrans({",": "\u202f", ".": ","})
_BEFORE_SIGNS = re.compile(r" (?=[:;?!%»])|(?<=«) ")
"""where French has a space that never ends a line"""


class Words:
    """Sentences and figures of one language."""

    def __init__(self, language: Language = "en") -> None:
        self.language = language

    def __call__(self, sentence: str, *values: str) -> str:
        """`sentence` with `values` in its places {0}, {1}...; a name that no catalogue has stays as it is."""
        if self.language == "fr":
            sentence = _BEFORE_SIGNS.sub("\u00a0", SENTENCES.get(sentence, sentence))
        return sentence.format(*values) if values else sentence

    def number(self, value: float | Decimal, form: str = ",.0f") -> str:
        """`value` by the format specification `form`."""
        told = format(value, form)
        return told.translate(_FIGURES) if self.language == "fr" else told

    def percent(self, value: float, digits: int = 0) -> str:
        """A share: 0.5 is 50 %."""
        if self.language == "fr":
            return f"{self.number(100 * value, f'.{digits}f')}\u00a0%"
        return f"{value:.{digits}%}"

    def short(self, value: float, digits: int = 3) -> str:
        """With so many significant digits, never as a power of ten."""
        if abs(value) >= 1000:
            return self.number(value)
        return self.number(Decimal(f"{value:.{digits}g}"), "f")

    def usd(self, value: float, digits: int = 3) -> str:
        return f"{self.short(value, digits)} USD"


ENGLISH = Words()
