"""``rung ask``: one question through the ladder, without a server."""

from __future__ import annotations

import asyncio
import sys

import click
import orjson

from rung.doors.reply import usd
from rung.gateway import Gateway
from rung.result import ResultStream


@click.command()
@click.argument("question", nargs=-1)
@click.option("-m", "--model", default="auto", show_default=True, help="auto, local, fast, strong or provider:model")
@click.option("--mode", default="auto", type=click.Choice(["auto", "local", "cloud", "fast", "strong"]))
@click.option("--private", is_flag=True, help="Must not leave this machine.")
@click.option("--explain", is_flag=True, help="Show the climb, the task and the plan on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
def command(question: tuple[str, ...], model: str, mode: str, private: bool, explain: bool, as_json: bool) -> None:
    """Ask QUESTION (or standard input, or both: the question, then what is piped in)."""
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (" ".join(question), piped) if part.strip())
    if not text:
        raise click.UsageError("ask what? give a question or pipe one in")
    asyncio.run(_ask(text, model, mode, private=private, explain=explain, as_json=as_json))


async def _ask(text: str, model: str, mode: str, *, private: bool, explain: bool, as_json: bool) -> None:
    async with Gateway() as gateway:
        message = {"role": "user", "content": text}
        if as_json:
            result = await gateway.chat([message], model=model, mode=mode, private=private)
            told = {
                "text": result.text,
                "rung": result.rung,
                "model": result.model,
                "climb": result.path,
                "cost_usd": usd(result.cost),
                "task": result.task,
                "task_confidence": round(result.task_confidence, 3),
                "task_why": result.task_why,
                "plan": result.why,
                "private": list(result.found),
            }
            click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
            return
        stream = gateway.stream([message], model=model, mode=mode, private=private)
        async for piece in stream:
            click.echo(piece, nl=False)
        click.echo()
        if explain:
            click.echo(_explained(stream), err=True)


def _explained(told: ResultStream) -> str:
    """The climb, what kind of call it was and why, and why the models were asked in this order."""
    lines = [f"{told.path}  cost {usd(told.cost)} USD"]
    if told.task:
        sure = f" ({told.task_confidence:.0%} sure: {told.task_why})" if told.task_why else ""
        lines.append(f"task: {told.task}{sure}")
    if told.why:
        lines.append(f"plan: {told.why}")
    return "\n".join(lines)
