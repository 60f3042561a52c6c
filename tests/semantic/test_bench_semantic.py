"""``rung bench semantic``: its protocol, its judge and its shapes, on a stream made here."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("wordllama")

from click.testing import CliRunner  # noqa: E402

from rung.cli.bench_semantic import command  # noqa: E402
from rung.cli.bench_semantic_replay import WARM_UP, Replayed, Store, Stream, judged, orders  # noqa: E402

THINGS = ["parcel", "garden hose", "piano", "tax form", "oven", "cabin", "lawn mower", "violin"]
WAYS = ["how do I return the {}", "can I send the {} back?", "returning a {}", "{} return, how?", "take back my {}"]


def run(tmp_path: Path, rows: list[dict[str, Any]], *options: str) -> tuple[int, str]:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    done = CliRunner().invoke(command, ["--data", str(file), *options])
    return done.exit_code, done.output


def made(count: int) -> list[dict[str, Any]]:
    rng = Random(1)
    rows = []
    for _ in range(count):
        thing = rng.choice(THINGS)
        rows.append({"prompt": rng.choice(WAYS).format(thing), "answer_class": thing})
    return rows


def test_a_stream_gives_the_keys_that_were_promised(tmp_path: Path) -> None:
    code, output = run(tmp_path, made(900), "--orders", "1", "--json")
    assert code == 0, output
    found = json.loads(output)
    for key in [
        "requests",
        "hits",
        "wrong",
        "hit_rate",
        "hit_rate_last5000",
        "wrong_per_request",
        "wrong_per_hit",
        "worst_checkpoint",
        "orders_failed",
        "labels_miss",
        "labels_audit",
        "traps_served",
        "p50_us",
        "p99_us",
    ]:
        assert key in found, key
    assert found["requests"] == 900
    assert found["hits"] > 0
    assert found["wrong_per_request"] <= 0.01
    assert found["hits"] + found["labels_miss"] == pytest.approx(900)
    assert set(found["beside"]) >= {"exact", "cosine 0.8", "cosine 0.9", "cosine 0.95", "online threshold"}


def test_pairs_are_judged_one_by_one(tmp_path: Path) -> None:
    rows = [
        {"a": "How do I tune a harp?", "b": "how can i tune a harp", "same_answer": True, "category": "repeat"},
        {"a": "How do I tune a harp?", "b": "How do I tune a lute?", "same_answer": False, "category": "thing"},
    ]
    code, output = run(tmp_path, rows, "--json")
    assert code == 0, output
    found = json.loads(output)
    assert (found["hits"], found["traps_served"], found["should_hits_served"]) == (1, 0, 1.0)
    assert found["beside"]["gptcache's rule"]["traps_served"] == 1


def test_conversations_need_the_same_earlier_turns(tmp_path: Path) -> None:
    def talk(about: str) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": f"I bought a {about}"},
            {"role": "assistant", "content": "Nice"},
            {"role": "user", "content": "Can I send it back?"},
        ]

    rows = [
        {"a": talk("harp"), "b": talk("harp"), "same_answer": True, "subtype": "same"},
        {"a": talk("harp"), "b": talk("lute"), "same_answer": False, "subtype": "swap"},
    ]
    found = json.loads(run(tmp_path, rows, "--json")[1])
    assert (found["hits"], found["traps_served"]) == (1, 0)


def test_a_table_for_people(tmp_path: Path) -> None:
    code, output = run(tmp_path, made(60), "--orders", "1")
    assert code == 0
    assert "last 5000" in output


@pytest.mark.parametrize(
    "rows", [[{"prompt": "x"}], [{"prompt": "x", "answer_class": "a"}, {"a": "x", "b": "y", "same_answer": True}]]
)
def test_other_rows_are_refused_by_line(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    code, output = run(tmp_path, rows)
    assert code == 2
    assert f"rows.jsonl:{len(rows)}" in output


def test_the_judge_rejects_two_percent_and_not_one() -> None:
    rng = np.random.default_rng(0)
    none = np.zeros(13_000, bool)
    good = [judged(Replayed(none, rng.random(13_000) < 0.008, 0), 0.01)[0] for _ in range(30)]
    bad = [judged(Replayed(none, rng.random(13_000) < 0.02, 0), 0.01)[0] for _ in range(30)]
    assert not any(good)
    assert all(bad)


def test_checkpoints_begin_after_warm_up() -> None:
    wrong = np.zeros(8000, bool)
    wrong[:WARM_UP] = True
    assert judged(Replayed(wrong, wrong, 0), 0.01) == (False, 0.0)
    assert judged(Replayed(wrong, wrong, 7500), 0.01) == (False, 0.0)


def test_orders_begin_with_the_file_s() -> None:
    first, second, _ = orders(50, 3)
    assert first.tolist() == list(range(50))
    assert sorted(second.tolist()) == list(range(50)) != second.tolist()


def test_the_store_finds_what_an_exact_search_would() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -2)
    near = np.argsort(-likeness, axis=1)[:, :10].astype(np.int32)
    data = Stream([""] * 60, [""] * 60, [False] * 60, vectors, near, np.take_along_axis(likeness, near, 1))
    store = Store(data)
    for row in range(0, 40, 2):
        store.add(row)
    for row in (1, 33, 59):
        wanted = sorted(range(0, 40, 2), key=lambda one: -likeness[row, one])[:5]
        assert [one for one, _ in store.nearest(row, 5)] == wanted
