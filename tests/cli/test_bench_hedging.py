"""``rung bench hedging``: the bar is kept on the ladder's own code, and the command can say no."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rung.cli.bench_hedging import BAR_EXTRA, BAR_P99, command, in_virtual_time, load


def bench(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, [*options])
    return result.exit_code, result.output


def test_the_bar_is_kept_and_the_brakes_hold() -> None:
    code, output = bench("--calls", "6000", "--json")
    told = json.loads(output)
    assert code == 0
    assert told["simulated"] is True
    assert told["seed"] == 7
    independent, shared, of_the_call = (told["worlds"][name] for name in ("independent", "shared", "of the call"))
    assert independent["p99"] <= BAR_P99
    assert 0.02 < independent["extra"] <= BAR_EXTRA
    assert independent["plain"]["p50"] == pytest.approx(0.4, rel=0.1)
    assert shared["hedged"]["slow_hedges"] < shared["hedged"]["hedges"] / 5  # less than its share of the time
    assert of_the_call["extra"] < independent["extra"] / 3
    assert of_the_call["hedged"]["wins"] == 0


def test_the_same_seed_says_the_same_and_another_something_else() -> None:
    first, again, other = (bench("--calls", "300", "--json", "--seed", seed)[1] for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_without_a_budget_it_misses_its_bar_and_says_so() -> None:
    code, output = bench("--calls", "300", "--share", "0")
    assert code == 1
    assert "simulated: 300 calls a world" in output
    assert "missed" in output


def test_your_own_times_are_drawn_from(tmp_path: Path) -> None:
    path = tmp_path / "times.jsonl"
    path.write_text('0.5\n{"first_token": 0.5}\n{"first_content_ms": 500}\n\n')
    assert load(path) == [0.5, 0.5, 0.5]
    code, output = bench("--calls", "200", "--data", str(path), "--json")
    assert code == 1  # nothing is ever late
    assert json.loads(output)["worlds"]["independent"]["plain"]["p99"] == pytest.approx(0.5)


@pytest.mark.parametrize("line", ["fast", "-1", '{"ms": 3}', "[]", "null", "nan"])
def test_a_line_that_is_no_time_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "times"
    path.write_text(f"1\n{line}\n")
    code, output = bench("--data", str(path))
    assert code == 2
    assert "times:2:" in output


def test_virtual_time_passes_only_while_everybody_waits() -> None:
    async def sleepers() -> list[float]:
        loop = asyncio.get_running_loop()

        async def sleep(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return loop.time()

        return await asyncio.gather(*(sleep(seconds) for seconds in (3000, 1, 60)))

    assert in_virtual_time(sleepers()) == pytest.approx([3000, 1, 60])
