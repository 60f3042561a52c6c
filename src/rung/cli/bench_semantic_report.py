"""The figures of ``rung bench semantic``, as means over the orders, and their table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from rung.cli.bench_semantic_replay import TAIL, WARM_UP, Replayed, Stream, judged, orders, replay, stream
from rung.cli.bench_semantic_rules import GPTCACHE_COSINE, RULES
from rung.semantic.admit import Question, question
from rung.semantic.embed import Embedder
from rung.semantic.pairs import SERVED_AT, differences, head, words


def of_stream(
    rows: list[dict[str, Any]], embedder: Embedder, limit: float, how_many: int, rules: bool
) -> dict[str, Any]:
    """Our figures and, under ``beside``, those of other rules on the same orders."""
    data = stream(rows, embedder)

    def ours(data: Stream, order: Any, limit: float, seed: int) -> Replayed:
        return replay(data, order, limit, seed, embedder if seed == 0 else None)

    found = _figures(data, ours, limit, how_many)
    found |= {"embedder": embedder.version, "max_error": limit, "orders": how_many, "warm_up": WARM_UP, "tail": TAIL}
    if rules:
        found["beside"] = {name: _figures(data, rule, limit, how_many) for name, rule in RULES.items()}
        found["beside_note"] = f"gptcache's rule: its default, cosine >= {GPTCACHE_COSINE}, replayed; not its package"
    return found


def _figures(
    data: Stream, rule: Callable[[Stream, Any, float, int], Replayed], limit: float, how_many: int
) -> dict[str, Any]:
    every: list[dict[str, Any]] = []
    for seed, order in enumerate(orders(len(data), how_many)):
        out = rule(data, order, limit, seed)
        failed, worst = judged(out, limit)
        after = out.wrong[WARM_UP:] if len(out.wrong) > WARM_UP else out.wrong
        every.append(
            {
                "hits": int(out.hits.sum()),
                "wrong": int(out.wrong.sum()),
                "last": float(out.hits[-TAIL:].mean()),
                "after": float(after.mean()),
                "worst": worst,
                "failed": failed,
                "miss": out.labels_miss,
                "audit": out.labels_audit,
                "traps": out.traps_served,
                "opened": out.first_open,
                "times": out.microseconds if seed == 0 else None,
            }
        )

    def mean(key: str) -> float:
        return float(np.mean([one[key] for one in every]))

    last = [one["last"] for one in every]
    count = len(data)
    found: dict[str, Any] = {
        "requests": count,
        "hits": round(mean("hits"), 1),
        "wrong": round(mean("wrong"), 1),
        "hit_rate": round(mean("hits") / count, 4),
        "hit_rate_last5000": round(mean("last"), 4),
        "hit_rate_last5000_range": [round(min(last), 4), round(max(last), 4)],
        "wrong_per_request": round(mean("wrong") / count, 5),
        "wrong_per_request_after_warm_up": round(mean("after"), 5),
        "wrong_per_hit": round(sum(one["wrong"] for one in every) / max(1, sum(one["hits"] for one in every)), 5),
        "worst_checkpoint": round(max(one["worst"] for one in every), 5),
        "orders_failed": sum(one["failed"] for one in every),
        "labels_miss": round(mean("miss"), 1),
        "labels_audit": round(mean("audit"), 1),
        "traps_served": round(mean("traps"), 3),
        "first_open": round(mean("opened"), 1),
    }
    times = every[0]["times"]
    if times is not None:
        found |= {"p50_us": round(float(np.percentile(times, 50))), "p99_us": round(float(np.percentile(times, 99)))}
    return found


def of_pairs(rows: list[dict[str, Any]], embedder: Embedder, limit: float, rules: bool) -> dict[str, Any]:
    """Each pair by itself, `a` stored and `b` asked: the pair head alone, at the threshold it ships with.

    There is nothing to learn from and nothing proved: as a cache this would be a shadow. Conversations must match
    in everything but the last message.
    """
    served, cosines = [], []
    for row in rows:
        one, other = _question(row["a"]), _question(row["b"])
        framed = _frame(one) == _frame(other)
        likeness = float(embedder.embed(one.prompt) @ embedder.embed(other.prompt))
        logit = head(differences(words(one.prompt), words(other.prompt), likeness))
        served.append(framed and logit >= SERVED_AT)
        cosines.append(likeness)
    same = np.array([bool(row["same_answer"]) for row in rows])
    found = _of_pairs(rows, np.array(served), same)
    found |= {"embedder": embedder.version, "max_error": limit, "orders": 1, "shipped_threshold": SERVED_AT}
    if rules:
        alike = np.array(cosines)
        text = [_question(row["a"]).prompt.split() == _question(row["b"]).prompt.split() for row in rows]
        found["beside"] = {"exact": _of_pairs(rows, np.array(text), same)}
        for name, least in (("cosine 0.95", 0.95), ("cosine 0.9", 0.9), ("cosine 0.8", 0.8), ("gptcache's rule", 0.6)):
            found["beside"][name] = _of_pairs(rows, alike >= least, same)
        found["beside_note"] = "they compare the last message only, as GPTCache does"
    return found


def _question(side: Any) -> Question:
    messages = [{"role": "user", "content": side}] if isinstance(side, str) else side
    found = question({"messages": messages})
    if isinstance(found, str):
        return Question(str(messages[-1].get("content", "")), {"declined": found, "messages": messages}, 0)
    return found


def _frame(one: Question) -> bytes:
    return orjson.dumps(one.frame, option=orjson.OPT_SORT_KEYS)


def _of_pairs(rows: list[dict[str, Any]], served: Any, same: Any) -> dict[str, Any]:
    count = len(rows)
    wrong = served & ~same
    by: dict[str, list[int]] = {}
    for row, hit, good in zip(rows, served.tolist(), same.tolist(), strict=True):
        name = f"{row.get('category') or row.get('subtype') or 'pairs'}{'' if good else ' (trap)'}"
        kept = by.setdefault(name, [0, 0])
        kept[0] += hit
        kept[1] += 1
    return {
        "requests": count,
        "hits": int(served.sum()),
        "wrong": int(wrong.sum()),
        "hit_rate": round(float(served.mean()), 4),
        "should_hits_served": round(float(served[same].mean()), 4) if same.any() else 0.0,
        "wrong_per_request": round(float(wrong.mean()), 5),
        "wrong_per_hit": round(float(wrong.sum() / max(1, served.sum())), 5),
        "traps": int((~same).sum()),
        "traps_served": int(wrong.sum()),
        "served_of": {name: f"{hit} of {of}" for name, (hit, of) in sorted(by.items())},
    }


def text(found: dict[str, Any]) -> str:
    """The figures as lines, and a table of the rules beside."""
    lines = [
        f"{key:32} {value}" for key, value in found.items() if key not in ("beside", "served_of") and value is not None
    ]
    lines += [f"  {name:30} {value}" for name, value in found.get("served_of", {}).items()]
    beside = found.get("beside")
    if beside:
        last = "hit_rate_last5000" if "hit_rate_last5000" in found else "should_hits_served"
        lines += ["", f"{'':20}{'hits':>9}{'last 5000' if last.startswith('hit') else 'should':>11}{'wrong/req':>11}"]
        for name, one in ({"rung": found} | beside).items():
            lines.append(f"{name:20}{one['hit_rate']:9.2%}{one[last]:11.2%}{one['wrong_per_request']:11.3%}")
    return "\n".join(lines)
