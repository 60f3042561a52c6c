"""Gemini's explicit prompt cache: objects that are created, renewed, named in requests and deleted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rung.sim.clock import Clock
from rung.sim.exchange import Refusal

KEPT = 1000
DEFAULT_TTL = 3600.0


@dataclass(slots=True)
class Content:
    name: str
    model: str
    tokens: int
    display_name: str | None
    created: datetime
    updated: datetime
    expires: datetime


class CachedContents:
    """Those of one simulated account. Expired ones are gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, Content] = OrderedDict()
        self._made = 0
        self.token_hours = 0.0
        """storage used by objects that are gone, in token-hours"""

    def create(self, model: str, body: Mapping[str, Any], tokens: int, display_name: str | None) -> dict[str, Any]:
        self._made += 1
        now = self._clock.at()
        name = f"cachedContents/sim{self._made:06d}"
        self._kept[name] = Content(name, model, tokens, display_name, now, now, self._expiry(body, now))
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._wire(self._kept[name])

    def manage(self, method: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """List, get, renew (ttl or expireTime, nothing else), delete. Raises Refusal."""
        self._drop_expired()
        if method == "GET" and not name:
            return {"cachedContents": [self._wire(content) for content in self._kept.values()]}
        content = self._kept.get(name)
        if content is None:
            raise Refusal(403, "CachedContent not found (or permission denied)", code="PERMISSION_DENIED")
        if method == "PATCH":
            other = body.keys() - {"ttl", "expireTime", "name", "model"}
            if other:
                raise Refusal(400, f"Only ttl and expireTime can be updated, not {', '.join(sorted(other))}")
            content.updated = self._clock.at()
            content.expires = self._expiry(body, content.updated)
            return self._wire(content)
        if method == "DELETE":
            self._gone(self._kept.pop(name), self._clock.at())
            return {}
        if method == "GET":
            return self._wire(content)
        raise Refusal(404, "Unknown method")

    def tokens(self, name: str, model: str) -> int:
        """Tokens a request reads from the object. Raises Refusal where it cannot."""
        self._drop_expired()
        content = self._kept.get(name)
        if content is None:
            raise Refusal(403, "CachedContent not found (or permission denied)", code="PERMISSION_DENIED")
        if content.model != model:
            raise Refusal(400, f"Model used by GenerateContent request (models/{model}) and CachedContent "
                          f"(models/{content.model}) has to be the same.")  # fmt: skip
        return content.tokens

    def _expiry(self, body: Mapping[str, Any], now: datetime) -> datetime:
        try:
            if "expireTime" in body:
                return datetime.fromisoformat(str(body["expireTime"]))
            ttl = str(body.get("ttl") or f"{DEFAULT_TTL}s")
            if not ttl.endswith("s"):
                raise ValueError
            return now + timedelta(seconds=float(ttl[:-1]))
        except ValueError:
            raise Refusal(400, "Invalid value at 'cached_content.ttl' (Duration)") from None

    def _drop_expired(self) -> None:
        now = self._clock.at()
        for content in [content for content in self._kept.values() if content.expires <= now]:
            self._gone(self._kept.pop(content.name), content.expires)

    def _gone(self, content: Content, at: datetime) -> None:
        self.token_hours += content.tokens * (at - content.created).total_seconds() / 3600

    def _wire(self, content: Content) -> dict[str, Any]:
        told = {
            "name": content.name,
            "model": f"models/{content.model}",
            "createTime": _time(content.created),
            "updateTime": _time(content.updated),
            "expireTime": _time(content.expires),
            "usageMetadata": {"totalTokenCount": content.tokens},
        }
        return told if content.display_name is None else {**told, "displayName": content.display_name}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
