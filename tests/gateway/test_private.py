"""Private stays here: as a property of any ladder, and under a trace in an empty network namespace."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.answer import Declined
from rung.call import MODES
from rung.errors import (
    BadAnswerFault,
    ConnectFault,
    InvalidRequestError,
    LadderExhausted,
    PrivacyError,
    ServerFault,
    TimeoutFault,
)
from rung.ladder.budget import RetryBudget
from rung.ladder.climb import Climb, climb
from rung.ladder.hedge import Hedger, HedgeRules
from rung.ladder.policy import NAMES, Lineup, explain, plan, split
from rung.ladder.privacy import PrivateCalls, check_nothing_remote
from rung.record import line, row
from rung.testing import ScriptedRung, completion_reply, make_call
from rung.wire.client import Client, Deadlines, Origin

STEPS = st.sampled_from(
    [
        "answer",
        "one two three",
        Declined("busy"),
        ConnectFault("refused"),
        ServerFault("down"),
        TimeoutFault("slow"),
        BadAnswerFault("cut"),
    ]
)


@st.composite
def rungs(draw, name, stays_here):
    steps = draw(st.lists(STEPS, min_size=4, max_size=4))
    model = f"{name}:{draw(st.integers(0, 99))}"
    cut = draw(st.one_of(st.none(), st.integers(0, 3)))
    return ScriptedRung(
        steps, name=name, model=model, stays_here=stays_here, cut_after=cut, cut_with=BadAnswerFault("cut")
    )


@st.composite
def lineups(draw):
    cloud = rungs("cloud", False)
    maybe = st.one_of(st.none(), cloud)
    return Lineup(
        tool=draw(st.one_of(st.none(), rungs("tool", True))),
        exact=draw(st.one_of(st.none(), rungs("exact", True))),
        local=draw(st.one_of(st.none(), rungs("local", True))),
        reference=draw(maybe),
        fast=draw(maybe),
        strong=draw(maybe),
        clouds=tuple(draw(st.lists(cloud, max_size=3))),
        reference_for={"math": draw(cloud)},
        hosts=tuple(draw(st.lists(rungs("local", True), max_size=2))),
        local_in_auto=draw(st.booleans()),
    )


@given(
    lineup=lineups(),
    direct=st.one_of(st.none(), rungs("cloud", False)),
    model=st.sampled_from(NAMES),
    mode=st.sampled_from(MODES),
    task=st.sampled_from(["", "math"]),
    stream=st.booleans(),
)
async def test_no_ladder_fault_or_mode_sends_a_private_call_away(lineup, direct, model, mode, task, stream):
    call = make_call(model=model, mode=mode, task=task, stream=stream, private=True)
    record = Climb(call)
    away = [lineup.reference, lineup.fast, lineup.strong, *lineup.clouds, *lineup.reference_for.values(), direct]
    try:
        await climb(call, plan(call, lineup, direct), record, RetryBudget(0, 0))
        if stream:
            _ = [event async for event in record.events()]
    except (PrivacyError, LadderExhausted, InvalidRequestError, BadAnswerFault):
        pass
    finally:
        await record.finish()
    assert not [rung for rung in away if rung is not None and rung.asked]


SECRETS = {
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "email": "bob@acme.fr",
    "phone": "+33 6 12 34 56 78",
    "key": "sk-proj-Abc123dEf456GhI789jKl012",
}


@settings(max_examples=40)
@given(
    lineup=lineups(),
    direct=st.one_of(st.none(), rungs("cloud", False)),
    model=st.sampled_from(NAMES),
    mode=st.sampled_from(MODES),
    kind=st.sampled_from(sorted(SECRETS)),
    around=st.text(st.sampled_from("abc, .\n"), max_size=20),
    stream=st.booleans(),
)
async def test_no_ladder_sends_away_what_was_found_nor_repeats_it(lineup, direct, model, mode, kind, around, stream):
    secret = SECRETS[kind]
    call = make_call(f"{around} {secret} {around}", model=model, mode=mode, task="math", stream=stream, continues=True)
    PrivateCalls(detect=["all"]).apply(call)
    assert (call.private, kind in call.found) == (True, True)
    record = Climb(call)
    away = [lineup.reference, lineup.fast, lineup.strong, *lineup.clouds, *lineup.reference_for.values(), direct]
    told = []
    try:
        first, models = split(plan(call, lineup, direct))
        hedger = Hedger(HedgeRules(), RetryBudget(1, 10))
        await climb(call, first, record, RetryBudget(1, 10), hedger, lambda: models)
        if stream:
            _ = [event async for event in record.events()]
    except (PrivacyError, LadderExhausted, InvalidRequestError, BadAnswerFault) as error:
        told.append(json.dumps(error.body()))
    finally:
        await record.finish()
    assert not [rung for rung in away if rung is not None and rung.asked]
    kept = row(record, with_text=True)
    told += [explain(call, record.rungs, lineup, [], "price"), json.dumps(line(record)), repr(kept)]
    assert not any(secret in text for text in told)


DATA = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA//"}}
URL = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
FILE = {"type": "file", "file": {"file_url": "//example.com/a.pdf"}}
LOCAL_REF = {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/$defs/a", "$defs": {"a": {}}}}}
REMOTE_REF = {"type": "json_schema", "json_schema": {"schema": {"anyOf": [{"$ref": "https://example.com/s.json"}]}}}


@pytest.mark.parametrize("body", [{"response_format": REMOTE_REF}, {"tools": [{"function": {"x": REMOTE_REF}}]}])
def test_a_remote_schema_is_refused(body):
    with pytest.raises(PrivacyError, match="points elsewhere"):
        check_nothing_remote(make_call(body=body))


@pytest.mark.parametrize("part", [URL, FILE])
def test_media_by_url_is_refused(part):
    with pytest.raises(PrivacyError, match="media by URL") as caught:
        check_nothing_remote(make_call(body={"messages": [{"role": "user", "content": [DATA, part]}]}))
    assert caught.value.param == "messages[0].content"


def test_inline_media_and_local_refs_may_stay():
    message = {"role": "user", "content": [DATA, {"type": "text", "text": "see https://example.com"}]}
    check_nothing_remote(make_call(body={"messages": [message], "response_format": LOCAL_REF}))


@pytest.mark.parametrize("url", ["https://api.groq.com/v1", "http://10.0.0.1/v1", "http://[2001:db8::1]/v1"])
async def test_the_wire_itself_refuses_before_any_name_is_resolved(url):
    client = Client()
    origin, _ = Origin.parse(url)
    try:
        for ask in (client.send, client.fetch):
            with pytest.raises(PrivacyError):
                await ask(origin, "POST", "/", b"", b"{}", Deadlines(), private=True)
    finally:
        await client.aclose()


TOML = """
[local]
enabled = {local}
model = "{model}"
context = 1024

[providers.elsewhere]
base_url = "http://192.0.2.7:8000/v1"
models.strong = "small"

[ladder]
reference = "groq:openai/gpt-oss-120b"
reference_for = {{ extraction = "elsewhere:small" }}
"""


def can_unshare():
    tools = shutil.which("unshare") and shutil.which("strace")
    return bool(tools) and subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs Linux with unshare, strace and user namespaces")
def test_in_an_empty_network_namespace_a_private_call_connects_to_loopback_only(tmp_path, engine_model):
    """Kernel's word: the whole process tree, engine included, under a trace of every connect and send."""
    model = engine_model or ""
    (tmp_path / "rung.toml").write_text(TOML.format(local=str(bool(model)).lower(), model=model or "auto"))
    trace = tmp_path / "trace"
    child = Path(__file__).with_name("private_child.py")
    command = ["unshare", "-rn", "strace", "-f", "-qq", "-o", str(trace), "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
    environ = {
        "PATH": f"{sysconfig.get_path('scripts')}:/usr/sbin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "RUNG_HOME": str(tmp_path),
        "GROQ_API_KEY": "gsk_test_0000000000000000",
        "OLLAMA_HOST": "http://ollama.example:11434",
    }
    done = subprocess.run(
        [*command, sys.executable, str(child), str(tmp_path)], capture_output=True, text=True, env=environ, timeout=55
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 24
    for said in told:
        by = said.get("rung")
        if said["ask"]["text"].startswith("Format"):
            assert by == "tool"
        elif by is None:
            assert said["error"] in ("private_call_cannot_leave", "ladder_exhausted"), said
        else:
            assert by in ("local", "exact"), said
    if model:
        assert {said.get("rung") for said in told if said["ask"]["model"] == "local"} == {"local"}
    named = [line for line in trace.read_text().splitlines() if re.search(r"sa_family|sin_addr|sin6_addr", line)]
    gone = [line for line in named if not re.search(r'AF_UNIX|inet_addr\("127\.|"::1"|AF_NETLINK|AF_UNSPEC', line)]
    assert gone == []
    assert not [line for line in trace.read_text().splitlines() if "htons(53)" in line]


@pytest.mark.parametrize("privacy", ["all_private = true", 'tenants = ["t1"]'])
async def test_configuration_makes_calls_private_through_every_door(serving, privacy):
    async with serving(completion_reply("x"), toml=f"[privacy]\n{privacy}") as there:
        with pytest.raises(PrivacyError):
            await there.gateway.chat([{"role": "user", "content": "hi"}], model="mock:big", tenant="t1")
        assert there.upstream.received == []
