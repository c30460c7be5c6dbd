"""Does the ranking of optimizers hang on what is tuned, and is Adam never behind momentum? (Choi et al. 2019)

On the runs of docs/evidence/: the same tasks and seeds with defaults, with the learning rate tuned, with all tuned.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from evidence_runs import counted, ends, paired, row, tasks
from numpy.typing import NDArray

from thalweg.lab.judging.distributions import t_quantile

REGIMES = ("defaults", "lr tuned", "all tuned")
SURE = 0.99


def order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each pair of rows 1 where the first is better on paired seeds, -1 where the second is, 0 where neither is
    shown."""
    gaps = values[:, None] - values[None]
    seeds = values.shape[1]
    half = float(t_quantile((1 + SURE) / 2, seeds - 1)) * gaps.std(-1, ddof=1) / math.sqrt(seeds)
    shown_ = np.abs(gaps.mean(-1)) > half
    return (np.sign(gaps.mean(-1)) * shown_).astype(np.int64)


def reversals(first: str, second: str) -> tuple[int, int, int]:
    """Over all tasks and pairs of rules: decided in the first regime, in both, and of these the other way round."""
    one = both = turned = 0
    for task in tasks(first, second):
        found = [ends(task, regime, "final") for regime in (first, second)]
        seeds = sorted(set.union(*(set(own) for each in found for own in each.values())))
        rules = [rule for rule in found[0] if all(len(each.get(rule, ())) == len(seeds) for each in found)]
        signs = [order(np.array([[each[rule][seed] for seed in seeds] for rule in rules])) for each in found]
        upper = np.triu_indices(len(rules), 1)
        before, after = (sign[upper] for sign in signs)
        one += int((before != 0).sum())
        both += int((before * after != 0).sum())
        turned += int((before * after == -1).sum())
    return one, both, turned


def reversal_rows() -> list[str]:
    rows = []
    for first, second in combinations(REGIMES, 2):
        one, both, turned = reversals(first, second)
        chance = (1 - SURE) / 2 * one
        rows.append(f"| {first}, {second} | {one:,} | {both:,} | {turned:,} | {chance:.0f} |")
    return rows


def adam_rows(one: str = "adam", other: str = "momentum") -> list[str]:
    """Adam less momentum on each task, in each regime, and how often it is where."""
    gaps = {
        task: [
            paired(found.get(one, {}), found.get(other, {})) if (found := have(task, regime)) else None
            for regime in REGIMES
        ]
        for task in tasks(*REGIMES[:2])
    }
    sums = [counted(column) for column in zip(*gaps.values(), strict=True)]
    return [*(row(task, own) for task, own in gaps.items()), f"| together | {' | '.join(sums)} |"]


def have(task: str, regime: str) -> dict[str, dict[int, float]]:
    return ends(task, regime, "final") if task in tasks(regime) else {}


if __name__ == "__main__":
    print(*reversal_rows(), "", *adam_rows(), sep="\n")
