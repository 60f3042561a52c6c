"""The short form of ``make fuzz``, and that the fuzzers can fail."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEED = int.from_bytes(os.urandom(4), "big")
"""another one every time; a failure tells its input"""


@pytest.fixture
def fuzz_http(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    from fuzz import fuzz_http

    return fuzz_http


@pytest.fixture
def fuzz_json(fuzz_http: ModuleType) -> ModuleType:
    from fuzz import fuzz_json

    return fuzz_json


async def test_raw_bytes(fuzz_http: ModuleType) -> None:
    figures = await fuzz_http.run(1500, SEED)
    assert figures["inputs"] == 1500
    assert figures["statuses"][200] > 100
    assert figures["statuses"][400] > 100


async def test_json_bodies(fuzz_json: ModuleType) -> None:
    figures = await fuzz_json.run(1500, SEED)
    assert figures["statuses"][200] > 50
    assert figures["statuses"][400] > 100


async def test_a_server_that_misreads_is_found_out(fuzz_http: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.doors.intake.Intake._check_headers", lambda self, version: None)
    with pytest.raises(fuzz_http.Failure, match="Host"):
        await fuzz_http.run(20_000, 1)


@pytest.mark.parametrize(
    ("status", "headers", "body", "complete"),
    [
        (500, {}, b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}', True),
        (400, {}, b'{"error":{"message":"m"}}', True),
        (400, {}, b'{"error":{"message":"bad","type":"t","param":null,"code":"invalid_json"}}', True),
        (200, {b"content-type": b"text/event-stream"}, b"data: {}\n\n", True),
        (200, {b"content-type": b"application/json"}, b"{}", False),
    ],
)
def test_a_wrong_answer_is_found_out(
    fuzz_json: ModuleType, status: int, headers: dict[bytes, bytes], body: bytes, complete: bool
) -> None:
    response = fuzz_json.Response()
    response.status, response.headers, response.body, response.complete = status, headers, body, complete
    with pytest.raises(fuzz_json.Failure):
        fuzz_json.check(response)


def test_inputs_follow_from_their_seed_and_pieces_add_up(fuzz_http: ModuleType) -> None:
    from fuzz.mutate import Mutator

    one, other = (Mutator(Random(5), fuzz_http.SEEDS, fuzz_http.TOKENS) for _ in range(2))
    for _ in range(200):
        data = one.make()
        assert data == other.make()
        assert len(data) <= 8192
        pieces = one.pieces(data)
        assert pieces == other.pieces(data)
        assert b"".join(pieces) == data
