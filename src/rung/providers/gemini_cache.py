"""Gemini's explicit prompt cache: ``cachedContents``, made, renewed and deleted by name.

An object belongs to one model, holds a beginning of a conversation (system text, tools, turns) and is charged
by the hour until it expires: whoever makes one deletes it. A chat request names it as
``extra_body.google.cached_content`` and then says only what comes after. https://ai.google.dev/api/caching
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from rung.errors import BadAnswerFault, MissingModelFault
from rung.providers.chat_request import read
from rung.providers.gemini import Gemini
from rung.providers.gemini_request import prefix
from rung.wire.client import Deadlines

_NAME = re.compile(r"cachedContents/[A-Za-z0-9_-]{1,128}")
_PAGE = 100
_MOST_PAGES = 50


@dataclass(frozen=True, slots=True)
class CachedContent:
    """One object. `tokens` are what is stored, and what each read is charged for; `expires` has a time zone."""

    name: str
    model: str
    tokens: int
    expires: datetime
    display_name: str


class _Usage(msgspec.Struct, rename="camel"):
    total_token_count: int = 0


class _Object(msgspec.Struct, rename="camel"):
    name: str
    model: str = ""
    expire_time: datetime | None = None
    display_name: str = ""
    usage_metadata: _Usage | None = None


class _List(msgspec.Struct, rename="camel"):
    cached_contents: list[_Object] = []
    next_page_token: str = ""


_object = msgspec.json.Decoder(_Object)
_list = msgspec.json.Decoder(_List)


class CachedContents:
    """The cache objects of one account, over the `Gemini` adapter that will use them.

    Every method raises a `rung.errors.Fault`: RejectedFault if Gemini refuses (too few tokens, for one),
    MissingModelFault for an object that is gone; and PrivacyError where `private` is set.
    """

    def __init__(self, gemini: Gemini) -> None:
        self._gemini = gemini

    async def create(
        self,
        body: dict[str, Any],
        model: str,
        *,
        ttl: float,
        deadlines: Deadlines,
        tenant: str = "local",
        display_name: str = "",
        private: bool = False,
    ) -> CachedContent:
        """Store the beginning that the OpenAI-shaped `body` holds (messages, tools, tool_choice) for `ttl` s."""
        gemini = self._gemini
        name = gemini.endpoint.name
        asked = read(body, name, ())
        told = prefix(asked, gemini.rules.of(model), name, lambda call_id: gemini.remembered(tenant, call_id))
        told |= {"model": f"models/{model}", "ttl": _seconds(ttl)}
        if display_name:
            told["displayName"] = display_name
        answer = await self._send("POST", "/cachedContents", told, deadlines, private)
        return self._read(answer)

    async def renew(self, name: str, *, ttl: float, deadlines: Deadlines) -> CachedContent:
        """Let it live for `ttl` seconds from now."""
        path = f"/{_checked(name)}?updateMask=ttl"
        return self._read(await self._send("PATCH", path, {"ttl": _seconds(ttl)}, deadlines, False))

    async def delete(self, name: str, *, deadlines: Deadlines) -> None:
        """Make sure that it is gone; one that has expired is."""
        try:
            await self._send("DELETE", f"/{_checked(name)}", None, deadlines, False)
        except MissingModelFault:
            pass

    async def all(self, *, deadlines: Deadlines) -> list[CachedContent]:
        """Every object of the account, others' too: `display_name` tells whose it is."""
        found: list[CachedContent] = []
        token = ""
        for _ in range(_MOST_PAGES):
            page = f"/cachedContents?pageSize={_PAGE}" + (f"&pageToken={token}" if token else "")
            told = self._decode(_list, await self._send("GET", page, None, deadlines, False))
            found += [_told(one) for one in told.cached_contents]
            token = told.next_page_token
            if not re.fullmatch(r"[\w=-]+", token):
                break
        return found

    async def _send(
        self, method: str, path: str, told: dict[str, Any] | None, deadlines: Deadlines, private: bool
    ) -> bytes:
        body = b"" if told is None else orjson.dumps(told)
        return await self._gemini.manage(method, path, body, deadlines, private=private)

    def _read(self, body: bytes) -> CachedContent:
        return _told(self._decode(_object, body))

    def _decode(self, decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            name = self._gemini.endpoint.name
            raise BadAnswerFault(f"{name} did not answer with a cache object", provider=name) from None


def _told(one: _Object) -> CachedContent:
    tokens = one.usage_metadata.total_token_count if one.usage_metadata is not None else 0
    expires = one.expire_time or datetime.max.replace(tzinfo=UTC)
    return CachedContent(one.name, one.model.removeprefix("models/"), tokens, expires, one.display_name)


def _seconds(ttl: float) -> str:
    return f"{ttl:.9f}".rstrip("0").rstrip(".") + "s"


def _checked(name: str) -> str:
    """A name that stays in its place in the path. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("that is not the name of a cachedContents object")
    return name
