"""One stream on its way through: whatever blocks it comes in, the same bytes pass and the same is learnt."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.answer import Evidence
from rung.errors import BadAnswerFault, Fault
from rung.providers.relay import Relay
from rung.testing import make_call


def chunk(delta: Any, **members: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": members.pop("finish_reason", None)}
    told = json.dumps({"id": "c" * 60, "model": "m", "choices": [choice], **members}, separators=(",", ":"))
    return b"data: " + told.encode() + b"\n\n"


BEGIN = chunk({"role": "assistant", "content": ""})
END = chunk({}, finish_reason="stop") + b"data: [DONE]\n\n"
WORD = st.sampled_from([" word", "a", "the ", ".", "#", " [x]"]).map(lambda text: chunk({"content": text}))
OTHER = st.one_of(
    st.text(max_size=4).map(lambda text: chunk({"content": text})),
    st.sampled_from(
        [
            b": keep-alive\n\n",
            b"\n",
            b"data: {}\n\n",
            chunk({"content": " "}),
            chunk({"content": 'say "x"'}),
            chunk({"content": "back\\slash"}),
            chunk({"content": "é"}),
            chunk({"content": "x"}).replace(b"\n\n", b"\r\n\r\n"),
            chunk({"content": "x", "tool_calls": [{"index": 0}]}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "x"}, error="overloaded"),
            chunk({"content": "@"}).replace(b"@", b"no\x01good"),
            chunk({"content": "x"}, finish_reason="length"),
            b"event: x\n" + chunk({"content": "x"}),
            b"data: [DONE]\n\n",
        ]
    ),
)


def run(blocks: list[bytes]) -> tuple[str, bytes, Any]:
    """-> (code of the fault, or empty; what passed; what was learnt)."""
    evidence = Evidence()
    relay = Relay("p", make_call("x"), evidence)
    passed = []
    try:
        for block in blocks:
            passed.append(relay.feed(block)[0])
            if relay.done:
                break
        passed.append(relay.end())
    except Fault as fault:
        return fault.code, b"", None
    return "", b"".join(passed), (evidence, relay.spoke)


@given(
    frames=st.lists(st.one_of(WORD, WORD, WORD, OTHER), max_size=30),
    cuts=st.lists(st.integers(0, 6000), max_size=4),
    well=st.booleans(),
)
def test_blocks_make_no_difference(frames: list[bytes], cuts: list[int], well: bool) -> None:
    singly = [BEGIN, *frames, *([END] if well else ())]
    stream = b"".join(singly)
    assert run([stream]) == run(singly)
    if b"\r" not in stream:  # of a CR LF that is cut, the LF is a frame of its own
        ends = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
        assert run([stream[start:end] for start, end in pairwise(ends)]) == run(singly)


def test_many_words_in_one_block_pass_as_they_came() -> None:
    words = [chunk({"content": f" word{number}"}) for number in range(50)]
    code, passed, (evidence, spoke) = run([BEGIN + b"".join(words) + END])
    assert (code, spoke, evidence.finish_reason) == ("", True, "stop")
    assert passed == BEGIN + b"".join(words) + chunk({}, finish_reason="stop")


@pytest.mark.parametrize("cut", [1, 60, 100, 175])
def test_a_stream_that_ends_inside_a_frame_is_cut(cut: int) -> None:
    relay = Relay("p", make_call("x"), Evidence())
    stream = BEGIN + b"".join(chunk({"content": f" word{number}"}) for number in range(20))
    relay.feed(stream[:-cut])
    with pytest.raises(BadAnswerFault, match=r"in the middle of a frame"):
        relay.end()
