"""Endpoints of shipped rows at other addresses, upstream replies, and reading the answers adapters give."""

import orjson

from rung.providers.endpoint import make_endpoint
from rung.providers.rows import rows
from rung.testing import stream_reply

rows()  # read now: on the event loop it would block


def endpoint(name, base_url, **told):
    """The endpoint of a shipped row at another address."""
    row = rows()[name]
    options = {
        "key": "test-key",
        "headers": {},
        "strip": row.strip,
        "rename": row.rename,
        "usage_in_stream": row.usage_in_stream,
        "price": lambda model, usage: usage.prompt_tokens + 10 * usage.completion_tokens,
    }
    return make_endpoint(row, base_url, **options | told)


async def read(answer):
    """-> (chunks, content flags) of a stream, once it has ended as it should."""
    chunks, content = [], []
    last = False
    async for event in answer.events:
        for frame in event.data.split(b"\n\n"):
            if frame:
                chunks.append(orjson.loads(frame.removeprefix(b"data: ")))
        content.append(event.content)
        last = event.last
    assert last
    assert answer.evidence.complete
    return chunks, content


def text_of(chunks, member="content"):
    return "".join(chunk["choices"][0]["delta"].get(member) or "" for chunk in chunks if chunk["choices"])


def sse(*payloads, end=b"\n\n"):
    """An event-stream response, one chunk a payload (bytes as they are, anything else as JSON data)."""
    blocks = [one if isinstance(one, bytes) else b"data: " + orjson.dumps(one) + end for one in payloads]
    return stream_reply(blocks)
