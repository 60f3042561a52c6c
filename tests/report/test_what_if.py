from __future__ import annotations

import pytest

from rung.local.known import known
from rung.local.predict import pace
from rung.report.what_if import GB, imagine, parse


def test_everything_at_once() -> None:
    told = parse(["hardware=8c/32GB/RTX4060 model=qwen2.5-coder:7b", "price.groq*2", "traffic*10"])
    assert told.machine is not None
    assert told.machine.hardware.cores == 8
    assert told.machine.hardware.gpus[0].memory == 8 * GB
    assert told.model == "qwen2.5-coder:7b"
    assert (told.price("groq:any"), told.price("deepseek:any"), told.traffic) == (2.0, 1.0, 10.0)
    assert parse(["price*0.5", "price.groq*3"]).price("gemini:x") == 0.5


def test_a_graphics_processor_is_faster_than_cores() -> None:
    (model,) = (one for one in known() if one.name == "qwen2.5-coder:7b")
    cpu, gpu = (pace(model, imagine(told).probe) for told in ("8c/32GB", "8c/32GB/RTX4060"))
    assert gpu.generation.low > cpu.generation.high
    assert 15 < gpu.generation.middle < 60


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("hardware=fast", "is no machine"),
        ("hardware=0c/4GB", "is no machine"),
        ("hardware=8c/32GB/GTX9000", "known: a10"),
        ("price.groq+2", "is none of"),
        ("model=", "is none of"),
        ("traffic*0", "above 0"),
    ],
)
def test_mistakes(told: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse([told])
