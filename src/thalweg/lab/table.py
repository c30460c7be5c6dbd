"""From trials to the table: one row an optimizer, the leader first, failures last and never dropped."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from thalweg.lab.best_of import BestOf, best_of
from thalweg.lab.points import (
    GoodRange,
    Point,
    at_edge,
    five_percent,
    good_range,
    highest_stable,
    points,
    ranked,
)
from thalweg.lab.statistics import Interval, Judgement, judge, mean_interval
from thalweg.lab.trial import Trial


@dataclass(frozen=True)
class Row:
    """What was found about one optimizer. `judgement` compares it with the leader; the leader has none.

    `as_good` are the learning rates within the margin of the best, `sensitivity` those within 5 % of it (or one seed
    deviation, if that is more). `milliseconds` is a whole step's time, measured alone; NaN if it was not.
    """

    optimizer: str
    settings: dict[str, Any]
    tried: tuple[Point, ...]
    finals: tuple[Trial, ...]  # the chosen setting on fresh seeds
    validation: Interval
    test: Interval
    hits: int
    steps_to_target: float
    as_good: tuple[float, float] | None
    highest_stable: float
    on_edge: bool
    judgement: Judgement | None = None
    best_of: tuple[BestOf, ...] = ()
    sensitivity: GoodRange | None = None
    milliseconds: float = math.nan

    @property
    def seconds_to_target(self) -> float:
        """Steps to target x time of a step; infinite where most seeds missed, NaN where no time was measured."""
        return self.steps_to_target * self.milliseconds / 1000

    @property
    def searched(self) -> int:
        """Trainings in the search."""
        return sum(len(point.trials) for point in self.tried)

    @property
    def failures(self) -> dict[str, int]:
        """How many trainings failed, search and fresh seeds together, by what became of them."""
        everything = [trial for point in self.tried for trial in point.trials] + list(self.finals)
        return dict(Counter(trial.status for trial in everything if not trial.done))

    @property
    def diverged_share(self) -> float:
        """The share of trainings in the search that failed, in whatever way."""
        return sum(point.failed for point in self.tried) / self.searched

    @property
    def failed_finals(self) -> int:
        return sum(not trial.done for trial in self.finals)


@dataclass(frozen=True)
class Table:
    """The rows in order, and the two numbers they were judged by."""

    rows: tuple[Row, ...]
    target: float
    margin: float


def build_table(
    trials: Sequence[Trial],
    optimizers: Sequence[str],
    larger_is_better: bool,
    margin: float | None,
    alpha: float,
    spread: int | None = None,
    milliseconds: Mapping[str, float | None] | None = None,
) -> Table:
    """Judge finished trials. The order and the leader come from validation; the test set only measures.

    Args:
        margin: a difference as small as this is of no use; 1 % of the leader's test value if None.
        alpha: how often a verdict may be wrong, over all optimizers together.
        spread: how many settings of each optimizer, the default among them, were chosen before any was tried; all if
            None. Only those, less the default, are draws from the search range (expected best of k).
        milliseconds: what a step takes, by optimizer; None where it could not be measured.
    """
    search = {name: points(t for t in trials if t.optimizer == name and t.phase == "search") for name in optimizers}
    target = baseline(search, larger_is_better)
    worst = _worst(search, larger_is_better)
    rows = []
    for name in optimizers:
        finalists = points(t for t in trials if t.optimizer == name and t.phase == "final")
        chosen = ranked(finalists, larger_is_better)[0]
        drawn = [point.whole for point in search[name] if 0 < point.index < (spread or math.inf)]
        row = _row(name, search[name], chosen, target, larger_is_better)
        time = (milliseconds or {}).get(name)
        rows.append(
            replace(
                row, best_of=best_of(drawn, larger_is_better, worst), milliseconds=math.nan if time is None else time
            )
        )
    rows.sort(key=lambda row: _order(row, larger_is_better))
    leader = rows[0]
    if margin is None:
        margin = 0.01 * abs(leader.test.mean)
    judgements = judge(_differences(rows, larger_is_better), margin, alpha)
    judged = [
        replace(row, judgement=judgements.get(row.optimizer), as_good=_as_good(row, margin, larger_is_better))
        for row in rows
    ]
    return Table(tuple(judged), target, margin)


def baseline(search: Mapping[str, Sequence[Point]], larger_is_better: bool) -> float:
    """The target for steps-to-target: the median, over the optimizers, of what their default setting ends at.

    A default that failed counts as the worst; NaN where the median optimizer's default failed.
    """
    worst = -math.inf if larger_is_better else math.inf
    finals = [worst if math.isnan(value := tried[0].whole) else value for tried in search.values()]
    middle = median(finals)
    return middle if math.isfinite(middle) else math.nan


def _worst(search: Mapping[str, Sequence[Point]], larger_is_better: bool) -> float:
    """What a setting that failed counts as among the best of k: the worst that any of the study ended at."""
    known = [point.whole for tried in search.values() for point in tried if not math.isnan(point.whole)]
    return (min if larger_is_better else max)(known, default=math.nan)


def _row(name: str, tried: list[Point], chosen: Point, target: float, larger_is_better: bool) -> Row:
    done = [trial for trial in chosen.trials if trial.done]
    steps = [trial.steps_to(target, larger_is_better) for trial in chosen.trials]
    best = _searched(tried, chosen.index)
    slack = five_percent(best.metric, chosen.deviation)
    return Row(
        optimizer=name,
        settings=chosen.settings,
        tried=tuple(tried),
        finals=chosen.trials,
        validation=mean_interval([trial.metric for trial in done]),
        test=mean_interval([trial.test_metric for trial in done if trial.test_metric is not None]),
        hits=sum(math.isfinite(s) for s in steps),
        steps_to_target=median(steps),
        as_good=None,
        highest_stable=highest_stable(tried),
        on_edge=at_edge(tried, best),
        sensitivity=good_range(tried, best, larger_is_better, slack),
    )


def _as_good(row: Row, margin: float, larger_is_better: bool) -> tuple[float, float] | None:
    """Learning rates that the search cannot tell from the best: within the margin, or one seed deviation if more."""
    finals = Point(row.finals[0].index, row.finals)
    slack = max(value for value in (0.0, margin, finals.deviation) if not math.isnan(value))
    found = good_range(row.tried, _searched(row.tried, finals.index), larger_is_better, slack)
    return None if found is None else (found.low, found.high)


def _searched(tried: Sequence[Point], index: int) -> Point:
    return next(point for point in tried if point.index == index)


def _order(row: Row, larger_is_better: bool) -> tuple[float, ...]:
    mean = row.validation.mean
    value = math.inf if math.isnan(mean) else -mean if larger_is_better else mean
    losses = [trial.loss for trial in row.finals if trial.done]
    return (row.failed_finals, value, sum(losses) / len(losses) if losses else math.inf)


def _differences(rows: Sequence[Row], larger_is_better: bool) -> dict[str, list[float]]:
    """Test metric minus the leader's, by seed, positive where better; who failed on a seed is left out."""
    leader = {trial.seed: trial.test_metric for trial in rows[0].finals}
    sign = 1.0 if larger_is_better else -1.0
    found = {}
    for row in rows[1:]:
        if row.failed_finals == 0 and rows[0].failed_finals == 0:
            pairs = [(trial.test_metric, leader[trial.seed]) for trial in row.finals]
            found[row.optimizer] = [sign * (mine - its) for mine, its in pairs if mine is not None and its is not None]
    return found
