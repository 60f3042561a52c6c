"""A text that cannot be printed by accident."""

from __future__ import annotations

from hmac import compare_digest
from typing import NoReturn

MASK = "***"


class Secret:
    """A key or password. `reveal` is the only way to its text; every way of printing it gives ``***``.

    Not a `str`, so that nothing joins, logs or serialises it unnoticed: JSON encoders refuse it, or print
    the mask where they fall back on `str`. Equality takes constant time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")
