"""Ollama: ``/api`` (NDJSON, loads, keep-alives, durations) and its OpenAI endpoint ``/v1``.

Facts: ollama/ollama, docs/api.md and the server's source, August 2026.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, ClassVar

import orjson

from rung.sim import faults
from rung.sim.answers import Ask, Tool, embedding
from rung.sim.chat import Chat, text_of
from rung.sim.exchange import Piece, Refusal, Reply, Request, Turn, spread, whole, words
from rung.sim.ollama_models import Installed
from rung.sim.prompt import Prompt
from rung.sim.provider import World

VERSION = "0.99.0"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
NANO = 1_000_000_000
_LOADS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")
"""options whose change loads the model again"""
_EMBEDDING = 128


class Ollama(Chat):
    name = "ollama"
    embedding_size = _EMBEDDING
    reasoning_field = "reasoning"
    finishes: ClassVar[Mapping[str, str]] = {
        "stop_sequence": "stop",
        "blocked_prompt": "stop",
        "blocked_answer": "stop",
    }

    def __init__(self, world: World) -> None:
        super().__init__(world)
        installed = {
            name: model for name, model in self.row.models.items() if self.setting(name, "installed") is not False
        }
        self.installed = Installed(self.row, installed, world.clock)

    def route(self, request: Request) -> Reply:
        host = request.headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        if not _local(host):
            refusal = Refusal(403, "")
            refusal.body = {}
            raise refusal
        if request.path in ("", "/"):
            reply = whole(None)
            reply.pieces, reply.content_type = [Piece(b"Ollama is running")], "text/plain; charset=utf-8"
            return reply
        if not request.path.startswith("/api/"):
            return super().route(request)
        try:
            return self._api(request)
        except Refusal as refusal:
            refusal.body = {"error": refusal.message}
            raise

    def refuse(self, refusal: Refusal) -> Reply:
        if refusal.body is not None:
            reply = whole(refusal.body or None, refusal.status)
            reply.pieces = reply.pieces if refusal.body else [Piece(b"")]
            return reply
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(refusal.status, "api_error")
        error = {"message": refusal.message, "type": kind, "param": None, "code": None}
        return whole({"error": error}, refusal.status)

    def usual(self, fault: faults.Status) -> str:
        return BUSY if fault.status == 503 else super().usual(fault)

    def resolve(self, model: Any) -> str:
        if not isinstance(model, str) or not model:
            raise Refusal(400, "model is required")
        name = self.row.aliases.get(model, model)
        name = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        if name not in self.installed.models:
            raise self.unknown_model(model)
        return name

    def unknown_model(self, model: str) -> Refusal:
        return Refusal(404, f"model '{model}' not found")

    def _api(self, request: Request) -> Reply:
        read = self.installed
        routes: dict[str, tuple[str, Any]] = {
            "/api/version": ("GET", lambda: whole({"version": VERSION})),
            "/api/tags": ("GET", lambda: whole({"models": read.tags()})),
            "/api/ps": ("GET", lambda: whole({"models": read.ps()})),
            "/api/show": ("POST", lambda: whole(read.show(self.resolve(_named(request.json()))))),
            "/api/delete": ("DELETE", lambda: self._delete(request.json())),
            "/api/pull": ("POST", lambda: self._pull(request.json())),
            "/api/embed": ("POST", lambda: self._embed(request.json())),
            "/api/embeddings": ("POST", lambda: self._embed(request.json())),
            "/api/chat": ("POST", lambda: self._answer(request.json(), chat=True)),
            "/api/generate": ("POST", lambda: self._answer(request.json(), chat=False)),
        }
        if request.path not in routes:
            raise Refusal(404, "404 page not found")
        method, handle = routes[request.path]
        if request.method not in (method, "HEAD" if method == "GET" else method):
            raise Refusal(405, "405 method not allowed")
        reply: Reply = handle()
        return reply

    def _delete(self, body: Mapping[str, Any]) -> Reply:
        self.installed.remove(self.resolve(_named(body)))
        return whole({})

    def _pull(self, body: Mapping[str, Any]) -> Reply:
        name = _named(body)
        if body.get("stream") is False:
            problem = self.installed.pull(name)
            if problem:
                raise Refusal(500, problem)
            return whole({"status": "success"})
        lines = (Piece(_line(told)) for told in self.installed.pulling(name))
        return Reply(200, lines, content_type="application/x-ndjson", stream=True)

    def _embed(self, body: Mapping[str, Any]) -> Reply:
        model = self.resolve(_named(body))
        texts = body.get("input", body.get("prompt"))
        texts = [texts] if isinstance(texts, str) else texts or []
        prompt = Prompt()
        for text in texts:
            prompt.add(text)
        turn = self.begin(Ask(model, prompt, "", max_tokens=0, extra={"body": body}))
        vectors = [embedding(text, body.get("dimensions") or _EMBEDDING) for text in texts]
        if "prompt" in body:
            return whole({"embedding": vectors[0] if vectors else []}, turn=turn)
        told = {"model": body["model"], "embeddings": vectors, **self._metrics(turn)}
        told.pop("eval_count", None)
        told.pop("eval_duration", None)
        return whole(told, turn=turn)

    # --- answers

    def begin(self, ask: Ask) -> Turn:
        """As everywhere, after loading: a cut prompt, a cold start, a prefix that is still there."""
        body: Mapping[str, Any] = ask.extra.get("body", {})
        keep = _keep_alive(body.get("keep_alive"))
        options = body.get("options") or {}
        context = options.get("num_ctx") or self.setting(ask.model, "context")
        if context and ask.prompt.tokens > context:
            if body.get("truncate") is False:
                raise Refusal(400, "the input length exceeds the context length")
            _cut(ask.prompt, context)
        turn = super().begin(ask)
        settings = {name: options[name] for name in _LOADS if name in options}
        turn.load_time = self.installed.load(
            ask.model, settings, keep, self.setting(ask.model, "load_seconds") or 0.0, context
        )
        ask.extra["warm"] = self.installed.warm(ask.model, ask.prompt)
        return turn

    def over(self, turn: Turn, outcome: str) -> None:
        """A client that leaves while its model loads takes the load with it; keep_alive counts from the end."""
        self.installed.over(turn.ask.model, outcome)

    def thinking(self, body: Mapping[str, Any], model: str) -> str:
        effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
        if effort == "none":
            return "off"
        usual = self.setting(model, "thinking")
        return str(usual) if effort is None or usual == "none" else self.level(model, effort)

    def read(self, body: Mapping[str, Any], model: str) -> Ask:
        ask = super().read(body, model)
        ask.force = None  # tool_choice is not supported
        return ask

    def usage(self, turn: Turn) -> dict[str, Any]:
        told = super().usage(turn)
        return {name: told[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}

    def headers(self, turn: Turn) -> dict[str, str]:
        return {}

    def _think(self, think: Any, model: str) -> str:
        usual = str(self.setting(model, "thinking"))
        if think is None:
            return usual
        if think is False:
            return "off"
        if usual == "none":
            raise Refusal(400, f'"{model}" does not support thinking')
        return usual if think is True else self.level(model, str(think))

    def _answer(self, body: Mapping[str, Any], *, chat: bool) -> Reply:
        model = self.resolve(_named(body))
        if body.get("raw") and any(body.get(name) for name in ("template", "system", "context")):
            raise Refusal(400, "raw mode does not support template, system, or context")
        if not (body.get("messages") if chat else body.get("prompt")):
            return self._load_only(body, model, chat=chat)
        ask = self._ask(body, model, chat=chat)
        turn = self.begin(ask)
        if isinstance(turn.fault, faults.Error200):
            reply = whole({"error": "simulated failure under status 200"})
            reply.fault, reply.model = turn.fault, model
            return reply
        if not ask.stream:
            message = self._piece(turn, chat, turn.said.text, turn.said.reasoning)
            if chat and turn.said.tool_calls:
                message["message"]["tool_calls"] = _calls(turn)
            return whole({**message, **self._end(turn, chat)}, turn=turn)
        return Reply(
            200, self._lines(turn, chat), content_type="application/x-ndjson", stream=True, turn=turn,
            fault=turn.fault, model=model, keepalive=b"\n", error_piece=_line({"error": self.broken_stream(turn)}),
        )  # fmt: skip

    def _ask(self, body: Mapping[str, Any], model: str, *, chat: bool) -> Ask:
        prompt = Prompt()
        messages = body.get("messages") if chat else None
        if messages:
            for tool in body.get("tools") or ():
                prompt.add(tool)
            for message in messages:
                calls = orjson.dumps(message["tool_calls"]).decode() if message.get("tool_calls") else ""
                prompt.add(f"<{message.get('role')}>" + text_of(message.get("content")) + calls)
            asked = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
        else:
            prompt.add(str(body.get("system") or ""))
            prompt.add(body["prompt"] + str(body.get("suffix") or ""))
            asked = [body["prompt"]]
        options = body.get("options") or {}
        limit = options.get("num_predict", -1)
        stop = options.get("stop") or ()
        form = body.get("format")
        return Ask(
            model=model,
            shown=str(_named(body)),
            prompt=prompt,
            question=asked[-1] if asked else "",
            stream=body.get("stream") is not False,
            max_tokens=limit if limit >= 0 else None,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            tools=tuple(
                Tool(t["function"]["name"], t["function"].get("parameters") or {}) for t in body.get("tools") or ()
            ),
            json=bool(form),
            schema=form if isinstance(form, dict) else None,
            thinking=self._think(body.get("think"), model),
            extra={"body": body},
        )

    def _load_only(self, body: Mapping[str, Any], model: str, *, chat: bool) -> Reply:
        """No prompt: load the model, or with ``keep_alive: 0`` unload it. Always one object."""
        keep = _keep_alive(body.get("keep_alive"))
        wait = 0.0
        if keep == 0:
            self.installed.unload(model)
        else:
            seconds = self.setting(model, "load_seconds") or 0.0
            options = body.get("options") or {}
            settings = {name: options[name] for name in _LOADS if name in options}
            context = options.get("num_ctx") or self.setting(model, "context")
            wait = self.installed.load(model, settings, keep, seconds, context, answers=False)
        answer: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
        reason = "unload" if keep == 0 else "load"
        told = {"model": _named(body), "created_at": self._now(), **answer, "done": True, "done_reason": reason}
        reply = whole(told)
        reply.delay = wait
        return reply

    def _now(self) -> str:
        return self.world.clock.at().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _piece(self, turn: Turn, chat: bool, text: str, thinking: str = "") -> dict[str, Any]:
        base: dict[str, Any] = {"model": turn.ask.shown, "created_at": self._now()}
        remote = self.setting(turn.ask.model, "remote_host")
        if remote:
            base |= {"remote_model": turn.ask.model.removesuffix("-cloud"), "remote_host": remote}
        said: dict[str, Any] = {"role": "assistant", "content": text} if chat else {}
        if thinking:
            said["thinking"] = thinking
        return {**base, "message": said, "done": False} if chat else {**base, "response": text, **said, "done": False}

    def _end(self, turn: Turn, chat: bool) -> dict[str, Any]:
        end = {"done": True, "done_reason": self.finish(turn.said).replace("tool_calls", "stop")}
        if not chat and not turn.ask.extra["body"].get("raw"):
            end["context"] = [1, 2, 3]
        return {**end, **self._metrics(turn)}

    def _metrics(self, turn: Turn) -> dict[str, Any]:
        """Nanoseconds and counts; a zero is left out, as Go's omitempty does."""
        counts = turn.counts
        answering = counts.completion * turn.token_time
        told = {
            "total_duration": round((turn.load_time + turn.first_token + answering) * NANO),
            "load_duration": round(turn.load_time * NANO),
            "prompt_eval_count": 0 if turn.ask.extra.get("warm") else counts.prompt,
            "prompt_eval_duration": round(turn.first_token * NANO),
            "eval_count": counts.completion,
            "eval_duration": round(answering * NANO),
        }
        return {name: value for name, value in told.items() if value}

    def _lines(self, turn: Turn, chat: bool) -> Iterator[Piece]:
        said = turn.said
        for text, tokens, thinks in (
            (said.reasoning, turn.counts.reasoning, True),
            (said.text, turn.counts.output, False),
        ):
            pieces = words(text)
            for piece, share in zip(pieces, spread(pieces, tokens), strict=True):
                told = self._piece(turn, chat, "", piece) if thinks else self._piece(turn, chat, piece)
                yield Piece(_line(told), share)
        if chat and said.tool_calls:
            told = self._piece(turn, chat, "")
            told["message"]["tool_calls"] = _calls(turn)
            yield Piece(_line(told), turn.counts.output if not said.text else 0)
        last = {**self._piece(turn, chat, ""), **self._end(turn, chat)}
        yield Piece(_line(last), 0, "finish", tells_usage=True)


def _named(body: Mapping[str, Any]) -> Any:
    """`name` is the old spelling of `model`."""
    return body.get("model") or body.get("name")


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def _calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{call.id}", "function": {"index": index, "name": call.name, "arguments": call.arguments}}
        for index, call in enumerate(turn.said.tool_calls)
    ]


def _cut(prompt: Prompt, context: int) -> None:
    """Drop the oldest segments but the first, without a word, as Ollama does."""
    while prompt.tokens > context and len(prompt.segments) > 1:
        gone = prompt.segments.pop(1 if len(prompt.segments) > 2 else 0)
        prompt.tokens -= len(gone.data) // 4
    if prompt.tokens > context:
        prompt.segments[0].data = prompt.segments[0].data[-context * 4 :]
        prompt.tokens = context


def _local(host: str) -> bool:
    if host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def _keep_alive(value: Any) -> float:
    """Seconds; infinite for a negative one. Raises Refusal for a text without a unit."""
    if value is None:
        return 300.0
    if isinstance(value, int | float):
        return float("inf") if value < 0 else float(value)
    text = str(value).removeprefix("-")
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Refusal(400, f'time: missing unit in duration "{value}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return float("inf") if str(value).startswith("-") else seconds
