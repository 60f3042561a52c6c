"""How a door answers: through our own server's exchange, and in messages through any other."""

from __future__ import annotations

from typing import Any

import pytest

from rung.doors.app import read_body
from rung.doors.reply import AsgiReply, head, send_whole
from rung.errors import InvalidRequestError, RequestTooLargeError


class Messages(list[dict[str, Any]]):
    async def send(self, message: dict[str, Any]) -> None:
        self.append(message)


async def test_a_whole_answer_in_messages() -> None:
    sent = Messages()
    await send_whole(AsgiReply(sent.send), 404, head(["content-type: application/json", "x-a: b: c"]), b"{}")
    start, body = sent
    assert (start["type"], start["status"]) == ("http.response.start", 404)
    assert start["headers"] == [(b"content-type", b"application/json"), (b"x-a", b"b: c"), (b"content-length", b"2")]
    assert body == {"type": "http.response.body", "body": b"{}", "more_body": False}


async def test_a_stream_in_messages_has_no_length() -> None:
    sent = Messages()
    reply = AsgiReply(sent.send)
    reply.begin(200, head(["content-type: text/event-stream"]))
    assert not sent  # what is begun can still become another answer
    await reply.write(b"one", True)
    await reply.write(b"two")
    assert [message["type"] for message in sent] == ["http.response.start", *2 * ["http.response.body"]]
    assert sent[0]["headers"] == [(b"content-type", b"text/event-stream")]
    assert [(message["body"], message["more_body"]) for message in sent[1:]] == [(b"one", True), (b"two", False)]


@pytest.mark.parametrize("bad", ["x-rung-task: a\r\nset-cookie: b", "x: a\nb", "x: a\rb", "x: a\0b"])
def test_a_header_cannot_hold_another_line(bad: str) -> None:
    with pytest.raises(RuntimeError, match="line break"):
        head(["x-rung: cloud", bad])


def test_a_block_of_headers() -> None:
    assert head(["a: 1", "b: é"]) == "a: 1\r\nb: é\r\n".encode()
    assert head([]) == b""


async def test_a_body_in_pieces_from_another_server() -> None:
    pieces = [b'{"a"', b":", b"1}"]

    async def receive() -> dict[str, Any]:
        body = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pieces)}

    assert await read_body(receive, 7) == b'{"a":1}'
    pieces = [b"1234", b"5678"]
    with pytest.raises(RequestTooLargeError):
        await read_body(receive, 7)


async def test_a_client_that_leaves_before_its_body_is_there() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    with pytest.raises(InvalidRequestError, match="left"):
        await read_body(receive, 100)
