"""A climb that has ended, as the ledger's row and as a log line. Only the row, where told to, holds text."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from rung.answer import Answer, Usage
from rung.call import Call
from rung.errors import RungError
from rung.ladder.attempt import Attempt
from rung.ladder.climb import Climb
from rung.store.ledger import ClimbRow

CLIENT_LEFT = 499
"""status of a call nobody waited for (nginx's code)"""

_NO_ANSWER = Answer("", "")
_NO_USAGE = (None, None, None, None, None)
_GOOD = (200, None, "answered")
_encode = msgspec.json.Encoder().encode


def row(record: Climb, *, with_text: bool = False) -> ClimbRow:
    """The ledger's row of an ended climb; its texts only `with_text` and never of a private call."""
    call = record.call
    outcome = _outcome(record) if record.error is not None else _GOOD
    first = record.first_content or None
    made = row_of(
        call, record.answer or _NO_ANSWER, record.attempts, _cache(record), record.cost(), record.ended, first, outcome
    )
    if with_text and not call.private:
        made.request_text, made.answer_text = call.raw, record.text()
    return made


def row_of(
    call: Call,
    answer: Answer,
    attempts: list[Attempt],
    cache: str,
    cost: int | None,
    ended: float,
    first_content: float | None,
    told: tuple[int, str | None, str] = _GOOD,
) -> ClimbRow:
    """The row of what is known of a climb. Times by `time.monotonic()`; `told`: status, error code, outcome."""
    evidence = answer.evidence
    usage = evidence.usage
    status, code, outcome = told
    fresh, read, written, output, reasoning = _NO_USAGE if usage is None else _tokens(usage)
    # By place, in the order of the columns: from some thirty on, Python hands arguments by name over in a dict.
    return ClimbRow(
        call.request_id,
        time.time() - (time.monotonic() - call.started),
        call.session,
        None if first_content is None else (first_content - call.started) * 1e3,
        (ended - call.started) * 1e3,
        fresh,
        read,
        written,
        output,
        reasoning,
        cost,
        call.fingerprint,
        _encode(attempts),
        call.door,
        call.tenant,
        call.model,
        call.task,
        call.mode,
        call.private,
        call.stream,
        outcome,
        answer.rung,
        answer.model,
        evidence.model_version,
        status,
        evidence.finish_reason,
        code,
        cache,
        evidence.simulated,
        evidence.unproved,
        call.purpose,
    )


def _tokens(usage: Usage) -> tuple[int, int, int, int, int]:
    written = usage.cache_write_tokens + usage.cache_write_long_tokens
    return usage.input_tokens, usage.cache_read_tokens, written, usage.output_tokens, usage.reasoning_tokens


def line(record: Climb) -> dict[str, Any]:
    """The log line of an ended climb."""
    call = record.call
    answer = record.answer
    status, code, _ = _outcome(record)
    return {
        "at": time.strftime("%H:%M:%S"),
        "id": call.request_id,
        "status": status,
        "model": call.model,
        "rung": answer.rung if answer is not None else None,
        "by": answer.model if answer is not None else None,
        "climb": record.path(),
        "ms": (record.ended - call.started) * 1e3,
        "cost_pico": record.cost(),
        "private": call.private or None,
        "error": code,
    }


def _outcome(record: Climb) -> tuple[int, str | None, str]:
    """-> (HTTP status, error code, outcome)."""
    error = record.error
    if error is None:
        return 200, None, "answered"
    if isinstance(error, RungError):
        return error.status, error.code, "cut" if record.first_content else "failed"
    if isinstance(error, Exception):
        return 500, "internal_error", "failed"
    return CLIENT_LEFT, "client_left", "cancelled"


def _cache(record: Climb) -> str:
    for attempt in record.attempts:
        if attempt.rung == "exact":
            if attempt.outcome == "answered":
                return "hit"
            return attempt.reason.partition(":")[0]
    return ""
