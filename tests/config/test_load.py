"""Every kind of mistake is told with its file and line, all of them at once; everything else has a default."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from config_files import GROQ, OPENAI, problems, settings

from rung.config import load
from rung.errors import ConfigError


def test_it_works_with_nothing(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert found.source is None
    assert found.providers == {}
    assert (found.ladder.reference, found.ladder.fast, found.ladder.strong) == (None, None, None)
    assert (found.server.host, found.server.port, found.server.keys) == ("127.0.0.1", 7864, ())
    assert found.exact.ttl == 86_400
    assert found.exact.max_bytes == 64 * 1024 * 1024
    assert found.ledger.path == found.paths.ledger
    assert found.warnings == found.advice == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.server.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\n\nprot = 1", "rung.toml:3: unknown key 'prot' in [server]; did you mean 'port'?"),
        ("[sever]\nport = 1", "rung.toml:1: unknown key 'sever' at the top of the file; did you mean 'server'?"),
        ("port = 1", "rung.toml:1: unknown key 'port' at the top of the file; it belongs in [server]"),
        ("zzzz = 1", "rung.toml:1: unknown key 'zzzz' at the top of the file; known are server, ladder, deadlines, "),
        ("server = 1", "rung.toml:1: server must be a table; write [server]"),
        ("[server]\nport = '80'", "rung.toml:2: server.port must be a whole number, not a text; write 80 without quo"),
        ("[server]\nport = 80.5", "rung.toml:2: server.port must be a whole number, not 80.5"),
        ("[server]\nport = true", "rung.toml:2: server.port must be a whole number, not true or false"),
        ("[server]\nport = 70000", "rung.toml:2: server.port must be between 0 and 65535, not 70000"),
        ("[server]\nmax_streams = 0", "rung.toml:2: server.max_streams must be at least 1, not 0"),
        ("[server]\nheader_limit = '1 GiB'", "rung.toml:2: server.header_limit must be between 1024 and 1048576"),
        ("[server]\nhost = ''", "rung.toml:2: server.host must not be empty; remove the line to get the default"),
        ("[server]\nhost = 1", "rung.toml:2: server.host must be a text in quotes, not a number"),
        ('[server]\nhost = "a\\nb"', "rung.toml:2: server.host must not hold line breaks or control characters"),
        ("[server]\nallow_open = 'yes'", "rung.toml:2: server.allow_open must be true or false, not a text"),
        ("[server]\nallowed_hosts = 'a'", 'rung.toml:2: server.allowed_hosts must be a list; write ["a"]'),
        ("[server]\nallowed_hosts = 1", "rung.toml:2: server.allowed_hosts must be a list, not a number"),
        ("[server]\nallowed_hosts = ['a', 2]", "rung.toml:2: server.allowed_hosts must be a text in quotes, not a num"),
        ("[server]\nallowed_origins = ['a']", "rung.toml:2: an origin is written https://name or https://name:port"),
        (
            "[server]\nallowed_hosts = ['::1',\n'a:80']",
            "rung.toml:3: 'a:80' must be a name only, without scheme or port",
        ),
        ("[server]\nallowed_hosts = ['*']", "rung.toml:2: '*' must be a name only, without scheme or port"),
        ("[server]\nallowed_origins = ['https://a/b']", "rung.toml:2: an origin is written https://name or https"),
        ("[exact]\nttl = '2 weeks'", 'rung.toml:2: exact.ttl cannot be read; write a number, or a text such as "10s" '),
        ("[exact]\nttl = 1979-05-27", 'rung.toml:2: exact.ttl must be a number, or a text such as "10s" or "24h", n'),
        ("[exact]\nttl = nan", "rung.toml:2: exact.ttl must be a number"),
        ("[log]\nlevel = 'inof'", "rung.toml:2: log.level must be one of debug, info, warning, error, not 'inof'; did"),
        ("[ladder]\nreference_for = 1", "rung.toml:2: ladder.reference_for must be a table"),
        ("[[providers]]\nname = 'a'", "rung.toml:1: providers must be a table of tables; write [providers.NAME]"),
        ("[providers]\nx = 1", "rung.toml:2: providers.x must be a table; write [providers.x]"),
        ("[prices.x]\ninput = 1\noutput = 1", 'rung.toml:1: [prices."x"] must be named provider:model'),
        ("[prices.'a:b']\ninput = 1", "rung.toml:1: prices.\"a:b\" has no 'output'; add output = ..."),
        (
            "[prices.'a:b']\ninput = 1e-9\noutput = 1",
            "rung.toml:1: price of a:b: 1e-09 USD per 1,000,000 tokens is not",
        ),
        # The parser's own messages
        ("[server]\nport = 1\nport = 2", "rung.toml:3: this key is written twice; keep one"),
        ("[providers.groq]\n[providers.groq]", "rung.toml:2: [providers.groq] is written twice; merge the two"),
        ("a = [1,\n", "rung.toml:2: "),
        ("a = yes", "rung.toml:1: invalid value; texts need quotes, true and false are lower case"),
        ("\n\n[server", "rung.toml:3: expected ']' at the end of a table declaration"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, expected: str) -> None:
    told = problems(tmp_path, text)
    assert len(told) == 1
    assert told[0].startswith(expected)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "[log]\nformat = 1\n[server]\nprot = 1\n[providers.x]\nbase_url = 'ftp://x'\n[ladder]\nfast = 'y'\n"
    told = problems(tmp_path, text, {"GROQ_API_KEY": "two words"})
    assert [problem.partition(": ")[0] for problem in told] == [
        "rung.toml:2",
        "rung.toml:4",
        "rung.toml:6",
        "rung.toml:8",
        "environment",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for environ, path in (({}, Path("no.toml")), ({"RUNG_CONFIG": "no.toml"}, None)):
        with pytest.raises(ConfigError) as caught:
            load(environ, path, cwd=tmp_path)
        assert caught.value.problems[0].startswith("no.toml: No such file or directory; check the path")
    (tmp_path / "rung.toml").write_bytes(b"a = 1\n# \xff\n")
    with pytest.raises(ConfigError) as caught:
        load({}, cwd=tmp_path)
    assert caught.value.problems == ("rung.toml:2: not UTF-8; save the file in that encoding",)
    (tmp_path / "rung.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        load({}, cwd=tmp_path)


def test_a_file_nested_too_deeply(tmp_path: Path) -> None:
    assert problems(tmp_path, f"a = {'[' * 5000}{']' * 5000}") == ["rung.toml: nested too deeply"]


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    here, home, rung_home = tmp_path / "here", tmp_path / "home", tmp_path / "data"
    places = {
        "named": (tmp_path / "named.toml", 1001),
        "variable": (tmp_path / "variable.toml", 1002),
        "here": (here / "rung.toml", 1003),
        "rung home": (rung_home / "rung.toml", 1004),
        "user": (home / ".config" / "rung" / "rung.toml", 1005),
    }
    for path, port in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[server]\nport = {port}\n")
    environ = {"HOME": str(home), "RUNG_HOME": str(rung_home), "RUNG_CONFIG": "../variable.toml"}
    assert load(environ, places["named"][0], cwd=here).server.port == 1001
    assert load(environ, cwd=here).server.port == 1002
    del environ["RUNG_CONFIG"]
    for name in ("here", "rung home", "user"):
        path, port = places[name]
        found = load(environ, cwd=here)
        assert (found.server.port, found.source) == (port, path)
        path.unlink()
    assert load(environ, cwd=here).source is None


def test_times_and_sizes_with_units(tmp_path: Path) -> None:
    text = "[exact]\nttl = '1.5h'\nmax_bytes = '2 MB'\n[deadlines]\nconnect = '250ms'\nidle = 7\ntotal = '2 min'\n"
    found = settings(tmp_path, text)
    assert (found.exact.ttl, found.exact.max_bytes) == (5400.0, 2_000_000)
    assert (found.deadlines.connect, found.deadlines.idle, found.deadlines.total) == (0.25, 7.0, 120.0)
    assert isinstance(found.exact.max_bytes, int)
    assert settings(tmp_path, "[exact]\nmax_bytes = 10\n").exact.max_entry_bytes == 10


def test_a_reachable_address_needs_keys(tmp_path: Path) -> None:
    text = "[server]\nhost = '0.0.0.0'\n"
    (told,) = problems(tmp_path, text)
    assert told.startswith("rung.toml:2: server.host = '0.0.0.0' can be reached by others")
    assert settings(tmp_path, text, {"RUNG_KEYS": "a"}).server.host == "0.0.0.0"
    assert settings(tmp_path, text + "allow_open = true\n").server.keys == ()
    assert settings(tmp_path, "[server]\nhost = '127.9.9.9'\n").server.host == "127.9.9.9"


def test_a_reachable_address_without_a_name_for_it_is_told(tmp_path: Path) -> None:
    found = settings(tmp_path, "[server]\nhost = '192.0.2.1'\n", {"RUNG_KEYS": "a"})
    assert any("allowed_hosts" in warning for warning in found.warnings)
    text = "[server]\nhost = '192.0.2.1'\nallowed_hosts = ['box']\n"
    assert settings(tmp_path, text, {"RUNG_KEYS": "a"}).warnings == ()


def test_origins_become_what_browsers_send(tmp_path: Path) -> None:
    text = "[server]\nallowed_origins = ['https://Page.example.com/', 'http://localhost:3000']\n"
    assert settings(tmp_path, text).server.allowed_origins == ("https://page.example.com", "http://localhost:3000")


def test_keys_of_the_file_and_the_environment_add_up(tmp_path: Path) -> None:
    found = settings(tmp_path, "[server]\nkeys = ['one', 'two']\n", {"RUNG_KEYS": "two, three,"})
    assert [key.reveal() for key in found.server.keys] == ["one", "two", "three"]
    assert found.warnings == ("server.keys holds keys in the file; better: RUNG_KEYS in the environment",)


def test_a_misspelt_variable_is_told(tmp_path: Path) -> None:
    assert settings(tmp_path, environ={"RUNG_KEY": "a"}).warnings == (
        "environment: RUNG_KEY is not read; did you mean RUNG_KEYS?",
    )
    assert settings(tmp_path, environ={"RUNG_TEST_X": "a"}).warnings == ()


def test_the_ledger_lies_beside_the_file_that_names_it(tmp_path: Path) -> None:
    assert settings(tmp_path, "[ledger]\npath = 'l.db'\n").ledger.path == tmp_path / "l.db"
    assert settings(tmp_path, "[ledger]\npath = '/var/l.db'\n").ledger.path == Path("/var/l.db")


def test_own_prices_are_ready_for_the_book(tmp_path: Path) -> None:
    found = settings(tmp_path, "[prices.'lan:big']\ninput = 1\noutput = 2.5\n")
    left_out = {"cached_input": None, "cache_write": None, "cache_write_1h": None}
    assert found.prices == {"lan:big": {"input": 1.0, "output": 2.5, **left_out}}


def test_proxies_are_seen_and_masked(tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://u:hunter2@p:1", "no_proxy": "a", "http_proxy": "http://p:2", "HTTP_PROXY": "x"}
    found = settings(tmp_path, environ=environ)
    assert found.proxies.https is not None
    assert found.proxies.https.reveal() == "http://u:hunter2@p:1"
    assert found.proxies.http is not None
    assert found.proxies.http.reveal() == "http://p:2"
    assert (found.proxies.all, found.proxies.no) == (None, "a")
    assert "hunter2" not in repr(found)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    text = """
[server]
keys = ["sekrit-1"]
[privacy]
keys = ["sekrit-2"]
[providers.groq]
key = "sekrit-3"
[providers.lan]
base_url = "http://127.0.0.1:1/v1"
headers = { x-token = "sekrit-4" }
"""
    environ = {"OPENAI_API_KEY": "sekrit-5", "RUNG_KEYS": "sekrit-6", "HTTPS_PROXY": "http://u:sekrit-7@p:1"}
    found = settings(tmp_path, text, environ)
    assert found.providers["lan"].headers["x-token"].reveal() == "sekrit-4"
    for shown in (repr(found), str(found.shown()), " ".join(found.warnings)):
        assert "sekrit" not in shown
    assert found.shown()["providers"]["groq"]["key"] == "***"


@pytest.mark.parametrize(
    "text",
    [
        "[providers.x]\nkey = 'sekrit\\n'\nbase_url='http://127.0.0.1/v1'",
        "[providers.x]\nkey = 'sekrit a'\nbase_url='http://127.0.0.1/v1'",
        "[providers.x]\nkey = ['sekrit']\nbase_url='http://127.0.0.1/v1'",
        "[providers.x]\nbase_url = 'http://me:sekrit@host/v1'",
        "[providers.x]\nbase_url = 'https://a/v1'\nkey_env = 'gsk_sekrit'",
        "[server]\nkeys = 'sekrit'",
        "[server]\nkeys = [['sekrit']]",
        "[privacy]\nkeys = ['sekrit a']",
    ],
)
def test_no_problem_tells_a_secret(tmp_path: Path, text: str) -> None:
    for told in problems(tmp_path, text, {"RUNG_KEYS": "sekrit a"}):
        assert "sekrit" not in told


def test_the_version_changes_with_what_may_change_an_answer(tmp_path: Path) -> None:
    lan = "[providers.lan]\nbase_url = 'http://127.0.0.1:1/v1'\n"
    base = settings(tmp_path, lan, GROQ).version
    same = [
        settings(tmp_path, lan + "connect = 1\n", GROQ),
        settings(tmp_path, lan, {"GROQ_API_KEY": "another"}),
        settings(tmp_path, lan + "[log]\nlevel = 'debug'\n", GROQ),
    ]
    other = [
        settings(tmp_path, lan, OPENAI),
        settings(tmp_path, lan + "strip = ['seed']\n", GROQ),
        settings(tmp_path, lan + "headers = { x-beta = '1' }\n", GROQ),
        settings(tmp_path, lan + "headers = { x-beta = '2' }\n", GROQ),
        settings(tmp_path, lan + "[ladder]\nreference = 'groq:openai/gpt-oss-20b'\n", GROQ),
        settings(tmp_path, lan + "[ladder.reference_for]\nmath = 'groq:openai/gpt-oss-20b'\n", GROQ),
        settings(tmp_path, lan + "[local]\ncontext = 4096\n", GROQ),
    ]
    assert {found.version for found in same} == {base}
    versions = {found.version for found in other}
    assert len(versions) == len(other)
    assert base not in versions
