"""Edit top-level members of a JSON object without touching any other byte.

Whatever a client sent besides the edited members reaches the provider as it was written: number formats, key
order, escapes, whitespace. msgspec skips each value in C and says how long it is, so only the keys between
the values are looked at here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from rung.errors import InvalidRequestError

_NAME = 200
"""characters of a text that is replaced at a glance: what is looked for is remembered"""

_NOTHING: Mapping[str, bytes] = MappingProxyType({})
_SHALLOW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_OPEN = re.compile(rb"[ \t\n\r]*\{")
_CLOSE = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*")


class Member(NamedTuple):
    """Offsets of one member: ``raw[start:key_end]`` is the quoted key, ``raw[value_start:value_end]`` the value."""

    start: int
    key_end: int
    value_start: int
    value_end: int


def members(raw: bytes) -> dict[str, Member]:
    """Where each top-level member of the object `raw` lies, in order.

    Raises InvalidRequestError: code ``duplicate_key`` (two spellings of one key count, `param` is the key) or
    ``invalid_json`` (not a JSON object).
    """
    try:
        values = _SHALLOW.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"not a JSON object: {error}", code="invalid_json") from None
    found: dict[str, Member] = {}
    position = 0
    match_key = _KEY.match
    for key, value in values.items():
        match = match_key(raw, position)
        text = bytes(value)
        # With a duplicate key `values` holds fewer members than `raw`, and a value of another length: comparing
        # the bytes makes every step of this walk a true step of the parse, so the end check below cannot be fooled.
        if match is None:
            raise _duplicate(raw)
        value_start = match.end()
        if not raw.startswith(text, value_start):
            raise _duplicate(raw)
        position = value_start + len(text)
        found[key] = Member(*match.span(1), value_start, position)
    if found and not _CLOSE.fullmatch(raw, position):
        raise _duplicate(raw)
    return found


def edit(
    raw: bytes,
    *,
    replace: Mapping[str, bytes] = _NOTHING,
    remove: Collection[str] = (),
    append: Mapping[str, bytes] = _NOTHING,
) -> bytes:
    """`raw` with some top-level members changed; values are JSON texts.

    A key of `replace` that is missing is appended; a key of `remove` that is missing is fine; a key of
    `append` must be missing. A key may be named once. Raises like `members`, and ValueError for misuse.
    """
    found = members(raw)
    if len(replace) == 1 and not remove and not append:  # the usual case: only the model's name
        ((key, value),) = replace.items()
        if (member := found.get(key)) is not None:
            return b"".join((raw[: member.value_start], value, raw[member.value_end :]))
    if len({*replace, *remove, *append}) < len(replace) + len(remove) + len(append):
        raise ValueError("a key may be named only once")
    if clash := [key for key in append if key in found]:
        raise ValueError(f"cannot append {clash[0]!r}: it is there already")
    changes = [(found[key].value_start, found[key].value_end, value) for key, value in replace.items() if key in found]
    kept = len(found)
    if remove:
        spans = _removals(list(found.items()), remove)
        kept -= len(spans)
        changes.extend((start, end, b"") for start, end in spans)
    new = {key: value for key, value in replace.items() if key not in found} | dict(append)
    if new:
        text = b",".join(msgspec.json.encode(key) + b":" + value for key, value in new.items())
        changes.append((*_end_of_members(raw, found), b"," + text if kept else text))
    changes.sort(key=lambda change: change[0])
    pieces: list[bytes] = []
    position = 0
    for start, end, value in changes:
        pieces += (raw[position:start], value)
        position = end
    pieces.append(raw[position:])
    return b"".join(pieces)


def replace_text(raw: bytes, key: str, old: str, new: bytes) -> bytes | None:
    """The common edit, cheaply: top-level member `key` (plain ASCII), known to hold the text `old`, becomes `new`.

    None where a glance cannot be sure, and `edit` must look: the quoted key has to stand in `raw` exactly once,
    before a colon, perhaps a blank, and `old` as plainly written, and no ASCII character may be escaped anywhere (a
    key may be spelled with escapes).
    """
    if len(old) > _NAME or raw.find(b"\\u00") >= 0:
        return None
    quoted, length, spellings = _needles(key, old)
    if raw.count(quoted) != 1:
        return None
    for member in spellings:
        end = raw.find(member) + len(member)
        if end >= len(member):
            return b"".join((raw[: end - length], new, raw[end:]))
    return None


@lru_cache(512)
def _needles(key: str, old: str) -> tuple[bytes, int, tuple[bytes, bytes]]:
    """-> (the quoted key, the length of the quoted text, the member as programs write it)."""
    quoted, text = f'"{key}"'.encode("ascii"), f'"{old}"'.encode("utf-8", "surrogatepass")
    return quoted, len(text), (quoted + b":" + text, quoted + b": " + text)


def append_member(raw_object: bytes, key: str, value: bytes) -> bytes:
    """`raw_object` with one member more before its closing brace. `key` must not be there yet: not checked."""
    brace = raw_object.rindex(b"}")
    comma = b"" if raw_object[:brace].rstrip(b" \t\r\n").endswith(b"{") else b","
    return b"".join((raw_object[:brace], comma, msgspec.json.encode(key), b":", value, raw_object[brace:]))


def _removals(found: list[tuple[str, Member]], remove: Collection[str]) -> list[tuple[int, int]]:
    """Spans to cut so that commas stay right: with the comma before, or after where nothing is kept before."""
    spans = []
    kept_before = False
    for index, (key, member) in enumerate(found):
        if key not in remove:
            kept_before = True
        elif kept_before:
            spans.append((found[index - 1][1].value_end, member.value_end))
        elif index + 1 < len(found):
            spans.append((member.start, found[index + 1][1].start))
        else:
            spans.append((member.start, member.value_end))
    return spans


def _end_of_members(raw: bytes, found: dict[str, Member]) -> tuple[int, int]:
    """Empty span where a new last member goes."""
    if found:
        end = next(reversed(found.values())).value_end
    else:
        opening = _OPEN.match(raw)
        assert opening is not None  # msgspec has read an object
        end = opening.end()
    return end, end


def _duplicate(raw: bytes) -> InvalidRequestError:
    seen: set[str] = set()

    def top_level(pairs: list[tuple[str, object]]) -> list[str]:
        return [key for key, _ in pairs]

    keys = json.loads(raw, object_pairs_hook=top_level)
    twice = ""
    for key in keys:
        if key in seen:
            twice = key
            break
        seen.add(key)
    return InvalidRequestError(f"the key {twice!r} appears twice", code="duplicate_key", param=twice)
