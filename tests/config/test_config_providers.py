"""Which providers are on, where they are reached, and what may be called private."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_files import DEEPSEEK, GROQ, OPENAI, problems, settings
from hypothesis import given
from hypothesis import strategies as st

from rung.config.check import Wrong
from rung.config.providers import http_url, ollama_url


def test_keys_switch_rows_on(tmp_path: Path) -> None:
    found = settings(tmp_path, environ={**GROQ, **DEEPSEEK, "OPENAI_API_KEY": " "})
    assert list(found.providers) == ["groq", "deepseek"]
    groq = found.providers["groq"]
    assert groq.key is not None
    assert groq.key.reveal() == "gsk_one"
    assert (groq.base_url, groq.strip) == (
        "https://api.groq.com/openai/v1",
        ("logprobs", "top_logprobs", "logit_bias"),
    )
    assert (groq.connect, groq.first_byte, groq.idle) == (5.0, 120.0, 60.0)
    assert not groq.stays_here("openai/gpt-oss-20b")
    assert dict(found.providers["deepseek"].rename) == {"max_completion_tokens": "max_tokens"}


@pytest.mark.parametrize("name", ["gemini", "anthropic"])
def test_each_key_switches_its_provider_on(tmp_path: Path, name: str) -> None:
    found = settings(tmp_path, environ={f"{name.upper()}_API_KEY": "k"})
    assert [(provider.name, provider.adapter) for provider in found.providers.values()] == [(name, name)]


def test_a_row_can_be_changed_and_switched_off(tmp_path: Path) -> None:
    text = """
[providers.groq]
strip = []
models.fast = "qwen/qwen3.8-27b"
idle = "5s"
usage_in_stream = false
[providers.deepseek]
enabled = false
[deadlines]
connect = 2
"""
    found = settings(tmp_path, text, {**GROQ, **DEEPSEEK})
    assert list(found.providers) == ["groq"]
    groq = found.providers["groq"]
    assert (groq.strip, groq.usage_in_stream, groq.connect, groq.idle) == ((), False, 2.0, 5.0)
    assert (groq.models.fast, groq.models.strong) == ("qwen/qwen3.8-27b", "openai/gpt-oss-120b")


def test_a_provider_of_your_own(tmp_path: Path) -> None:
    text = """
[providers.vllm]
base_url = "http://127.0.0.1:8000/v1/"
private_host = true
models = { strong = "Qwen/Qwen3-32B" }
headers = { x-team = "a b" }
[providers.remote]
base_url = "https://llm.example.com/v1"
key_env = "REMOTE_KEY"
"""
    found = settings(tmp_path, text, {"REMOTE_KEY": "abc"})
    vllm, remote = found.providers["vllm"], found.providers["remote"]
    assert (vllm.base_url, vllm.key, vllm.adapter) == ("http://127.0.0.1:8000/v1", None, "openai")
    assert vllm.stays_here("anything")
    assert vllm.headers["x-team"].reveal() == "a b"
    assert remote.key is not None
    assert remote.key.reveal() == "abc"
    assert not remote.stays_here("anything")
    assert found.warnings == ()


def test_a_missing_key_switches_off_and_tells_which_variable(tmp_path: Path) -> None:
    text = "[providers.groq]\n[providers.lan]\nbase_url = 'https://lan/v1'\nkey_env = 'LAN_KEY'\n"
    found = settings(tmp_path, text)
    assert found.providers == {}
    assert found.warnings == (
        "[providers.groq] is switched off: its key is missing; set GROQ_API_KEY",
        "[providers.lan] is switched off: its key is missing; set LAN_KEY",
    )


def test_a_row_at_an_address_of_your_own_needs_no_key(tmp_path: Path) -> None:
    found = settings(tmp_path, "[providers.groq]\nbase_url = 'http://127.0.0.1:9/v1'\n")
    assert (found.providers["groq"].key, found.warnings) == (None, ())


def test_a_key_in_the_file_works_and_is_told(tmp_path: Path) -> None:
    found = settings(tmp_path, "[providers.groq]\nkey = 'gsk_file'\n", GROQ)
    assert found.providers["groq"].key is not None
    assert found.providers["groq"].key.reveal() == "gsk_file"
    assert found.warnings == ('[providers.groq] holds its key in the file; better: key_env = "NAME"',)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[providers.x]", '1: [providers.x] needs base_url = "http..."; rung itself knows only groq, deepseek, openai'),
        ("[providers.x]\nbase_url = 'ftp://a'", "2: providers.x.base_url must begin with http:// or https://"),
        ("[providers.x]\nbase_url = 'localhost:8000'", "2: providers.x.base_url must begin with http:// or https://"),
        ("[providers.x]\nbase_url = 'http://'", "2: providers.x.base_url names no host"),
        ("[providers.x]\nbase_url = 'http://a:b/v1'", "2: providers.x.base_url is not an address"),
        ("[providers.x]\nbase_url = 'http://u:p@a/v1'", "2: providers.x.base_url must not hold a user or password"),
        ("[providers.x]\nbase_url = 'http://a/v1?k=1'", "2: providers.x.base_url must end before any ? or #"),
        (
            "[providers.groq]\nbase_ulr = 'http://a/v1'",
            "2: unknown key 'base_ulr' in [providers.groq]; did you mean 'ba",
        ),
        ("[providers.local]\nbase_url = 'http://a/v1'", "1: a provider cannot be called 'local': the name means some"),
        (
            "[providers.\"A b\"]\nbase_url = 'http://a/v1'",
            "1: a provider cannot be called 'A b'; use lower-case letter",
        ),
        ("[providers.Groq]\nkey = 'a'", "1: two providers are called 'groq'; rename or merge [providers.Groq]"),
        (
            "[providers.x]\nbase_url = 'http://a/v1'\n[providers.X]\nbase_url = 'http://b/v1'",
            "3: two providers are called 'x'",
        ),
        ("[providers.groq]\nkey = 'a'\nkey_env = 'B'", "2: [providers.groq] has both key and key_env; keep key_env"),
        (
            "[providers.groq]\nkey_env = 'gsk_a'",
            "2: [providers.groq] key_env must be the NAME of a variable, in capitals",
        ),
        (
            "[providers.x]\nbase_url = 'http://127.0.0.1/v1'\n[providers.x.headers]\nHost = 'a'",
            "4: header 'Host' cannot be set here; remove it",
        ),
        (
            "[providers.x]\nbase_url = 'http://127.0.0.1/v1'\nheaders = { 'a: b' = 'c' }",
            "3: header 'a: b' cannot be set here; remove it",
        ),
        (
            "[providers.x]\nbase_url = 'http://192.168.1.9:1/v1'\nprivate_host = true",
            "3: [providers.x] cannot be a private_host: 192.168.1.9 is not an address of this machine",
        ),
        (
            "[providers.x]\nbase_url = 'http://localhost:1/v1'\nprivate_host = true",
            "3: [providers.x] private_host needs an address: write 127.0.0.1 instead of localhost",
        ),
        ("[providers.x]\nmodels = 'a'\nbase_url = 'http://a/v1'", "2: providers.x.models must be a table"),
        (
            "[providers.x.models]\nfats = 'a'\n[providers.x]\nbase_url = 'http://a/v1'",
            "2: unknown key 'fats' in [providers.x.models]; did you mean 'fast'?",
        ),
    ],
)
def test_mistakes_about_providers(tmp_path: Path, text: str, expected: str) -> None:
    (told,) = problems(tmp_path, text)
    assert told.startswith(f"rung.toml:{expected}")


def test_what_deserves_a_look(tmp_path: Path) -> None:
    text = "[providers.x]\nbase_url = 'http://192.168.1.9:1'\nkey_env = 'K'\n"
    assert settings(tmp_path, text, {"K": "a"}).warnings == (
        "x: the key travels unencrypted to 192.168.1.9; use https",
        "[providers.x] base_url has no path; most servers want /v1 at its end",
    )


def test_an_api_of_its_own_has_no_v1(tmp_path: Path) -> None:
    text = "[providers.ollama]\nbase_url = 'http://127.0.0.1:1'\n[providers.gemini]\nbase_url = 'http://127.0.0.1:2'\n"
    assert settings(tmp_path, text).warnings == ()


def test_ollama_counts_as_cloud_until_it_is_declared_private(tmp_path: Path) -> None:
    environ = {"OLLAMA_HOST": "127.0.0.1"}
    found = settings(tmp_path, environ=environ)
    assert found.providers["ollama"].base_url == "http://127.0.0.1:11434"
    assert not found.providers["ollama"].stays_here("phi4")
    assert (found.ladder.reference, found.ladder.fallback) == (None, ())
    declared = settings(tmp_path, "[providers.ollama]\nprivate_host = true\n", environ).providers["ollama"]
    assert declared.stays_here("phi4")
    assert not declared.stays_here("gpt-oss:120b-cloud")
    assert not declared.stays_here("kimi-k2:cloud")


def test_a_remote_ollama_cannot_be_declared_private(tmp_path: Path) -> None:
    environ = {"OLLAMA_HOST": "https://ollama.example.com"}
    assert settings(tmp_path, environ=environ).providers["ollama"].base_url == "https://ollama.example.com:443"
    (told,) = problems(tmp_path, "[providers.ollama]\nprivate_host = true\n", environ)
    assert told.startswith("rung.toml:2: [providers.ollama] cannot be a private_host")


def test_a_bad_variable_is_told_by_its_name(tmp_path: Path) -> None:
    told = problems(tmp_path, "", {"OLLAMA_HOST": "tcp://a", "OPENAI_API_KEY": "a\u00e9"})
    assert [problem.partition(" must ")[0].partition(" holds ")[0] for problem in told] == [
        "environment: OPENAI_API_KEY",
        "environment: OLLAMA_HOST",
    ]


def test_a_key_for_ollama_alone_does_not_switch_it_on(tmp_path: Path) -> None:
    assert settings(tmp_path, environ={"OLLAMA_API_KEY": "a"}).providers == {}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:80", "http://box:80"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("[::]:1", "http://[::1]:1"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("http://box", "http://box:80"),
        ("https://box/", "https://box:443"),
        ("https://box:1/some/path", "https://box:1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(host: str, expected: str) -> None:
    assert ollama_url(host).geturl() == expected


@given(st.text())
def test_no_text_breaks_the_reading_of_addresses(text: str) -> None:
    for read in (http_url, ollama_url):
        try:
            url = read(text)
        except Wrong:
            continue
        assert url.scheme in ("http", "https")
        assert url.hostname
        assert "@" not in url.netloc


def test_one_provider_is_reference_fast_and_strong(tmp_path: Path) -> None:
    for environ, fast, strong in (
        (GROQ, "groq:openai/gpt-oss-20b", "groq:openai/gpt-oss-120b"),
        (DEEPSEEK, "deepseek:deepseek-flash", "deepseek:deepseek-v4-pro"),
        (OPENAI, "openai:gpt-6-luna", "openai:gpt-6.1-terra"),
    ):
        found = settings(tmp_path, environ=environ)
        assert (found.ladder.fast, found.ladder.strong, found.ladder.reference) == (fast, strong, strong)
        assert found.warnings == found.advice == found.ladder.fallback == ()
