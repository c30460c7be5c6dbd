"""The configurations tried of one optimizer: which is best, which are equivalent, where it stops being stable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from thalweg.lab.training.trial import Status, Trial

AS_GOOD = 0.05  # within 5 % of the best
APART = 0.25  # decades; where more than lr was tuned, the best point of each quarter decade speaks for its lr


@dataclass(frozen=True)
class Candidate:
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
        return sum(trial.failed for trial in self.trials)

    @property
    def metric(self) -> float:
        """Mean final validation metric of the seeds that finished; NaN if none did."""
        return _mean(trial.metric for trial in self.trials)

    @property
    def loss(self) -> float:
        return _mean(trial.loss for trial in self.trials)

    @property
    def complete_metric(self) -> float:
        """The metric, if no seed failed; else NaN: the seeds that are left would flatter the setting."""
        return math.nan if self.failed else self.metric

    @property
    def deviation(self) -> float:
        """How far the seeds that finished lie apart; NaN for fewer than two."""
        values = [trial.metric for trial in self.trials if trial.done]
        return stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class GoodRange:
    """Learning rates that end as well as the best; an end is open where nothing beyond it was tried."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    @property
    def decades(self) -> float:
        """How wide: an optimizer with many decades forgives a bad guess. At least so wide, if an end is open."""
        return math.log10(self.high / self.low)


def candidates_of(trials: Iterable[Trial]) -> list[Candidate]:
    """Group trials into settings, in the order they were planned. What was interrupted from outside says nothing of a
    setting, and is among its trials only where there is no other."""
    groups: dict[int, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.index, []).append(trial)
    told = {index: _telling(group) for index, group in sorted(groups.items())}
    return [Candidate(index, tuple(sorted(group, key=lambda t: t.seed))) for index, group in told.items()]


def _telling(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.status is not Status.INTERRUPTED] or trials


def ranked(candidates: Iterable[Candidate], larger_is_better: bool) -> list[Candidate]:
    """Best first: settings that failed on no seed, then by validation metric, then by validation loss."""

    def key(candidate: Candidate) -> tuple[float, ...]:
        if math.isnan(candidate.metric):
            return (1.0, math.inf, math.inf, candidate.index)
        better = -candidate.metric if larger_is_better else candidate.metric
        return (candidate.failed / len(candidate.trials), better, candidate.loss, candidate.index)

    return sorted(candidates, key=key)


def good_range(
    candidates: Sequence[Candidate], best: Candidate, larger_is_better: bool, slack: float
) -> GoodRange | None:
    """The learning rates next to the best whose metric is at most `slack` worse, without a gap.

    The ends lie between tried rates, where a straight line in log lr leaves the slack; at the last good rate where
    its neighbor failed.
    """
    if math.isnan(best.complete_metric) or not best.rate > 0:
        return None
    line = profile(candidates, best, larger_is_better)
    position = next(i for i, candidate in enumerate(line) if candidate.index == best.index)
    gaps = [
        (best.complete_metric - p.complete_metric) * (1 if larger_is_better else -1) for p in line
    ]  # NaN for what failed
    low = high = position
    while low > 0 and gaps[low - 1] <= slack:
        low -= 1
    while high + 1 < len(line) and gaps[high + 1] <= slack:
        high += 1
    open_low, open_high = low == 0, high + 1 == len(line)
    lowest = line[low].rate if open_low else _crossing(line, gaps, low, low - 1, slack)
    highest = line[high].rate if open_high else _crossing(line, gaps, high, high + 1, slack)
    return GoodRange(lowest, highest, open_low, open_high)


def as_good_range(
    candidates: Sequence[Candidate], best: Candidate, larger_is_better: bool, slack: float | None = None
) -> tuple[float, float] | None:
    """Both ends of `good_range`; the slack is 5 % of the best, or one seed deviation if that is more."""
    if slack is None:
        slack = five_percent(best.metric, best.deviation)
    result = good_range(candidates, best, larger_is_better, slack)
    return None if result is None else (result.low, result.high)


def five_percent(value: float, deviation: float) -> float:
    """The slack of sensitivity: 5 % of the value, or one seed deviation where seeds differ by more than that."""
    return max([AS_GOOD * abs(value), *([] if math.isnan(deviation) else [deviation])])


def profile(candidates: Sequence[Candidate], best: Candidate, larger_is_better: bool) -> list[Candidate]:
    """One point for each learning rate, rising: the best of those that share it, whatever their other hyperparameters.

    Where other hyperparameters were tuned too, rates hardly repeat: those within a quarter of a decade count as shared,
    else a rate tried only with a poor momentum would look poor itself.
    """
    groups: list[list[Candidate]] = []
    width = APART if joint(candidates) else 1e-9
    for candidate in sorted((p for p in candidates if p.rate > 0), key=lambda p: p.rate):
        if groups and math.log10(candidate.rate / groups[-1][0].rate) <= width:
            groups[-1].append(candidate)
        else:
            groups.append([candidate])
    return [best if best in group else ranked(group, larger_is_better)[0] for group in groups]


def highest_stable(candidates: Sequence[Candidate]) -> float:
    """The highest learning rate tried at which, and below which, no run failed; NaN if there is none."""
    failed = min((candidate.rate for candidate in candidates if candidate.failed), default=math.inf)
    return max((candidate.rate for candidate in candidates if candidate.rate < failed), default=math.nan)


def at_edge(candidates: Sequence[Candidate], best: Candidate) -> bool:
    """Whether the best learning rate is the lowest or highest one tried: the optimum may lie beyond.

    Where other hyperparameters were tuned too, the lowest or highest quarter of a decade.
    """
    rates = [candidate.rate for candidate in candidates if candidate.rate > 0]
    if len(set(rates)) < 2:
        return False
    near = APART if joint(candidates) else 1e-9
    return math.log10(best.rate / min(rates)) <= near or math.log10(max(rates) / best.rate) <= near


def joint(candidates: Sequence[Candidate]) -> bool:
    """Whether more than the learning rate differs between the settings."""
    others = {
        repr((sorted((name, value) for name, value in p.settings.items() if name != "lr"), p.trials[0].batch_size))
        for p in candidates
    }
    return len(others) > 1


def _crossing(line: Sequence[Candidate], gaps: Sequence[float], inside: int, outside: int, slack: float) -> float:
    """The rate between two neighbors at which the gap to the best reaches the slack."""
    start, end = line[inside].rate, line[outside].rate
    if math.isnan(gaps[outside]):
        return start
    part = (slack - gaps[inside]) / (gaps[outside] - gaps[inside])
    return float(start * (end / start) ** min(1.0, max(0.0, part)))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan
