"""No way of printing a secret prints it."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import msgspec
import orjson
import pytest

from rung.config import Secret

TEXT = "gsk_correct-horse"


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    key: Secret


def test_only_reveal_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    logging.getLogger("t").warning("%s %r %s", secret, secret, {"key": secret})
    printed = [
        str(secret),
        repr(secret),
        f"{secret} {secret!r} {secret:>20}",
        "%s" % secret,  # noqa: UP031
        repr(Holder(secret)),
        str([secret]),
        json.dumps({"key": secret}, default=str),
        orjson.dumps(Holder(secret), default=str).decode(),
        msgspec.json.encode(Holder(secret), enc_hook=str).decode(),
        str(dataclasses.asdict(Holder(secret))),
        caplog.text,
    ]
    for text in printed:
        assert TEXT not in text
        assert "***" in text
    assert secret.reveal() == TEXT


@pytest.mark.parametrize("encode", [json.dumps, orjson.dumps, msgspec.json.encode, pickle.dumps])
def test_encoders_refuse_it_rather_than_guess(encode: object) -> None:
    with pytest.raises(TypeError) as caught:
        encode(Secret(TEXT))  # type: ignore[operator]
    assert TEXT not in "".join(traceback.format_exception(caught.value))


def test_it_is_no_text() -> None:
    assert not isinstance(Secret(TEXT), str)
    with pytest.raises(TypeError):
        "".join([Secret(TEXT)])  # type: ignore[list-item]


def test_secrets_compare_and_copy() -> None:
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert {Secret("a"), Secret("a")} == {Secret("a")}
    assert copy.deepcopy(Secret("a")).reveal() == "a"
