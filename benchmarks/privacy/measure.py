"""How well personal data and secrets are found: recall per kind, false alarms per family of near misses, and speed.

    pip install faker    # optional: values that somebody else's generator made
    python -m benchmarks.privacy.measure [--seed N] [--each N] [--show ERRORS]

Fresh cases from the seed (`cases.py`). A false alarm is any kind found in a near miss; a kind found beside the right
one in a positive case is counted apart. Intervals: Wilson, 95 %.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from math import sqrt

try:
    from faker import Faker
except ImportError:
    Faker = None

from benchmarks.privacy.cases import NEAR, POSITIVE, cases

from rung.ladder.personal import KINDS, Detector


def wilson(hits: int, of: int) -> tuple[float, float]:
    """E. B. Wilson (1927), 95 %."""
    z, share = 1.96, hits / of
    middle, half = share + z * z / (2 * of), z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def measure(seed: int, each: int, *, show: int = 0) -> dict[str, object]:
    """Figures by kind and family; the first `show` errors are printed."""
    detector = Detector(list(KINDS))
    hits: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    size, spent = 0, 0.0
    for case in cases(seed, each):
        started = time.process_time()
        found = set(detector.find(case.text))
        spent += time.process_time() - started
        size += len(case.text)
        seen[case.family] += 1
        wrong = bool(found) if not case.kinds else not case.kinds <= found
        if wrong and show:
            show -= 1
            print(f"{'false alarm' if not case.kinds else 'missed'} {case.family} {sorted(found)}: {case.text!r}")
        if not case.kinds:
            alarms.update({case.family: bool(found)})
            continue
        hits[case.family] += case.kinds <= found
        beside.update(found - case.kinds)
    near = sum(seen[name] for name in NEAR)
    positives = sum(seen[name] for name in seen if name not in NEAR)
    found_in_all, false = sum(hits.values()), sum(alarms.values())
    recall = {name: round(hits[name] / seen[name], 4) for name in seen if name.split()[0] in POSITIVE}
    return {
        "seed": seed,
        "cases": positives + near,
        "recall": recall,
        "recall_all": [round(found_in_all / positives, 4), *(round(end, 4) for end in wilson(found_in_all, positives))],
        "false_alarms": [round(false / near, 4), *(round(end, 4) for end in wilson(false, near))],
        "false_alarms_by_family": {name: round(count / seen[name], 3) for name, count in alarms.items() if count},
        "precision": round(found_in_all / (found_in_all + false), 4),
        "another_kind_beside_the_right_one": dict(beside),
        "microseconds_per_kilobyte": round(spent / size * 1e9, 1),
    }


def faker_recall(seed: int, each: int, *, show: int = 0) -> dict[str, float] | None:
    """Recall on values by somebody else's generator (the `faker` package), by kind and locale; None without it."""
    if Faker is None:
        return None
    detector = Detector(list(KINDS))
    hits: Counter[str] = Counter()
    for locale in ("en_US", "en_GB", "fr_FR", "de_DE", "es_ES", "it_IT", "nl_NL", "pt_BR", "ja_JP"):
        faker = Faker(locale)
        faker.seed_instance(seed)
        made = {
            "email": faker.free_email,
            "phone": faker.phone_number,
            "iban": faker.iban,
            "card": faker.credit_card_number,
        }
        for kind, value in made.items():
            name = f"{kind} {locale}" if kind == "phone" else kind
            for _ in range(each):
                text = f"{faker.sentence()} {value()} {faker.sentence()}"
                found = kind in detector.find(text)
                hits.update({name: found})
                if show and not found:
                    show -= 1
                    print(f"missed {name}: {text!r}")
    return {name: round(count / (each if " " in name else 9 * each), 4) for name, count in sorted(hits.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description="Recall, false alarms and speed of the private-data detector.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=600, help="cases of each kind; as many near misses in all")
    parser.add_argument("--show", type=int, default=0, help="print so many errors")
    options = parser.parse_args()
    told = measure(options.seed, options.each, show=options.show)
    told["recall_on_faker"] = faker_recall(options.seed, max(options.each // 6, 1), show=options.show)
    print(json.dumps(told, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
