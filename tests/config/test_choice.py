"""Reference, fast and strong: chosen, suggested or left empty, and always the same for the same settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_files import DEEPSEEK, GROQ, OPENAI, problems, settings

LAN = "[providers.lan]\nbase_url = 'http://127.0.0.1:1/v1'\n"


def test_several_providers_get_a_suggestion_to_paste(tmp_path: Path) -> None:
    found = settings(tmp_path, environ={**OPENAI, **GROQ, **DEEPSEEK})
    assert found.ladder.reference == found.ladder.strong == "openai:gpt-6.1-terra"
    assert found.ladder.fast == "groq:openai/gpt-oss-20b"
    assert found.ladder.fallback == ("groq:openai/gpt-oss-120b", "deepseek:deepseek-v4-pro")
    (warning,) = found.warnings
    assert warning.startswith("several providers are switched on and nobody chose among them")
    pasted = settings(tmp_path, "\n".join(found.advice), {**OPENAI, **GROQ, **DEEPSEEK})
    assert (pasted.warnings, pasted.advice) == ((), ())
    assert pasted.ladder == found.ladder
    assert pasted.version == found.version


def test_the_suggestion_does_not_depend_on_the_order_of_the_environment(tmp_path: Path) -> None:
    one = settings(tmp_path, environ={**DEEPSEEK, **GROQ})
    other = settings(tmp_path, environ={**GROQ, **DEEPSEEK})
    assert one == other
    assert one.ladder.reference == "deepseek:deepseek-v4-pro"


def test_a_tie_in_speed_goes_to_the_cheaper(tmp_path: Path) -> None:
    found = settings(tmp_path, environ={**DEEPSEEK, **OPENAI})
    assert found.ladder.fast == "openai:gpt-6-luna"


def test_a_choice_holds_and_the_rest_follows_from_it(tmp_path: Path) -> None:
    text = "[ladder]\nreference = 'groq:openai/gpt-oss-120b'\nfast = 'deepseek:deepseek-flash'\n"
    found = settings(tmp_path, text, {**OPENAI, **GROQ, **DEEPSEEK})
    assert found.ladder.strong == found.ladder.reference == "groq:openai/gpt-oss-120b"
    assert found.ladder.fast == "deepseek:deepseek-flash"
    assert (found.warnings, found.advice) == ((), ())
    strong = settings(tmp_path, text.replace("reference", "strong"), {**OPENAI, **GROQ})
    assert strong.ladder.reference == "groq:openai/gpt-oss-120b"


def test_only_what_is_missing_is_suggested(tmp_path: Path) -> None:
    found = settings(tmp_path, "[ladder]\nreference = 'deepseek:deepseek-v4-pro'\n", {**GROQ, **DEEPSEEK})
    assert found.advice == ("[ladder]", 'fast = "groq:openai/gpt-oss-20b"')


def test_a_chosen_provider_that_is_switched_off_is_not_replaced(tmp_path: Path) -> None:
    text = "[ladder]\nreference = 'openai:gpt-6.1-sol'\nstrong = 'gemini:gemini-3.8-flash'\n"
    found = settings(tmp_path, text, GROQ)
    assert (found.ladder.reference, found.ladder.strong) == (None, None)
    assert found.ladder.fast == "groq:openai/gpt-oss-20b"
    assert found.warnings == (
        "ladder.reference = 'openai:gpt-6.1-sol' is not used: openai is switched off",
        "ladder.strong = 'gemini:gemini-3.8-flash' is not used: gemini is switched off",
    )


def test_a_private_host_is_no_cloud_but_may_be_chosen(tmp_path: Path) -> None:
    text = LAN + "private_host = true\nmodels.strong = 'big'\n"
    assert settings(tmp_path, text).ladder.reference is None
    assert settings(tmp_path, text, GROQ).ladder.reference == "groq:openai/gpt-oss-120b"
    assert settings(tmp_path, text + "[ladder]\nreference = 'lan:big'\n").ladder.reference == "lan:big"


def test_own_providers_need_a_model_to_be_suggested(tmp_path: Path) -> None:
    assert settings(tmp_path, LAN).ladder.reference is None
    found = settings(tmp_path, LAN + "models.fast = 'small'\n")
    assert (found.ladder.reference, found.ladder.fast) == ("lan:small", "lan:small")


def test_fallbacks_by_price_by_speed_or_as_written(tmp_path: Path) -> None:
    text = LAN + "models.strong = 'big'\n[ladder]\nreference = 'openai:gpt-6.1-terra'\nfast = 'openai:gpt-6-luna'\n"
    keys = {**GROQ, **DEEPSEEK, **OPENAI}
    cheap = ("groq:openai/gpt-oss-120b", "deepseek:deepseek-v4-pro", "lan:big")
    assert settings(tmp_path, text, keys).ladder.fallback == cheap
    cheaper = text + "order = 'price'\n[prices.'lan:big']\ninput = 0.1\noutput = 0.1\n"
    assert settings(tmp_path, cheaper, keys).ladder.fallback[0] == "lan:big"
    assert settings(tmp_path, text + "order = 'latency'\n", keys).ladder.fallback[0] == "groq:openai/gpt-oss-120b"
    assert settings(tmp_path, text + "fallback = []\n", keys).ladder.fallback == ()
    written = settings(tmp_path, text + "fallback = ['lan:big', 'gemini:x']\n", keys)
    assert written.ladder.fallback == ("lan:big",)
    assert len(written.warnings) == 1


def test_a_reference_per_task(tmp_path: Path) -> None:
    text = "[ladder.reference_for]\nextraction = 'groq:openai/gpt-oss-20b'\nmath = 'openai:gpt-6.1-sol'\n"
    found = settings(tmp_path, text, GROQ)
    assert dict(found.ladder.reference_for) == {"extraction": "groq:openai/gpt-oss-20b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "reference = 'gpt-6-luna'",
            "2: 'gpt-6-luna' must be written provider:model; did you mean 'openai:gpt-6-luna'?",
        ),
        ("reference = 'best'", "2: 'best' must be written provider:model, for example groq:"),
        ("reference = 'groq:'", "2: 'groq:' must be written provider:model"),
        ("fast = 'gorq:x'", "2: unknown provider 'gorq' in 'gorq:x'; did you mean 'groq'?"),
        (
            "fast = 'zz:x'",
            "2: unknown provider 'zz' in 'zz:x'; known are groq, deepseek, openai, gemini, anthropic, olla",
        ),
        ("fallback = [\n'groq:openai/gpt-oss-20b',\n'zz:x']", "4: unknown provider 'zz'"),
        ("reference_for.extracton = 'groq:x'", "2: unknown task 'extracton'; did you mean 'extraction'?"),
        ("reference_for = { zzz = 'groq:x' }", "2: unknown task 'zzz'; known are validation_formatting"),
        ("reference_for = { math = 'zz:x' }", "2: unknown provider 'zz'"),
    ],
)
def test_mistakes_about_models(tmp_path: Path, text: str, expected: str) -> None:
    (told,) = problems(tmp_path, f"[ladder]\n{text}\n", GROQ)
    assert told.startswith(f"rung.toml:{expected}")


def test_a_model_nobody_priced_is_told(tmp_path: Path) -> None:
    found = settings(tmp_path, "[ladder]\nreference = 'groq:openai/gpt-oss-120bb'\n", GROQ)
    assert found.ladder.reference == "groq:openai/gpt-oss-120bb"
    (warning,) = found.warnings
    assert warning.endswith("its cost will be unknown; did you mean 'groq:openai/gpt-oss-120b'?")
    own = "[prices.'groq:new']\ninput = 1\noutput = 1\n[ladder]\nreference = 'groq:new'\n"
    assert settings(tmp_path, own, GROQ).warnings == ()


def test_what_proves_models_must_exist_and_the_limit_be_on_the_list(tmp_path: Path) -> None:
    told = settings(tmp_path, '[trust]\ncandidates = ["groq:openai/gpt-oss-20b"]\nmax_error = 0.2\n', GROQ)
    assert (told.trust.candidates, told.trust.max_error) == (("groq:openai/gpt-oss-20b",), 0.2)
    wrong = problems(tmp_path, '[trust]\ncandidates = ["groqq:x"]\njudge = "nobody"\nmax_error = 0.03\n', GROQ)
    assert [line.partition(": ")[2][:24] for line in wrong] == [
        "unknown provider 'groqq'",
        "'nobody' must be written",
        "trust.max_error must be ",
    ]
