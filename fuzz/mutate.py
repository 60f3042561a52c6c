"""Seeded mutation of byte strings, fast enough for millions: the inputs of every fuzzer here."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


class Mutator:
    """Makes inputs from `seeds` (whole, plausible ones) and `tokens` (what means something in between)."""

    def __init__(
        self,
        random: Random,
        seeds: Sequence[bytes],
        tokens: Sequence[bytes],
        *,
        rows: Sequence[int] = (1, 1, 1, 2, 3, 4),
        longest: int = 8192,
    ) -> None:
        self._random = random
        self._rows = rows
        self._seeds = seeds
        self._tokens = tokens
        self._longest = longest
        self._steps = (self._insert, self._insert, self._replace, self._delete, self._repeat, self._flip, self._splice)

    def make(self) -> bytes:
        """As many seeds in a row as one of `rows` says, mutated zero to six times; at most `longest` bytes."""
        random = self._random
        data = b"".join(random.choices(self._seeds, k=random.choice(self._rows)))
        for _ in range(random.randrange(7)):
            data = random.choice(self._steps)(data)
        return data[: self._longest]

    def nearly(self, data: bytes) -> bytes:
        """`data`, or `data` with one byte changed, added or taken away."""
        choose, place = self._random.randrange(5), self._random.randrange(len(data) + 1)
        byte = bytes([self._random.choice(b"0123456789 \r\n:aZ\x00\xff")])
        if choose == 0:
            return data[:place] + byte + data[place + 1 :]
        if choose == 1:
            return data[:place] + byte + data[place:]
        return data[:place] + data[place + 1 :] if choose == 2 else data

    def pieces(self, data: bytes) -> list[bytes]:
        """`data` cut at up to eight places."""
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randrange(1, 9)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _span(self, data: bytes) -> tuple[int, int]:
        start = self._random.randrange(len(data) + 1)
        return start, min(len(data), start + self._random.choice((1, 1, 2, 4, 16, 64)))

    def _insert(self, data: bytes) -> bytes:
        at, _ = self._span(data)
        if self._random.random() < 0.5:  # where a line begins, tokens mean more
            at = data.find(b"\n", at) + 1 or at
        return data[:at] + self._random.choice(self._tokens) + data[at:]

    def _replace(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] + self._random.choice(self._tokens) + data[end:]

    def _delete(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:end] + data[start:end] * self._random.choice((1, 1, 2, 8, 100)) + data[end:]

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._random.randrange(len(data))
        return data[:at] + bytes([self._random.randrange(256)]) + data[at + 1 :]

    def _splice(self, data: bytes) -> bytes:
        at, _ = self._span(data)
        other = self._random.choice(self._seeds)
        return data[:at] + other[self._random.randrange(len(other)) :]
