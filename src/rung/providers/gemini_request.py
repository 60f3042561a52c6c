"""An OpenAI-shaped request as Gemini's ``generateContent`` wants it.

Shapes: https://ai.google.dev/api/generate-content. Thought signatures, and the text that stands for one which
never existed (a history from another model): https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from rung.providers.chat_request import (
    Asked,
    AudioPart,
    FilePart,
    Function,
    ImagePart,
    Part,
    Returned,
    Said,
    TextPart,
    data_url,
    rejected,
)
from rung.providers.rows import ModelRule

NO_SIGNATURE = "skip_thought_signature_validator"
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "heic": "image/heic"}
_SAMPLING = {"temperature": "temperature", "top_p": "topP", "top_k": "topK"}
_THINKING = {
    "include_thoughts": "includeThoughts",
    "thinking_level": "thinkingLevel",
    "thinking_budget": "thinkingBudget",
}

Remembered = Callable[[str], Any]
"""tool call id -> its thought signature, if this process has seen it"""


def write(
    asked: Asked, rule: ModelRule, google: dict[str, Any], provider: str, remembered: Remembered
) -> dict[str, Any]:
    """The request body. `google`: Google's own members of an OpenAI request (`extra_body.google`).

    Adds to `asked.stripped` what cannot be said. Raises RejectedFault.
    """
    body = prefix(asked, rule, provider, remembered)
    if "contents" not in body:  # instructions alone are no conversation here
        body["contents"] = [{"role": "user", **body.pop("systemInstruction", {"parts": []})}]
    if cached := google.get("cached_content"):
        # it holds the system text and the tools; saying them again is refused
        body = {"contents": body["contents"], "cachedContent": cached}
    if asked.parallel is False:
        asked.stripped.append("parallel_tool_calls")
    if settings := google.get("safety_settings"):
        body["safetySettings"] = settings
    if generation := _generation(asked, rule, google):
        body["generationConfig"] = generation
    return body


def prefix(asked: Asked, rule: ModelRule, provider: str, remembered: Remembered) -> dict[str, Any]:
    """What can be cached of a request: turns, system text, tools and which of them may be called."""
    body: dict[str, Any] = {}
    if contents := _contents(asked, rule, provider, remembered):
        body["contents"] = contents
    if asked.system:
        body["systemInstruction"] = {"parts": [{"text": part.text} for part in asked.system]}
    if asked.functions:
        body["tools"] = [{"functionDeclarations": [_declared(function) for function in asked.functions]}]
        if asked.choice is not None:
            config: dict[str, Any] = {"mode": _MODES[asked.choice.mode]}
            if asked.choice.names:
                config |= {"mode": "ANY", "allowedFunctionNames": asked.choice.names}
            body["toolConfig"] = {"functionCallingConfig": config}
    return body


def _contents(asked: Asked, rule: ModelRule, provider: str, remembered: Remembered) -> list[dict[str, Any]]:
    """Turns; the results of parallel calls stand together in one, as the calls did."""
    contents: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None
    for turn in asked.turns:
        if isinstance(turn, Returned):
            if results is None:
                results = []
                contents.append({"role": "user", "parts": results})
            results += _result(turn, provider)
            continue
        results = None
        parts = [_part(part, provider, turn.path) for part in turn.parts]
        if turn.role == "assistant":
            if parts and (signature := _signature(turn.extra)):
                parts[-1]["thoughtSignature"] = signature
            parts += _calls(turn, rule, remembered)
        if parts:
            contents.append({"role": "user" if turn.role == "user" else "model", "parts": parts})
    return contents


def _calls(turn: Said, rule: ModelRule, remembered: Remembered) -> list[dict[str, Any]]:
    """Only the first of parallel calls carries a signature."""
    parts = []
    for place, call in enumerate(turn.calls):
        part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
        signature = _signature(call.extra) or remembered(call.id)
        if signature is None and rule.signatures and place == 0:
            signature = NO_SIGNATURE
        if signature is not None:
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _signature(extra: dict[str, Any]) -> str | None:
    google = extra.get("google")
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else None


def _result(turn: Returned, provider: str) -> list[dict[str, Any]]:
    """A function's response is an object: JSON objects as they are, other text as ``result``."""
    response: Any = None
    text = turn.text
    if text.lstrip()[:1] == "{":
        try:
            response = orjson.loads(text)
        except orjson.JSONDecodeError:
            response = None
    if not isinstance(response, dict):
        response = {"result": text}
    others = [_part(part, provider, turn.path) for part in turn.parts if not isinstance(part, TextPart)]
    return [{"functionResponse": {"id": turn.call_id, "name": turn.name, "response": response}}, *others]


def _part(part: Part, provider: str, path: str) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    if isinstance(part, AudioPart):
        audio = part.input_audio
        return {"inlineData": {"mimeType": f"audio/{audio.format}", "data": audio.data}}
    if isinstance(part, FilePart):
        inline = data_url(part.file.file_data or "")
        if inline is None:
            raise rejected(provider, "takes a file only as a data URL in file_data", path)
        return {"inlineData": {"mimeType": inline[0], "data": inline[1]}}
    return _image(part, provider, path)


def _image(part: ImagePart, provider: str, path: str) -> dict[str, Any]:
    inline = data_url(part.url)
    if inline is not None:
        return {"inlineData": {"mimeType": inline[0], "data": inline[1]}}
    kind = _IMAGES.get(part.url.partition("?")[0].rpartition(".")[2].lower())
    if not part.url.startswith("https://") or kind is None:
        raise rejected(
            provider, "takes an image as a data URL, or as an https address whose ending tells its type", path
        )
    return {"fileData": {"fileUri": part.url, "mimeType": kind}}


def _declared(function: Function) -> dict[str, Any]:
    told: dict[str, Any] = {"name": function.name, "description": function.description}
    if function.schema is not None:
        told["parametersJsonSchema"] = function.schema
    return told


def _generation(asked: Asked, rule: ModelRule, google: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {_SAMPLING[name]: value for name, value in asked.sampling.items()}
    if asked.max_tokens is not None:
        config["maxOutputTokens"] = asked.max_tokens
    if asked.stop:
        config["stopSequences"] = asked.stop
    if asked.seed is not None:
        config["seed"] = asked.seed
    if asked.n > 1:
        config["candidateCount"] = asked.n
    if asked.format:
        config["responseMimeType"] = "application/json"
    if asked.format == "schema":
        config["responseJsonSchema"] = asked.schema
    if thinking := _thinking(asked, rule, google):
        config["thinkingConfig"] = thinking
    return config


def _thinking(asked: Asked, rule: ModelRule, google: dict[str, Any]) -> dict[str, Any]:
    """What the caller said in Google's own words, else its `reasoning_effort` as a level or a budget."""
    own = google.get("thinking_config")
    if isinstance(own, dict):
        return {_THINKING.get(str(name), str(name)): value for name, value in own.items()}
    if asked.effort is None:
        return {}
    value = rule.effort.get(asked.effort)
    if value is None:
        asked.stripped.append("reasoning_effort")
        return {}
    if rule.thinking == "budget":
        return {"thinkingBudget": value}
    if str(value).lower() != asked.effort:
        asked.stripped.append("reasoning_effort")  # the nearest there is
    return {"thinkingLevel": value}
