"""The runs of docs/evidence/, for claims that are judged on them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from thalweg.lab.judging.statistics import Interval, mean_interval

DATA = Path(__file__).parents[1] / "evidence" / "evidence.json.gz"


@cache
def read() -> Any:
    return json.loads(gzip.decompress(DATA.read_bytes()))


def tasks(*regimes: str) -> list[str]:
    """Those that have all of these."""
    return [task for task in read()["tasks"] if all(f"{task}/{regime}" in read()["studies"] for regime in regimes)]


def accuracy(task: str, regime: str) -> bool:
    return bool(read()["studies"][f"{task}/{regime}"]["spec"]["task"]["metric"] == "accuracy")


def ends(task: str, regime: str, phase: str) -> dict[str, dict[int, float]]:
    """By rule and seed the test values of finalists ("final"), or by rule and configuration the validation values of
    the search ("search"): larger is better, and what failed is missing."""
    study = read()["studies"][f"{task}/{regime}"]
    sign = 1.0 if study["spec"]["task"]["larger_is_better"] else -1.0
    found: dict[str, dict[int, float]] = {}
    for rule, index, of, seed, status, _, metric, _, test in study["runs"]:
        value, key = (test, seed) if of == "final" else (metric, index)
        if of == phase and status == "done" and value is not None:
            found.setdefault(rule, {})[key] = sign * value
    return found


def paired(one: dict[int, float], other: dict[int, float], confidence: float = 0.95) -> Interval | None:
    """The difference over the seeds; None where a seed of one is missing."""
    if one.keys() != other.keys() or not one:
        return None
    return mean_interval([one[seed] - other[seed] for seed in one], confidence)


def side(gap: Interval) -> int:
    """1 or -1 where the whole interval is above or below 0, else 0."""
    return int(gap.low > 0) - int(gap.high < 0)


SIDES = {1: "ahead", -1: "behind", 0: "undecided"}


def counted(gaps: Sequence[Interval | None]) -> str:
    """How many are ahead, behind and undecided."""
    sides = [side(gap) for gap in gaps if gap is not None]
    return ", ".join(f"{sides.count(key)} {word}" for key, word in SIDES.items()) if sides else ""


def row(task: str, gaps: Sequence[Interval | None]) -> str:
    """A line of a table: the differences on a task; nothing where there is none."""
    percent = accuracy(task, "defaults")
    cells = ["" if gap is None else f"{shown(gap, percent)}, {SIDES[side(gap)]}" for gap in gaps]
    return f"| `{task}` | {' | '.join(cells)} |"


def shown(gap: Interval, percent: bool) -> str:
    """As a difference of a task's metric, in points where that is an accuracy."""
    return f"{100 * gap.mean:+.1f} ± {100 * gap.half:.1f} points" if percent else f"{gap.mean:+.3g} ± {gap.half:.2g}"
