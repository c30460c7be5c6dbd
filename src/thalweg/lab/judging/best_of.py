"""What a search of only k settings would have found: exact, by counting all choices of k from those tried."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 16
OUTSIDE = 0.1  # a tenth of the searches end below `low`, a tenth above `high`


@dataclass(frozen=True)
class BestOf:
    """The best of k settings drawn, each at most once, from those tried.

    `expected` is its mean over all draws. `low` and `high` hold the middle 80 % of them: how lucky or unlucky a
    search of k may be, not how well the mean is known; at k = all there is one draw, and they meet.
    """

    k: int
    expected: float
    median: float
    low: float
    high: float


def best_of(values: Sequence[float], larger_is_better: bool, worst: float = math.nan) -> tuple[BestOf, ...]:
    """The best of k = 1, 2, ... up to 16 of these values; `worst` stands for a setting that failed (NaN)."""
    sign = 1.0 if larger_is_better else -1.0
    rising = sorted(sign * (worst if math.isnan(value) else value) for value in values)
    if any(map(math.isnan, rising)):
        return ()
    result = []
    for k in range(1, min(len(rising), MOST) + 1):
        draws = math.comb(len(rising), k)
        # the best is the value in this place if the other k - 1 are among those before it
        chances = [math.comb(index, k - 1) / draws for index in range(len(rising))]
        at_most = [math.comb(index + 1, k) / draws for index in range(len(rising))]
        expected = math.fsum(chance * value for chance, value in zip(chances, rising, strict=True))
        low, median, high = (sign * _quantile(rising, at_most, part) for part in (OUTSIDE, 0.5, 1 - OUTSIDE))
        result.append(BestOf(k, sign * expected, median, min(low, high), max(low, high)))
    return tuple(result)


def _quantile(rising: Sequence[float], at_most: Sequence[float], part: float) -> float:
    return rising[bisect_left(at_most, part)]
