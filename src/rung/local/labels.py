"""Classification from probabilities: which label a model would say next, without letting it write.

A call whose answer can only be one of a few words (a schema with one enum, or "answer with one of: a, b, c") is
answered from the probabilities of the next token, or of the first token in which the labels differ. That takes one
step of the model instead of one per token, and the label's share of the probability comes with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

MAX_LABELS = 100
MAX_ROUNDS = 4
"""tokens looked at before giving up: labels that differ only later are rare"""

LEAST_MASS = 0.3
"""of the probability must be on labels where the model could say something else"""

_ASKED = re.compile(
    r"(?:answer|reply|respond)\s+(?:only\s+|just\s+)?with\s+(?:only\s+|exactly\s+|just\s+)?one\s+of"
    r"(?:\s+(?:these|the following))?(?:\s+(?:words|labels|categories|options))?\s*:[ \t]*([^\n]{3,2000})",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s*(?:,\s*or\s+|,\s*|\s+or\s+|\s*/\s*|\s*\|\s*)")
_LABEL = re.compile(r"[\w][\w .&'-]{0,39}")
_TOO_SHORT = 2
"""characters a token has at least, about, where a label may not be cut by max_tokens"""


class Choice(msgspec.Struct, frozen=True):
    """What may be answered. `before` and `after`: what stands around the label, so that the answer has the shape
    asked for; with them nothing else could be said anyhow."""

    labels: tuple[str, ...]
    before: str = ""
    after: str = ""

    def answer(self, label: str) -> str:
        """The whole text of an answer."""
        return self.before + label + self.after


def read(body: dict[str, Any]) -> Choice | None:
    """The choice a call's body leaves, None if it leaves more than that."""
    if body.get("tools") or body.get("logprobs") or body.get("logit_bias") or body.get("stop"):
        return None
    if body["messages"][-1].get("role") != "user":
        return None
    told = body.get("response_format")
    if isinstance(told, dict) and told.get("type") != "text":
        choice = _of_schema(told)
    else:
        choice = _of_words(body["messages"][-1].get("content"))
    if choice is None or not 2 <= len(set(choice.labels)) == len(choice.labels) <= MAX_LABELS:
        return None
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    longest = max(len(choice.answer(label)) for label in choice.labels)
    return choice if limit is None or longest / _TOO_SHORT <= limit or _single_words(choice, limit) else None


def _single_words(choice: Choice, limit: int) -> bool:
    """Short plain words, a token or two each, under a small limit."""
    return not choice.before and limit >= max(len(label) for label in choice.labels) / 4


def _of_schema(told: dict[str, Any]) -> Choice | None:
    inner = told.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        return None
    if (labels := _enum(schema)) is not None:
        return Choice(labels, '"', '"')
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(properties) != 1 or set(schema) - _OBJECT_WORDS:
        return None
    ((name, only),) = properties.items()
    labels = _enum(only)
    if labels is None or schema.get("required") not in ([name], None):
        return None
    return Choice(labels, f'{{{json.dumps(name)}: "', '"}')


_OBJECT_WORDS = frozenset(
    ("type", "properties", "required", "additionalProperties", "title", "description", "$schema", "$id")
)
_ENUM_WORDS = frozenset(("type", "enum", "title", "description", "$schema", "$id"))


def _enum(schema: Any) -> tuple[str, ...] | None:
    """The values of a schema that is nothing but an enum of plain texts."""
    if not isinstance(schema, dict) or set(schema) - _ENUM_WORDS or schema.get("type", "string") != "string":
        return None
    labels = schema.get("enum")
    if not isinstance(labels, list) or not all(isinstance(one, str) and one for one in labels):
        return None
    return tuple(labels) if all(json.dumps(one, ensure_ascii=False) == f'"{one}"' for one in labels) else None


def _of_words(content: Any) -> Choice | None:
    """A list of labels after "answer with one of:" in the first or the last paragraph of a message."""
    if not isinstance(content, str):
        return None
    paragraphs = content.strip().split("\n\n")
    for paragraph in (paragraphs[0], paragraphs[-1]):
        found = _ASKED.search(paragraph)
        if found is None:
            continue
        labels = [one.strip("\"'`*. ") for one in _BETWEEN.split(found[1].strip().rstrip("."))]
        if all(_LABEL.fullmatch(label) for label in labels):
            return Choice(tuple(labels))
    return None


class Tally:
    """Narrows a choice down, token by token. Ask for the tokens after `typed` until `label` is known.

    `probability` is the label's share of the probability that is on labels.
    """

    def __init__(self, choice: Choice) -> None:
        self.typed = ""
        self.label: str | None = None
        self.probability = 1.0
        self._choice = choice
        lower = [label.lower() for label in choice.labels]
        self._folds = len(set(lower)) == len(lower) and list(map(len, lower)) == list(map(len, choice.labels))
        self._live = {self._folded(label) + _END: label for label in choice.labels}

    def add(self, tokens: Iterable[tuple[str, float]]) -> bool:
        """Take the tokens that may come next, with their probabilities. -> is there any sense in going on?"""
        masses: dict[str, float] = {}
        for token, probability in tokens:
            text = self._said(token)
            if text and any(_agree(text, label) for label in self._live):
                masses[text] = masses.get(text, 0.0) + probability
        groups: dict[tuple[str, ...], float] = {}
        longest: dict[tuple[str, ...], str] = {}
        for text, mass in masses.items():
            fits = tuple(label for label in self._live if _agree(text, label))
            groups[fits] = groups.get(fits, 0.0) + mass
            if masses.get(longest.get(fits, ""), 0.0) < mass:
                longest[fits] = text
        total = sum(groups.values())
        if not total or (total < LEAST_MASS and not self._choice.after):
            return False
        best = max(groups, key=lambda fits: groups[fits])
        self.probability *= groups[best] / total
        if len(best) == 1:
            self.label = self._live[best[0]]
            return True
        self._live = {label: self._live[label] for label in best}
        self.typed = self._live[best[0]][: len(longest[best])]
        return True

    def _said(self, token: str) -> str:
        """The answer so far with `token`, folded; empty if the token is blank before the label."""
        if self._choice.after:
            ended = token.partition('"')
            return self._folded(self.typed + ended[0]) + (_END if ended[1] else "")
        if not self.typed:
            token = token.lstrip()
        if not token or token.startswith("<|"):
            return self._folded(self.typed) + _END if self.typed else ""
        said = self._folded(self.typed + token)
        plain = said.rstrip(".!\n")
        return said if plain == said else plain + _END

    def _folded(self, text: str) -> str:
        return text.lower() if self._folds else text


_END = "\0"


def _agree(text: str, label: str) -> bool:
    """May an answer that begins with `text` be `label` (which ends with `_END`)?"""
    return label.startswith(text)
