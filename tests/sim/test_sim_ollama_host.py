"""Our own Ollama client and the official one see the same server."""

import pytest

from rung.errors import ModelFileError
from rung.local.ollama import OllamaHost
from rung.wire.client import Client, Deadlines
from rung.wire.origin import Origin

MODEL = "qwen2.5-coder:1.5b"
CLOUD = "gpt-oss:120b-cloud"


@pytest.fixture
async def wire():
    client = Client()
    yield client
    await client.aclose()


@pytest.fixture
def both(sim, ollama, wire):
    """-> async with both(scenario) as (the official client, ours)."""

    def make(there):
        origin, path = Origin.parse(there.root("ollama"))
        make.ours = OllamaHost(wire, origin, path)
        return ollama.AsyncClient(host=there.root("ollama"))

    make.connect = lambda scenario=None: sim(make, scenario)
    return make


async def test_what_is_installed(both):
    async with both.connect() as (official, _):
        theirs = (await official.list()).models
        ours = await both.ours.tags()
        assert await both.ours.version() == "0.99.0"
    assert [(one.name, one.digest, one.size) for one in ours] == [(one.model, one.digest, one.size) for one in theirs]
    assert [one.name for one in ours if not one.stays_here] == [CLOUD]


async def test_show(both):
    async with both.connect() as (official, _):
        theirs, ours = await official.show(MODEL), await both.ours.show(MODEL)
        cloud = await both.ours.show(CLOUD)
    assert ours.capabilities == theirs.capabilities
    assert ours.model_info == theirs.modelinfo
    assert cloud.remote_host


async def test_what_is_loaded_and_unloaded_by_the_one_is_so_for_the_other(both):
    async with both.connect() as (official, _):
        await both.ours.load(MODEL, keep_alive=60.0, context=2048, limits=Deadlines())
        (theirs,) = (await official.ps()).models
        assert (theirs.model, theirs.context_length) == (MODEL, 2048)
        answer = await official.chat(MODEL, [{"role": "user", "content": "hi"}], options={"num_ctx": 2048})
        assert answer.load_duration is None
        await both.ours.unload(MODEL)
        assert (await official.ps()).models == []
        await official.chat(MODEL, [], keep_alive=60)
        assert [one.name for one in await both.ours.ps()] == [MODEL]
        await official.chat(MODEL, [], keep_alive=0)
        assert await both.ours.ps() == []


async def test_a_pull_by_the_one_is_there_for_the_other(both, ollama):
    new = {"installed": False, "size": 1000}
    async with both.connect({"ollama": {"models": {"a:1b": new, "b:1b": new}}}) as (official, _):
        told = []

        async def progress(status, here, size):
            told.append((status, here, size))

        await both.ours.pull("a:1b", progress)
        lines = [line async for line in await official.pull("b:1b", stream=True)]
        names = {one.model for one in (await official.list()).models}
        with pytest.raises(ModelFileError, match="could not pull nobody:1b: pull model manifest"):
            await both.ours.pull("nobody:1b", progress)
    assert {"a:1b", "b:1b"} <= names
    assert [status.split(" ")[0] for status, _, _ in told[: len(lines)]] == [
        line.status.split(" ")[0] for line in lines
    ]
    whole = [(here, size) for status, here, size in told if status == "success"]
    assert whole == [(2000, 2000)]
    heres = [here for _, here, _ in told[: len(lines)]]
    assert heres == sorted(heres)


async def test_a_pull_that_breaks_off_is_a_failure(both):
    """The stream ends without `success`: EOF alone is none."""
    scenario = {"ollama": {"models": {"a:1b": {"installed": False}}}}

    async def progress(status, here, size):
        pass

    async with both.connect(scenario) as (_, there):
        there.providers["ollama"].installed.pulling = lambda name: iter([{"status": "pulling manifest"}])
        with pytest.raises(ModelFileError, match="broke the pull of a:1b off; pull again, it goes on where it stopped"):
            await both.ours.pull("a:1b", progress)
