"""A climb that has ended, as the ledger's row and as a log line. Only the row, where told to, holds text."""

from __future__ import annotations

import time
from typing import Any

import orjson

from rung.answer import Usage
from rung.errors import RungError
from rung.ladder.climb import Climb
from rung.store.ledger import ClimbRow

CLIENT_LEFT = 499
"""status of a call nobody waited for (nginx's code)"""

_NOTHING = Usage()


def row(record: Climb, *, with_text: bool = False) -> ClimbRow:
    """The ledger's row of an ended climb; its texts only `with_text` and never of a private call."""
    call = record.call
    answer = record.answer
    evidence = answer.evidence if answer is not None else None
    usage = evidence.usage if evidence is not None else None
    tokens = usage or _NOTHING
    told = usage is not None
    status, code, outcome = _outcome(record)
    text = with_text and not call.private
    return ClimbRow(
        request_id=call.request_id,
        started_at=time.time() - (time.monotonic() - call.started),
        door=call.door,
        tenant=call.tenant,
        session=call.session,
        requested_model=call.model,
        task=call.task,
        mode=call.mode,
        private=call.private,
        stream=call.stream,
        outcome=outcome,
        rung=answer.rung if answer is not None else "",
        model=answer.model if answer is not None else "",
        model_version=evidence.model_version if evidence is not None else "",
        status=status,
        finish_reason=evidence.finish_reason if evidence is not None else None,
        error_code=code,
        cache=_cache(record),
        first_content_ms=(record.first_content - call.started) * 1e3 if record.first_content else None,
        total_ms=(record.ended - call.started) * 1e3,
        input_tokens=tokens.input_tokens if told else None,
        cache_read_tokens=tokens.cache_read_tokens if told else None,
        cache_write_tokens=tokens.cache_write_tokens if told else None,
        output_tokens=tokens.output_tokens if told else None,
        reasoning_tokens=tokens.reasoning_tokens if told else None,
        cost_pico=record.cost(),
        simulated=evidence is not None and evidence.simulated,
        unproved=evidence is not None and evidence.unproved,
        fingerprint=call.fingerprint,
        attempts=orjson.dumps(record.attempts),
        request_text=call.raw if text else None,
        answer_text=record.text() if text else None,
    )


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
