"""What a decider has learnt, as bytes and back: plain numbers, arrays and their shapes, never code.

Which entries it may serve is not in it: they are told again (`Decider.stored`). Random draws begin anew.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any

import msgspec
import numpy as np

from rung.semantic.control import _Seen
from rung.semantic.decide import Decider

VERSION = 2
"""raise it when what a decider holds changes its meaning: older snapshots are then forgotten"""

_ARRAY = 1
_PARTS = ("_answers", "_calibrator", "control")
_LEFT_OUT = frozenset(("_rng", "_kept", *_PARTS))


def taken(decider: Decider) -> bytes:
    """All of it but its entries. Takes some ten milliseconds, in which nobody else may use the decider."""
    state: dict[str, Any] = {"version": VERSION, "own": _own(decider)}
    for part in _PARTS:
        state[part] = _own(getattr(decider, part))
    return msgspec.msgpack.encode(state, enc_hook=_packed)


def dump(state: bytes) -> bytes:
    """What was `taken`, made smaller. Takes hundreds of milliseconds after thousands of calls: for a thread."""
    return zlib.compress(state, 1)


def restore(data: bytes, embedding: int, limit: float, seed: int) -> Decider | None:
    """The decider of a snapshot; None if it is broken, of another version, embedder's width or limit."""
    decider = Decider(embedding, limit, seed)
    try:
        state = msgspec.msgpack.decode(zlib.decompress(data), ext_hook=_unpacked)
        if state["version"] != VERSION or state["own"]["_embedding"] != embedding or state["control"]["limit"] != limit:
            return None
        for thing, own in ((decider, state["own"]), *((getattr(decider, part), state[part]) for part in _PARTS)):
            known = vars(thing)
            if own.keys() != known.keys() - _LEFT_OUT:
                return None
            for name, value in own.items():
                setattr(thing, name, _unlisted(value, known[name]))
    except (zlib.error, msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError):
        return None
    return decider


def _own(thing: Any) -> dict[str, Any]:
    return {name: _listed(value) for name, value in vars(thing).items() if name not in _LEFT_OUT}


def _listed(value: Any) -> Any:
    """Deques as lists, lists of arrays as one array and its parts' lengths."""
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return {"lengths": np.array([len(one) for one in value]), "joined": np.concatenate(value)}
    return list(value) if isinstance(value, deque) else value


def _unlisted(value: Any, held: Any) -> Any:
    """The other way round. `held`: what a new decider has in its place."""
    if isinstance(held, deque):
        return deque(map(_member, value), held.maxlen)
    if isinstance(held, list) and isinstance(value, dict):
        return [part.copy() for part in np.split(value["joined"], np.cumsum(value["lengths"])[:-1])]
    return value


def _member(value: Any) -> Any:
    """One of a deque's: a request that was seen, or a wrong hit's answer and vector."""
    return _Seen(**value) if isinstance(value, dict) else tuple(value)


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        told = (value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(told))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a decider holds a {type(value).__name__}")


def _unpacked(code: int, data: memoryview) -> Any:
    kind, shape, numbers = msgspec.msgpack.decode(data)
    return np.frombuffer(numbers, kind).reshape(shape).copy()
