"""The script that regenerates the price table, on today's table and on tables it must repair."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("genai_prices")

import refresh_prices as script

TABLE: dict[str, Any] = json.loads(script.PRICES_FILE.read_text())
AS_OF = date.fromisoformat(TABLE["_meta"]["as_of"])


def refreshed(models: dict[str, Any], as_of: date = AS_OF) -> dict[str, Any]:
    table, _ = script.refreshed({**TABLE, "models": models}, script.get_snapshot(), as_of)
    return table["models"]  # type: ignore[no-any-return]


def test_todays_table_is_what_it_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "prices.json"
    copy.write_bytes(script.PRICES_FILE.read_bytes())
    assert script.main(["--write", "--as-of", str(AS_OF), "--file", str(copy)]) == 0
    told = capsys.readouterr()
    assert told.out == "nothing changed\n"
    assert "ollama/*" in told.err
    assert copy.read_bytes() == script.PRICES_FILE.read_bytes()


def test_what_was_wrong_is_shown_and_written_and_a_second_run_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "prices.json"
    wrong = json.loads(script.PRICES_FILE.read_text())
    wrong["models"]["groq/openai/gpt-oss-20b"]["input"] = 9.0
    copy.write_text(json.dumps(wrong, indent=1, ensure_ascii=False) + "\n")
    arguments = ["--as-of", str(AS_OF), "--file", str(copy)]
    script.main(arguments)
    assert '-   "input": 9.0,\n+   "input": 0.075,' in capsys.readouterr().out
    assert json.loads(copy.read_text()) == wrong, "shown, not written"
    script.main(["--write", *arguments])
    assert copy.read_bytes() == script.PRICES_FILE.read_bytes()


def test_an_empty_row_is_filled() -> None:
    names = ["openai/gpt-6-luna", "anthropic/claude-haiku-5-5", "groq/openai/gpt-oss-120b"]
    made = refreshed({name: {} for name in names})
    for name in names:
        hand_made = {"note", "max_input", "max_output", "cache_write_12h"}
        expected = {key: value for key, value in TABLE["models"][name].items() if key not in hand_made}
        expected["service_tiers"] = {k: v for k, v in expected["service_tiers"].items() if v != {"x": 1.0}}
        assert made[name] == expected


def test_what_a_person_wrote_stays() -> None:
    name = "deepseek/deepseek-flash"
    held = {**TABLE["models"][name], "input": 7.0, "note": "mine", "retires": "2030-01-01"}
    made = refreshed({name: held})[name]
    assert (made["input"], made["note"], made["retires"]) == (0.15, "mine", "2030-01-01")
    assert made["time_windows"] == TABLE["models"][name]["time_windows"]
    flash = refreshed({"google/gemini-3.8-flash": TABLE["models"]["google/gemini-3.8-flash"]})
    assert flash["google/gemini-3.8-flash"]["service_tiers"]["priority"] == {"x": 1.8}


def test_an_announced_change_becomes_the_price_on_its_day() -> None:
    name = "google/gemini-4-argon"
    made = refreshed({name: TABLE["models"][name]}, date(2026, 12, 1))[name]
    assert (made["input"], made["output"], made["cached_input"]) == (4.0, 20.0, 0.2)
    assert "effective_from" not in made
    assert made["service_tiers"]["batch"] == {"x": 0.5}


def test_a_name_that_only_resembles_one_of_theirs_is_not_that_model() -> None:
    held = {"input": 5.0, "output": 5.0}
    assert refreshed({"openai/gpt-6-luna-custom": held}) == {"openai/gpt-6-luna-custom": held}


def test_a_price_the_table_has_no_words_for_is_an_error_that_names_it() -> None:
    price = script.ModelPrice(
        input_mtok=script.TieredPrices(base=script.Decimal(1), tiers=[]), output_mtok=script.Decimal(1)
    )
    model = script.ModelInfo(id="m", match=None, prices=price)  # type: ignore[arg-type]
    from genai_prices.types import PriceVariant

    model.price_variants = [PriceVariant(when={"a": "x", "b": "y"}, prices=price)]
    with pytest.raises(script.Unsayable, match=r"p/m: .*several conditions"):
        script._told("p/m", model, {}, AS_OF)
