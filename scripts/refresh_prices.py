"""Regenerate the price table from what the installed `genai-prices` package holds.

    python scripts/refresh_prices.py             print what would change
    python scripts/refresh_prices.py --write     and write it

Rates, announced changes, hours, prompt-size tiers and service tiers come from genai-prices. What it does not
hold stays as a person wrote it: notes, weekdays of hours, context sizes, retirements, storage, 12-hour
writes, service tiers it does not list, and every row of a model it does not know. To add a model, add a row
``"provider/model": {}`` and run this. A price whose shape the table cannot hold is an error that names the
row, so nothing is approximated.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

PRICES_FILE = Path(__file__).parents[1] / "src/rung/providers/data/prices.json"

FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
"""the table's rates and genai-prices' names of them"""

FACTORS = {"input": "input_x", "output": "output_x", "cached_input": "cached_x"}

Rates = dict[str, Decimal]
"""USD per 1,000,000 tokens by the table's names; what has no rate is left out"""


class Unsayable(ValueError):
    """genai-prices holds a price whose shape the table has no words for."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Regenerate the price table from genai-prices.")
    parser.add_argument("--write", action="store_true", help="write the file (otherwise only the difference is shown)")
    parser.add_argument("--as-of", type=date.fromisoformat, default=datetime.now(UTC).date(), metavar="YYYY-MM-DD")
    parser.add_argument("--file", type=Path, default=PRICES_FILE)
    said = parser.parse_args(argv)
    before = said.file.read_text()
    table, untold = refreshed(json.loads(before), get_snapshot(), said.as_of)
    after = json.dumps(table, indent=1, ensure_ascii=False) + "\n"
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="")
    print("\n".join(lines) or "nothing changed")
    if untold:
        print(f"kept as they are, no rates in genai-prices: {', '.join(untold)}", file=sys.stderr)
    if said.write and after != before:
        said.file.write_text(after)
    return 0


def refreshed(table: Mapping[str, Any], snapshot: DataSnapshot, as_of: date) -> tuple[dict[str, Any], list[str]]:
    """-> (the new table, names of the rows genai-prices has no rates of). Raises Unsayable."""
    models: dict[str, Any] = {}
    untold: list[str] = []
    for name, held in table["models"].items():
        provider, _, model = name.partition("/")
        found = _find(snapshot, provider, model)
        told = {} if found is None else _told(name, found, held, as_of)
        if not told:
            untold.append(name)
        models[name] = {**_kept(held, told), **{key: _same(held.get(key), value) for key, value in told.items()}}
    source = f"genai-prices {version('genai-prices')}"
    sources = [
        said if said.startswith(f"{source} ") or not said.startswith("genai-prices ") else f"{source} (PyPI, {as_of})"
        for said in table["_meta"]["compiled_from"]
    ]
    return {"_meta": {**table["_meta"], "as_of": str(as_of), "compiled_from": sources}, "models": models}, untold


def _find(snapshot: DataSnapshot, provider: str, model: str) -> ModelInfo | None:
    try:
        found = snapshot.find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return None
    # It also knows families by pattern: a name of ours that only resembles one is not that model.
    return found if found.id == model else None


def _kept(held: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of a row, in its order. Changes, hours and tiers that are told no more are gone."""
    gone = {"effective_from", "time_windows", "tiers"} - told.keys() if told else set()
    return {key: value for key, value in held.items() if key not in gone}


def _told(name: str, model: ModelInfo, held: Mapping[str, Any], as_of: date) -> dict[str, Any]:
    """The fields of a row genai-prices has a word on; empty if it has no rates at all (free models)."""
    try:
        eras, hours = _timeline(model, as_of)
        base = _rates(eras[0][1])
        if not base:
            return {}
        base.setdefault("output", Decimal(str(held.get("output", 0))))
        row: dict[str, Any] = {key: base.get(key) for key in FIELDS if key in base or key != "cache_write_1h"}
        if held.get("context") is None:
            row["context"] = model.context_window
        if len(eras) > 1:
            row["effective_from"] = [{"date": str(start), **_rates(price)} for start, price in eras[1:]]
        if hours:
            row["time_windows"] = [_window(span, _rates(price), base, held) for span, price in hours]
        if tiers := list(_tiers(eras[0][1], base)):
            row["tiers"] = tiers
        if services := dict(_services(model, base, as_of)):
            row["service_tiers"] = {**held.get("service_tiers", {}), **services}
    except Unsayable as problem:
        raise Unsayable(f"{name}: {problem}") from None
    return row


def _timeline(model: ModelInfo, as_of: date) -> tuple[list[tuple[date, ModelPrice]], list[tuple[str, ModelPrice]]]:
    """-> (the price of today and those announced, with their first days; hours in UTC with their prices)."""
    if isinstance(model.prices, ModelPrice):
        return [(date.min, model.prices)], []
    current = model.prices[0].prices
    coming: list[tuple[date, ModelPrice]] = []
    hours: list[tuple[str, ModelPrice]] = []
    for entry in model.prices:
        match entry.constraint:
            case StartDateConstraint(start_date=start) if start > as_of:
                coming.append((start, entry.prices))
            case TimeOfDateConstraint(start_time=first, end_time=last):
                hours.append((f"{_utc(first):%H:%M}-{_utc(last):%H:%M}", entry.prices))
            case _:
                current = entry.prices
    return [(date.min, current), *sorted(coming, key=lambda change: change[0])], hours


def _utc(moment: time) -> time:
    if moment.tzinfo is not UTC:
        raise Unsayable(f"hours in another time zone than UTC: {moment}")
    return moment


def _rates(price: ModelPrice) -> Rates:
    """The rates of short prompts."""
    values = {key: getattr(price, theirs) for key, theirs in FIELDS.items()}
    return {
        key: value.base if isinstance(value, TieredPrices) else value
        for key, value in values.items()
        if value is not None
    }


def _window(span: str, rates: Rates, base: Rates, held: Mapping[str, Any]) -> dict[str, Any]:
    """Hours; their weekdays are the ones a person wrote: genai-prices has none."""
    factors = {rates[key] / base[key] for key in rates}
    if len(factors) != 1 or rates.keys() != base.keys() - {"cache_write", "cache_write_1h"}:
        raise Unsayable(f"hours {span} multiply rates differently: {rates}")
    known = {window["utc"]: window for window in held.get("time_windows", ())}
    days = known.get(span, next(iter(known.values()), {})).get("days")
    return {"utc": span, **({"days": days} if days else {}), "x": factors.pop()}


def _tiers(price: ModelPrice, base: Rates) -> Iterator[dict[str, Any]]:
    """Prompt-size tiers as factors of the base price."""
    tiered = {key: told for key, theirs in FIELDS.items() if isinstance(told := getattr(price, theirs), TieredPrices)}
    for above in sorted({tier.start for told in tiered.values() for tier in told.tiers}):
        rates = {key: next((t.price for t in told.tiers if t.start == above), None) for key, told in tiered.items()}
        if rates.keys() != base.keys() or None in rates.values():
            raise Unsayable(f"above {above} tokens only some rates change: {rates}")
        factors = {key: rate / base[key] for key, rate in rates.items() if rate is not None}
        _writes_follow_input(factors, f"above {above} tokens")
        yield {"above": above, "input_x": factors["input"], "output_x": factors["output"]} | (
            {"cached_x": factors["cached_input"]} if "cached_input" in factors else {}
        )


def _services(model: ModelInfo, base: Rates, as_of: date) -> Iterator[tuple[str, dict[str, Any]]]:
    """Service tiers, batches and speeds as factors of the base price."""
    noon = datetime.combine(as_of, time(12), UTC)
    found: dict[str, Rates] = {}
    for variant in model.price_variants or ():
        if variant.constraint is not None and not variant.constraint.active(noon):
            continue
        if len(variant.when) != 1:
            raise Unsayable(f"a price on several conditions: {variant.when}")
        (name,) = variant.when.values()
        found[name] = {**_rates(variant.prices), **found.get(name, {})}  # the first one wins
    for name, told in found.items():
        if not told:  # the ordinary price under another name
            continue
        # What a variant leaves out costs what it costs otherwise.
        factors = {key: told.get(key, rate) / rate for key, rate in base.items() if rate}
        _writes_follow_input(factors, name)
        service: dict[str, Any] = {"x": factors["input"]}
        for key in ("output", "cached_input"):
            if factors.get(key, service["x"]) == service["x"]:
                continue
            rate = told.get(key, base[key])
            # 0.02 of 0.03 has no factor in decimals; the table may tell such a rate itself, of cached reads.
            if Decimal(str(float(factors[key]))) * base[key] == rate:
                service[FACTORS[key]] = factors[key]
            elif key == "cached_input":
                service[key] = rate
            else:
                raise Unsayable(f"{name} {key} is no decimal factor of {base[key]}: {rate}")
        yield name, service


def _writes_follow_input(factors: Mapping[str, Decimal], where: str) -> None:
    for key in ("cache_write", "cache_write_1h"):
        if factors.get(key, factors["input"]) != factors["input"]:
            raise Unsayable(f"{where} {key} does not change as input does")


def _same(held: Any, told: Any) -> Any:
    """`told` as plain JSON, spelled as the file spells it where nothing changed."""
    match told:
        case Decimal():
            plain: Any = float(told)
        case dict():
            plain = {key: _same(held.get(key) if isinstance(held, dict) else None, v) for key, v in told.items()}
        case list():
            old = held if isinstance(held, list) and len(held) == len(told) else [None] * len(told)
            plain = [_same(one, v) for one, v in zip(old, told, strict=True)]
        case _:
            plain = told
    return held if held == plain else plain


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
