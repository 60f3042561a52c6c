"""Scenarios: what is read, what is merged, and what is said of a wrong one."""

from random import Random
from statistics import median

import pytest

from rung.errors import ConfigError
from rung.sim import Scenario, faults
from rung.sim.scenario import PROVIDERS, Spread, draw, step


def test_the_default_scenario_knows_every_provider():
    scenario = Scenario.of({})
    for name in PROVIDERS:
        assert scenario.provider(name).tokens_per_second
    assert scenario.setting("groq", "openai/gpt-oss-20b", "tokens_per_second") == 1000
    assert scenario.setting("groq", "other", "tokens_per_second") == 400
    assert scenario.setting("gemini", "gemini-3.8-flash", "levels") == ["low", "medium", "high"]


def test_a_scenario_is_merged_over_the_default():
    scenario = Scenario.parse('[groq.models."openai/gpt-oss-20b"]\nfirst_token = 1\n[openai]\nscript = ["ok", 429]')
    assert scenario.setting("groq", "openai/gpt-oss-20b", "first_token") == 1
    assert scenario.setting("groq", "openai/gpt-oss-20b", "tokens_per_second") == 1000
    assert scenario.openai.script == ["ok", 429]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "x.toml: not valid TOML"),
        ("[groq]\n\ntokens_per_second = 'x'", "x.toml:3: groq.tokens_per_second: Expected `float | table`, got `str`"),
        ("[groq]\nspeed = 1", "x.toml:2: groq.speed: Object contains unknown field `speed`"),
        ("[grok]\nscript = []", "unknown field `grok`; known tables are answers, openai, groq"),
        ("[openai]\n[[openai.faults]]\nkind = 'cutt'", "x.toml:3: openai.faults[0].kind: Invalid value 'cutt'"),
        ("[openai]\nfaults = [{kind = 'status', status = 200}]", "x.toml:2: openai.faults[0].status: Expected `int`"),
        ("[openai]\nfaults = [{kind = 'cut', rate = 2.0}]", "openai.faults[0].rate: Expected `float` <= 1.0"),
        ("[openai]\nscript = ['okay']", "openai.script[0]: Invalid value 'okay'; write ok, a status, a kind or"),
        ("[openai]\nscript = [200]", "openai.script[0]: Expected `int` >= 400"),
        ("[openai]\nscript = ['failed_generation']", "the fault failed_generation is groq's own"),
        ("[openai.models.x]\nscript = ['failed_generation']", "openai.models.x: the fault failed_generation is"),
        ("[openai]\ncache = {rule = 'magic'}", "openai.cache.rule: Invalid enum value 'magic'"),
    ],
)
def test_mistakes_are_told_with_their_place(text, said):
    with pytest.raises(ConfigError) as raised:
        Scenario.parse(text, "x.toml")
    assert said in raised.value.message


def test_a_file_names_its_answers_from_its_own_folder(tmp_path):
    (tmp_path / "s.toml").write_text('start = 2026-11-23T02:00:00\n[answers]\nfile = "a.jsonl"')
    scenario = Scenario.load(tmp_path / "s.toml")
    assert scenario.answers.file == str(tmp_path / "a.jsonl")
    assert scenario.start.isoformat() == "2026-11-23T02:00:00+00:00"
    with pytest.raises(ConfigError, match="cannot be read"):
        Scenario.load(tmp_path / "none.toml")


def test_steps_of_a_script():
    assert step("ok") is None
    assert step(429) == step("429") == faults.Status(status=429)
    assert step("cut") == faults.Cut()
    assert step(faults.Empty()) == faults.Empty()


def test_distributions():
    rng = Random(1)
    assert draw(None, rng) == 0
    assert draw(3, rng) == 3.0
    assert draw(Spread(median=2), rng) == 2
    drawn = [draw(Spread(median=0.4, sigma=0.8, stall_rate=0.01), rng) for _ in range(4000)]
    assert 0.37 < median(drawn) < 0.43
    assert 15 < drawn.count(10.0) < 80
