"""Texts with and without personal data and secrets, made anew from a seed: what the detector must find and must not.

Every case is a carrier (mail, form, code, log, JSON; English, French, German) around a value. Positive values are
valid by their own check digits; `near` values look alike and are none. Written after the detector, by its author: see
docs/privacy.md for what that means for the figures.
"""

from __future__ import annotations

import base64
import json
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from rung.ladder.personal.numbers import luhn


@dataclass(frozen=True)
class Case:
    """`kinds`: what is in the text, empty for none. `family`: which generator made it."""

    text: str
    kinds: frozenset[str]
    family: str


Make = Callable[[Random], str]

_PEOPLE = ("marie", "jürgen", "li.wei", "o'neil", "anna-lena", "j.smith", "sofia_r", "tom", "zoë", "k8s-ops")
_COMPANIES = ("acme", "laposte", "mail.uni-koeln", "contoso", "my-shop", "gmail", "hôtel-azur", "mx1.bank")
_TOPS = ("com", "fr", "de", "co.uk", "org", "io", "dev", "ch", "museum", "com.br")

CARRIERS = (
    "Hi, please use {} from now on. Thanks!",
    "Bonjour, voici mes coordonnées : {}. Merci de répondre.",
    "Bitte nutzen Sie {} bis Freitag.",
    "customer,{},2026-11-22",
    '{{"id": 17, "value": "{}", "ok": true}}',
    "2026-11-22T10:11:12Z INFO worker[31337] got {} from upstream",
    "Summarise this note:\n\n---\n{}\n---\nin two lines.",
    "x = parse('{}')  # what we received",
    "| name | value |\n|---|---|\n| a | {} |",
    "({})",
    "<td>{}</td>",
    "Fix the bug: the input {} is rejected; version 2.14.3 took it.",
)


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def _token(rng: Random, count: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(rng.choice(letters) for _ in range(count))


# ---- what there is to find ----


def email(rng: Random) -> str:
    name = f"{rng.choice(_PEOPLE)}{rng.choice(['', '+news', _digits(rng, 2)])}"
    made = f"{name}@{rng.choice(_COMPANIES)}.{rng.choice(_TOPS)}"
    form = rng.choice(["{}", "{}", "<{}>", "mailto:{}", "{}.", "Marie Curie <{}>"])
    return form.format(made.upper() if rng.random() < 0.1 else made)


def phone(rng: Random) -> str:
    def area() -> str:
        return f"{rng.randint(2, 9)}{_digits(rng, 2)}"

    pairs = [_digits(rng, 2) for _ in range(4)]
    mark = rng.choice([" ", ".", "-"])
    last = f"{rng.randint(1, 9)}{_digits(rng, 3)}"
    return rng.choice(
        [
            f"+33{mark}{rng.randint(1, 9)}{mark}{mark.join(pairs)}",
            f"+33 (0){rng.randint(1, 9)} {' '.join(pairs)}",
            f"0{rng.randint(1, 9)}{mark}{mark.join(pairs)}",
            f"0{rng.choice('67')}{''.join(pairs)}",
            f"+1{rng.choice([' ', '-', ''])}{area()}-{area()}-{last}",
            f"({area()}) {area()}-{last}",
            f"{area()}{mark}{area()}{mark}{last}",
            f"+49 {rng.randint(30, 999)} {rng.randint(10**5, 10**8)}",
            f"0{rng.randint(30, 999)}/{rng.randint(10**5, 10**7)}",
            f"+44 20 {rng.randint(7000, 8999)} {rng.randint(1000, 9999)}",
            f"07{_digits(rng, 3)} {_digits(rng, 6)}",
            f"0033 {rng.randint(1, 9)} {' '.join(pairs)}",
            f"tel: {rng.randint(2, 9)}{_digits(rng, 6)}",
            f"Phone number: {rng.randint(200, 999)} {rng.randint(1000, 9999)}",
            f"+{rng.choice(['81', '86', '91', '55', '351', '420', '971'])}{rng.randint(10**8, 10**10)}",
        ]
    )


IBANS = {"DE": 18, "GB": 18, "NL": 14, "BE": 12, "AT": 16, "ES": 20, "IT": 23, "FR": 23, "CH": 17, "PL": 24, "NO": 11}


def iban(rng: Random) -> str:
    country = rng.choice(list(IBANS))
    account = _digits(rng, IBANS[country])
    if country in ("GB", "NL"):
        account = _token(rng, 4, string.ascii_uppercase) + account[4:]
    elif country == "IT":
        account = rng.choice(string.ascii_uppercase) + account[1:]
    check = 98 - int("".join(str(int(letter, 36)) for letter in f"{account}{country}00")) % 97
    made = f"{country}{check:02}{account}"
    spaced = " ".join(made[place : place + 4] for place in range(0, len(made), 4))
    return rng.choice([made, spaced, spaced, made.lower(), spaced.lower(), spaced.replace(" ", "-"), f"IBAN {spaced}"])


CARDS = (("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16))


def card_digits(rng: Random) -> str:
    begin, size = rng.choice(CARDS)
    body = begin + _digits(rng, size - len(begin) - 1)
    return next(body + last for last in string.digits if luhn(body + last))


def card(rng: Random) -> str:
    digits = card_digits(rng)
    if len(digits) == 16:
        groups = [digits[place : place + 4] for place in range(0, 16, 4)]
    else:
        groups = [digits[:4], digits[4:10], digits[10:]]
    mark = rng.choice(["", " ", "-", " "])
    made = mark.join(groups)
    return rng.choice([made, made, f"card {made}", f"{made} exp 09/29", f"n° {made}", f"cb={made}"])


def key(rng: Random) -> str:
    url = string.ascii_letters + string.digits + "-_"
    upper = string.ascii_uppercase + string.digits
    made = rng.choice(
        [
            f"sk-{_token(rng, 48)}",
            f"sk-proj-{_token(rng, 80, url)}9Z",
            f"sk-ant-api03-{_token(rng, 90, url)}9Z",
            f"gsk_{_token(rng, 52)}",
            f"AIza{_token(rng, 35)}",
            f"AKIA{_token(rng, 16, string.ascii_uppercase + '234567')}",
            f"aws_secret_access_key = {_token(rng, 40)}",
            f"ghp_{_token(rng, 36)}",
            f"github_pat_{_token(rng, 22)}_{_token(rng, 59)}",
            f"glpat-{_token(rng, 20)}",
            f"xoxb-{_digits(rng, 12)}-{_digits(rng, 12)}-{_token(rng, 24)}",
            f"sk_live_{_token(rng, 24)}",
            f"hf_{_token(rng, 34, string.ascii_letters)}",
            f"SG.{_token(rng, 22)}.{_token(rng, 43)}",
            f"{_digits(rng, 9)}:AA{_token(rng, 33)}",
            f"https://hooks.slack.com/services/T{_token(rng, 9, upper)}/B{_token(rng, 9, upper)}/{_token(rng, 24)}",
            f"Authorization: Bearer {_token(rng, 40)}",
            f"api_key: {_token(rng, 32)}",
            f"API-KEY={_token(rng, 40, string.hexdigits.lower())}",
            f"client_secret = '{_token(rng, 32)}'",
            f"password: {_token(rng, 6)}{rng.choice('!#$%&')}{_digits(rng, 2)}aZ",
            f'DB_PASSWORD="{_token(rng, 5, string.ascii_lowercase)}{_digits(rng, 3)}"',
            f"postgres://app:{_token(rng, 14)}@db.internal:5432/shop",
            f"mot de passe : {_token(rng, 5, string.ascii_lowercase)}{_digits(rng, 3)}!A",
            jwt(rng),
            pem(rng),
            pem(rng).replace("\n", "\\n"),
        ]
    )
    if rng.random() < 0.15 and made.startswith(("sk-", "gsk_", "ghp_", "AKIA", "glpat-")):
        place = rng.randint(8, len(made) - 4)
        made = made[:place] + rng.choice(["\n", "\r\n", "\n    "]) + made[place:]  # broken by a narrow window
    return made


def jwt(rng: Random) -> str:
    parts = ({"alg": rng.choice(["HS256", "RS256"]), "typ": "JWT"}, {"sub": _digits(rng, 10), "iat": 1516239022})
    first, second = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{first}.{second}.{_token(rng, 43)}"


def pem(rng: Random) -> str:
    kind = rng.choice(
        ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]
    )
    lines = "\n".join(_token(rng, 64, string.ascii_letters + string.digits + "+/") for _ in range(6))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"


POSITIVE: dict[str, Make] = {"email": email, "phone": phone, "iban": iban, "card": card, "key": key}

_FULL_WIDTH = {ord(digit): 0xFF10 + int(digit) for digit in string.digits}
_ARABIC = {ord(digit): 0x0660 + int(digit) for digit in string.digits}


def disguised(rng: Random, text: str) -> str:
    """The same to a reader: other digits, other spaces, invisible characters."""
    way = rng.randrange(4)
    if way == 0:
        return text.translate(_FULL_WIDTH)
    if way == 1:
        return text.translate(_ARABIC)
    if way == 2:
        return text.replace(" ", "\u00a0").replace("-", "\u2011")
    place = rng.randint(1, len(text) - 1)
    return f"{text[:place]}\u200b{text[place:]}"


# ---- what only looks like it ----


def _wrong_card(rng: Random) -> str:
    """One digit changed: Luhn finds every such slip."""
    digits = card_digits(rng)
    place = rng.randrange(4, len(digits))
    wrong = f"{digits[:place]}{(int(digits[place]) + rng.randint(1, 9)) % 10}{digits[place + 1 :]}"
    return rng.choice([wrong, " ".join(wrong[at : at + 4] for at in range(0, len(wrong), 4))])


def _wrong_iban(rng: Random) -> str:
    made = iban(rng)
    place = max(place for place, letter in enumerate(made) if letter.isdigit())
    return f"{made[:place]}{(int(made[place]) + 1) % 10}{made[place + 1 :]}"


def _number(low: int, high: int) -> Make:
    return lambda rng: str(rng.randint(low, high))


def _of(form: str, *parts: Make) -> Make:
    """`form` with each ``{}`` filled in."""
    return lambda rng: form.format(*(part(rng) for part in parts))


def _one(*choices: str) -> Make:
    return lambda rng: rng.choice(choices)


def _two(rng: Random) -> str:
    return f"{rng.randint(1, 28):02}"


NEAR: dict[str, Make] = {
    "version": _of("{}.{}.{}{}", _number(0, 20), _number(0, 99), _number(0, 9999), _one("", "-rc1", "+build.5", ".4")),
    "package": _of("{}@{}.{}.0", _one("react", "@types/node", "lodash", "vue"), _number(1, 30), _number(0, 20)),
    "order": lambda rng: f"order {rng.choice(['', '#', 'ORD-'])}{rng.randint(10**6, 10**11)}",
    "order_grouped": _of("{}-{}-{}", _number(100, 999), _number(10**6, 10**7 - 1), _number(10**6, 10**7 - 1)),
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "git": lambda rng: _token(rng, rng.choice([7, 10, 40]), "0123456789abcdef"),
    "sha256": lambda rng: f"sha256:{_token(rng, 64, '0123456789abcdef')}",
    "base64": lambda rng: base64.b64encode(rng.randbytes(rng.randint(30, 300))).decode(),
    "base64_json": lambda rng: base64.b64encode(json.dumps({"a": rng.random()}).encode()).decode(),
    "example_mail": _of("{}@{}", _one(*_PEOPLE), _one("example.com", "mail.example.net", "host.test", "localhost")),
    "git_url": lambda rng: f"git@{rng.choice(['github.com', 'gitlab.com'])}:acme/{rng.choice(['api', 'web'])}.git",
    "decorator": lambda rng: rng.choice(["@app.route", "@pytest.mark.slow", "W@x.mean()", "@dataclass", "a @ b.T"]),
    "handle": lambda rng: f"@{rng.choice(_PEOPLE)} and @{rng.choice(_COMPANIES)}",
    "date": _of("{}-{}-{} {}:{}:{}", _number(1990, 2030), _one("02", "11"), _two, _two, _two, _two),
    "date_slashed": lambda rng: f"{rng.randint(1, 28):02}/{rng.randint(1, 12):02}/{rng.randint(1990, 2030)}",
    "timestamp": lambda rng: str(rng.randint(1_600_000_000, 1_900_000_000) * rng.choice([1, 1000, 10**6])),
    "ip": lambda rng: ".".join(str(rng.randint(0, 255)) for _ in range(4)) + rng.choice(["", ":8080", "/24"]),
    "mac": lambda rng: ":".join(f"{rng.randint(0, 255):02x}" for _ in range(6)),
    "isbn": _of("978-{}-{}-{}-{}", _number(0, 9), _number(100, 999), _number(10**4, 99999), _number(0, 9)),
    "float": lambda rng: f"{rng.random() * 1e4:.12f}",
    "numbers": lambda rng: ", ".join(str(rng.randint(1000, 9999)) for _ in range(6)),
    "columns": lambda rng: "\n".join("  ".join(f"{rng.random():.4f}" for _ in range(4)) for _ in range(3)),
    "amount": _of("{} {},{},{}.00", _one("$", "€", "£"), _number(1, 999), _number(100, 999), _number(100, 999)),
    "coordinates": lambda rng: f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}",
    "snowflake": lambda rng: str(rng.randint(10**17, 19 * 10**17)),
    "wrong_card": _wrong_card,
    "wrong_iban": _wrong_iban,
    "hex_colour": lambda rng: f"#{_token(rng, 6, '0123456789abcdef')}",
    "css": lambda rng: rng.choice(["sk-folding-cube-loading", "sk-circle-fade-dot-animation", "sk-cube-grid sk-cube9"]),
    "placeholder_key": lambda rng: rng.choice(
        ["OPENAI_API_KEY=your-api-key-here", 'api_key = "<YOUR_API_KEY>"', "password = os.environ['DB_PASSWORD']",
         "token: ${{ secrets.GITHUB_TOKEN }}", 'api_key="sk-..."', "password: str = field()", "AKIA................",
         "Authorization: Bearer $TOKEN", "postgres://user:password@localhost/db", "secret = getenv('SECRET_KEY')",
         "export GROQ_API_KEY=gsk_...", "password=********", "client_secret: {{ vault.secret }}"]
    ),
    "code": lambda rng: rng.choice(
        ["max_tokens=4096", "token_count = 131072", "tokens = tokenizer.encode(text)", "def reset_password(user): ...",
         "if token is None: raise KeyError", "class SecretStr(str): pass", "password_hash = hash_password(password)",
         "for token in tokens: total += len(token)", "assert secret != other_secret", "key = sorted(d)[0]"]
    ),
    "public_key": lambda rng: f"-----BEGIN PUBLIC KEY-----\n{_token(rng, 64)}\n-----END PUBLIC KEY-----",
    "pem_named": lambda _: "The file begins with -----BEGIN RSA PRIVATE KEY----- and ends with its END line.",
    "talk": lambda rng: rng.choice(
        ["Reset the password by mail.", "The secret is to stir slowly.", "A token of my gratitude",
         "Le mot de passe expire demain.", "Ask for the IBAN first", "card games",
         "He phoned twice in 2026.", "my key idea is simple: less is more"]
    ),
    "line_numbers": lambda rng: "\n".join(f"{rng.randint(1, 900) + number}: pass" for number in range(8)),
    "ids_json": lambda rng: json.dumps({"user_id": rng.randint(10**8, 10**10), "ref": _token(rng, 12)}),
}  # fmt: skip


def cases(seed: int, each: int) -> Iterator[Case]:
    """`each` cases of every positive kind, as they are and disguised, and as many near misses in all."""
    rng = Random(seed)
    for kind, make in POSITIVE.items():
        for number in range(each):
            value = make(rng)
            hidden = number % 4 == 3 and kind in ("phone", "iban", "card")
            if hidden:
                value = disguised(rng, value)
            text = rng.choice(CARRIERS).format(value)
            yield Case(text, frozenset({kind}), f"{kind} disguised" if hidden else kind)
    families = list(NEAR.items())
    for number in range(each * len(POSITIVE)):
        name, make = families[number % len(families)]
        yield Case(rng.choice(CARRIERS).format(make(rng)), frozenset(), name)
