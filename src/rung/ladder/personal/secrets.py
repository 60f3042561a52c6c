"""Keys, tokens, private keys, and passwords written as such.

Forms of tokens: the issuers' own documentation, and the public rules of secret scanners. Where a form alone would
catch too much, the text must look random too (Shannon entropy of its characters).
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter

import orjson

_TOKENS: tuple[tuple[str, str], ...] = (
    ("sk-", r"(?:proj-|ant-[a-z0-9]{2,8}-|or-v1-|svcacct-|admin-|lf-)?[A-Za-z0-9_-]{20,200}"),  # OpenAI and others
    ("gsk_", r"[A-Za-z0-9]{20,80}"),  # Groq
    ("xai-", r"[A-Za-z0-9]{20,100}"),
    ("AIza", r"[A-Za-z0-9_-]{35}"),  # Google
    ("ya29.", r"[A-Za-z0-9_-]{20,300}"),
    ("GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    ("AKIA", r"[A-Z2-7]{16}"),  # AWS
    ("ASIA", r"[A-Z2-7]{16}"),
    ("ghp_", r"[A-Za-z0-9]{36}"),  # GitHub
    ("gho_", r"[A-Za-z0-9]{36}"),
    ("ghu_", r"[A-Za-z0-9]{36}"),
    ("ghs_", r"[A-Za-z0-9]{36}"),
    ("ghr_", r"[A-Za-z0-9]{36}"),
    ("github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    ("glpat-", r"[A-Za-z0-9_-]{20}"),
    ("xoxb-", r"[A-Za-z0-9-]{20,200}"),  # Slack
    ("xoxp-", r"[A-Za-z0-9-]{20,200}"),
    ("xoxa-", r"[A-Za-z0-9-]{20,200}"),
    ("xapp-", r"[A-Za-z0-9-]{20,200}"),
    ("hooks.slack.com/services/", r"T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30}"),
    ("sk_live_", r"[A-Za-z0-9]{20,100}"),  # Stripe
    ("rk_live_", r"[A-Za-z0-9]{20,100}"),
    ("sk_test_", r"[A-Za-z0-9]{20,100}"),
    ("whsec_", r"[A-Za-z0-9+/=]{24,80}"),
    ("SG.", r"[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{40,50}"),  # SendGrid
    ("hf_", r"[A-Za-z]{34}"),
    ("npm_", r"[A-Za-z0-9]{36}"),
    ("pypi-AgE", r"[A-Za-z0-9_-]{50,300}"),
    ("dop_v1_", r"[a-f0-9]{64}"),
    ("shpat_", r"[a-fA-F0-9]{32}"),
    ("hvs.", r"[A-Za-z0-9_-]{24,120}"),
    ("AGE-SECRET-KEY-1", r"[A-Z0-9]{50,60}"),
    ("nvapi-", r"[A-Za-z0-9_-]{40,80}"),
    ("r8_", r"[A-Za-z0-9]{37}"),
    ("lin_api_", r"[A-Za-z0-9]{40}"),
    ("secret_", r"[A-Za-z0-9]{43}"),
    (":AA", r"[A-Za-z0-9_-]{33}"),  # Telegram: 123456789:AA...
)
_FORMS = tuple((prefix, re.compile(rest + r"(?![A-Za-z0-9])")) for prefix, rest in _TOKENS)

_LONGEST = 320
_WRAPPED = re.compile(r"(?:\\?\r?\n|\\n)[ \t>|]{0,8}(?=[A-Za-z0-9_/+=-])")
"""a line break in the middle of a token"""

_PRIVATE = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:\\r|\\n|[\s\"'+,])*[A-Za-z0-9+/=:]{16}"
)
_JWT = re.compile(r"(eyJ[A-Za-z0-9_-]{8,400})\.eyJ[A-Za-z0-9_-]{4,4000}\.[A-Za-z0-9_-]{16,1000}")

_PASSWORDS = ("password", "passwd", "passwort", "_pass", "pwd", "passphrase", "mot de passe", "kennwort", "contraseña")
_HEADERS = ("bearer ", "basic ")
_NAMES = (
    *_PASSWORDS,
    *_HEADERS,
    *("secret", "token", "api_key", "api-key", "apikey", "api key", "access_key", "accesskey", "auth_key"),
    *("account_key", "accountkey"),
)
_SIGN = r"(?:[_-]?(?:access[_-]?)?key(?:[_-]?base)?)?['\"`]{0,2}\]?\s{0,3}(?:=>|:=|==?|:|\bis\b|\best\b|\bist\b)\s{0,3}"
_VALUE = r"(?:\"([^\"\n]{6,200})\"|'([^'\n]{6,200})'|`([^`\n]{6,200})`|([^\s\"'`<>,;]{8,200}))"
_SAID = re.compile(_SIGN + _VALUE)
_HEADER = re.compile(_VALUE)
_NO_SECRET = re.compile(
    r"[*x.#_-]{3,}|(?:[a-z]+[_-])*(?:your|my|the|some|changeme|change|example|sample|placeholder|redacted|dummy|fake"
    r"|test|foo|bar|none|null|true|false|todo|secret|password|string|str|insert|replace|here)(?:[_ -].*)?"
    r"|[<{$%\[(].*|.*(?:\.env|environ|getenv|process\.|config[.\[]|settings[.\[]|[a-z]\().*",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"[A-Za-z0-9._%+-]{0,64}:([^\s:/@\"'<>]{4,128})@[\w.-]{1,253}")
_KEBAB = re.compile(r"(?:[A-Za-z]?[a-z]{2,}[-_]?)+\d{0,2}")
_CAMEL = re.compile(r"[A-Z]{2}.*[A-Z]{2}|[A-Z].[A-Z].[A-Z]")
"""capitals as no name has them"""
_HEX = re.compile(r"[0-9a-fA-F]+")
_TOKEN_LETTERS = re.compile(r"[A-Za-z0-9_\-+/=.~]{16,200}")


def has_key(text: str) -> bool:
    return _has_token(text) or _has_jwt(text) or _has_private(text) or _has_named(text) or _has_login(text)


def _has_token(text: str) -> bool:
    for prefix, form in _FORMS:
        at = text.find(prefix)
        while at >= 0:
            before = text[at - 1 : at]
            if (before.isdigit() if prefix[0] == ":" else not before.isalnum() and before not in ("-", "_")) and (
                _is_token(text, at + len(prefix), form)
            ):
                return True
            at = text.find(prefix, at + 1)
    return False


def _is_token(text: str, at: int, form: re.Pattern[str]) -> bool:
    found = form.match(text, at)
    if found is None and "\n" in (rest := text[at : at + _LONGEST]):
        found = form.match(_WRAPPED.sub("", rest))
    return found is not None and _random(found[0]) and not _words(found[0])


def _has_jwt(text: str) -> bool:
    at = text.find("eyJ")
    while at >= 0:
        if not text[at - 1 : at].isalnum():
            found = _JWT.match(text, at) or _JWT.match(_WRAPPED.sub("", text[at : at + 2 * _LONGEST]))
            if found is not None and _is_jwt(found[1]):
                return True
        at = text.find("eyJ", at + 3)
    return False


def _is_jwt(header: str) -> bool:
    """RFC 7515: three parts, of which the first is JSON and names an algorithm."""
    try:
        return "alg" in orjson.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, TypeError):
        return False


def _has_private(text: str) -> bool:
    at = text.find("-----BEGIN ")
    while at >= 0:
        if _PRIVATE.match(text, at):
            return True
        at = text.find("-----BEGIN ", at + 1)
    return "PuTTY-User-Key-File-" in text and "Private-Lines:" in text


def _has_named(text: str) -> bool:
    """``password = "..."``, ``API_KEY: ...``, ``Bearer ...``: a value that is no placeholder and no code."""
    lower = text.lower()
    if len(lower) != len(text):  # a letter whose lower case is two
        text = lower
    for name in _NAMES:
        at = lower.find(name)
        while at >= 0:
            if _is_said(text, at, name):
                return True
            at = lower.find(name, at + len(name))
    return False


def _is_said(text: str, at: int, name: str) -> bool:
    end = at + len(name)
    found = (_HEADER if name in _HEADERS else _SAID).match(text, end)
    if found is None:
        return False
    quoted = next((part for part in found.groups()[:3] if part), "")
    value = quoted or found[4].rstrip(")]}.")
    if _NO_SECRET.fullmatch(value):
        return False
    if name in _PASSWORDS:
        kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^\w\s]"))
        return kinds >= (2 if quoted else 3) and " " not in value and not re.fullmatch(r"[a-z_]+[(.].*", value)
    if not _TOKEN_LETTERS.fullmatch(value) or not _random(value) or _words(value):
        return False
    return any(map(str.isdigit, value)) or (len(value) >= 24 and _CAMEL.search(value) is not None)


def _has_login(text: str) -> bool:
    """``scheme://name:password@host``"""
    at = text.find("://")
    while at >= 0:
        found = _URL_PASSWORD.match(text, at + 3)
        if found is not None and not _NO_SECRET.fullmatch(found[1]) and not found[1].lower().startswith("pass"):
            return True
        at = text.find("://", at + 3)
    return False


def _random(token: str) -> bool:
    """Are its letters spread as a machine's are? (Shannon entropy; of hexadecimal digits there are but sixteen.)"""
    size = len(token)
    entropy = -sum(count / size * math.log2(count / size) for count in Counter(token).values())
    most = 4.0 if _HEX.fullmatch(token) else math.log2(size)
    return entropy >= min(3.3, 0.7 * most)


def _words(token: str) -> bool:
    """Words joined by dashes, perhaps with a number behind."""
    return _KEBAB.fullmatch(token) is not None
