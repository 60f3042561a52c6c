"""What the prompt caches read, what they should have read, and why they did not.

In memory only, and bounded. The last prompts are kept to find the first byte in which the next one differs; what
leaves this module is counts, money and a masked piece around that byte: letters are x, digits 9, the rest as it
is. Private calls and calls marked no-store are never kept.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import orjson

from rung.answer import Usage
from rung.call import Call, Prefix

BOUNDARIES = 4096
"""messages looked at; a longer conversation shares at least these"""

FIXED_PARTS = 2
"""parts before the messages: parameters and tools"""

SEPARATING = (
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "reasoning_format",
    "thinking",
    "output_config",
    "verbosity",
    "user_id",
    "prompt_cache_key",
)
"""parameters that separate prompt caches at some provider"""

KEPT_BYTES = 16 * 1024 * 1024
KEPT_EACH = 8
"""prompts of one model that a new conversation is compared with"""
GROUPS = 512
MISSES = 50
DIFFS_A_SECOND = 20
"""comparisons; misses beyond are counted and not explained"""

_BEFORE, _AFTER = 30, 40
"""characters shown around the first difference"""

_ALIKE = 0.5
"""share of a part that must be the same for a difference to be one, and not another prompt"""

_GOOD = 0.8
"""share of the expected tokens from which a read counts as whole: tokens are counted by bytes here"""


class Rates(Protocol):
    """Pico-dollars per token."""

    @property
    def input(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...


class _Parts(msgspec.Struct):
    messages: list[msgspec.Raw]
    tools: msgspec.Raw = msgspec.Raw(b"null")


_parts = msgspec.json.Decoder(_Parts).decode


def parts(raw: bytes, body: dict[str, Any]) -> list[bytes | msgspec.Raw]:
    """The parts of a chat body in the order of prompts: separating parameters, tools, then each message, as written."""
    parameters = _dumps({name: body[name] for name in SEPARATING if name in body})
    try:
        told = _parts(raw)
    except msgspec.MsgspecError:  # what msgspec reads otherwise than orjson
        return [parameters, _dumps(body.get("tools")), *(_dumps(one) for one in body["messages"][:BOUNDARIES])]
    return [parameters, told.tools, *told.messages[:BOUNDARIES]]


def leading_instructions(body: dict[str, Any]) -> int:
    """How many messages come before the first turn."""
    count = 0
    for message in body["messages"]:
        if message.get("role") not in ("system", "developer"):
            break
        count += 1
    return count


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, or nested too deep
        return repr(value).encode("utf-8", "surrogatepass")


class Group(msgspec.Struct):
    """Sums of one model, or of one shared prefix at it. Money in pico-dollars."""

    calls: int = 0
    input_tokens: int = 0
    read_tokens: int = 0
    write_tokens: int = 0
    expected_tokens: int = 0
    """what earlier calls had sent already"""
    saved: int = 0
    """by reads, less what writes cost more than plain input"""
    lost: int = 0
    """by what should have been read and was not"""
    unpriced: int = 0
    """calls without a known price"""
    simulated: int = 0
    """calls a simulator answered"""

    def told(self) -> dict[str, Any]:
        rate = self.read_tokens / self.input_tokens if self.input_tokens else 0.0
        of_expected = min(1.0, self.read_tokens / self.expected_tokens) if self.expected_tokens else None
        return {**msgspec.structs.asdict(self), "hit_rate": rate, "hit_rate_of_expected": of_expected}


class Miss(msgspec.Struct):
    """One call that read less than it should have. `part` is where it differs, `before` and `after` are masked."""

    at: float
    """unix seconds"""
    model: str
    request_id: str
    reason: str
    expected_tokens: int
    read_tokens: int
    lost: int | None
    part: str = ""
    byte: int = 0
    """within the part"""
    before: str = ""
    after: str = ""


class _Kept(msgspec.Struct):
    prefix: Prefix
    raw: bytes
    began: float
    ended: float


class PrefixBook:
    """Everything `rung cache explain` says. `clock`: seconds, monotonic."""

    def __init__(self, *, max_bytes: int = KEPT_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str, bytes], _Kept] = OrderedDict()
        self._recent: OrderedDict[tuple[str, str], deque[tuple[str, str, bytes]]] = OrderedDict()
        self._models: OrderedDict[str, Group] = OrderedDict()
        self._heads: OrderedDict[tuple[str, bytes], Group] = OrderedDict()
        self._misses: deque[Miss] = deque(maxlen=MISSES)
        self._reasons: dict[str, int] = {}
        self._diffs = float(DIFFS_A_SECOND)
        self._refilled = 0.0

    def record(
        self,
        call: Call,
        model: str,
        usage: Usage,
        *,
        life: float,
        min_tokens: int,
        rates: Rates | None,
        simulated: bool = False,
    ) -> None:
        """An answer of `model` (``provider:model``) has ended; `life` and `min_tokens` are of its prompt cache."""
        prefix = call.prefix
        if prefix is None:
            return
        now = self.clock()
        began = now - max(0.0, time.monotonic() - call.started)
        earlier = self._earlier(call.tenant, model, prefix)
        tokens = usage.prompt_tokens
        per_byte = tokens / prefix.sizes[-1]
        same = prefix.common(earlier.prefix.ends) if earlier is not None else 0
        expected = int(prefix.sizes[same - 1] * per_byte) if same > FIXED_PARTS else 0
        should = expected
        miss: Miss | None = None
        if earlier is not None:
            wanted = self._wanted(prefix, earlier.prefix)
            should = int(wanted * per_byte)
            if should >= min_tokens and usage.cache_read_tokens < should * _GOOD:
                gap = began - earlier.ended
                miss = self._explain(call, model, earlier, same, wanted, gap, life)
        if miss is not None:
            miss.expected_tokens, miss.read_tokens = should, usage.cache_read_tokens
            miss.lost = None
            if rates is not None:
                miss.lost = max(0, should - usage.cache_read_tokens) * max(0, rates.input - rates.cache_read)
            self._reasons[miss.reason] = self._reasons.get(miss.reason, 0) + 1
            self._misses.append(miss)
        for group in (_group(self._models, model), _group(self._heads, (model, prefix.head))):
            _add(group, usage, should if miss is not None else expected, rates, miss)
            group.simulated += simulated
        if not call.no_store:
            self._keep(call, model, prefix, began, now)

    def told(self) -> dict[str, Any]:
        """All of it, as JSON values; money in pico-dollars."""
        heads: dict[str, list[dict[str, Any]]] = {}
        for (model, head), group in self._heads.items():
            heads.setdefault(model, []).append({"prefix": head.hex(), **group.told()})
        models = [
            {"model": model, **group.told(), "prefixes": _largest(heads.get(model, []))}
            for model, group in self._models.items()
        ]
        misses = [msgspec.structs.asdict(miss) for miss in reversed(self._misses)]
        return {"models": _largest(models), "reasons": dict(self._reasons), "misses": misses}

    # ---- what should have been read ----

    def _earlier(self, tenant: str, model: str, prefix: Prefix) -> _Kept | None:
        """The prompt this one should continue: its own session's, or else the most similar of the last ones."""
        own = self._kept.get((tenant, model, prefix.session))
        if own is not None:
            return own
        found = [self._kept[key] for key in self._recent.get((tenant, model), ()) if key in self._kept]
        return max(found, key=lambda kept: prefix.common(kept.prefix.ends), default=None)

    def _wanted(self, prefix: Prefix, earlier: Prefix) -> int:
        """Bytes that the two would share if nothing had changed on the way."""
        if prefix.session == earlier.session:
            return min(prefix.sizes[-1], earlier.sizes[-1])
        same = prefix.common(earlier.ends)
        return prefix.sizes[max(same, min(prefix.shared, earlier.shared)) - 1]

    def _explain(
        self, call: Call, model: str, earlier: _Kept, same: int, wanted: int, gap: float, life: float
    ) -> Miss | None:
        """Why; None if the two prompts have nothing to do with each other."""
        assert call.prefix is not None
        miss = Miss(time.time(), model, call.request_id, "", 0, 0, None)
        if same and call.prefix.sizes[same - 1] >= wanted:
            miss.reason = "expired" if gap >= life else "parallel" if gap < 0 else "not_found"
            return miss
        if not self._may_compare():
            miss.reason = "not_compared"
            return miss
        difference = compare(earlier.raw, call.raw)
        if difference is None:
            return None
        miss.reason, miss.part, miss.byte, miss.before, miss.after = difference
        return miss

    def _may_compare(self) -> bool:
        now = self.clock()
        self._diffs = min(float(DIFFS_A_SECOND), self._diffs + (now - self._refilled) * DIFFS_A_SECOND)
        self._refilled = now
        if self._diffs < 1:
            return False
        self._diffs -= 1
        return True

    def _keep(self, call: Call, model: str, prefix: Prefix, began: float, ended: float) -> None:
        key = (call.tenant, model, prefix.session)
        old = self._kept.pop(key, None)
        self._bytes += len(call.raw) - (len(old.raw) if old is not None else 0)
        self._kept[key] = _Kept(prefix, call.raw, began, ended)
        while self._bytes > self._max_bytes:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone.raw)
        group = (call.tenant, model)
        recent = self._recent.setdefault(group, deque(maxlen=KEPT_EACH))
        if key not in recent:
            recent.append(key)
        self._recent.move_to_end(group)
        while len(self._recent) > GROUPS:
            self._recent.popitem(last=False)


def _group(groups: OrderedDict[Any, Group], key: Any) -> Group:
    found = groups.get(key)
    if found is None:
        found = groups[key] = Group()
        while len(groups) > GROUPS:
            groups.popitem(last=False)
    groups.move_to_end(key)
    return found


def _add(group: Group, usage: Usage, expected: int, rates: Rates | None, miss: Miss | None) -> None:
    group.calls += 1
    group.input_tokens += usage.prompt_tokens
    group.read_tokens += usage.cache_read_tokens
    group.write_tokens += usage.written_tokens
    group.expected_tokens += expected
    if rates is None:
        group.unpriced += 1
        return
    group.saved += usage.cache_read_tokens * (rates.input - rates.cache_read)
    group.saved -= usage.written_tokens * (rates.cache_write - rates.input)
    group.lost += (miss.lost or 0) if miss is not None else 0


def _largest(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(groups, key=lambda told: -told["input_tokens"])[:20]


# ---- the first difference ----


def compare(earlier_raw: bytes, later_raw: bytes) -> tuple[str, str, int, str, str] | None:
    """-> (reason, part, byte in that part, masked piece of the earlier, of the later); None if they are strangers."""
    earlier, later = orjson.loads(earlier_raw), orjson.loads(later_raw)
    pairs = zip(parts(earlier_raw, earlier), parts(later_raw, later), strict=False)
    for place, (old, new) in enumerate((bytes(old), bytes(new)) for old, new in pairs):
        if old == new:
            continue
        if place == 0:
            names = [name for name in SEPARATING if earlier.get(name) != later.get(name)]
            return ("parameter", ", ".join(names), 0, "", "")
        if place == 1:
            return _tools(earlier.get("tools") or [], later.get("tools") or [], old, new)
        number = place - FIXED_PARTS
        role = str(later["messages"][number].get("role"))
        at = _same(old, new)
        if number < leading_instructions(later) and not _alike(old, new, at):
            return None
        part = f"messages[{number}] ({role if role.isalpha() else 'other'})"
        return (_kind(old, new, at), part, at, _piece(old, at), _piece(new, at))
    return None


def _tools(old: list[Any], new: list[Any], old_text: bytes, new_text: bytes) -> tuple[str, str, int, str, str] | None:
    before, after = sorted(map(_dumps, old)), sorted(map(_dumps, new))
    if len(set(before) & set(after)) < max(len(before), len(after)) * _ALIKE:
        return None  # another program's
    at = _same(old_text, new_text)
    reason = "tools_changed"
    if before == after:
        reason = "tools_reordered"
    number = next(
        (place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    return (reason, f"tools[{number}]", at, _piece(old_text, at), _piece(new_text, at))


def _alike(old: bytes, new: bytes, at: int) -> bool:
    """Are they the same text but for a small piece?"""
    shorter = min(len(old), len(new))
    tail = _same(old[at:][::-1], new[at:][::-1])
    return at + tail >= shorter * _ALIKE


def _same(old: bytes, new: bytes) -> int:
    """Length of the common beginning."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


_TIME = re.compile(rb"\d{1,4}[-/:.T ]\d{1,2}[-/:.T ]?\d*|\d{10,13}")
_ID = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}|[0-9a-fA-F]{12,}|\b[A-Za-z]+_[A-Za-z0-9]{8,}")


def _kind(old: bytes, new: bytes, at: int) -> str:
    """What changed, as far as its look tells: timestamp, identifier, number or text."""
    for name, pattern in (("identifier", _ID), ("timestamp", _TIME), ("number", re.compile(rb"\d+"))):
        if all(_covers(pattern, text, at) for text in (old, new)):
            return name
    return "text"


def _covers(pattern: re.Pattern[bytes], text: bytes, at: int) -> bool:
    start = max(0, at - 40)
    return any(match.start() + start <= at < match.end() + start for match in pattern.finditer(text[start : at + 40]))


def _piece(text: bytes, at: int) -> str:
    return mask(text[max(0, at - _BEFORE) : at + _AFTER].decode("utf-8", "replace"))


def mask(text: str) -> str:
    """`text` with its structure and without its words: digits are 9, other letters and all beyond ASCII x."""
    return "".join("9" if one in _DIGITS else "x" if one.isalpha() or not one.isascii() else one for one in text)


_DIGITS = frozenset("0123456789")
