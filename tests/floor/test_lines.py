"""Log lines are written behind, bounded, and hold plain fields only."""

import io

import orjson

from rung.lines import CallLines


class Broken(io.StringIO):
    def write(self, text):
        raise OSError("gone")


def written(style, *rows, limit=100):
    out = io.StringIO()
    lines = CallLines(style, to=out, limit=limit)
    lines.start()
    for row in rows:
        lines.add(row)
    lines.close()
    return out.getvalue().splitlines(), lines


def test_text_lines_quote_what_needs_it_and_leave_out_nothing_said():
    (line,), _ = written("text", {"id": "1", "climb": "tool=miss, local=answered", "ms": 1.26, "error": None})
    assert line == 'id=1 climb="tool=miss, local=answered" ms=1.3'


def test_json_lines_parse():
    (line,), _ = written("json", {"id": "1", "ms": 2.0, "error": None})
    assert orjson.loads(line) == {"id": "1", "ms": 2.0}


def test_what_does_not_fit_is_counted_and_told():
    out = io.StringIO()
    lines = CallLines("json", to=out, limit=2)
    lines.start()
    for n in range(50):
        lines.add({"n": n})
    lines.close()
    told = [orjson.loads(line) for line in out.getvalue().splitlines()]
    dropped = sum(line["count"] for line in told if "count" in line)
    assert dropped > 0
    assert dropped + sum("n" in line for line in told) == 50


def test_a_broken_pipe_ends_quietly():
    lines = CallLines(to=Broken())
    lines.start()
    lines.add({"a": 1})
    lines.close()
