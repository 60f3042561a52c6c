"""Every key's line, against the standard parser for the keys and a writer that counts for the lines."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.config.positions import Path, positions

KEYS = st.one_of(
    st.sampled_from(["a", "b-c", "1", "true"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=5),
)
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5e3",
        "true",
        "1979-05-27 07:32:00Z",
        '"a # [b] = {c}"',
        "'\\'",
        '"""x\n"" ]\\""""""',
        "''', '''''",
        '"\\"="',
    ]
)


def quoted(key: str) -> str:
    if key.isascii() and key and all(char.isalnum() or char in "-_" for char in key):
        return key
    return '"' + "".join(f"\\U{ord(char):08x}" if not char.isalnum() or ord(char) > 126 else char for char in key) + '"'


class Writer:
    """Writes TOML piece by piece and remembers on which line each name went."""

    def __init__(self) -> None:
        self.text = ""
        self.lines: dict[Path, int] = {}

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, path: Path, key: str) -> Path:
        self.note((*path, key))
        self.text += quoted(key)
        return (*path, key)


def write_value(draw: st.DrawFn, out: Writer, path: Path, depth: int) -> None:
    kind = draw(st.sampled_from(["scalar", "array", "table"] if depth else ["scalar"]))
    if kind == "array":
        out.text += "["
        for index in range(draw(st.integers(0, 3))):
            out.text += draw(st.sampled_from([" ", "\n", " # ] no\n"]))
            out.note((*path, index))
            write_value(draw, out, (*path, index), depth - 1)
            out.text += draw(st.sampled_from([",", " ,", "\n,"]))
        out.text += "]"
    elif kind == "table":
        out.text += "{"
        for index, key in enumerate(draw(st.lists(KEYS, max_size=3, unique=True))):
            out.text += ", " if index else " "
            inner = out.key(path, key)
            out.text += " = "
            write_value(draw, out, inner, depth - 1)
        out.text += "}"
    else:
        out.text += draw(SCALARS)


def write_pairs(draw: st.DrawFn, out: Writer, table: Path, keys: list[str]) -> None:
    for key in keys:
        path = out.key(table, key)
        if draw(st.booleans()):
            out.text += draw(st.sampled_from([".", " . "]))
            path = out.key(path, draw(KEYS))
        out.text += draw(st.sampled_from(["=", " = "]))
        write_value(draw, out, path, 2)
        out.text += draw(st.sampled_from(["\n", " # [x]\n", "\r\n", "\n\n"]))


@st.composite
def documents(draw: st.DrawFn) -> Writer:
    out = Writer()
    names = draw(st.lists(KEYS, min_size=4, max_size=9, unique=True))
    write_pairs(draw, out, (), names[:2])
    for name in names[2:]:
        if draw(st.booleans()):
            for index in range(draw(st.integers(1, 3))):
                out.note((name,))
                out.note((name, index))
                out.text += f"[[ {quoted(name)} ]]\n"
                write_pairs(draw, out, (name, index), draw(st.lists(KEYS, max_size=2, unique=True)))
                inner = "sub table"
                if draw(st.booleans()) and (name, index, inner) not in out.lines:
                    out.note((name, index, inner))
                    out.text += f'[{quoted(name)}."{inner}"]\n'
                    write_pairs(draw, out, (name, index, inner), draw(st.lists(KEYS, max_size=2, unique=True)))
        else:
            out.note((name,))
            out.text += f"[{quoted(name)}]\n"
            write_pairs(draw, out, (name,), draw(st.lists(KEYS, max_size=3, unique=True)))
    return out


def paths(value: Any, path: Path = ()) -> set[Path]:
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return {path, *(step for key, item in inner for step in paths(item, (*path, key)))}


@given(documents())
def test_every_key_has_the_line_it_was_written_on(document: Writer) -> None:
    found = positions(document.text)
    assert set(found) | {()} == paths(tomllib.loads(document.text))
    assert found == document.lines


def test_the_spellings_a_person_uses() -> None:
    text = """\
# a comment with [brackets]
[server]
port = 1

[providers.vllm]
base_url = "http://127.0.0.1:8000/v1"  # = not a key
models = { fast = "a", "strong" = 'b' }
strip = [
  "x",
  # between
  "y",
]
headers.x-one = "1"
[providers."my box"]
key = '''
[not.a.table]
'''
[[rule]]
name = 1
[[rule]]
name = 2
"""
    lines = positions(text)
    assert lines["server", "port"] == 3
    assert lines["providers",] == 5
    assert lines["providers", "vllm", "models", "strong"] == 7
    assert lines["providers", "vllm", "strip", 1] == 11
    assert lines["providers", "vllm", "headers", "x-one"] == 13
    assert lines["providers", "my box", "key"] == 15
    assert lines["rule", 1, "name"] == 21
    assert ("not",) not in lines


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "a=1"])
def test_a_text_without_a_last_line_end(text: str) -> None:
    assert set(positions(text)) | {()} == paths(tomllib.loads(text))
