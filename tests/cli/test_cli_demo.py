"""The demo shows what it says, says that it is simulated, and fails where something is not as it should be."""

import json
import re
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from rung import config
from rung.cli import demo, demo_scenes, recorded
from rung.cli.demo_mix import mix
from rung.cli.verdict import command as verdict_command
from rung.store.ledger import Ledger
from rung.store.writer import Writer
from rung.verdicts import from_ledger


def test_the_short_demo(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "rung", "demo", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    program, climb, warm, hedge, repeat, private, trust, outage, page, verdict, label = told
    assert "tool=answered; tool, 0 USD" in program
    assert "[simulated]" not in program
    assert re.search(r"cloud=answered; groq:.* [\d.]+ USD \[simulated\]$", climb)
    assert re.search(r"; \d+ of \d+ prompt tokens were cached \[simulated\]$", warm)
    assert "cloud=cancelled:hedge_lost, cloud=answered" in hedge
    assert "unknown USD" in hedge  # the loser may have cost something, and nobody says what
    assert "exact=hit; groq:openai/gpt-oss-120b, 0 USD" in repeat
    assert "local=answered; here:gpt-6-luna, 0 USD [simulated]" in private
    assert re.search(r"local=answered; here:gpt-6-luna, .* after \d+ comparisons at most \d+% differ", trust)
    assert "cloud=failed:provider_server_error, cloud=answered; deepseek:" in outage
    assert re.search(r"\d+ bytes at http://127\.0\.0\.1:\d+/$", page)
    assert "keep the local model as a fallback" in verdict
    assert re.search(r"recorded on [\d-]+ on .*; 190 of 260 calls simulated", label)
    assert list(tmp_path.iterdir()) == []


def test_a_scene_that_is_not_as_it_should_be_is_named(capsys):
    scenes = demo_scenes.Scenes(None, None)
    scenes.say("a climb", "cloud=answered", True)
    scenes.say("an outage", "cloud=answered", False)
    assert scenes.wrong == ["an outage"]
    assert capsys.readouterr().out == "a climb:        cloud=answered\nan outage:      cloud=answered\n"


def test_exit_1_names_what_is_wrong(monkeypatch):
    async def show(home):
        return ["a hedge"]

    monkeypatch.setattr(demo_scenes, "show", show)
    done = CliRunner().invoke(demo.command, ["--short"])
    assert (done.exit_code, done.stderr) == (1, "not as it should be: a hedge\n")


LIVE = """
import asyncio, pathlib, sys
from rung.cli import demo_live
demo_live.PAUSE = 0.01
asyncio.run(demo_live.show(pathlib.Path(sys.argv[1]), 5, pathlib.Path(sys.argv[2])))
"""


def test_the_live_part_writes_its_verdict(tmp_path):
    home, page = tmp_path / "home", tmp_path / "verdict.html"
    home.mkdir()
    command = [sys.executable, "-W", "error", "-c", LIVE, str(home), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "a simulated one stands in" in done.stdout  # there is no model in that home
    assert "here:gpt-6-luna [providers simulated]" in done.stdout
    assert re.search(r"watch it: http://127\.0\.0\.1:\d+/", done.stdout)
    assert "the reference is down [simulated]" in done.stdout
    assert re.search(r"0:0\d +\d+ calls  tool .*% .* ms \$0\.00000 \| .*cloud", done.stdout)
    assert "; then live calls" in done.stdout
    assert f"the whole of it: {page.as_uri()}" in done.stdout
    told = page.read_text()
    assert "recorded on" in told
    assert str(tmp_path) not in told


def test_the_mix_is_the_same_for_the_same_seed():
    first = list(mix(200, 3))
    assert first == list(mix(200, 3))
    assert first != list(mix(200, 4))
    assert {one.kind for one in first} == {
        "document", "repeat", "extraction", "classification", "math", "writing", "support", "private",
    }  # fmt: skip
    assert all(one.answer for one in first if one.task)


# ---- the recording ----


def test_the_recording_adds_up():
    """Money in the bill is money in the recorded ledger, to the pico-dollar."""
    recording = recorded.load()
    seen = recorded.traffic(recorded.rows(recording))
    assert seen.calls == len(recording.calls) == 260
    assert sum(seen.money.values()) == sum(climb.get("cost_pico", 0) for climb in recording.climbs) > 0
    assert seen.unknown == sum("cost_pico" not in climb for climb in recording.climbs if climb["attempts"]) == 0
    assert seen.simulated == sum(climb.get("simulated", False) for climb in recording.calls)
    assert seen.days == pytest.approx(1.0, abs=0.01)


def test_the_recording_holds_no_text_and_no_path():
    recording = recorded.load()
    kept = {name for climb in recording.climbs for name in climb}
    assert not kept & {"request_text", "answer_text", "fingerprint"}
    assert {climb["tenant"] for climb in recording.climbs} == {"recorded"}
    assert all(climb["request_id"].startswith("recorded-") for climb in recording.climbs)
    assert not re.search(r"/(home|root|tmp|work|Users)/", json.dumps([recording.climbs, recording.cells]))
    assert recorded.FILE.stat().st_size < 150_000


def test_a_ledger_filled_with_the_recording_tells_the_same(tmp_path):
    recording = recorded.load()
    until = time.time()
    ledger = Ledger(tmp_path / "ledger.sqlite3", Writer())
    ledger.write(recorded.rows(recording, until))
    ledger.close()
    assert from_ledger(tmp_path / "ledger.sqlite3") == recorded.traffic(recorded.rows(recording, until))


def test_saving_twice_gives_the_same_file(tmp_path):
    recording = recorded.load()
    sizes = [recorded.save(recording, tmp_path / name) for name in ("a", "b")]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sizes[0] == sizes[1]
    assert recorded.load(tmp_path / "a") == recording


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """Somebody who has nothing: no key, no ledger."""
    home = {"RUNG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    for name, value in home.items():
        monkeypatch.setenv(name, value)
    return config.load(home, cwd=tmp_path)


def test_the_verdict_on_the_recording_is_stable(nobody):
    first, second = recorded.weighed(nobody), recorded.weighed(nobody)
    assert first.conclusion == second.conclusion
    assert first.conclusion.kind == "fallback"
    assert first.bill.total == sum(climb.get("cost_pico", 0) for climb in recorded.load().climbs)
    assert {one.task for one in first.tasks} >= {"extraction", "classification", "math"}
    assert "190 of 260 calls simulated" in first.labels[0]


def test_verdict_sample_for_people_who_have_nothing(nobody, monkeypatch):
    monkeypatch.chdir(nobody.paths.home)
    done = CliRunner().invoke(verdict_command, ["--sample"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "KEEP THE LOCAL MODEL AS A FALLBACK" in done.output
    assert "recorded on" in done.output
