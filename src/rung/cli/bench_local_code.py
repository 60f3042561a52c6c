"""Small code with tests for ``rung bench local``. An answer is a stranger's program: it runs in `rung.sandbox`, without
a network and with nothing to write to, or not at all."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from rung import sandbox
from rung.errors import InvalidRequestError

_LIMITS = sandbox.Limits(seconds=20.0, processes=8)  # of wall clock: the machine may be busy

_PASSED = 83
"""exit code of a program that came to its end: an answer that exits by itself has not"""

_found: list[str | None] = []
"""what `interpreter` has found, once it has looked"""

_RUN = "import sys; exec(compile(sys.stdin.read(), 'answer', 'exec'), {})"

_NAMES = ("compute", "solve", "helper", "process", "transform", "handle", "work_out", "do_it", "run_it", "calc")


def code_case(rng: random.Random) -> dict[str, Any]:
    """One function to write. Truth: ``{"function", "tests": [[arguments, result], ...]}``."""
    k = rng.randint(2, 9)
    what, reference, arguments = rng.choice(_SPECIFICATIONS)
    name = f"{rng.choice(_NAMES)}_{rng.randint(1, 99)}"
    samples = [arguments(rng) for _ in range(6)]
    tests = [[sample, reference(k, *sample)] for sample in samples]
    asked = (
        "Write one Python function. Reply with the code only, no explanation, no example.\n\n"
        f"def {name}({', '.join('xyz'[: len(samples[0])])}): it returns {what.format(k=k)}."
    )
    return {"prompt": asked, "truth": {"function": name, "tests": tests}, "max_tokens": 200}


def _numbers(rng: random.Random) -> list[Any]:
    return [[rng.randint(-20, 60) for _ in range(rng.randint(0, 8))]]


def _text(rng: random.Random) -> list[Any]:
    return ["".join(rng.choice("abcde fgh AEI") for _ in range(rng.randint(0, 14)))]


def _number(rng: random.Random) -> list[Any]:
    return [rng.randint(1, 200)]


def _two_lists(rng: random.Random) -> list[Any]:
    return [_numbers(rng)[0], _numbers(rng)[0]]


_Reference = Callable[..., Any]
_SPECIFICATIONS: tuple[tuple[str, _Reference, Callable[[random.Random], list[Any]]], ...] = (
    (
        "the sum of the numbers in the list x that are divisible by {k}",
        lambda k, x: sum(n for n in x if n % k == 0),
        _numbers,
    ),
    ("how many numbers in the list x are greater than {k}", lambda k, x: sum(n > k for n in x), _numbers),
    ("the list x with every number multiplied by {k}", lambda k, x: [n * k for n in x], _numbers),
    ("the first {k} numbers of the list x, sorted ascending", lambda k, x: sorted(x[:k]), _numbers),
    (
        "the list x without its duplicates, keeping the first of each, in order",
        lambda k, x: list(dict.fromkeys(x)),
        _numbers,
    ),
    ("the largest number of the list x, or {k} if the list is empty", lambda k, x: max(x, default=k), _numbers),
    (
        "the list x cut into lists of length {k}; the last one may be shorter",
        lambda k, x: [x[i : i + k] for i in range(0, len(x), k)],
        _numbers,
    ),
    (
        "the sum of the squares of the numbers in the list x that are less than {k}",
        lambda k, x: sum(n * n for n in x if n < k),
        _numbers,
    ),
    ("the numbers of the list x at indices that are multiples of {k}", lambda k, x: x[::k], _numbers),
    (
        "the list of running totals of the list x, each increased by {k}",
        lambda k, x: [sum(x[: i + 1]) + k for i in range(len(x))],
        _numbers,
    ),
    (
        "the number of vowels (a, e, i, o, u, in either case) in the string x plus {k}",
        lambda k, x: sum(c in "aeiouAEIOU" for c in x) + k,
        _text,
    ),
    ("the string x reversed and repeated {k} times", lambda k, x: x[::-1] * k, _text),
    (
        "True if the string x without spaces has at least {k} characters, else False",
        lambda k, x: len(x.replace(" ", "")) >= k,
        _text,
    ),
    (
        "the words of the string x (separated by whitespace) that are longer than {k} characters, as a list",
        lambda k, x: [w for w in x.split() if len(w) > k],
        _text,
    ),
    (
        "a dict from each character of the string x to how often it occurs, only those fewer than {k} times",
        lambda k, x: {c: x.count(c) for c in x if x.count(c) < k},
        _text,
    ),
    (
        "the string x in upper case with spaces replaced by {k} dashes each",
        lambda k, x: x.upper().replace(" ", "-" * k),
        _text,
    ),
    ("the positive integer x written in base {k}, as a string of digits", lambda k, x: _base(x, k), _number),
    (
        "True if the integer x is a prime number and greater than {k}, else False",
        lambda k, x: x > k and all(x % d for d in range(2, x)),
        _number,
    ),
    (
        "the sum of all divisors of the positive integer x that are at least {k}",
        lambda k, x: sum(d for d in range(k, x + 1) if x % d == 0),
        _number,
    ),
    (
        "the numbers that are in both lists x and y, without duplicates, sorted, at most {k} of them",
        lambda k, x, y: sorted(set(x) & set(y))[:k],
        _two_lists,
    ),
    (
        "the lists x and y merged into one sorted list, each number increased by {k}",
        lambda k, x, y: sorted(n + k for n in x + y),
        _two_lists,
    ),
)


def _base(number: int, base: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, base)
        digits = str(digit) + digits
    return digits


async def interpreter() -> str | None:
    """A Python that starts in the sandbox, where no home and no temporary folder is seen; None if there is none."""
    if not _found:
        _found.append(await _find())
    return _found[0]


async def _find() -> str | None:
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            if await sandbox.run([path, "-I", "-S", "-c", ""], b"", _LIMITS) == 0:
                return path
        except InvalidRequestError:
            return None
    return None


async def passes(code: str, truth: dict[str, Any]) -> str:
    """Why `code` does not pass its tests; empty if it does. Call it only where there is an `interpreter`."""
    python = await interpreter()
    if python is None:
        return "there is no sandbox"
    checks = "".join(
        f"assert {truth['function']}(*{arguments!r}) == {result!r}\n" for arguments, result in truth["tests"]
    )
    program = f"{code}\n{checks}raise SystemExit({_PASSED})\n".encode()
    ended = await sandbox.run([python, "-I", "-S", "-c", _RUN], program, _LIMITS)
    return "" if ended == _PASSED else "it took too long" if ended == -9 else "it failed its tests"
