"""The states of a cell: what opens it, what closes it, what the user may do, and what it says of itself."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import msgspec
import pytest

from rung.ladder.trust import Cell, CellKey, Change, Rules, explain, forecast
from rung.ladder.trust.cell import REMEMBERED
from rung.ladder.trust.closing import Closing

KEY = CellKey("math", "local", "qwen", "0123456789abcdef", "t1", "s1", 0.05)


def label(cell: Cell, number: int, disagrees: bool = False, score: float = 0.9) -> list[Change]:
    name = f"{cell.epoch}/{number}"
    return cell.observe(score, disagrees, cell.coin(score, name), session=str(number % 40), fingerprint=name)


def opened(rules: Rules | None = None, cuts: tuple[float, ...] = (0.0,)) -> Cell:
    cell = Cell.new(KEY, rules or Rules(), cuts)
    for number in range(400):
        if any(change.what == "opened" for change in label(cell, number)):
            return cell
    raise AssertionError(cell.state)


def test_it_opens_on_the_label_the_test_passes() -> None:
    cell = Cell.new(KEY, Rules())
    changes = [label(cell, number) for number in range(65)]
    assert changes[:64] == [[]] * 64
    assert changes[64] == [Change("opened", "evidence", 1, 0.0)]
    assert cell.serves(0.1)


def test_one_session_proves_nothing_however_long() -> None:
    cell = Cell.new(KEY, Rules())
    for number in range(200):
        cell.observe(0.9, False, cell.coin(0.9), session="same", fingerprint=str(number))
    assert cell.state == "shadow"
    assert forecast(cell).sessions_missing == 19
    assert "19 more sessions" in " ".join(explain(cell))
    for number in range(19):
        changes = label(cell, number)
    assert [change.what for change in changes] == ["opened"]


def test_a_repeat_counts_once() -> None:
    cell = Cell.new(KEY, Rules())
    for _ in range(5):
        cell.observe(0.9, False, cell.coin(0.9), session="a", fingerprint="same")
    assert cell.opening.labels == 1
    assert cell.coin(0.9, "same").pi == 0
    assert cell.coin(0.9, "other").pi == 1
    for number in range(REMEMBERED):
        cell.observe(0.9, True, cell.coin(0.9), session="a", fingerprint=str(number))
    assert len(cell.known) == REMEMBERED


def test_rates_follow_state_score_and_unease() -> None:
    cell = opened(cuts=(0.5, 0.0))
    cell.opening.passed = 1
    served, sent_up = cell.coin(0.9), cell.coin(0.1)
    assert (served.pi, served.floor, served.served) == (0.03, 0.03, True)
    assert (sent_up.pi, sent_up.floor, sent_up.served) == (0.10, 0.03, False)
    cell.closing.wealth = [3.0] * 5
    assert cell.coin(0.9).pi == 0.30
    assert cell.coin(0.9).floor == 0.10  # calls still sent up are then labelled least


def test_labels_of_calls_sent_up_weigh_less_once_it_is_open() -> None:
    cell = opened(cuts=(0.5, 0.0))
    cell.opening.passed = 1
    before = cell.opening.levels[1].labels
    label(cell, 1000, score=0.1)
    assert cell.opening.levels[1].labels - before == pytest.approx(0.3)


def test_drift_closes_it_into_quarantine_and_a_new_epoch() -> None:
    cell = opened()
    changes: list[Change] = []
    for number in range(1000, 1020):
        changes += label(cell, number, disagrees=True)
    assert changes == [Change("quarantined", "drift", 2)]
    assert not cell.serves(1.0)
    assert cell.opening.labels == 0
    waits = Rules().quarantine - (20 - next(n for n in range(1, 21) if closes_after(n)))
    assert cell.waiting == waits
    for number in range(cell.waiting):
        changes += label(cell, number)
    assert changes[-1] == Change("shadow", "quarantine_over", 2)
    assert cell.opening.labels == 0  # what quarantine lets pass is no evidence


def closes_after(disagreements: int) -> bool:
    detector = Closing()
    for _ in range(disagreements):
        detector.observe(True, 0.05)
    return detector.value >= 300


def test_each_quarantine_lasts_longer() -> None:
    cell = opened()
    waits = []
    for _ in range(8):
        cell.state = "open"
        cell.closing.wealth = [1e6] * 5
        coin = cell.coin(0.9)
        assert coin.watched
        cell.opening.passed = 1
        cell.observe(0.9, True, cell.coin(0.9))
        waits.append(cell.waiting)
    assert waits == [30, 60, 120, 240, 480, 960, 960, 960]


@pytest.mark.parametrize(("risk", "within"), [(0.15, 2_000), (0.02, 20_000)])
def test_it_closes_soon_after_a_step_and_hardly_ever_without_one(risk: float, within: int) -> None:
    dice, closed = random.Random(5), 0
    for _ in range(25):
        cell, given = opened(), 0
        while given < within:
            coin = cell.coin(0.9)
            given += 1 + int(math.log(1 - dice.random()) / math.log(1 - coin.pi))
            if given < within and cell.observe(0.9, dice.random() < risk, coin):
                closed += 1
                break
    assert closed >= 23 if risk > 0.05 else closed <= 1


def test_feedback_closes_and_never_opens() -> None:
    shadow = Cell.new(KEY, Rules())
    assert shadow.feedback(wrong=True) == []
    assert shadow.feedback(wrong=False) == []
    assert shadow.state == "shadow"
    cell = opened()
    cell.answered(1000)
    assert all(cell.feedback(wrong=True) == [] for _ in range(50))  # 5 % of 1,000 is what was promised
    changes: list[Change] = []
    while not changes:
        changes = cell.feedback(wrong=True)
    assert changes == [Change("quarantined", "feedback", 2)]


def test_it_closes_when_it_costs_more_than_it_saves() -> None:
    cell = opened()
    assert cell.account(saved=1, spent=1_000_000) == []  # too early to tell
    cell.answered(200)
    assert cell.account(saved=1) == [Change("closed", "net_value", 1)]
    assert cell.coin(0.9).pi == 0
    assert label(cell, 5) == []
    assert cell.renew("prices").what == "shadow"


def test_a_limit_below_what_the_reference_differs_from_itself_is_refused() -> None:
    cell = opened()
    for number in range(40):
        cell.reference_compared(number % 4 == 0)
    assert cell.refused
    assert not cell.serves(1.0)
    assert "cannot be proved against it" in " ".join(explain(cell))


def test_the_user_may_pin_close_and_reset() -> None:
    cell = Cell.new(KEY, Rules(), [0.5])
    cell.pin()
    assert cell.serves(0.0)
    for number in range(60):
        label(cell, number, disagrees=True)
    assert cell.state == "open"  # held by the user
    assert "nothing is promised" in explain(cell)[0]
    cell.close()
    cell.renew("model changed")
    assert (cell.state, cell.serves(1.0)) == ("closed", False)
    assert cell.reset() == Change("shadow", "user", 3)
    assert not cell.pinned


def test_a_late_label_of_an_earlier_epoch_counts_for_nothing() -> None:
    cell = Cell.new(KEY, Rules())
    coin = cell.coin(0.9)
    cell.renew("template")
    assert cell.observe(0.9, False, coin) == []
    assert cell.opening.labels == 0


def test_it_survives_json_and_goes_on_where_it_was() -> None:
    cell = opened(cuts=(0.5, 0.0))
    label(cell, 900, disagrees=True)
    plain: dict[str, Any] = json.loads(json.dumps(cell.snapshot()))
    again = Cell.restore(plain)
    assert again == cell
    assert label(again, 901) == label(cell, 901)
    assert again == cell
    assert Cell.restore(plain, Rules(audit_rate=0.05)).state == "open"
    assert Cell.restore(plain, Rules(delta=0.05)).state == "shadow"  # another promise needs its own evidence
    with pytest.raises(msgspec.ValidationError):
        Cell.restore({"key": "x"})


def test_what_can_never_be_is_told_with_its_number() -> None:
    cell = Cell.new(KEY, Rules())
    for number in range(300):
        label(cell, number, disagrees=number % 3 == 0)
    ahead = forecast(cell)
    assert ahead.labels_missing is None
    assert 0.2 < ahead.escalation_floor < (1 / 3 - 0.05) / 0.95
    words = " ".join(explain(cell))
    assert "not at this rate" in words
    assert f"at least {ahead.escalation_floor:.1%} of the calls up" in words


def test_missing_labels_are_counted_as_the_test_counts_them() -> None:
    cell = Cell.new(KEY, Rules())
    for number in range(30):
        label(cell, number)
    assert forecast(cell).labels_missing == 35


@pytest.mark.parametrize("wrong", [{"delta": 0.0}, {"limits": (0.2, 0.1)}, {"audit_rate": 0.0}, {"audit_burst": 0.01}])
def test_rules_that_promise_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Rules(**wrong)


def test_a_request_chooses_from_the_list_of_limits() -> None:
    rules = Rules()
    assert rules.limit_for(None, 0.05) == 0.05
    assert rules.limit_for(0.07, 0.05) == 0.05
    assert rules.limit_for(0.2, 0.05) == 0.2
    assert rules.limit_for(0.001, 0.05) is None
    assert str(KEY) == "math/local/qwen@0123456789ab/t1/s1/5%"
