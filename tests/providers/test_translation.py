"""Nothing a conversation holds is lost, changed or re-ordered by translation, whatever it holds."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_fakes import endpoint

from rung.answer import Evidence
from rung.call import Call
from rung.errors import RungError
from rung.providers.adapters import make_adapter
from rung.providers.chat_writer import ChatWriter
from rung.providers.rows import rows
from rung.wire.client import Client

NATIVE = ("gemini", "anthropic", "ollama")
MODELS = {"gemini": "gemini-3.8-flash", "anthropic": "claude-sonnet-5-5", "ollama": "qwen3:4b"}
ADAPTERS = {name: make_adapter(rows()[name].adapter, endpoint(name, "http://127.0.0.1:1"), Client()) for name in NATIVE}

words = st.text(min_size=1, max_size=20)
idents = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=10)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(words, values, max_size=3)
images = st.binary(min_size=1, max_size=8).map(lambda data: f"data:image/png;base64,{data.hex()}")
parts = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, words)
    | st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, images),
    min_size=1,
    max_size=3,
)


@st.composite
def rounds(draw):
    """A model's turn with calls, and their results."""
    names = draw(st.lists(idents, min_size=1, max_size=3))
    ids = draw(st.lists(words, min_size=len(names), max_size=len(names), unique=True))
    calls = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": orjson.dumps(draw(objects)).decode()}}
        for one, name in zip(ids, names, strict=True)
    ]
    said = {"role": "assistant", "content": draw(st.none() | words), "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": one, "content": draw(words)} for one in ids]
    return [said, *draw(st.permutations(results))]


@st.composite
def histories(draw):
    history = draw(st.lists(st.builds(lambda text: {"role": "system", "content": text}, words), max_size=2))
    for turn in draw(
        st.lists(
            st.builds(lambda content: [{"role": "user", "content": content}], words | parts)
            | st.builds(lambda text: [{"role": "assistant", "content": text}], words)
            | rounds(),
            min_size=1,
            max_size=5,
        )
    ):
        history += turn
    return history


def call_of(body, *, stream=False):
    return Call(body=body, raw=orjson.dumps(body), model="auto", stream=stream, request_id="r")


def asked(name, body):
    adapter = ADAPTERS[name]
    call = call_of(body)
    read = adapter.read_request(call, MODELS[name])
    return adapter.request(call, MODELS[name], read)[1]


# ---- each provider's shape, flattened: (kind, what) in order ----


def of_openai(messages):
    """What the history holds: instructions first, as every provider wants them."""
    out = [("system", message["content"]) for message in messages if message["role"] == "system"]
    for message in messages:
        if message["role"] == "system":
            continue
        if message["role"] == "tool":
            out.append(("result", (message["tool_call_id"], message["content"])))
            continue
        content = message["content"]
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part["type"] == "image_url":
                out.append(("image", part["image_url"]["url"].partition(",")[2]))
            elif part["text"]:
                out.append((message["role"], part["text"]))
        for made in message.get("tool_calls", ()):
            out.append(("call", (made["id"], made["function"]["name"], orjson.loads(made["function"]["arguments"]))))
    return out


def of_gemini(body):
    out = [("system", part["text"]) for part in body.get("systemInstruction", {"parts": []})["parts"]]
    for turn in body["contents"]:
        for part in turn["parts"]:
            if "text" in part:
                out.append(("user" if turn["role"] == "user" else "assistant", part["text"]))
            elif "inlineData" in part:
                out.append(("image", part["inlineData"]["data"]))
            elif "functionCall" in part:
                call = part["functionCall"]
                out.append(("call", (call["id"], call["name"], call["args"])))
            else:
                result = part["functionResponse"]
                told = result["response"]
                out.append(("result", (result["id"], told.get("result", orjson.dumps(told).decode()))))
    return out


def of_anthropic(body):
    out = [("system", block["text"]) for block in body.get("system", ())]
    for turn in body["messages"]:
        for block in turn["content"]:
            if block["type"] == "text":
                out.append((turn["role"], block["text"]))
            elif block["type"] == "image":
                out.append(("image", block["source"]["data"]))
            elif block["type"] == "tool_use":
                out.append(("call", (block["id"], block["name"], block["input"])))
            else:
                out.append(("result", (block["tool_use_id"], block["content"][0]["text"])))
    return out


def of_ollama(body):
    out = []
    for message in body["messages"]:
        if message["role"] == "tool":
            out.append(("result", (message["tool_call_id"], message["content"])))
            continue
        if message["content"]:
            out.append((message["role"], message["content"]))
        out += [("image", image) for image in message.get("images", ())]
        for made in message.get("tool_calls", ()):
            out.append(("call", (made["id"], made["function"]["name"], made["function"]["arguments"])))
    return out


FLAT = {"gemini": of_gemini, "anthropic": of_anthropic, "ollama": of_ollama}


def paired(flat):
    """Ids as the place of their call: a provider may want other letters in them."""
    seen = {}
    out = []
    for kind, what in flat:
        if kind == "call":
            seen[what[0]] = len(seen)
            out.append((kind, (seen[what[0]], *what[1:])))
        else:
            out.append((kind, (seen[what[0]], what[1])) if kind == "result" else (kind, what))
    return out


def by_kind(flat):
    """Ollama has one text a message, and images beside it: what stands between them is not kept."""
    return {kind: "\n".join(str(what) for one, what in flat if one == kind) for kind, _ in flat}


@pytest.mark.parametrize("name", NATIVE)
@given(history=histories())
@settings(max_examples=40, deadline=None)
def test_a_history_survives(name, history):
    found = paired(FLAT[name](asked(name, {"messages": history})))
    expected = paired(of_openai(history))
    if name == "ollama":
        found, expected = by_kind(found), by_kind(expected)
    elif not any(kind != "system" for kind, _ in expected):
        expected = [("user", what) for _, what in expected]
    if name == "gemini":
        assert [kind for kind, _ in found] == [kind for kind, _ in expected]
        found, expected = ([each for each in one if each[0] != "result"] for one in (found, expected))
    assert found == expected


@pytest.mark.parametrize("name", NATIVE)
@given(history=histories(), more=histories())
@settings(max_examples=30, deadline=None)
def test_a_longer_history_begins_as_the_shorter_one(name, history, more):
    """Prompt caches live from that: what was said once is written the same for ever."""
    more = [message for message in more if message["role"] not in ("system", "tool") and not message.get("tool_calls")]
    member = "contents" if name == "gemini" else "messages"
    short = asked(name, {"messages": history})
    long = asked(name, {"messages": [*history, *more]})
    if any(message["role"] != "system" for message in history):
        before, after = orjson.dumps(short[member])[:-2], orjson.dumps(long[member])
        assert after.startswith(before.rstrip(b"]}"))
        assert short.get("system") == long.get("system")


tools = st.lists(
    st.builds(
        lambda name, text, schema: {
            "type": "function",
            "function": {"name": name, "description": text, "parameters": schema},
        },
        idents,
        words,
        st.builds(
            lambda properties: {"type": "object", "properties": properties}, st.dictionaries(idents, st.just({}))
        ),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("name", NATIVE)
@given(listed=tools)
@settings(max_examples=30, deadline=None)
def test_tools_survive(name, listed):
    body = asked(name, {"messages": [{"role": "user", "content": "x"}], "tools": listed})
    if name == "gemini":
        got = [
            (one["name"], one["description"], one["parametersJsonSchema"])
            for one in body["tools"][0]["functionDeclarations"]
        ]
    elif name == "anthropic":
        got = [(one["name"], one["description"], one["input_schema"]) for one in body["tools"]]
    else:
        told = [one["function"] for one in body["tools"]]
        got = [(one["name"], one["description"], one["parameters"]) for one in told]
    assert got == [
        (one["function"]["name"], one["function"]["description"], one["function"]["parameters"]) for one in listed
    ]


FIELDS = """messages tools tool_choice functions function_call response_format stop max_tokens n seed temperature top_p
top_k reasoning_effort parallel_tool_calls google extra_body thinking output_config options keep_alive num_ctx think
service_tier include_reasoning min_p unknown"""
MEMBERS = "role content type text name id function arguments image_url url mode google json_schema"
fields = st.sampled_from(FIELDS.split())
junk = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS.split()),
            inner | st.sampled_from(["user", "assistant", "tool", "text", "image_url", "function"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("name", NATIVE)
@given(body=st.dictionaries(fields, junk, max_size=5), role=st.sampled_from(["user", "assistant", "tool", "system"]))
@settings(max_examples=100, deadline=None)
def test_nonsense_is_refused_and_never_an_accident(name, body, role):
    body.setdefault("messages", [{"role": role, "content": body.get("unknown")}])
    try:
        orjson.dumps(asked(name, body))
        status = 400
    except RungError as error:
        status = error.status
    assert status == 400


# ---- answers ----

pieces = st.lists(words, max_size=4)
made = st.lists(st.tuples(idents, objects), max_size=3)


def gemini_frames(thoughts, texts, calls, finish):
    said = [[{"text": text, "thought": True}] for text in thoughts] + [[{"text": text}] for text in texts]
    said += [[{"functionCall": {"name": name, "args": args}}] for name, args in calls]
    out = [{"candidates": [{"content": {"parts": part}}]} for part in said]
    return [*out, {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1}}]


def gemini_whole(frames):
    parts = [part for one in frames for part in one["candidates"][0].get("content", {"parts": []})["parts"]]
    return {**frames[-1], "candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}


def anthropic_frames(thoughts, texts, calls, finish):
    out = [{"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}}]
    blocks = (
        [({"type": "thinking"}, [{"type": "thinking_delta", "thinking": text} for text in thoughts])]
        if thoughts
        else []
    )
    blocks += [({"type": "text"}, [{"type": "text_delta", "text": text} for text in texts])] if texts else []
    for place, (name, args) in enumerate(calls):
        text = orjson.dumps(args).decode()
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:3], text[3:])]
        blocks.append(({"type": "tool_use", "id": f"t{place}", "name": name, "input": {}}, deltas))
    for index, (block, deltas) in enumerate(blocks):
        out.append({"type": "content_block_start", "index": index, "content_block": block})
        out += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        out.append({"type": "content_block_stop", "index": index})
    out.append({"type": "message_delta", "delta": {"stop_reason": finish}, "usage": {"output_tokens": 2}})
    return [*out, {"type": "message_stop"}]


def ollama_frames(thoughts, texts, calls, finish):
    said = [{"thinking": text} for text in thoughts] + [{"content": text} for text in texts]
    said += [{"tool_calls": [{"function": {"name": name, "arguments": args}}]} for name, args in calls]
    out = [{"message": {"role": "assistant", "content": "", **one}, "done": False} for one in said]
    return [*out, {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2}]


FRAMES = {"gemini": gemini_frames, "anthropic": anthropic_frames, "ollama": ollama_frames}


def wire(name, frames):
    if name == "ollama":
        return b"".join(orjson.dumps(one) + b"\n" for one in frames)
    return b"".join(b"data: " + orjson.dumps(one) + b"\r\n\r\n" for one in frames)


def streamed(name, data, sizes):
    """Feed the bytes in blocks; -> the OpenAI-shaped chunks."""
    call = call_of({"messages": []}, stream=True)
    evidence = Evidence()
    adapter = ADAPTERS[name]
    reader = adapter.reader(call, ChatWriter(call, "m", evidence), evidence)
    frames, out = adapter.frames(), b""
    while data:
        size = sizes.pop() if sizes else len(data)
        for one in frames.feed(data[:size]):
            reader.frame(one)
        data = data[size:]
        out += reader.writer.take()[0]
    reader.rest(frames.pending)
    assert reader.ended
    assert reader.writer.finished
    out += reader.writer.take()[0] + reader.writer.end(reader.usage)
    return [orjson.loads(one[6:]) for one in out.split(b"\n\n") if one], evidence


@pytest.mark.parametrize("name", NATIVE)
@given(thoughts=pieces, texts=pieces, calls=made, sizes=st.lists(st.integers(1, 60), max_size=30))
@settings(max_examples=40, deadline=None)
def test_an_answer_survives_however_it_is_torn(name, thoughts, texts, calls, sizes):
    frames = FRAMES[name](thoughts, texts, calls, "tool_use" if calls else "end_turn")
    chunks, evidence = streamed(name, wire(name, frames), list(sizes))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == "".join(texts)
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "".join(thoughts)
    told = {}
    for delta in deltas:
        for piece in delta.get("tool_calls", ()):
            one = told.setdefault(piece["index"], {"name": "", "arguments": ""})
            one["name"] += piece["function"].get("name", "")
            one["arguments"] += piece["function"]["arguments"]
    assert [(one["name"], orjson.loads(one["arguments"])) for one in told.values()] == calls
    assert chunks[-1]["choices"][0]["finish_reason"] == evidence.finish_reason == ("tool_calls" if calls else "stop")
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"] * bool(thoughts or texts or calls)


@given(thoughts=pieces, texts=pieces, calls=made)
@settings(max_examples=40, deadline=None)
def test_whole_and_streamed_say_the_same(thoughts, texts, calls):
    frames = gemini_frames(thoughts, texts, calls, "")
    call = call_of({"messages": []})
    evidence = Evidence()
    reader = ADAPTERS["gemini"].reader(call, ChatWriter(call, "m", evidence), evidence)
    reader.whole(orjson.dumps(gemini_whole(frames)))
    choice = orjson.loads(reader.writer.whole(reader.usage))["choices"][0]
    chunks, _ = streamed("gemini", wire("gemini", frames), [])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    message = choice["message"]
    assert (message["content"] or "") == "".join(delta.get("content") or "" for delta in deltas)
    assert message.get("reasoning_content", "") == "".join(delta.get("reasoning_content") or "" for delta in deltas)
    both = [piece["function"] for delta in deltas for piece in delta.get("tool_calls", ())]
    assert [one["function"] for one in message.get("tool_calls", ())] == both
    assert choice["finish_reason"] == chunks[-1]["choices"][0]["finish_reason"]
