"""``rung serve``: the gateway on a socket."""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import queue
import sys
from dataclasses import replace
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path

import click

from rung import config
from rung.config import Settings, Watcher
from rung.doors.app import App
from rung.doors.edge import Edge
from rung.doors.server import Server, serve
from rung.errors import ConfigError
from rung.gateway import Gateway

log = logging.getLogger("rung")


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="rung.toml to use instead of the usual places.")
@click.option("--host", help="Address to listen on (server.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (server.port).")
def command(path: Path | None, host: str | None, port: int | None) -> None:
    """Start the gateway. Ctrl-C drains: running answers are finished, then it stops."""
    settings = config.load_here(path)
    _log_behind(settings.log.level)
    for warning in settings.warnings:
        log.warning("%s", warning)
    try:
        import uvloop
    except ImportError:  # Windows has none
        runner = asyncio.Runner()
    else:
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner:
        sys.exit(runner.run(_serve(settings, path, host, port)))


def _log_behind(level: str) -> None:
    """Log lines go through a queue to a thread of their own: a slow terminal must not hold up the loop."""
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    out = logging.StreamHandler()
    out.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    listener = QueueListener(lines, out)
    listener.start()
    atexit.register(listener.stop)
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.addHandler(QueueHandler(lines))


async def _serve(settings: Settings, path: Path | None, host: str | None, port: int | None) -> int:
    server = settings.server
    gateway = Gateway(settings, lines=True)
    await gateway.start()
    gc.collect()
    gc.freeze()  # what is here now stays: the collector need not look at it again
    watching = asyncio.create_task(_watch(gateway, path).run())
    try:
        return await serve(
            App(gateway),
            host=host or server.host,
            port=server.port if port is None else port,
            edge=_edge(settings),
            drain_timeout=server.drain_timeout,
            on_ready=lambda listening: _ready(listening, gateway),
            on_drained=gateway.aclose,
        )
    finally:
        watching.cancel()
        await gateway.aclose()


def _edge(settings: Settings) -> Edge:
    server = settings.server
    return replace(
        Edge(),
        header_limit=server.header_limit,
        header_timeout=server.header_timeout,
        body_limit=server.body_limit,
        max_connections=server.max_connections,
        max_streams=server.max_streams,
    )


def _watch(gateway: Gateway, path: Path | None) -> Watcher:
    taking: set[asyncio.Task[None]] = set()

    def changed(settings: Settings) -> None:
        task = asyncio.create_task(take(settings))
        taking.add(task)
        task.add_done_callback(taking.discard)

    async def take(settings: Settings) -> None:
        await gateway.reload(settings)
        for warning in settings.warnings:
            log.warning("%s", warning)
        log.info("%s has changed; the new settings are in use", settings.source)

    def refused(error: ConfigError) -> None:
        for problem in error.problems or (error.message,):
            log.error("%s", problem)
        log.error("the old settings stay in use")

    return Watcher(gateway.settings, os.environ, path, cwd=Path.cwd(), changed=changed, refused=refused)


def _ready(listening: Server, gateway: Gateway) -> None:
    """One line to paste."""
    body = '{"model":"auto","messages":[{"role":"user","content":"Format this JSON: {\\"a\\":[1,2]}"}]}'
    click.echo(f"rung listens on {listening.url} ({gateway.summary()}). Try:")
    click.echo(f"curl -s {listening.url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'")
