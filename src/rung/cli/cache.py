"""``rung cache``: look at or empty the running gateway's exact cache."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
import orjson

from rung.cli.config import as_json, named_file
from rung.config import load
from rung.errors import RungError

TIMEOUT = 10.0
"""seconds to wait for the gateway"""

gateway_url = click.option("--url", help="Where the gateway listens; default: as configured.")


@click.group()
def command() -> None:
    """Look at or empty the running gateway's cache."""


@command.command()
@gateway_url
@named_file
@as_json
def stats(url: str | None, path: Path | None, as_json: bool) -> None:
    """Entries, bytes, hits and misses since the gateway started."""
    told = ask("/admin/cache", url, path)
    if as_json:
        click.echo(orjson.dumps(told).decode())
    elif not told.get("enabled", True):
        click.echo("the exact cache is switched off")
    else:
        asked = told["hits"] + told["misses"]
        share = f"{told['hits'] / asked:.1%}" if asked else "none asked"
        click.echo(f"entries  {told['entries']}")
        click.echo(f"memory   {told['bytes'] / 2**20:.1f} of {told['max_bytes'] / 2**20:.0f} MiB")
        click.echo(f"hits     {told['hits']} of {asked} ({share})")
        click.echo(f"stored   {told['stored']}, evicted {told['evicted']}, expired {told['expired']}")
        click.echo(f"refused  {told['too_large']} too large")


@command.command()
@gateway_url
@named_file
@as_json
def purge(url: str | None, path: Path | None, as_json: bool) -> None:
    """Forget every stored answer, on disk too."""
    told = ask("/admin/cache/purge", url, path, body=b"{}")
    click.echo(orjson.dumps(told).decode() if as_json else f"{told['purged']} stored answers forgotten")


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
