"""``rung bench semantic --data FILE``: how many hits, and how many of them wrong, on your own requests.

A line of FILE is one of

* ``{"prompt", "answer_class"}``: a stream. A hit is right if the stored request has the same class. A ``kind`` that
  begins with ``trap`` marks a request that must never share an answer with another.
* ``{"a", "b", "same_answer"}`` with texts: `a` is stored, `b` asked.
* the same with lists of messages: conversations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("semantic")
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="JSONL rows.")
@click.option(
    "--max-error", default=0.01, show_default=True, type=click.FloatRange(0.0005, 0.2), help="Wrong hits per request."
)
@click.option("--embedder", default="wordllama", show_default=True, help="wordllama or minilm.")
@click.option(
    "--vocabulary", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="BERT's vocab.txt, for minilm."
)
@click.option(
    "--orders",
    "how_many",
    default=20,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="File order, then shuffles.",
)
@click.option("--rules/--no-rules", default=True, show_default=True, help="Other rules beside ours.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    data: Path, max_error: float, embedder: str, vocabulary: Path | None, how_many: int, rules: bool, as_json: bool
) -> None:
    """Replay requests through the semantic cache's judgement, online and from cold. Needs the [semantic] extra."""
    from rung.errors import ConfigError

    rows, kind = load_rows(data)
    try:
        from rung.semantic import embed

        chosen = embed.load(embedder, vocabulary=vocabulary)
    except ImportError:
        raise click.UsageError("the semantic cache needs numpy: pip install 'rung[semantic]'") from None
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    from rung.cli import bench_semantic_report as report

    found: dict[str, Any]
    if kind == "stream":
        found = report.of_stream(rows, chosen, max_error, how_many, rules)
    else:
        found = report.of_pairs(rows, chosen, max_error, rules)
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else report.text(found))


def load_rows(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows and what they are: ``stream`` or ``pairs``. Raises click.UsageError naming the line that is neither."""
    rows: list[dict[str, Any]] = []
    kinds = set()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise click.UsageError(f"{path}:{number}: not JSON: {error}") from None
        kinds.add(_kind(row))
        if None in kinds or len(kinds) > 1:
            raise click.UsageError(
                f"{path}:{number}: every row needs prompt and answer_class, or a, b and same_answer, all alike"
            )
        rows.append(row)
    if len(rows) < 2:
        raise click.UsageError(f"{path}: at least two rows are needed")
    return rows, str(kinds.pop())


def _kind(row: Any) -> str | None:
    if not isinstance(row, dict):
        return None
    if isinstance(row.get("prompt"), str) and "answer_class" in row:
        return "stream"
    both = [row.get("a"), row.get("b")]
    if "same_answer" in row and all(isinstance(one, str) or (isinstance(one, list) and one) for one in both):
        return "pairs"
    return None
