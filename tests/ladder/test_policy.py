"""The order of rungs as a table."""

import pytest

from rung.errors import InvalidRequestError, LadderExhausted, PrivacyError
from rung.ladder.order import Offer
from rung.ladder.policy import Lineup, dead_end, explain, plan, split, substitutes, unknown_model
from rung.testing import ScriptedRung, make_call

TOOL = ScriptedRung([], name="tool", model="tool", stays_here=True)
EXACT = ScriptedRung([], name="exact", model="exact", stays_here=True)
LOCAL = ScriptedRung([], name="local", model="local:small", stays_here=True)
GROQ = ScriptedRung([], model="groq:big")
QUICK = ScriptedRung([], model="groq:quick")
DEEP = ScriptedRung([], model="deepseek:pro")
HOME = ScriptedRung([], model="vllm:mine", stays_here=True)

FULL = Lineup(
    tool=TOOL,
    exact=EXACT,
    local=LOCAL,
    reference=DEEP,
    fast=QUICK,
    strong=GROQ,
    clouds=(GROQ, QUICK),
    reference_for={"extraction": QUICK},
)
BARE = Lineup(tool=TOOL, exact=EXACT, local=LOCAL)
CLOUDY = Lineup(tool=TOOL, exact=EXACT, reference=GROQ, fast=GROQ, strong=GROQ)
HOSTED = Lineup(tool=TOOL, exact=EXACT, reference=GROQ, hosts=(HOME,))
EAGER = Lineup(tool=TOOL, exact=EXACT, local=LOCAL, reference=GROQ, local_in_auto=True)

TABLE = [
    # lineup, model, mode, private, task, expected
    (FULL, "auto", "auto", False, "", [TOOL, EXACT, DEEP, GROQ, QUICK, LOCAL]),
    (FULL, "auto", "auto", False, "extraction", [TOOL, EXACT, QUICK, DEEP, GROQ, LOCAL]),
    (FULL, "auto", "local", False, "", [TOOL, EXACT, LOCAL]),
    (FULL, "auto", "cloud", False, "", [EXACT, DEEP, GROQ, QUICK]),
    (FULL, "auto", "fast", False, "", [EXACT, QUICK, DEEP, GROQ]),
    (FULL, "auto", "strong", False, "", [EXACT, GROQ, DEEP]),
    (FULL, "local", "auto", False, "", [EXACT, LOCAL]),
    (FULL, "fast", "auto", False, "", [EXACT, QUICK, DEEP, GROQ]),
    (FULL, "strong", "auto", False, "", [EXACT, GROQ, DEEP]),
    (FULL, "auto", "auto", True, "", [TOOL, EXACT, LOCAL]),
    (FULL, "local", "auto", True, "", [EXACT, LOCAL]),
    (BARE, "auto", "auto", False, "", [TOOL, EXACT, LOCAL]),
    (CLOUDY, "auto", "auto", False, "", [TOOL, EXACT, GROQ]),
    (HOSTED, "auto", "auto", False, "", [TOOL, EXACT, GROQ, HOME]),
    (HOSTED, "auto", "auto", True, "", [TOOL, EXACT, HOME]),
    (HOSTED, "local", "auto", False, "", [EXACT, HOME]),
    (EAGER, "auto", "auto", False, "", [TOOL, EXACT, LOCAL, GROQ]),
    (CLOUDY, "auto", "auto", True, "", [TOOL, EXACT]),
]


@pytest.mark.parametrize(("lineup", "model", "mode", "private", "task", "expected"), TABLE)
def test_the_order_is_the_table(lineup, model, mode, private, task, expected):
    call = make_call(model=model, mode=mode, private=private, task=task)
    assert [rung.model for rung in plan(call, lineup)] == [rung.model for rung in expected]


def test_a_named_model_is_asked_alone_behind_the_cache():
    assert plan(make_call(model="groq:big"), FULL, GROQ) == (EXACT, GROQ)


def test_a_private_call_may_use_a_backend_declared_private():
    assert plan(make_call(model="vllm:mine", private=True), FULL, HOME) == (EXACT, HOME)


@pytest.mark.parametrize(("model", "direct"), [("fast", None), ("strong", None), ("groq:big", GROQ)])
def test_a_private_call_that_would_leave_is_refused(model, direct):
    with pytest.raises(PrivacyError, match="may not leave this machine"):
        plan(make_call(model=model, private=True), FULL, direct)


def test_mode_local_excludes_a_cloud_model_by_name():
    with pytest.raises(InvalidRequestError, match="excludes groq:big"):
        plan(make_call(model="groq:big", mode="local"), FULL, GROQ)


def test_unknown_modes_are_refused():
    with pytest.raises(InvalidRequestError, match="unknown mode"):
        plan(make_call(mode="quick"), FULL)


@pytest.mark.parametrize("model", ["local", "fast", "strong"])
def test_with_nothing_to_ask_the_error_says_how_to_add_it(model):
    with pytest.raises(LadderExhausted, match="rung models pull"):
        plan(make_call(model=model), Lineup(tool=TOOL, exact=EXACT))


def test_a_dead_end_names_the_way_out():
    bare = Lineup(tool=TOOL)
    assert "GROQ_API_KEY" in dead_end(make_call(), bare).message
    assert "rung models pull" in dead_end(make_call(model="local"), bare).message
    assert isinstance(dead_end(make_call(private=True), CLOUDY), PrivacyError)


def test_unknown_models_get_near_names():
    error = unknown_model("groq:bigg", ["groq:big", "deepseek:pro"])
    assert error.status == 404
    assert "'groq:big'" in error.message


def test_what_needs_no_task_is_asked_first():
    rungs = plan(make_call(), FULL)
    assert split(rungs) == ((TOOL, EXACT), (DEEP, GROQ, QUICK, LOCAL))
    assert split((EXACT,)) == ((EXACT,), ())


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (make_call(), (GROQ, QUICK)),
        (make_call(task="extraction"), (GROQ,)),
        (make_call(model="fast"), (GROQ,)),
        (make_call(mode="strong"), (QUICK,)),
    ],
)
def test_who_is_meant_does_not_stand_in_for_itself(call, expected):
    assert substitutes(call, FULL) == expected


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (make_call(), "deepseek:pro is the reference; then by expected price: groq:big ~0.000002 USD"),
        (
            make_call(task="extraction"),
            "groq:quick is the reference for extraction; then deepseek:pro; "
            "then by expected price: groq:big ~0.000002 USD",
        ),
        (make_call(private=True), "private: only what stays on this machine"),
        (make_call(private=True, found=("card",)), "private (card found in it): only what stays on this machine"),
    ],
)
def test_a_plan_says_why(call, said):
    assert explain(call, plan(call, FULL), FULL, [Offer("groq:big", 2_000_000)], "price") == said


def test_a_plan_with_nothing_to_choose_says_so():
    call = make_call(model="local")
    assert explain(call, plan(call, FULL), FULL, [], "price") == "local was asked for"


def test_what_was_found_is_told_but_never_repeated():
    call = make_call("4111 1111 1111 1111", private=True, found=("card",))
    message = dead_end(call, BARE).message
    assert "(found in it: card)" in message
    assert "4111" not in message
