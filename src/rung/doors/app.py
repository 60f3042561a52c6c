"""The ASGI application: routes, guards, and errors in the API's own shape. No framework on the way of a call."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

import orjson

from rung.doors import openai, page
from rung.doors.exchange import Exchange, Receive, Scope, Send
from rung.doors.feedback import feedback
from rung.doors.purge import purge
from rung.doors.reply import JSON, AsgiReply, Reply, error_head, head, send_whole
from rung.doors.request import Admitted, Guard, Headers, admit, chat_call, check_json, check_once
from rung.errors import AuthenticationError, InvalidRequestError, RequestTooLargeError, RungError
from rung.gateway import Gateway

log = logging.getLogger("rung")

_JSON = head([JSON])
_READS = ("GET", "HEAD")

CHAT = "/v1/chat/completions"
JSON_ROUTES = ("/v1/models", "/healthz", "/readyz", "/admin/cache", "/admin/cache/explain", "/admin/trust")


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
        await self._answer(scope, receive, AsgiReply(send))

    def direct(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """The same for our own server (see `exchange.Direct`)."""
        scope = exchange.scope
        if scope["path"] != CHAT:
            return self._answer(scope, exchange.receive, exchange)
        settings = self.gateway.settings
        try:
            admitted, raw = self._admitted(exchange), exchange.take_body()
            if len(raw) > settings.server.body_limit:  # which may have been lowered since the server began
                raise _too_large(settings.server.body_limit)
            call = chat_call(admitted, raw, door="openai")
            return openai.begin(self.gateway, call, exchange, settings.server.heartbeat, scope["state"])
        except Exception as error:
            exchange.whole(*_refusal(error, scope))
            return None

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        try:
            await self._route(scope, receive, reply)
        except Exception as error:
            await send_whole(reply, *_refusal(error, scope))

    async def _route(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        path = scope["path"]
        settings = self.gateway.settings
        if path == CHAT:
            admitted = self._admit(scope)
            call = chat_call(admitted, await read_body(receive, settings.server.body_limit), door="openai")
            await openai.chat(self.gateway, call, reply, settings.server.heartbeat, scope.get("state", {}))
            return
        if path == "/" or path.startswith(("/page/", "/admin/")):
            await self._page(scope, receive, reply)
            return
        await self._rest(scope, receive, reply)

    async def _page(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        """The page and what it reads; a browser without a key is asked for one."""
        path, method = scope["path"], scope["method"]
        guard, headers = self._checked(scope)
        try:
            guard.tenant(headers)
        except AuthenticationError as error:
            error.challenge = 'Basic realm="rung: any name, and one of its keys"'
            raise
        own = path in page.ROUTES or not path.startswith("/admin/")
        if own and method not in _READS:
            raise _wrong_method(*_READS)
        if path == "/admin/events":
            await page.events(self.gateway, reply, scope.get("state", {}), head_only=method == "HEAD")
        elif path in page.ROUTES:
            await page.told(self.gateway, path, reply)
        elif not own or not await page.file(path, headers.get(b"accept-language", b"").decode("latin-1"), reply):
            await self._rest(scope, receive, reply)

    async def _rest(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        path, method = scope["path"], scope["method"]
        settings = self.gateway.settings
        guard, headers = self._checked(scope)
        if path == "/healthz":
            if method not in _READS:
                raise _wrong_method(*_READS)
            await send_whole(reply, 200, _JSON, b'{"status":"ok"}')
            return
        tenant, _ = guard.tenant(headers)
        if path == "/v1/feedback":
            if method != "POST":
                raise _wrong_method("POST")
            check_json(headers)
            told = await feedback(self.gateway, tenant, await read_body(receive, settings.server.body_limit))
            await send_whole(reply, 200, _JSON, orjson.dumps(told))
            return
        if path == "/admin/cache/purge":
            if method != "POST":
                raise _wrong_method("POST")
            check_json(headers)
            told = await purge(self.gateway, await read_body(receive, settings.server.body_limit))
            await send_whole(reply, 200, _JSON, orjson.dumps(told))
            return
        status, body = self._other(method, path)
        await send_whole(reply, status, _JSON, orjson.dumps(body))

    def _checked(self, scope: Scope) -> tuple[Guard, Headers]:
        """-> (who guards this gateway now, the headers), after what is asked of every request."""
        headers: Headers = dict(scope["headers"])
        if len(headers) != len(scope["headers"]):
            check_once(scope["headers"])
        if self._guarded is not self.gateway.settings:  # reloaded
            self._guarded = self.gateway.settings
            self._guard = self._make_guard()
        self._guard.check_page(headers)
        return self._guard, headers

    def _admit(self, scope: Scope) -> Admitted:
        guard, headers = self._checked(scope)
        admitted = admit(headers, guard)
        if scope["method"] != "POST":
            raise _wrong_method("POST")
        check_json(headers)
        return admitted

    def _admitted(self, exchange: Exchange) -> Admitted:
        """`_admit`, found out once as long as the head is the same."""
        known = exchange.head
        if known is None:
            return self._admit(exchange.scope)
        admitted: Admitted | None = known.found
        if admitted is None or admitted.guard is not self._guard or self._guarded is not self.gateway.settings:
            admitted = known.found = self._admit(exchange.scope)
        return admitted

    def _other(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        gateway = self.gateway
        if path in JSON_ROUTES or path.startswith("/v1/models/"):
            if method not in _READS:
                raise _wrong_method(*_READS)
            if path == "/readyz":
                return gateway.readiness()
            if path == "/admin/cache":
                return 200, gateway.cache_stats()
            if path == "/admin/trust":
                return 200, gateway.trust_cells()
            if path == "/admin/cache/explain":
                return 200, gateway.prompts.told()
            if path == "/v1/models":
                return 200, {"object": "list", "data": gateway.models()}
            return 200, gateway.model(path.removeprefix("/v1/models/"))
        raise RungError(
            f"there is nothing at {path}; chat is at POST /v1/chat/completions", code="not_found", status=404
        )


def _refusal(error: Exception, scope: Scope) -> tuple[int, bytes, bytes]:
    """-> (status, headers, body) for what was raised."""
    if isinstance(error, RungError):
        return error.status, error_head(error), orjson.dumps(error.body())
    log.error("a bug in rung, please report it: %s %s", scope["method"], scope["path"], exc_info=error)
    bug = RungError("an internal error; the log has it")
    return 500, error_head(bug), orjson.dumps(bug.body())


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
