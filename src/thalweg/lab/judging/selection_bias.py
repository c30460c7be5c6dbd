"""The leader's luck: it is chosen by the seeds that judge the others, so part of its lead is chance.

What is chosen is the best mean on validation, and the test values of the same trained models lean the same way, the
more so the closer the two go together. Where they are one, Holm's correction alone calls one of ten equal optimizers
worse in 11 to 13 studies of 100, one of 37 in 19 to 26 (simulated, 5 and 10 seeds). So the least p-value is held
against those of simulated studies of equal optimizers whose leader is chosen the same way.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from thalweg.lab.judging.distributions import normal_quantile, t_tail

STUDIES = 10_000
COUNTS = (3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 30, 37, 50, 75, 100)  # the next larger is stricter
MOST_SEEDS = 30  # more change a p-value's distribution no further
AT_ONCE = 1_000_000  # numbers drawn at a time


def selection_corrected(p: float, count: int, seeds: int, correlation: float) -> float:
    """How often, of `count` equal optimizers, one is told from the leader by a p-value as low as this.

    Args:
        p: of a paired t-test against the leader.
        correlation: of an optimizer's test values with its validation values, over seeds.
    """
    if count <= 2 or seeds < 2 or math.isnan(p):
        return p  # of two, either may lead: a two-sided test has no part in which does
    known = min((c for c in COUNTS if c >= count), default=count)
    tenth = min(10, max(0, math.ceil(10 * correlation - 1e-9)))
    lowest = _lowest(known, min(seeds, MOST_SEEDS), tenth)
    simulated = (1 + bisect_right(lowest, p)) / (1 + len(lowest))
    return min(1.0, simulated, p * count * (count - 1) / 2)  # as many pairs could have been leader and other


def correlation(validation: Sequence[Sequence[float]], test: Sequence[Sequence[float]]) -> float:
    """How closely test values follow validation values, once optimizers and seeds are leveled: an upper limit.

    A row an optimizer, a column a seed. 1, the strictest, where there is too little to tell.
    """
    first, second = (_levelled(np.asarray(values, dtype=float)) for values in (validation, test))
    freedom = (len(first) - 1) * (first.shape[1] - 1) if first.ndim == 2 and len(first) else 0
    if freedom < 4:
        return 1.0
    spreads = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    if not np.all(np.isfinite(spreads)) or not np.any(spreads > 0):
        return 1.0
    alike = (first * second).sum(1)[spreads > 0] / spreads[spreads > 0]
    middle = min(0.999, max(-0.999, float(alike.mean())))
    return math.tanh(math.atanh(middle) + normal_quantile(0.95) / math.sqrt(freedom - 2))


def _levelled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.ndim != 2 or not values.size:
        return values
    levelled: NDArray[np.float64] = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return levelled


@lru_cache(maxsize=256)
def _lowest(count: int, seeds: int, tenth: int) -> list[float]:
    """The least p-value against the leader in each simulated study of equal optimizers, rising."""
    random = np.random.default_rng([count, seeds, tenth])
    result: list[NDArray[np.float64]] = []
    rest, rows = STUDIES, max(1, AT_ONCE // (count * seeds))
    while rest:
        many = min(rest, rows)
        test = random.standard_normal((many, count, seeds))
        noise = random.standard_normal((many, count))
        along = tenth / 10
        validation = along * test.mean(2) + math.sqrt((1 - along**2) / seeds) * noise
        leader = validation.argmax(1)
        gaps = test - np.take_along_axis(test, leader[:, None, None], 1)
        errors = gaps.std(2, ddof=1) / math.sqrt(seeds)
        errors[np.arange(many), leader] = 1.0
        result.append(np.abs(gaps.mean(2) / errors).max(1))
        rest -= many
    return sorted((2 * t_tail(np.concatenate(result), seeds - 1)).tolist())
