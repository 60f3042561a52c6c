"""The ASGI application: routes, guards, and errors in the API's own shape. No framework on the way of a call."""

from __future__ import annotations

import logging
from typing import Any

import orjson

from rung.doors import openai
from rung.doors.exchange import Exchange, Receive, Scope, Send
from rung.doors.reply import JSON, Reply, error_lines, reply_to, send_whole
from rung.doors.request import Guard, Headers, chat_call, check_json, check_once
from rung.errors import InvalidRequestError, RequestTooLargeError, RungError
from rung.gateway import Gateway

log = logging.getLogger("rung")

_READS = ("GET", "HEAD")

JSON_ROUTES = ("/v1/models", "/healthz", "/readyz", "/admin/cache", "/admin/cache/explain")


class App:
    """Serves one gateway. ``scope["state"]["draining"]`` tells whether the server is about to stop."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._guarded = gateway.settings
        self._guard = self._make_guard()

    def _make_guard(self) -> Guard:
        server = self.gateway.settings.server
        return Guard(
            hosts=server.allowed_hosts,
            origins=server.allowed_origins,
            keys=[key.reveal() for key in server.keys],
            private=[key.reveal() for key in self.gateway.settings.privacy.keys],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no lifespan, no websockets: whoever serves starts and stops the gateway
        reply = reply_to(scope, send)
        try:
            await self._route(scope, receive, reply)
        except RungError as error:
            lines = error_lines(error, None)
            if error.allow:
                lines.append(f"allow: {error.allow}")
            await send_whole(reply, error.status, lines, orjson.dumps(error.body()))
        except Exception:
            log.exception("a bug in rung, please report it: %s %s", scope["method"], scope["path"])
            bug = RungError("an internal error; the log has it")
            await send_whole(reply, 500, error_lines(bug, None), orjson.dumps(bug.body()))

    async def _route(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        path, method = scope["path"], scope["method"]
        headers: Headers = dict(scope["headers"])
        if len(headers) != len(scope["headers"]):
            check_once(scope["headers"])
        if self._guarded is not self.gateway.settings:  # reloaded
            self._guarded = self.gateway.settings
            self._guard = self._make_guard()
        guard = self._guard
        guard.check_page(headers)
        if path == "/healthz":
            if method not in _READS:
                raise _wrong_method(*_READS)
            await send_whole(reply, 200, [JSON], b'{"status":"ok"}')
            return
        tenant, private = guard.tenant(headers)
        if path == "/v1/chat/completions":
            if method != "POST":
                raise _wrong_method("POST")
            check_json(headers)
            settings = self.gateway.settings
            limit = settings.server.body_limit
            raw = reply.take_body() if isinstance(reply, Exchange) else await read_body(receive, limit)
            if len(raw) > limit:  # which may have been lowered since the server began
                raise _too_large(limit)
            call = chat_call(headers, raw, tenant, private=private, door="openai")
            await openai.chat(
                self.gateway, call, reply, heartbeat=settings.server.heartbeat, state=scope.get("state", {})
            )
            return
        status, body = self._other(method, path, headers)
        await send_whole(reply, status, [JSON], orjson.dumps(body))

    def _other(self, method: str, path: str, headers: Headers) -> tuple[int, dict[str, Any]]:
        gateway = self.gateway
        if path == "/admin/cache/purge":
            if method != "POST":
                raise _wrong_method("POST")
            check_json(headers)
            return 200, {"purged": gateway.purge_cache()}
        if path in JSON_ROUTES or path.startswith("/v1/models/"):
            if method not in _READS:
                raise _wrong_method(*_READS)
            if path == "/readyz":
                return gateway.readiness()
            if path == "/admin/cache":
                return 200, gateway.cache_stats()
            if path == "/admin/cache/explain":
                return 200, gateway.prompts.told()
            if path == "/v1/models":
                return 200, {"object": "list", "data": gateway.models()}
            return 200, gateway.model(path.removeprefix("/v1/models/"))
        raise RungError(
            f"there is nothing at {path}; chat is at POST /v1/chat/completions", code="not_found", status=404
        )


def _wrong_method(*right: str) -> InvalidRequestError:
    error = InvalidRequestError(f"use {right[0]} here", code="method_not_allowed", status=405)
    error.allow = ", ".join(right)
    return error


async def read_body(receive: Receive, limit: int) -> bytes:
    """The request body, at most `limit` bytes. Raises RequestTooLargeError."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequestError("the client left before its body was complete", code="incomplete_body")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"the body is over {limit} bytes (server.body_limit)")
