"""Prompt heads on disk: whose they are, that they are whole, and how many there may be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rung.call import Call
from rung.local.heads import Heads
from rung.testing import make_call

LONG = "You are a careful clerk. " * 80


def with_head(text: str = LONG, *, user: str = "hello", role: str = "system", **more: Any) -> Call:
    messages = [{"role": role, "content": text}, {"role": "user", "content": user}]
    body = {"messages": messages, **more.pop("body", {})}
    return make_call(body=body, **more)


@pytest.fixture
def heads(tmp_path: Path) -> Heads:
    return Heads(tmp_path / "kept", "sha-of-the-model", max_bytes=1000, max_files=3)


def name_of(heads: Heads, call: Call) -> str:
    told = heads.name(call)
    assert told is not None
    return told[0]


def written(heads: Heads, name: str, data: bytes) -> None:
    part = heads.part(name)
    (heads.folder / part).write_bytes(data)
    heads.keep(part)


def test_a_head_is_told_by_what_comes_before_the_user(heads: Heads) -> None:
    name = name_of(heads, with_head())
    assert name == name_of(heads, with_head(user="another question"))
    told = heads.name(with_head())
    assert told is not None
    assert told[1] == [{"role": "system", "content": LONG}]
    others = [
        with_head(LONG + "!"),
        with_head(role="developer"),
        with_head(body={"tools": [{"type": "function", "function": {"name": "f"}}]}),
        with_head(tenant="another"),
    ]
    names = {name, *(name_of(heads, call) for call in others)}
    assert len(names) == 5
    assert name_of(Heads(heads.folder, "another model"), with_head()) not in names


@pytest.mark.parametrize(
    "call",
    [
        with_head(private=True),
        with_head(no_store=True),
        with_head("Be brief."),
        make_call("x" * 5000),
        make_call(body={"tools": [{"type": "function", "function": {"name": "f" * 2000}}]}),
    ],
)
def test_what_is_private_short_or_no_head_has_no_name(heads: Heads, call: Call) -> None:
    assert heads.name(call) is None


def test_a_kept_head_is_found_and_nobody_else_may_read_it(heads: Heads) -> None:
    assert heads.find("aa") is None
    written(heads, "aa", b"kv of aa")
    file = heads.find("aa")
    assert file is not None
    assert (heads.folder / file).read_bytes() == b"kv of aa"
    assert (heads.folder / file).stat().st_mode & 0o777 == 0o600
    assert heads.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [b"kv of", b"kv of ab"])
def test_a_damaged_file_is_never_given_to_the_engine(heads: Heads, damage: bytes) -> None:
    written(heads, "aa", b"kv of aa")
    (path,) = heads.folder.iterdir()
    path.write_bytes(damage)
    assert heads.find("aa") is None
    assert not path.exists()


def test_the_least_recently_used_make_room(heads: Heads) -> None:
    for age, name in enumerate(("aa", "bb", "cc")):
        written(heads, name, b"x" * 200)
        for path in heads.folder.glob(f"{name}-*"):
            os.utime(path, (age, age))
    assert heads.find("aa") is not None  # and so it was used just now
    written(heads, "dd", b"x" * 200)
    assert [heads.find(name) is not None for name in ("aa", "bb", "cc", "dd")] == [True, False, True, True]
    written(heads, "ee", b"x" * 900)
    assert [heads.find(name) is not None for name in ("aa", "cc", "dd", "ee")] == [False, False, False, True]


def test_what_was_never_written_is_not_kept(heads: Heads) -> None:
    heads.keep(heads.part("aa"))
    assert heads.find("aa") is None
