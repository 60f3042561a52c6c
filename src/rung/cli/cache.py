"""``rung cache``: the running gateway's caches, the semantic one's file, and what the providers' prompt caches did."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
import orjson

from rung.cli.cache_semantic import export, import_, inspect, match_option, purge_offline, tenant_option
from rung.cli.config import as_json, named_file
from rung.config import load
from rung.doors.reply import usd
from rung.errors import RungError

TIMEOUT = 90.0
"""seconds to wait for the gateway"""

gateway_url = click.option("--url", help="Where the gateway listens; default: as configured.")


@click.group()
def command() -> None:
    """The exact and the semantic cache, and the providers' prompt caches."""


for _told in (inspect, export, import_):
    command.add_command(_told)


@command.command()
@gateway_url
@named_file
@as_json
def stats(url: str | None, path: Path | None, as_json: bool) -> None:
    """Entries, bytes, hits and misses since the gateway started."""
    told = ask("/admin/cache", url, path)
    if as_json:
        click.echo(orjson.dumps(told).decode())
        return
    if not told.get("enabled", True):
        click.echo("the exact cache is switched off")
    else:
        asked = told["hits"] + told["misses"]
        share = f"{told['hits'] / asked:.1%}" if asked else "none asked"
        click.echo(f"entries  {told['entries']}")
        click.echo(f"memory   {told['bytes'] / 2**20:.1f} of {told['max_bytes'] / 2**20:.0f} MiB")
        click.echo(f"hits     {told['hits']} of {asked} ({share})")
        click.echo(f"stored   {told['stored']}, evicted {told['evicted']}, expired {told['expired']}")
        click.echo(f"refused  {told['too_large']} too large")
    semantic = told.get("semantic", {"enabled": False})
    if semantic["enabled"]:
        click.echo(f"semantic {semantic['entries']} entries in {semantic['scopes']} scopes, {semantic['hits']} hits")
        click.echo(f"memory   {semantic['bytes'] / 2**20:.1f} of {semantic['max_bytes'] / 2**20:.0f} MiB")
        waiting = f"{semantic['audits_waiting']} audits wait"
        click.echo(
            f"compared {semantic['compared']}, audited {semantic['audited']} ({semantic['wrong']} wrong), {waiting}"
        )


@command.command()
@tenant_option
@match_option
@click.option("--offline", is_flag=True, help="No gateway runs: purge the semantic cache's file itself.")
@gateway_url
@named_file
@as_json
def purge(
    tenant: str | None, match: str | None, offline: bool, url: str | None, path: Path | None, as_json: bool
) -> None:
    """Forget stored answers, on disk too: text, vectors, indexes, and what was learnt from them."""
    if offline:
        told: dict[str, Any] = {"purged": purge_offline(tenant, match, path)}
    else:
        body = {name: value for name, value in (("tenant", tenant), ("match", match)) if value is not None}
        told = ask("/admin/cache/purge", url, path, body=orjson.dumps(body))
    click.echo(orjson.dumps(told).decode() if as_json else f"{told['purged']} stored answers forgotten")


@command.command()
@gateway_url
@named_file
@as_json
def explain(url: str | None, path: Path | None, as_json: bool) -> None:
    """What the providers' prompt caches read and saved, and why they missed. Private text is masked."""
    told = ask("/admin/cache/explain", url, path)
    if as_json:
        click.echo(orjson.dumps(told).decode())
        return
    if not told["enabled"]:
        click.echo("prompt_cache.enabled is false: nothing is recorded")
    elif not told["models"]:
        click.echo("no call yet that was long enough for a prompt cache")
    for model in told["models"]:
        click.echo(f"{model['model']}{'  (simulated)' if model['simulated'] else ''}")
        click.echo(_line("all", model))
        for prefix in model["prefixes"][:PREFIXES]:
            click.echo(_line(prefix["prefix"], prefix))
    if told["misses"]:
        counts = ", ".join(f"{reason} {number}" for reason, number in sorted(told["reasons"].items()))
        click.echo(f"misses: {counts}")
    for miss in told["misses"][:MISSES]:
        lost = "unknown" if miss["lost"] is None else usd(miss["lost"])
        read = f"{miss['read_tokens']:,} of {miss['expected_tokens']:,} tokens read"
        click.echo(f"- {WHY.get(miss['reason'], miss['reason'])}: {miss['model']}, {read}, {lost} USD lost")
        if miss["part"]:
            click.echo(f"  in {miss['part']}, byte {miss['byte']}")
        if miss["before"] or miss["after"]:
            click.echo(f"  before  {miss['before']}\n  after   {miss['after']}")


PREFIXES = 5
MISSES = 10
"""shown; --json tells more"""

WHY = {
    "timestamp": "a timestamp changed",
    "identifier": "an identifier changed",
    "number": "a number changed",
    "text": "the text changed",
    "parameter": "a parameter changed",
    "tools_reordered": "the tools came in another order",
    "tools_changed": "the tools changed",
    "expired": "unused for too long",
    "parallel": "sent before the first answer had ended",
    "not_found": "the same prompt, but the provider did not have it",
    "not_compared": "too many misses to look at each",
}


def _line(name: str, told: dict[str, Any]) -> str:
    """One line of sums."""
    expected = told["hit_rate_of_expected"]
    of_expected = "" if expected is None else f" ({expected:.1%} of what was sent before)"
    return (
        f"  {name:16} {told['calls']} calls, {told['input_tokens']:,} input tokens, {told['hit_rate']:.1%} read"
        f"{of_expected}, saved {_signed(told['saved'])}, lost {usd(told['lost'])} USD"
    )


def _signed(pico: int) -> str:
    return usd(pico) if pico >= 0 else f"-{usd(-pico)}"


def ask(route: str, url: str | None, config: Path | None, body: bytes | None = None) -> dict[str, Any]:
    """GET `route` of the running gateway, or POST `body` to it; its JSON.

    Raises RungError if nothing answers there, or with what the gateway answered.
    """
    settings = load(os.environ, config, cwd=Path.cwd())
    server = settings.server
    if url is None:
        host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104
        url = f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} must begin with http:// or https://", param_hint="--url")
    headers = {"content-type": "application/json"}
    if server.keys:
        headers["authorization"] = f"Bearer {server.keys[0].reveal()}"
    request = urllib.request.Request(url.rstrip("/") + route, body, headers)  # noqa: S310
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    try:
        with direct.open(request, timeout=TIMEOUT) as response:
            told: dict[str, Any] = orjson.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            raise RungError(f"the gateway at {url} answered {error.code}: {_message(error.read())}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RungError(
            f"no gateway answers at {url} ({reason}); start it with rung serve, or name it with --url"
        ) from None
    return told


def _message(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return "without a reason"
