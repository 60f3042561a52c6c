"""Reading a whole ledger, row by row, for reports: millions of climbs in seconds, none of them kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rung.store.db import open_reader
from rung.store.migrations import LEDGER

_AT_ONCE = 2000


def kinds(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """(number, `columns`...) of every kind of climb: what many have in common (`rung.store.ledger.ClimbRow`).

    Raises StoreError if the ledger cannot be read.
    """
    yield from _select(path, f"SELECT id, {_listed(columns)} FROM kinds", ())  # noqa: S608 (`_listed` checks)


def climbs(path: Path, columns: Sequence[str], *, since: float = 0.0) -> Iterator[tuple[Any, ...]]:
    """(number of its kind, `columns`...) of every climb since `since` (unix seconds), in no promised order.

    Raises StoreError if the ledger cannot be read.
    """
    query = f"SELECT kind, {_listed(columns)} FROM rows WHERE started_at >= ?"  # noqa: S608 (`_listed` checks)
    yield from _select(path, query, (since,))


def _listed(columns: Sequence[str]) -> str:
    if not all(name.isidentifier() for name in columns):
        raise ValueError("a column's name is a word")
    return ", ".join(columns)


def _select(path: Path, query: str, values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    with closing(open_reader(path, LEDGER)) as db:
        db.row_factory = None
        found = db.execute(query, values)
        while rows := found.fetchmany(_AT_ONCE):
            yield from rows
