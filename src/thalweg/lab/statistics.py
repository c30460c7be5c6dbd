"""What the finalists' seeds can and cannot say: intervals, paired differences, a verdict in three words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies; low and high are NaN where fewer than two values tell nothing of them."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Judgement:
    """One optimizer against the leader. Positive differences are in its favour.

    `verdict` is "better", "worse", "practically equal" or "undecided"; `more_seeds` is what an undecided
    one lacks at the mean and spread seen so far (None: cannot be told, or more than a thousand).
    """

    difference: Interval
    verdict: str
    p_differs: float
    p_equal: float
    more_seeds: int | None = None


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean with its t-interval."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1 or not math.isfinite(mean):
        return Interval(mean, math.nan, math.nan, n)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def judge(differences: Mapping[str, Sequence[float]], margin: float, alpha: float = 0.05) -> dict[str, Judgement]:
    """Judge paired per-seed differences to the leader, Holm-corrected over the optimizers.

    "better" and "worse" are a paired t-test against 0; "practically equal" is two one-sided tests against
    -margin and +margin, and goes first: a difference that is surely smaller than the margin is of no use.
    """
    if not differences:
        return {}
    raw = {name: (p_differs(values), p_equal(values, margin)) for name, values in differences.items()}
    differs = holm([p for p, _ in raw.values()])
    equals = holm([p for _, p in raw.values()])
    judgements = {}
    for name, p, q in zip(raw, differs, equals, strict=True):
        interval = mean_interval(differences[name], 1 - alpha)
        more = None
        if q < alpha:
            verdict = "practically equal"
        elif p < alpha:
            verdict = "better" if interval.mean > 0 else "worse"
        else:
            verdict = "undecided"
            more = seeds_to_decide(differences[name], margin, alpha / len(differences))
        judgements[name] = Judgement(interval, verdict, p, q, more)
    return judgements


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction; a NaN (nothing to test) stays NaN and counts as a test."""
    from statsmodels.stats.multitest import multipletests

    known = [1.0 if math.isnan(p) else p for p in p_values]
    corrected = multipletests(known, method="holm")[1]
    return [math.nan if math.isnan(p) else float(c) for p, c in zip(p_values, corrected, strict=True)]


def p_differs(values: Sequence[float]) -> float:
    """Two-sided paired t-test: could the mean difference be 0? NaN for fewer than two seeds."""
    mean, error, n = _moments(values)
    if n < 2:
        return math.nan
    if error == 0:  # every seed gave the very same difference
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, n - 1))


def p_equal(values: Sequence[float], margin: float) -> float:
    """Two one-sided t-tests: could the mean be as large as the margin? NaN for fewer than two seeds."""
    mean, error, n = _moments(values)
    if n < 2:
        return math.nan
    if error == 0:
        return 0.0 if abs(mean) < margin or mean == 0 else 1.0
    return float(stats.t.sf((margin - abs(mean)) / error, n - 1))


def seeds_to_decide(values: Sequence[float], margin: float, alpha: float) -> int | None:
    """How many more seeds would decide, were mean and spread to stay as they are; None past a thousand."""
    mean, error, n = _moments(values)
    if n < 2 or not math.isfinite(error):
        return None
    spread = error * math.sqrt(n)
    for total in range(n + 1, MOST_SEEDS + 1):
        reach = spread / math.sqrt(total)
        if abs(mean) > stats.t.ppf(1 - alpha / 2, total - 1) * reach:
            return total - n
        if margin - abs(mean) > stats.t.ppf(1 - alpha, total - 1) * reach:
            return total - n
    return None


def _moments(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, standard error, count. Spread that is only rounding error of equal values counts as none."""
    n = len(values)
    if n < 2:
        return (float(values[0]) if n else math.nan), math.nan, n
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    if deviation <= 1e-12 * max(1e-300, float(np.max(np.abs(values)))):
        deviation = 0.0
    return mean, deviation / math.sqrt(n), n
