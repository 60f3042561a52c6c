"""Which JSON Schemas can the local model be held to, and does the grammar let anything wrong through?

    python benchmarks/local/schemas.py --suite FOLDER --out benchmarks/results/local_schemas.json

FOLDER is ``tests/draft2020-12`` of the JSON Schema test suite; the source distribution of jsonschema holds it
(``pip download --no-deps --no-binary :all: jsonschema``, ``json/tests/draft2020-12``). Each of its cases says whether
a value is valid under a schema. A schema counts as covered if `rung.local.grammar` takes it; then LLGuidance
(``pip install llguidance``, the library inside xllamacpp) is given the value's text, token by token. Wrongly accepted:
the grammar takes an invalid value. Wrongly refused: it does not take a valid one, written with the schema's order of
members and our spacing. `real.jsonl` beside this file holds schemas as applications have them, with values.

Where a model's file is named by ``--model``, the engine itself also gets each covered schema: what it writes must be
valid, or cut by its limit, and its log must hold no complaint.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import orjson

from rung.answer import Answer
from rung.call import Call
from rung.errors import BadAnswerFault, RejectedFault
from rung.local.embedded import Embedded
from rung.local.engine import Engine
from rung.local.grammar import grammar
from rung.providers.local import adapter_for
from rung.rungs.local import LocalRung
from rung.wire.client import Client

try:
    from llguidance import LLMatcher, LLTokenizer
except ImportError:
    print("skipped: pip install llguidance")
    sys.exit(0)

HERE = Path(__file__).parent
TOKENS = LLTokenizer("byte")


def accepts(source: str, value: Any) -> bool:
    """Does the grammar take the text of `value`, whole?"""
    matcher = LLMatcher(TOKENS, json.dumps({"grammars": [{"lark_grammar": source}]}))
    if matcher.is_error():
        raise SystemExit(f"our grammar is refused by LLGuidance: {matcher.get_error()}\n{source}")
    tokens = TOKENS.tokenize_str(json.dumps(value, ensure_ascii=False))
    return matcher.try_consume_tokens(tokens) == len(tokens) and bool(matcher.is_accepting())


def groups(suite: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """(origin, {"schema", "tests": [{"data", "valid"}]}) of the suite and of the schemas beside this file."""
    out = []
    if suite is not None:
        for file in sorted(suite.glob("*.json")):
            out += [
                ("suite", group | {"name": f"{file.stem}: {group['description']}"})
                for group in json.loads(file.read_text())
            ]
    for line in (HERE / "real.jsonl").read_text().splitlines():
        out.append(("real", json.loads(line)))
    return out


def measure(told: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Coverage and wrong answers, for each origin."""
    out: dict[str, Any] = {}
    for origin in dict.fromkeys(name for name, _ in told):
        count: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        wrong: list[str] = []
        for _, group in (one for one in told if one[0] == origin):
            count["schemas"] += 1
            count["cases"] += len(group["tests"])
            try:
                source = grammar(group["schema"], "schema")
            except RejectedFault as error:
                refused[error.message.partition(": ")[2]] += 1
                continue
            count["schemas covered"] += 1
            for test in group["tests"]:
                count["cases covered"] += 1
                taken = accepts(source, test["data"])
                count["wrongly accepted"] += taken and not test["valid"]
                count["wrongly refused"] += test["valid"] and not taken
                if taken != test["valid"]:
                    wrong.append(
                        f"{'accepted' if taken else 'refused'}: {group['name']}: {json.dumps(test['data'])[:80]}"
                    )
        out[origin] = {**count, "refused because": dict(refused.most_common()), "wrong": wrong}
    return out


async def write(told: list[tuple[str, dict[str, Any]]], model: Path) -> dict[str, int]:
    """The engine's own answers under each covered schema."""
    count = Counter(asked=0, valid=0, cut=0, invalid=0, complaints=0)
    engine, client = Engine(model, alias="m", threads=1, context=1024), Client()
    backend = Embedded(engine)
    rung = LocalRung(backend, adapter_for(backend, client), patient=True)
    try:
        await backend.start()
        if not await backend.ready(300):
            raise SystemExit(backend.health.detail)
        for _, group in told:
            form = {"type": "json_schema", "json_schema": {"name": "n", "schema": group["schema"]}}
            messages = [{"role": "user", "content": "Write a short JSON value."}]
            body = {"model": "local", "messages": messages, "temperature": 0, "max_tokens": 48, "response_format": form}
            try:
                answer = await rung.attempt(Call(body=body, raw=orjson.dumps(body), model="local", request_id="b"))
            except RejectedFault:
                continue
            except BadAnswerFault as error:
                count["asked"] += 1
                count["invalid"] += 1
                print(f"{group['name']}: {error.message}", file=sys.stderr)
                continue
            count["asked"] += 1
            assert isinstance(answer, Answer)
            if answer.evidence.finish_reason == "length":
                count["cut"] += 1
                continue
            text = orjson.loads(answer.body or b"")["choices"][0]["message"]["content"]
            kind = jsonschema.validators.validator_for(group["schema"], default=jsonschema.Draft202012Validator)
            count["valid" if kind(group["schema"]).is_valid(json.loads(text)) else "invalid"] += 1
        count["complaints"] = sum("llg error" in line for line in engine.log)
    finally:
        await backend.stop()
        await client.aclose()
    return dict(count)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", type=Path, help="tests/draft2020-12 of the JSON Schema test suite")
    parser.add_argument("--model", type=Path, help="a GGUF file: have the engine itself write under each schema")
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    found = groups(told.suite)
    out: dict[str, Any] = {"llguidance": version("llguidance"), **measure(found)}
    if told.model is not None:
        out["engine"] = {"model": told.model.name, **asyncio.run(write(found, told.model))}
    print(json.dumps(out, indent=2))
    if told.out is not None:
        told.out.write_text(json.dumps(out, indent=2) + "\n")
    return int(any(out[name]["wrongly accepted"] for name in ("suite", "real") if name in out))


if __name__ == "__main__":
    sys.exit(main())
