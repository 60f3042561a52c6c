"""What the detector finds, and what it must leave alone. Measured at length in benchmarks/privacy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.ladder.personal import KINDS, Detector, texts

ALL = Detector(list(KINDS))

FOUND = {
    "email": [
        "mail bob@acme.fr now",
        "JOSÉ.MARTÍ+X@MAIL.ACME.CO.UK",
        "mailto:o'neil@my-shop.io?subject=x",
        "<li.wei@xn--bcher-kva.com>",
        "a@example.com and b@real.org",
    ],
    "phone": [
        "+33 6 12 34 56 78",
        "+33 (0)6 12 34 56 78",
        "0612345678",
        "(415) 555-2671 x12",
        "415.555.2671",
        "+14155552671",
        "030/12345678",
        "090-1234-5678",
        "Tel.: 555 1234",
        '{"phone": "5551234"}',
        "0033 1 42 68 53 00",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "de89370400440532013000",
        "FR76-3000-6000-0112-3456-7890-189",
        "at 12 rue X, FR7630006000011234567890189.",
        "GB82 WEST 1234 5698 7654 32",
        "DE89 3704 0044\n0532 0130 00",
    ],
    "card": [
        "4111 1111 1111 1111",
        "4242-4242-4242-4242",
        "378282246310005",
        "3782 822463 10005",
        "4111\n1111\n1111\n1111",
        "cb=5555555555554444",
        "row 2026 4111 1111 1111 1111",
        "\uff14\uff11\uff11\uff11 1111 1111 1111",
        "٤١١١ ١١١١ ١١١١ ١١١١",
        "4111\u00a01111\u00a01111\u200b\u00a01111",
    ],
    "key": [
        "sk-proj-Abc123dEf456GhI789jKl012",
        "sk-proj-Abc123dEf456\nGhI789jKl012mnop",
        "AKIAIOSFODNN7EXAMPLQ",
        'password = "hunter22"',
        "mot de passe : soleil42!A",
        "postgres://app:s3cretpw@db/x",
        "Authorization: Bearer abcDEF123456ghiJKL7890",
        "api_key=0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7",
        "-----BEGIN PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA7",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6y",
    ],
}

NEAR = [
    "npm i react@18.2.0 @types/node@20.1.0 lodash@latest",
    "git@github.com:acme/api.git",
    "ask@example.com or it@host.test, root@localhost",
    "x = W@x.mean(0) @ b.T",
    "version 1.2.3.4567, python 3.11.4, 10.0.0.1:8080, 192.168.100.200",
    "2026-11-22 10:11:12 and 22/11/2026 and 20261122",
    "550e8400-e29b-41d4-a716-446655440000",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709 1700000000000",
    "order 123456789012, ORD-98765432, 112-7654321-1234567",
    "4111 1111 1111 1112 and 4242-4242-4242-4241",
    "DE88 3704 0044 0532 0130 00, XX12 3456 7890 1234",
    "0.4226  0.4249  0.8438\n0.5529  0.0410  0.3514",
    "$ 1,234,567.00 and 978-2-123456-80-3",
    "sk-folding-cube-loading-animation-dots",
    "password: str = None; token = os.environ['TOKEN']; max_tokens=4096",
    'api_key = "<YOUR_API_KEY>"; OPENAI_API_KEY=your-key-here; password=********',
    "postgres://user:password@localhost/db, Authorization: Bearer $TOKEN",
    "The file begins with -----BEGIN RSA PRIVATE KEY----- and so on.",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC",
    "eyJhIjoxfQ.eyJhIjoxfQ.not-a-token",
    "0123456789 000-000-0000",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_is_found(kind, text):
    assert kind in ALL.find(text)
    assert kind in ALL.find(f"Hello, here it is:\n{text}\nThank you.")


@pytest.mark.parametrize("text", NEAR)
def test_only_looks_like_it(text):
    assert ALL.find(text) == ()


def test_only_what_was_asked_for_is_looked_for():
    text = "bob@acme.fr 4111 1111 1111 1111 Projet Étoile"
    assert Detector(["card"]).find(text) == ("card",)
    assert Detector([], ["projet étoile"]).find(text) == ("word",)
    assert Detector([]).find(text) == ()


def test_a_request_is_looked_through_whatever_member_it_stands_in():
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"to": "bob@acme.fr"}'}}]},
        ],
        "metadata": {"password": "hunter22!"},
        "user": 4111111111111111,
    }
    assert set(ALL.find_in(body)) == {"email", "key", "card"}
    picture = {"url": "data:image/png;base64,AKIAIOSFODNN7EXAMPLQ"}
    assert list(texts({"a": [picture, "data:image/png;base64,x"]})) == ["a", "url"]


def test_two_texts_are_not_read_as_one():
    assert ALL.find_in({"messages": [{"content": "4111 1111"}, {"content": "1111 1111"}]}) == ()


@given(st.text(st.sampled_from("0123456789 +-().,:/@#=\n\"'AKIAskeyJDE-----BEGINPRIVATE\u0661\u200b"), max_size=300))
def test_any_text_may_come(text):
    assert set(ALL.find(text)) <= set(KINDS)


def test_fresh_cases(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.privacy.measure import measure

    told = measure(seed=20261122, each=60)
    assert told["recall_all"][0] >= 0.98
    assert told["false_alarms"][0] <= 0.02
