"""A provider is a row: the shipped file holds what `Row` knows and nothing else."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
import pytest

from rung.providers import rows as module
from rung.providers.rows import ModelRule, ModelRules, Row, rows


def test_the_providers_of_this_release() -> None:
    told = {row.name: row.adapter for row in rows().values()}
    assert told == {"groq": "openai", "deepseek": "openai", "openai": "openai", "gemini": "gemini"} | {
        "anthropic": "anthropic",
        "ollama": "ollama",
    }


def test_each_row_can_be_used() -> None:
    for name, row in rows().items():
        assert row.name == name
        assert urlsplit(row.base_url).scheme in ("http", "https")
        assert not row.base_url.endswith("/")
        assert row.key_env is not None or not row.key_required
        assert (row.fast is None) == (row.strong is None)


def test_what_providers_reject_or_rename() -> None:
    assert rows()["groq"].strip == ("logprobs", "top_logprobs", "logit_bias")
    assert dict(rows()["deepseek"].rename) == {"max_completion_tokens": "max_tokens"}


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        rows()["groq"].rename["a"] = "b"  # type: ignore[index]
    with pytest.raises(TypeError):
        rows()["x"] = rows()["groq"]  # type: ignore[index]


def test_every_field_of_the_file_is_told_what_it_means() -> None:
    data = orjson.loads(module.ROWS_FILE.read_bytes())
    used = {field for fields in data["providers"].values() for field in fields}
    assert used <= set(Row.__dataclass_fields__)
    assert used - set(data["_meta"]["fields"]) <= {"base_url", "fast", "strong", "key_required"}
    of_models = {field for fields in data["providers"].values() for rule in fields.get("models", ()) for field in rule}
    assert of_models <= set(ModelRule.__dataclass_fields__) == set(data["_meta"]["model_fields"])


def test_the_first_rule_that_matches_counts() -> None:
    rules = ModelRules(rows()["gemini"].models)
    assert rules.of("gemini-3.8-flash-preview").effort["minimal"] == "LOW"
    assert rules.of("gemini-3.5-flash-lite").effort["minimal"] == "MINIMAL"
    assert rules.of("gemini-2.5-flash").effort["none"] == 0
    assert rules.of("somebody-elses").strip == ()
    for number in range(2000):
        rules.of(f"name-{number}")
    assert len(rules._known) <= 512


@pytest.mark.parametrize(
    ("name", "key", "shown"),
    [
        ("groq", "k", ("authorization", "Bearer k")),
        ("gemini", "k", ("x-goog-api-key", "k")),
        ("anthropic", "sk-ant-api1", ("x-api-key", "sk-ant-api1")),
        ("anthropic", "sk-ant-oat1", ("authorization", "Bearer sk-ant-oat1")),
    ],
)
def test_how_a_key_is_shown(name: str, key: str, shown: tuple[str, str]) -> None:
    assert rows()[name].key_line(key) == shown
