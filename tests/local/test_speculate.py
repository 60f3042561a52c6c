"""When drafts pay, and what counts as an edit."""

from __future__ import annotations

import pytest

from rung.local import speculate
from rung.local.speculate import ENOUGH, Drafted, Gauge, drafted, task_of
from rung.testing import make_call

CODE = "```python\n" + "total = total + 1\n" * 20 + "```"


def answers(gauge: Gauge, task: str, ms_per_token: float, *, drafts: bool, count: int = 10) -> None:
    for _ in range(count):
        offered = 80 if drafts else 0
        gauge.add(task, Drafted(ENOUGH // 4, ENOUGH // 4 * ms_per_token, offered, offered * 3 // 4))


@pytest.mark.parametrize(
    ("content", "task"),
    [
        (f"Rename total to count.\n\n{CODE}", "edit"),
        (f"{CODE}\n\nPlease fix the bug.", "edit"),
        (f"What does this print?\n\n{CODE}", "other"),
        ("Add 3 and 4." + " Really." * 40, "other"),
        ("Rename it:\n```\nx\n```" + " " * 300, "other"),
        ([{"type": "text", "text": f"Fix it\n{CODE}"}], "other"),
        (None, "other"),
    ],
)
def test_an_edit_is_a_pasted_block_and_a_word_for_changing_it(content: object, task: str) -> None:
    call = make_call(body={"messages": [{"role": "user", "content": content}]})
    assert task_of(call) == task
    call.task = "translation"
    assert task_of(call) == ("edit" if task == "edit" else "translation")


def test_the_gain_is_measured_against_answers_without_drafts() -> None:
    gauge = Gauge()
    assert gauge.gain("edit") is None
    answers(gauge, "other", 50.0, drafts=False)
    assert gauge.gain("edit") is None
    answers(gauge, "edit", 25.0, drafts=True)
    assert gauge.gain("edit") == pytest.approx(2.0)
    assert gauge.accepted("edit") == pytest.approx(0.75)
    assert gauge.accepted("other") is None
    assert gauge.pays


def test_drafts_that_gain_nothing_anywhere_do_not_pay() -> None:
    gauge = Gauge()
    answers(gauge, "other", 50.0, drafts=False)
    answers(gauge, "other", 60.0, drafts=True)
    assert not gauge.pays
    answers(gauge, "edit", 30.0, drafts=True, count=20)
    assert gauge.pays  # one task that gains keeps them


def test_a_task_that_loses_more_than_others_gain_ends_them() -> None:
    gauge = Gauge()
    answers(gauge, "other", 50.0, drafts=False)
    answers(gauge, "edit", 40.0, drafts=True)
    assert gauge.pays
    answers(gauge, "translation", 70.0, drafts=True, count=20)
    assert gauge.gain("edit") == pytest.approx(1.25)
    assert gauge.gain("translation") == pytest.approx(50 / 70)
    assert not gauge.pays


def test_the_tasks_told_apart_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculate, "_MOST_TASKS", 2)
    gauge = Gauge()
    answers(gauge, "other", 50.0, drafts=False)
    for task in ("a", "other", "b", "c"):
        answers(gauge, task, 25.0, drafts=True)
    assert gauge.gain("a") == gauge.gain("other") == pytest.approx(2.0)
    assert gauge.gain("b") is gauge.accepted("c") is None


def test_nothing_is_decided_on_little() -> None:
    gauge = Gauge()
    answers(gauge, "other", 50.0, drafts=False, count=1)
    answers(gauge, "edit", 90.0, drafts=True, count=1)
    gauge.add("edit", Drafted(2, 1.0, 2, 2))
    assert gauge.pays


def test_what_is_old_counts_less() -> None:
    gauge = Gauge()
    answers(gauge, "other", 50.0, drafts=False)
    answers(gauge, "edit", 90.0, drafts=True, count=40)
    assert not gauge.pays
    answers(gauge, "edit", 20.0, drafts=True, count=200)
    assert gauge.pays


def test_drafts_are_read_from_the_frame_of_times() -> None:
    frame = b'data: {"choices":[]}\n\ndata: {"timings":{"predicted_n":9,"predicted_ms":4.5,"draft_n":3,"x":1}}\n\n'
    assert drafted(frame) == Drafted(9, 4.5, 3, 0)
    assert drafted(b'data: {"choices":[]}\n\n') is None
    assert drafted(b'data: {"timings":[]}\n\n') is None
