"""From HTTP headers and body to a `Call`: who may ask, and what they said beside the body.

A browser page must not be able to spend the user's money: the Host must be ours (no DNS rebinding), an
Origin must be on the list, and a body must be declared as JSON, which a page cannot do across origins
without a preflight (https://fetch.spec.whatwg.org/#cors-preflight-fetch).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rung.call import CONTROL, DEFAULT_DEADLINE, MODES, Call, new_request_id, parse_chat
from rung.errors import AuthenticationError, ForbiddenError, InvalidRequestError

Headers = dict[bytes, bytes]

_TENANTS_REMEMBERED = 1024
_PLAIN = frozenset(
    (
        "messages",
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "frequency_penalty",
        "presence_penalty",
        "stop",
        "seed",
        "user",
        "stream",
        "stream_options",
    )
)
"""members of a body that change nothing in the way a call takes"""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


class Guard:
    """What is checked before a request is looked at.

    `hosts` and `origins` are names without port and full origins; `keys` are this gateway's own API keys:
    once there is one, every route but health needs one.
    """

    def __init__(self, *, hosts: Sequence[str], origins: Sequence[str], keys: Sequence[str], private: Sequence[str]):
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.lower().encode() for origin in origins}
        self._keys = [key.encode() for key in keys]
        self._private = [key.encode() for key in private]
        self._seen_hosts: set[bytes] = set()
        self._tenants: dict[bytes, tuple[str, bool]] = {b"": ("local", False)}

    def check_page(self, headers: Headers) -> None:
        """Raises ForbiddenError for a foreign Host or Origin."""
        host = headers.get(b"host", b"")
        if host not in self._seen_hosts:
            if _bare_host(host) not in self._hosts:
                raise ForbiddenError(
                    "this Host is not on the list; add it to server.allowed_hosts", code="host_not_allowed"
                )
            if len(self._seen_hosts) < _TENANTS_REMEMBERED:
                self._seen_hosts.add(host)
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in self._origins and not _same_origin(origin, host):
            raise ForbiddenError(
                "calls from web pages are refused; add the page's origin to server.allowed_origins",
                code="origin_not_allowed",
            )

    def tenant(self, headers: Headers) -> tuple[str, bool]:
        """-> (tenant, is every call of this key private). Raises AuthenticationError if a key is needed.

        The token itself is never forwarded and never kept: a hash of it names the tenant.
        """
        token = _token(headers)
        known = self._tenants.get(token)
        if known is not None and (token or not self._keys):
            return known
        if self._keys and not any(hmac.compare_digest(token, key) for key in self._keys):
            raise AuthenticationError(
                "this gateway needs one of its own keys: send 'Authorization: Bearer <key>'"
                if not token
                else "that is not one of this gateway's keys"
            )
        name = hashlib.blake2b(token, digest_size=8, person=b"rung-tenant").hexdigest()
        known = (name, any(hmac.compare_digest(token, key) for key in self._private))
        if len(self._tenants) >= _TENANTS_REMEMBERED:
            self._tenants = {b"": self._tenants[b""]}
        self._tenants[token] = known
        return known


_SINGLE = frozenset({b"authorization", b"x-api-key", b"content-type", b"origin", b"host"})


def check_once(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises InvalidRequestError if a header that decides something is repeated: of two, which one would count?

    ``x-rung-private: true`` followed by ``x-rung-private: false`` must not make a call public.
    """
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and (name in _SINGLE or name.startswith(b"x-rung-")):
            told = name.decode("latin-1")
            raise InvalidRequestError(f"the header {told} is sent twice; send it once", param=told)
        seen.add(name)


def check_json(headers: Headers) -> None:
    """Raises InvalidRequestError (415) unless the body is declared as JSON."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        raise InvalidRequestError(
            "send the body as 'Content-Type: application/json'", code="unsupported_media_type", status=415
        )


def _bare_host(host: bytes) -> str:
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def _token(headers: Headers) -> bytes:
    value = headers.get(b"authorization")
    if value is None:
        return headers.get(b"x-api-key", b"")
    scheme, _, token = value.partition(b" ")
    if scheme.lower() == b"basic":  # all that a browser can send with a page (RFC 7617); the name is not looked at
        try:
            return base64.b64decode(token.strip(), validate=True).partition(b":")[2]
        except ValueError:
            return b""
    return token.strip() if scheme.lower() == b"bearer" else b""


def _same_origin(origin: bytes, host: bytes) -> bool:
    """Is it our own page? `host` is on the allow-list, so no foreign name can be it (DNS rebinding)."""
    return origin.lower() in (b"http://" + host.lower(), b"https://" + host.lower())


class Admitted(NamedTuple):
    """A chat request that may be looked at, as far as its head tells: true of every request with the same head."""

    guard: Guard
    """who let it in"""
    tenant: str
    private: bool
    told: dict[str, str]
    """what ``x-rung-`` headers say, by their names without it"""


def admit(headers: Headers, guard: Guard) -> Admitted:
    """After `Guard.check_page` and `check_once`. Raises AuthenticationError."""
    tenant, private = guard.tenant(headers)
    told = {
        name[7:].decode("latin-1"): value.decode("latin-1")
        for name, value in headers.items()
        if name.startswith(b"x-rung-")
    }
    return Admitted(guard, tenant, private, told)


def chat_call(admitted: Admitted, raw: bytes, *, door: str) -> Call:
    """Parse a chat body and what the headers, ``rung`` or ``metadata`` say about it.

    Headers win over the ``rung`` member, which wins over ``metadata``. Raises InvalidRequestError.
    """
    body = parse_chat(raw)
    call = Call(
        plain=not admitted.told and not admitted.private and _PLAIN.issuperset(body),
        body=body,
        raw=raw,
        model=body.get("model", "auto"),
        request_id=new_request_id(),
        tenant=admitted.tenant,
        private=admitted.private,
        stream=body.get("stream") or False,
        door=door,
    )
    options = body.get("stream_options")
    if options is not None:
        call.include_usage = options.get("include_usage") or False
    if "rung" in body or "metadata" in body:
        _apply_all(call, _from_body(body))
    if admitted.told:
        _apply_all(call, admitted.told)
    return call


def _from_body(body: dict[str, Any]) -> dict[str, Any]:
    metadata = body.get("metadata")
    told: dict[str, Any] = {}
    if isinstance(metadata, dict):
        told = {key[7:]: value for key, value in metadata.items() if key.startswith("x-rung-")}
    member = body.get("rung")
    if isinstance(member, dict):
        told |= {key.replace("_", "-"): value for key, value in member.items()}
    elif member is not None:
        raise InvalidRequestError("rung must be an object", code="invalid_type", param="rung")
    return told


def _apply_all(call: Call, told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        apply = _OPTIONS.get(name)
        if apply is None:
            known = ", ".join(sorted(_OPTIONS))
            raise InvalidRequestError(f"unknown option x-rung-{name}; one of {known}", param=f"x-rung-{name}")
        apply(call, value)


def _set_mode(call: Call, value: Any) -> None:
    if value not in MODES:
        raise InvalidRequestError(f"x-rung-mode must be one of {', '.join(MODES)}", param="x-rung-mode")
    call.mode = value


def _flag(name: str, value: Any) -> bool:
    flag = value if isinstance(value, bool) else _TRUE.get(str(value).strip().lower())
    if flag is None:
        raise InvalidRequestError(f"x-rung-{name} must be true or false", param=f"x-rung-{name}")
    return flag


def _number(name: str, value: Any, low: float, high: float) -> float:
    number = float("nan")
    if not isinstance(value, bool) and _NUMBER.fullmatch(str(value)):
        number = float(value)
    if not low <= number <= high:
        raise InvalidRequestError(f"x-rung-{name} must be a number from {low:g} to {high:g}", param=f"x-rung-{name}")
    return number


def _set_private(call: Call, value: Any) -> None:
    # once private (by key or configuration), a call cannot be made public again
    call.private |= _flag("private", value)


def _set_no_store(call: Call, value: Any) -> None:
    call.no_store = _flag("no-store", value)


def _set_continue(call: Call, value: Any) -> None:
    call.continues = _flag("continue", value)


def _set_provisional(call: Call, value: Any) -> None:
    call.provisional = _flag("provisional", value)


def _set_deadline(call: Call, value: Any) -> None:
    call.deadline = call.started + _number("deadline-ms", value, 1, DEFAULT_DEADLINE * 1000) / 1000


def _set_max_error(call: Call, value: Any) -> None:
    call.max_error = _number("max-error", value, 0, 1)


def _word(name: str) -> Callable[[Call, Any], None]:
    def apply(call: Call, value: Any) -> None:
        if not isinstance(value, str) or len(value) > 200 or CONTROL.search(value):
            raise InvalidRequestError(f"x-rung-{name} must be a short line of text", param=f"x-rung-{name}")
        setattr(call, name, value)

    return apply


_OPTIONS: dict[str, Callable[[Call, Any], None]] = {
    "mode": _set_mode,
    "private": _set_private,
    "task": _word("task"),
    "session": _word("session"),
    "check": _word("check"),
    "max-error": _set_max_error,
    "no-store": _set_no_store,
    "continue": _set_continue,
    "provisional": _set_provisional,
    "deadline-ms": _set_deadline,
}
