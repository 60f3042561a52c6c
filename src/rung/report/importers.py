"""Traffic recorded elsewhere, as calls: OpenAI request bodies, batch files, LiteLLM's logs, HARs, folders of prompts.

Only what was asked, what was answered, when, how long it took and what it cost is taken; headers, and the keys in
them, are never looked at. Shapes: OpenAI batch (platform.openai.com/docs/guides/batch), LiteLLM's
StandardLoggingPayload (docs.litellm.ai/docs/proxy/logging_spec), HAR 1.2 (w3c.github.io/web-performance/specs/HAR).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from rung.errors import TrafficError

_LARGEST = 256 * 1024 * 1024
"""bytes of a file that must be read whole"""

_PROMPTS = (".txt", ".md", ".prompt")


class Recorded(msgspec.Struct):
    """One recorded call. `body`: an OpenAI chat body, with `messages` and often `model`.

    The rest is None where the recording does not say: `at` in unix seconds, `ms` milliseconds, `cost` in
    pico-dollars, `answer` the text it got.
    """

    body: dict[str, Any]
    at: float | None = None
    ms: float | None = None
    cost: int | None = None
    answer: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def read_traffic(path: Path) -> Iterator[Recorded]:
    """The calls recorded at `path`: a JSONL or JSON file, a HAR, or a folder of prompts (sorted by name).

    Raises TrafficError: nothing there, or a line that is no call of a known shape, by its number.
    """
    if path.is_dir():
        yield from _folder(path)
    elif not path.is_file():
        raise TrafficError(f"there is no file or folder {path}")
    elif path.suffix == ".har":
        yield from _har(_whole(path), path)
    elif path.suffix in _PROMPTS:
        yield _prompt(path)
    else:
        yield from _lines(path)


def _folder(path: Path) -> Iterator[Recorded]:
    names = sorted(one for one in path.rglob("*") if one.is_file() and one.suffix in (*_PROMPTS, ".json", ".jsonl"))
    if not names:
        raise TrafficError(
            f"{path} holds no prompts: put one into each .txt, .md or .prompt file, or requests into .json"
        )
    for name in names:
        yield from read_traffic(name)


def _prompt(path: Path) -> Recorded:
    text = path.read_text(errors="replace").strip()
    if not text:
        raise TrafficError(f"{path} is empty")
    return Recorded({"messages": [{"role": "user", "content": text}]})


def _whole(path: Path) -> Any:
    if path.stat().st_size > _LARGEST:
        raise TrafficError(f"{path} is over {_LARGEST >> 20} MiB; one request a line (.jsonl) can be any size")
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise TrafficError(f"{path} is no JSON: {error}") from None


def _lines(path: Path) -> Iterator[Recorded]:
    with path.open("rb") as file:
        first = file.read(64).lstrip()[:1]
        file.seek(0)
        if first == b"[" or path.suffix == ".json":
            whole = _whole(path)
            if isinstance(whole, dict) and isinstance(whole.get("log"), dict):
                yield from _har(whole, path)
                return
            listed = whole if isinstance(whole, list) else [whole]
            for number, one in enumerate(listed, 1):
                yield _recorded(one, f"{path}, item {number}")
            return
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                one = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise TrafficError(f"{path}, line {number} is no JSON: {error}") from None
            yield _recorded(one, f"{path}, line {number}")


def _recorded(one: Any, where: str) -> Recorded:
    if not isinstance(one, dict):
        raise TrafficError(f"{where} is no object")
    if isinstance(one.get("body"), dict):  # a batch file's line
        return _checked(one["body"], where)
    if "startTime" in one or "call_type" in one:
        return _litellm(one, where)
    for asked, answered in (("request", "response"), ("reqPayload", "respPayload")):
        if asked in one:
            return _pair(one, _object(one[asked]), _object(one.get(answered)), where)
    if isinstance(one.get("prompt"), str):
        return Recorded({"messages": [{"role": "user", "content": one["prompt"]}]}, answer=_text(one.get("answer")))
    return _checked(one, where)


def _checked(body: dict[str, Any], where: str) -> Recorded:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise TrafficError(
            f"{where}: no messages; give chat requests, a batch file, LiteLLM's log, request and response, or prompts"
        )
    return Recorded({name: value for name, value in body.items() if name not in ("response", "stream_options")})


def _litellm(one: dict[str, Any], where: str) -> Recorded:
    told = one.get("model_parameters")
    body = {"model": one.get("model") or "auto", "messages": _object_or_list(one.get("messages"))}
    body |= told if isinstance(told, dict) else {}
    found = _checked(body, where)
    started, ended = _time(one.get("startTime")), _time(one.get("endTime"))
    found.at = started
    found.ms = (ended - started) * 1e3 if started is not None and ended is not None else None
    found.cost = _pico(one.get("response_cost"))
    found.input_tokens, found.output_tokens = _int(one.get("prompt_tokens")), _int(one.get("completion_tokens"))
    found.answer = _answer(_object(one.get("response")))
    return found


def _pair(one: dict[str, Any], asked: Any, answered: Any, where: str) -> Recorded:
    found = _checked(asked if isinstance(asked, dict) else {}, where)
    answered = answered if isinstance(answered, dict) else {}
    found.answer = _answer(answered)
    usage = answered.get("usage")
    if isinstance(usage, dict):
        found.input_tokens, found.output_tokens = _int(usage.get("prompt_tokens")), _int(usage.get("completion_tokens"))
    found.at = _time(one.get("at") or one.get("timestamp") or one.get("requestedAt") or answered.get("created"))
    found.ms = _float(one.get("ms") or one.get("latency_ms"))
    return found


def _har(whole: Any, path: Path) -> Iterator[Recorded]:
    try:
        entries = whole["log"]["entries"]
        asked = [(one, one["request"]) for one in entries if "chat/completions" in one["request"]["url"]]
    except (KeyError, TypeError):
        raise TrafficError(f"{path} is no HAR: it has no log.entries with requests") from None
    if not asked:
        raise TrafficError(f"{path} holds no request to .../chat/completions")
    for number, (one, request) in enumerate(asked, 1):
        body = _object((request.get("postData") or {}).get("text"))
        content = _object(((one.get("response") or {}).get("content") or {}).get("text"))
        found = _pair({}, body, content, f"{path}, request {number}")
        found.at, found.ms = _time(one.get("startedDateTime")), _float(one.get("time"))
        yield found


def _answer(response: Any) -> str | None:
    """The text of an OpenAI answer; None of a stream or anything else."""
    try:
        return _text(response["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError):
        return None


def _object(told: Any) -> Any:
    """Logs hold JSON as an object, or as text."""
    if not isinstance(told, str):
        return told
    try:
        return orjson.loads(told)
    except orjson.JSONDecodeError:
        return None


def _object_or_list(told: Any) -> Any:
    return [{"role": "user", "content": told}] if isinstance(told, str) and not told.startswith("[") else _object(told)


def _text(told: Any) -> str | None:
    return told if isinstance(told, str) else None


def _int(told: Any) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def _float(told: Any) -> float | None:
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None


def _pico(dollars: Any) -> int | None:
    value = _float(dollars)
    return None if value is None else round(value * 1e12)


def _time(told: Any) -> float | None:
    """Unix seconds or milliseconds, or ISO 8601."""
    if isinstance(told, str):
        try:
            return datetime.fromisoformat(told).timestamp()
        except ValueError:
            return None
    value = _float(told)
    return value / 1e3 if value is not None and value > 1e11 else value
