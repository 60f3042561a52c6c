"""Which rungs may be asked for a call, in which order. Pure: a table, no I/O.

Without trust data the ladder is honest: ``auto`` goes tool → exact → semantic → reference. The local rung answers
when it was asked for, when the call is private, or when no cloud answers; the record then says `unproved`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from rung.call import MODES, Call
from rung.errors import InvalidRequestError, LadderExhausted, ModelNotFoundError, PrivacyError, RungError
from rung.ladder import order
from rung.ladder.order import Offer
from rung.ladder.privacy import check_nothing_remote
from rung.ladder.rung import Rung

NAMES = ("auto", "local", "fast", "strong")


@dataclass(frozen=True, slots=True)
class Lineup:
    """The rungs there are. A None is a rung that is switched off or has nothing to run on.

    `clouds`: every cloud rung as fallback, in the order they are asked. `reference_for`: task → rung, where
    the user named one.
    """

    tool: Rung | None = None
    exact: Rung | None = None
    semantic: Rung | None = None
    local: Rung | None = None
    reference: Rung | None = None
    fast: Rung | None = None
    strong: Rung | None = None
    clouds: tuple[Rung, ...] = ()
    reference_for: Mapping[str, Rung] = field(default_factory=dict)
    hosts: tuple[Rung, ...] = ()
    """backends on this host that the user declared private: as good as `local`, asked after it"""
    local_in_auto: bool = False
    """the user lets the local rung answer ``auto`` before the reference, unproved"""


NO_RUNG = (
    "nothing can answer this call: no cloud key is set and there is no local model. "
    "Set GROQ_API_KEY, DEEPSEEK_API_KEY or OPENAI_API_KEY, or run: rung models pull qwen2.5-coder:1.5b"
)


def plan(call: Call, lineup: Lineup, direct: Rung | None = None) -> tuple[Rung, ...]:
    """The rungs to ask for `call`, lowest first.

    `direct` is the rung of a ``provider:model`` name.

    Raises ModelNotFoundError for a name nobody has, PrivacyError if a private call has nowhere to stay,
    InvalidRequestError if mode and model contradict each other, LadderExhausted if there is no rung at all.
    """
    if call.mode not in MODES:
        raise InvalidRequestError(f"unknown mode {call.mode!r}; one of {', '.join(MODES)}", param="x-rung-mode")
    if call.private:
        check_nothing_remote(call)
    rungs: tuple[Rung | None, ...]
    if direct is not None:
        if call.mode == "local" and not direct.stays_here:
            raise InvalidRequestError(f"mode 'local' excludes {direct.model}", param="x-rung-mode")
        rungs = (lineup.exact, direct)
    else:
        rungs = _named(call, lineup)
    chosen: list[Rung] = []
    for rung in rungs:
        if rung is not None and (rung.stays_here or not call.private) and rung not in chosen:
            chosen.append(rung)
    if not any(rung.name == "tool" or is_model(rung) for rung in chosen):
        raise dead_end(call, lineup)
    return tuple(chosen)


def split(rungs: Sequence[Rung]) -> tuple[tuple[Rung, ...], tuple[Rung, ...]]:
    """-> (the programs and caches at the beginning of a plan, the rest): the first need no task to be known."""
    models = next((place for place, rung in enumerate(rungs) if is_model(rung)), len(rungs))
    return tuple(rungs[:models]), tuple(rungs[models:])


def substitutes(call: Call, lineup: Lineup) -> tuple[Rung, ...]:
    """The clouds that answer when whoever `call` is meant for cannot; which of them first is a matter of price."""
    name = call.mode if call.model == "auto" else call.model
    meant = [lineup.reference_for.get(call.task), lineup.reference]
    meant += [{"fast": lineup.fast, "strong": lineup.strong}.get(name)]
    return tuple(rung for rung in lineup.clouds if rung not in meant)


def explain(call: Call, rungs: Sequence[Rung], lineup: Lineup, offers: Sequence[Offer], by: str) -> str:
    """Why `rungs` are asked for `call`, in a line."""
    if call.private:
        why = f" ({', '.join(call.found)} found in it)" if call.found else ""
        return f"private{why}: only what stays on this machine"
    own, general = lineup.reference_for.get(call.task), lineup.reference
    parts = []
    if own is not None and own in rungs:
        parts.append(f"{own.model} is the reference for {call.task}")
    if general is not None and general in rungs and general is not own:
        parts.append(f"then {general.model}" if parts else f"{general.model} is the reference")
    if told := order.told(offers, by):
        parts.append(f"then {told}" if parts else told)
    return "; ".join(parts) or f"{call.model} was asked for"


def is_model(rung: Rung) -> bool:
    """Is it a model, not a program or a cache?"""
    return rung.name not in ("tool", "exact", "semantic")


def _named(call: Call, lineup: Lineup) -> tuple[Rung | None, ...]:
    references = (lineup.reference_for.get(call.task), lineup.reference)  # the task's own, then everybody's
    here = (lineup.local, *lineup.hosts)
    name = call.mode if call.model == "auto" else call.model
    if name == "auto":
        first = here if lineup.local_in_auto else ()
        return (lineup.tool, lineup.exact, lineup.semantic, *first, *references, *lineup.clouds, *here)
    if name == "local":
        tool = lineup.tool if call.model == "auto" else None
        return (tool, lineup.exact, *here)
    if name == "cloud":
        return (lineup.exact, lineup.semantic, *references, *lineup.clouds)
    if name == "fast":
        return (lineup.exact, lineup.semantic, lineup.fast, *references, *lineup.clouds)
    return (lineup.exact, lineup.semantic, lineup.strong, *references)


def dead_end(call: Call, lineup: Lineup) -> RungError:
    """Why no model could be asked for `call`, and what to do about it."""
    if call.private:
        return PrivacyError(
            f"a private call{_why(call)} may not leave this machine, and nothing here answers model {call.model!r}; "
            "use model 'local' (first: rung models pull qwen2.5-coder:1.5b) or a provider marked private_host"
        )
    if call.mode == "local" or call.model == "local":
        return LadderExhausted("there is no local model; run: rung models pull qwen2.5-coder:1.5b")
    return LadderExhausted(NO_RUNG)


def _why(call: Call) -> str:
    return f" (found in it: {', '.join(call.found)})" if call.found else ""


def unknown_model(name: str, known: list[str]) -> ModelNotFoundError:
    """The 404 for a model name, with near names."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(match) for match in near)}?" if near else f"try {', '.join(NAMES)}."
    return ModelNotFoundError(f"no model {name!r} here; {hint} GET /v1/models lists them all.", param="model")
