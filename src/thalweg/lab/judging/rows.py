"""From trials to the table: one row an optimizer, the leader first, failures last and never dropped."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from thalweg.lab.judging.best_of import BestOf, best_of
from thalweg.lab.judging.selection_bias import correlation
from thalweg.lab.judging.statistics import Interval, Judgement, judge, mean_interval
from thalweg.lab.search.configurations import (
    Candidate,
    GoodRange,
    at_edge,
    candidates_of,
    five_percent,
    good_range,
    highest_stable,
    ranked,
)
from thalweg.lab.training.trial import Trial

# Two copies of an optimizer, tuned with different luck, end at settings that truly differ, which the fresh seeds then
# find: by so many paired deviations with 1, 2, 3, 4 finalists (simulated; see docs/statistics.md). Tested as if there
# were no such luck, copies are told apart in 6 to 19 studies of 100.
TUNING_BIAS = (0.5, 0.27, 0.18, 0.14)


@dataclass(frozen=True)
class Row:
    """What was found about one optimizer. `judgement` compares it with the leader; the leader has none.

    `as_good` are the learning rates within the margin of the best, `sensitivity` those within 5 % of it (or one seed
    deviation, if that is more). `milliseconds` is a whole step's time, measured alone; NaN if it was not.
    """

    optimizer: str
    settings: dict[str, Any]
    candidates: tuple[Candidate, ...]
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
        """Runs in the search."""
        return sum(len(candidate.trials) for candidate in self.candidates)

    @property
    def failures(self) -> dict[str, int]:
        """How many runs failed, search and fresh seeds together, by what became of them."""
        everything = [trial for candidate in self.candidates for trial in candidate.trials] + list(self.finals)
        return dict(Counter(trial.status for trial in everything if not trial.done))

    @property
    def diverged_share(self) -> float:
        """The share of runs in the search that failed, in whatever way."""
        return sum(candidate.failed for candidate in self.candidates) / self.searched

    @property
    def failed_finals(self) -> int:
        failed = sum(trial.failed for trial in self.finals)
        return failed if any(trial.done for trial in self.finals) else len(self.finals)


@dataclass(frozen=True)
class Table:
    """The rows in order, and what they were judged by.

    Args:
        margin: a difference as small as this is of no use.
        seconds_a_seed: what one more fresh seed for all takes.
        tuning: how far the luck of the search moves a difference, in its deviations over seeds.
    """

    rows: tuple[Row, ...]
    target: float
    margin: float
    seconds_a_seed: float = math.nan
    larger_is_better: bool = True
    tuning: float = 0.0


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
    search = {
        name: candidates_of(t for t in trials if t.optimizer == name and t.phase == "search") for name in optimizers
    }
    target = baseline(search, larger_is_better)
    worst = _worst(search, larger_is_better)
    rows = []
    for name in optimizers:
        finalists = candidates_of(t for t in trials if t.optimizer == name and t.phase == "final")
        chosen = ranked(finalists, larger_is_better)[0]
        drawn = [candidate.complete_metric for candidate in search[name] if 0 < candidate.index < (spread or math.inf)]
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
    tuning = _tuning_bias(trials)
    judgements = _judge(rows, larger_is_better, margin, alpha, tuning)
    judged = [
        replace(row, judgement=judgements.get(row.optimizer), as_good=_as_good(row, margin, larger_is_better))
        for row in rows
    ]
    finals = [trial for trial in trials if trial.phase == "final"]
    seconds = sum(trial.seconds for trial in finals) / len({trial.seed for trial in finals})
    return Table(tuple(judged), target, margin, seconds, larger_is_better, tuning)


def baseline(search: Mapping[str, Sequence[Candidate]], larger_is_better: bool) -> float:
    """The target for steps-to-target: the median, over the optimizers, of what their default setting ends at.

    A default that failed counts as the worst; NaN where the median optimizer's default failed.
    """
    worst = -math.inf if larger_is_better else math.inf
    finals = [worst if math.isnan(value := candidates[0].complete_metric) else value for candidates in search.values()]
    middle = median(finals)
    return middle if math.isfinite(middle) else math.nan


def _worst(search: Mapping[str, Sequence[Candidate]], larger_is_better: bool) -> float:
    """What a setting that failed counts as among the best of k: the worst that any of the study ended at."""
    known = [
        candidate.complete_metric
        for candidates in search.values()
        for candidate in candidates
        if not math.isnan(candidate.complete_metric)
    ]
    return (min if larger_is_better else max)(known, default=math.nan)


def _row(name: str, candidates: list[Candidate], chosen: Candidate, target: float, larger_is_better: bool) -> Row:
    done = [trial for trial in chosen.trials if trial.done]
    steps = [trial.steps_to(target, larger_is_better) for trial in chosen.trials]
    best = _searched(candidates, chosen.index)
    slack = five_percent(best.metric, chosen.deviation)
    return Row(
        optimizer=name,
        settings=chosen.settings,
        candidates=tuple(candidates),
        finals=chosen.trials,
        validation=mean_interval([trial.metric for trial in done]),
        test=mean_interval([trial.test_metric for trial in done if trial.test_metric is not None]),
        hits=sum(math.isfinite(s) for s in steps),
        steps_to_target=median(steps),
        as_good=None,
        highest_stable=highest_stable(candidates),
        on_edge=at_edge(candidates, best),
        sensitivity=good_range(candidates, best, larger_is_better, slack),
    )


def _as_good(row: Row, margin: float, larger_is_better: bool) -> tuple[float, float] | None:
    """Learning rates that the search cannot tell from the best: within the margin, or one seed deviation if more."""
    finals = Candidate(row.finals[0].index, row.finals)
    slack = max(value for value in (0.0, margin, finals.deviation) if not math.isnan(value))
    result = good_range(row.candidates, _searched(row.candidates, finals.index), larger_is_better, slack)
    return None if result is None else (result.low, result.high)


def _searched(candidates: Sequence[Candidate], index: int) -> Candidate:
    return next(candidate for candidate in candidates if candidate.index == index)


def _order(row: Row, larger_is_better: bool) -> tuple[float, ...]:
    mean = row.validation.mean
    value = math.inf if math.isnan(mean) else -mean if larger_is_better else mean
    losses = [trial.loss for trial in row.finals if trial.done]
    return (row.failed_finals, value, sum(losses) / len(losses) if losses else math.inf)


def _judge(
    rows: Sequence[Row], larger_is_better: bool, margin: float, alpha: float, tuning: float
) -> dict[str, Judgement]:
    """Test metric minus the leader's, by seed, positive where better; who failed on a seed is not judged."""
    leader, sign = rows[0], 1.0 if larger_is_better else -1.0
    if leader.failed_finals:
        return {}
    complete_metric = {row.optimizer: tested(row) for row in rows if not row.failed_finals}
    its = complete_metric[leader.optimizer]
    seeds = [seed for seed in its if all(seed in mine for mine in complete_metric.values())]
    values = {name: [mine[seed] for seed in seeds] for name, mine in complete_metric.items()}
    differences = {
        name: [sign * (one - other) for one, other in zip(mine, values[leader.optimizer], strict=True)]
        for name, mine in values.items()
        if name != leader.optimizer
    }
    chosen_by = [[t.metric for t in row.finals if t.seed in seeds] for row in rows if not row.failed_finals]
    related = correlation(chosen_by, list(values.values()))
    step = resolution(list(values.values()))
    steps = {row.optimizer: step for row in rows if not same(row, leader)}
    return judge(differences, margin, alpha, related, steps, tuning)


def tested(row: Row) -> dict[int, float]:
    """Test values by fresh seed."""
    return {trial.seed: trial.test_metric for trial in row.finals if trial.test_metric is not None}


def _tuning_bias(trials: Sequence[Trial]) -> float:
    """How far the luck of the search moves the difference of two equal optimizers, in its deviations over seeds."""
    if max(trial.index for trial in trials) == 0:  # nothing was searched for
        return 0.0
    finalists = Counter(name for name, _ in {(t.optimizer, t.index) for t in trials if t.phase == "final"})
    return TUNING_BIAS[min(max(finalists.values()), len(TUNING_BIAS)) - 1]


def same(row: Row, other: Row) -> bool:
    """Whether two optimizers are one: the same test values, loss too, on every seed."""
    mine, its = ({t.seed: (t.test_metric, t.test_loss) for t in r.finals} for r in (row, other))
    return mine == its


def resolution(values: Sequence[Sequence[float]]) -> float:
    """The least step between two seeds of an optimizer: a row of an accuracy; 0 where seeds make no difference."""
    steps = [b - a for mine in values for a, b in itertools.pairwise(sorted(mine)) if b > a]
    return min(steps, default=0.0)
