"""What may be compared by meaning at all, and for how long an answer may be kept. Rules, never learned.

Only the last user message is compared by meaning; everything else of a call, its frame, must match exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST = 16_000
"""characters of a prompt; longer ones are declined"""

_VOLATILE = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|now|currently|current|latest|newest|recent|recently|just now|so far|"
    r"this (?:week|month|year|morning|afternoon|evening|weekend|quarter)|"
    r"(?:last|next) (?:week|month|year|night|weekend|order|payment|transaction|bill|message|email|invoice)|"
    r"right now|at the moment|up to date|breaking|live|news|weather|forecast|stock price|exchange rates?|"
    r"what time is it|what's the time|what day is it|what(?: is|'s) the date|ago|still|"
    r"my (?:\w+ )?(?:order|balance|account|bill|payments?|transfer|delivery|parcel|package|appointment|booking|"
    r"reservation|subscription|schedule|calendar|agenda|meetings?|alarm|reminders?|list|location|status)|"
    r"aujourd'hui|demain|hier|maintenant|actuel(?:le)?s?|actuellement|dernier|dernière|derniers|dernières|récents?|"
    r"ce (?:soir|matin|mois)|cette (?:semaine|année)|quelle heure|météo|"
    r"ma (?:commande|livraison|facture|réservation)|mon (?:compte|solde|colis|rendez-vous|agenda))\b",
    re.IGNORECASE,
)

_UNSAID = frozenset(("stream", "stream_options", "rung"))
"""members of a body that do not change what is answered"""


@dataclass(frozen=True, slots=True)
class Question:
    """A call that may be matched: `prompt` by meaning, `frame` exactly.

    `frame` is the body without the prompt and without what does not change the answer: fingerprint it together
    with the tenant, the model class and the configuration's version. `turns`: messages before the prompt.
    """

    prompt: str
    frame: dict[str, Any]
    turns: int


def question(body: Mapping[str, Any]) -> Question | str:
    """The call as a question, or why it is none: a chat body (OpenAI's shape) as decoded.

    Reasons: ``no_messages``, ``not_user`` (the last message is not the user's), ``tool_turn`` (a tool was called or
    answered earlier, or a tool must be called), ``not_text``, ``empty``, ``too_long``, ``many`` (``n`` above 1),
    ``logprobs``.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "no_messages"
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        return "not_user"
    if any(_tooled(one) for one in messages) or body.get("tool_choice") not in (None, "none", "auto"):
        return "tool_turn"
    if body.get("n") not in (None, 1):
        return "many"
    if body.get("logprobs"):
        return "logprobs"
    prompt = _text(last.get("content"))
    if prompt is None:
        return "not_text"
    if not prompt.strip():
        return "empty"
    if len(prompt) > LONGEST:
        return "too_long"
    frame = {key: value for key, value in body.items() if key not in _UNSAID}
    frame["messages"] = [*messages[:-1], {key: value for key, value in last.items() if key != "content"}]
    return Question(prompt, frame, len(messages) - 1)


def _tooled(message: Any) -> bool:
    if not isinstance(message, dict):
        return True
    return message.get("role") in ("tool", "function") or bool(
        message.get("tool_calls") or message.get("function_call")
    )


def _text(content: Any) -> str | None:
    """Text content, or text parts only; None where there is anything else, such as an image."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [one["text"] for one in content if isinstance(one, dict) and one.get("type") == "text" and "text" in one]
    if len(parts) != len(content) or not all(isinstance(part, str) for part in parts):
        return None
    return "\n".join(parts)


def volatile(prompt: str) -> bool:
    """Whether the answer depends on time or on somebody's present state, as far as its words tell."""
    return _VOLATILE.search(prompt) is not None


def keep_for(prompt: str, ttl: float, volatile_ttl: float) -> float:
    """Seconds an answer to this prompt may be served; 0: it is not to be stored."""
    return min(ttl, volatile_ttl) if volatile(prompt) else ttl


def storable(finish_reason: str | None, complete: bool, tool_calls: bool, size: int, most: int) -> str:
    """Why an answer may not be stored, "" if it may: ``cut``, ``finish_reason``, ``tool_calls`` or ``too_large``."""
    if not complete:
        return "cut"
    if finish_reason != "stop":
        return "finish_reason"
    if tool_calls:
        return "tool_calls"
    return "too_large" if size > most else ""
