"""``rung bench tools --data FILE``: replay prompts that are, or only look like, tasks for the tools.

A row (JSONL): ``{"prompt": str | "messages": [...], "system"?, "expect": "tool" | "decline", "check"?}``; a
prompt may itself be a list of messages. Every row goes through the tool rung as a chat call. What a check may
hold is in docs/tools.md; keys it does not know are ignored.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from rung.answer import Answer
from rung.call import Call
from rung.rungs.tool import ToolRung

MAX_FAILURES = 200


@dataclass(slots=True)
class Outcome:
    """One row replayed. `content` is None when the rung declined; `seconds` is the whole attempt."""

    row: dict[str, Any]
    content: str | None
    reason: str
    seconds: float


def load_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file. Raises click.UsageError naming the line that is not a row."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict) or row.get("expect") not in ("tool", "decline"):
            raise click.UsageError(f"{path}:{number}: a row needs prompt (or messages) and expect: tool or decline")
        _messages(row, f"{path}:{number}")
        rows.append(row)
    if not rows:
        raise click.UsageError(f"{path}: no rows")
    return rows


def _messages(row: dict[str, Any], where: str = "row") -> list[dict[str, Any]]:
    given = row.get("messages", row.get("prompt"))
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise click.UsageError(f"{where}: prompt must be text or a list of messages")
    system = row.get("system")
    return [{"role": "system", "content": system}, *given] if system else given


def replay(rows: list[dict[str, Any]]) -> list[Outcome]:
    """Every row through one warm tool rung, one after the other."""
    rung = ToolRung()
    rung.warm()
    return asyncio.run(_replay(rung, rows))


async def _replay(rung: ToolRung, rows: list[dict[str, Any]]) -> list[Outcome]:
    out: list[Outcome] = []
    for row in rows:
        body: dict[str, Any] = {"model": "auto", "messages": _messages(row)}
        if "response_format" in row:
            body["response_format"] = row["response_format"]
        call = Call(body=body, raw=b"", model="auto", request_id="bench")
        start = time.perf_counter()
        answer = await rung.attempt(call)
        seconds = time.perf_counter() - start
        if isinstance(answer, Answer):
            content = orjson.loads(answer.body or b"")["choices"][0]["message"]["content"]
            out.append(Outcome(row, content, "", seconds))
        else:
            out.append(Outcome(row, None, answer.reason, seconds))
    return out


def figures(outcomes: list[Outcome]) -> dict[str, Any]:
    """The bench's figures. Times in ms, of the rows answered (of all rows when none was)."""
    answered = [one for one in outcomes if one.content is not None]
    true = [one for one in answered if one.row["expect"] == "tool"]
    wanted = sum(one.row["expect"] == "tool" for one in outcomes)
    failures: list[dict[str, Any]] = []
    right = 0
    for one in outcomes:
        problem = ""
        if one.content is None:
            problem = f"declined: {one.reason}" if one.row["expect"] == "tool" else ""
        elif one.row["expect"] == "decline":
            problem = "answered"
        else:
            problem = check(one.content, one.row.get("check"))
            right += not problem
        if problem:
            failures.append(_failure(one, problem))
    times = sorted(one.seconds * 1000 for one in (answered or outcomes))
    return {
        "n": len(outcomes),
        "precision": round(len(true) / len(answered), 4) if answered else 1.0,
        "recall": round(len(true) / wanted, 4) if wanted else 1.0,
        "right": round(right / len(true), 4) if true else 1.0,
        "p50_ms": round(times[len(times) // 2], 3),
        "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 3),
        "failures": failures[:MAX_FAILURES],
    }


def _failure(one: Outcome, problem: str) -> dict[str, Any]:
    prompt = _messages(one.row)[-1].get("content")
    return {
        "prompt": str(prompt)[:300],
        "expect": one.row["expect"],
        "problem": problem,
        "got": (one.content or "")[:300],
    }


_ALIASES = {
    **dict.fromkeys(("equals", "exact", "text", "output"), "equals"),
    **dict.fromkeys(("json_equals", "json", "json_equal", "equals_json"), "json_equals"),
    **dict.fromkeys(("contains", "includes"), "contains"),
    **dict.fromkeys(("not_contains", "excludes"), "not_contains"),
    **dict.fromkeys(("fenced", "fence", "code_block"), "fenced"),
}


def check(content: str, wanted: Any) -> str:
    """Why the content fails the row's check; empty if it holds or there is none. Unknown keys are ignored."""
    if isinstance(wanted, str):
        wanted = {"contains": [wanted]}
    elif isinstance(wanted, list):
        wanted = {"contains": wanted}
    if not isinstance(wanted, dict):
        return ""
    wanted = {_ALIASES.get(key, key): value for key, value in wanted.items()}
    fence = re.fullmatch(r"```[\w-]*\n(.*)\n```", content.strip(), re.DOTALL)
    if "fenced" in wanted and bool(wanted["fenced"]) != bool(fence):
        return "a fenced block was wanted" if wanted["fenced"] else "no fence was wanted"
    inner = fence[1] if fence and wanted.get("fenced") else content
    for key, value in wanted.items():
        test = _CHECKS.get(key)
        if test is not None and not test(inner, value):
            return f"{key} does not hold"
    return ""


def _parsed_equals(parse: Any) -> Any:
    def test(content: str, value: Any) -> bool:
        try:
            return bool(parse(content) == value)
        except ValueError:
            return False

    return test


def _yaml(content: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(content)
    except YAMLError:
        raise ValueError from None


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _verdict(content: str, value: Any) -> bool:
    word = {True: "yes", False: "no"}.get(value, str(value).lower()) if isinstance(value, bool) else str(value).lower()
    said = re.match(r"\W*(yes|no|oui|non)\b", content.lower())
    if said is None:
        return False
    return {"oui": "yes", "non": "no"}.get(said[1], said[1]) == {"oui": "yes", "non": "no"}.get(word, word)


def _valid(content: str, value: Any) -> bool:
    negative = re.search(r"not valid|n'est pas|invalid|\b(?:no|non)\b", content.lower()) is not None
    return negative != bool(value)


_CHECKS: dict[str, Any] = {
    "equals": lambda content, value: content.strip() == str(value).strip(),
    "json_equals": _parsed_equals(json.loads),
    "yaml_equals": _parsed_equals(_yaml),
    "toml_equals": _parsed_equals(tomllib.loads),
    "contains": lambda content, value: all(one in content for one in _listed(value)),
    "not_contains": lambda content, value: not any(one in content for one in _listed(value)),
    "matches": lambda content, value: re.search(str(value), content) is not None,
    "verdict": _verdict,
    "valid": _valid,
}


@click.command("tools")
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="JSONL rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data: Path, as_json: bool) -> None:
    """Replay prompts through the tool rung: does it answer what it should, and only that?"""
    found = figures(replay(load_rows(data)))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for key, value in found.items():
        if key != "failures":
            click.echo(f"{key:10} {value}")
    for failure in found["failures"]:
        click.echo(f"- {failure['problem']}: {failure['prompt'][:100]!r}")
