"""OpenAI's door: ``/v1/chat/completions`` as JSON or SSE.

Shapes: https://platform.openai.com/docs/api-reference/chat. The body of an answer is passed on as bytes.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

import orjson

from rung.call import Call
from rung.doors.climbed import Streamed, answer_of, whole
from rung.doors.exchange import Exchange
from rung.doors.passed import PassedStream, PassedWhole
from rung.doors.reply import Reply, error_head, send_whole
from rung.errors import RungError
from rung.gateway import Gateway
from rung.ladder.climb import Climb


def begin(
    gateway: Gateway, call: Call, reply: Exchange, heartbeat: float, state: Mapping[str, Any]
) -> Coroutine[Any, Any, None] | None:
    """`chat` for our own server: what is left to do; None if it is answered, or a callback will."""
    if call.plain and (path := gateway.paths.of(call.model)) is not None:
        passage = (
            PassedStream(path, call, gateway, reply, heartbeat, state)
            if call.stream
            else PassedWhole(path, call, gateway, reply)
        )
        if passage.send():
            reply.answered_by(passage)
            return None
        if isinstance(passage, PassedWhole) and passage.replay():
            return None
    record = Climb(call)
    if call.stream:
        return Streamed(gateway, record, reply, heartbeat, state).run()
    try:
        if not gateway.begin(record):
            return whole(gateway, record, reply.whole)
    except RungError as error:
        gateway.close(record, error)
        reply.whole(error.status, error_head(error, record), orjson.dumps(error.body()))
        return None
    except BaseException as error:
        gateway.close(record, error)
        raise
    gateway.close(record, None)
    reply.whole(200, *answer_of(record))
    return None


async def chat(gateway: Gateway, call: Call, reply: Reply, heartbeat: float, state: Mapping[str, Any]) -> None:
    """Answer one chat call. `heartbeat`: seconds of silence on a stream before a keep-alive comment.

    `state` is the server's; its ``draining`` says that a cancelled call still has somebody to talk to.
    """
    record = Climb(call)
    if call.stream:
        await Streamed(gateway, record, reply, heartbeat, state).run()
    else:
        await whole(gateway, record, partial(send_whole, reply))
