"""The settings tried of one optimizer: which is best, which are as good, where it stops being stable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from thalweg.lab.trial import Trial

AS_GOOD = 0.05  # within 5 % of the best


@dataclass(frozen=True)
class Point:
    """One setting and its trials, a trial for each seed."""

    index: int
    trials: tuple[Trial, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return self.trials[0].settings

    @property
    def rate(self) -> float:
        return float(self.settings.get("lr", math.nan))

    @property
    def failed(self) -> int:
        return sum(not trial.done for trial in self.trials)

    @property
    def metric(self) -> float:
        """Mean final validation metric of the seeds that finished; NaN if none did."""
        return _mean(trial.metric for trial in self.trials)

    @property
    def loss(self) -> float:
        return _mean(trial.loss for trial in self.trials)


def points(trials: Iterable[Trial]) -> list[Point]:
    """Group trials into settings, in the order they were planned."""
    groups: dict[int, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.index, []).append(trial)
    return [Point(index, tuple(sorted(group, key=lambda t: t.seed))) for index, group in sorted(groups.items())]


def ranked(candidates: Iterable[Point], larger_is_better: bool) -> list[Point]:
    """Best first: settings that failed on no seed, then by validation metric, then by validation loss."""

    def key(point: Point) -> tuple[float, ...]:
        if math.isnan(point.metric):
            return (1.0, math.inf, math.inf, point.index)
        better = -point.metric if larger_is_better else point.metric
        return (point.failed / len(point.trials), better, point.loss, point.index)

    return sorted(candidates, key=key)


def as_good_range(tried: Sequence[Point], best: Point, larger_is_better: bool) -> tuple[float, float] | None:
    """The learning rates next to the best whose value is within 5 % of it, without a gap."""
    if math.isnan(best.metric) or math.isnan(best.rate):
        return None
    slack = AS_GOOD * abs(best.metric)
    by_rate = sorted((point for point in tried if not math.isnan(point.rate)), key=lambda point: point.rate)
    place = next(i for i, point in enumerate(by_rate) if point.index == best.index)

    def good(point: Point) -> bool:
        gap = best.metric - point.metric if larger_is_better else point.metric - best.metric
        return point.failed == 0 and gap <= slack

    low = high = place
    while low > 0 and good(by_rate[low - 1]):
        low -= 1
    while high + 1 < len(by_rate) and good(by_rate[high + 1]):
        high += 1
    return by_rate[low].rate, by_rate[high].rate


def highest_stable(tried: Sequence[Point]) -> float:
    """The highest learning rate tried at which, and below which, no run failed; NaN if there is none."""
    highest = math.nan
    for point in sorted(tried, key=lambda point: point.rate):
        if point.failed:
            break
        highest = point.rate
    return highest


def at_edge(tried: Sequence[Point], best: Point) -> bool:
    """Whether the best learning rate is the lowest or highest one tried: the optimum may lie beyond."""
    rates = [point.rate for point in tried]
    return len(rates) > 1 and best.rate in (min(rates), max(rates))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan
