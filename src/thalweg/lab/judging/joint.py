"""One verdict over several tasks: each task's differences in its own margins, paired over tasks and seeds.

A margin is what makes tasks comparable: on each, a difference of one margin is the least that is of use. A task on
which the optimizers lie very far apart has less weight, or it would drown the others. The mean is over those tasks, not
over tasks in general: its interval comes from the seeds (strata of Welch's test), and the interval over the tasks
stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from thalweg.lab.judging.distributions import t_quantile
from thalweg.lab.judging.rows import Row, Table, resolution, same, tested
from thalweg.lab.judging.selection_bias import correlation
from thalweg.lab.judging.statistics import (
    Interval,
    Judgement,
    holm,
    in_a_word,
    mean_interval,
    moments,
    two_one_sided,
    two_sided,
)

FAR = 10.0  # margins between the middle optimizer and the best, beyond which a task has less weight


@dataclass(frozen=True)
class JointRow:
    """What was found about one optimizer over all tasks. Differences are to the joint leader, in margins.

    Args:
        rows: its row in each task's study; a task that has none is missing.
        score: the mean over tasks of how far its validation lies behind the task's best; 0 is the best.
        judgement: over all tasks; None for the leader, and for what failed or is missing on a task.
        differences: on each task by itself, with a 95 % interval over seeds.
        over_tasks: the mean difference with the interval of tasks drawn at random, all of one weight.
    """

    optimizer: str
    rows: Mapping[str, Row]
    score: float
    missing: tuple[str, ...] = ()
    judgement: Judgement | None = None
    differences: Mapping[str, Interval] | None = None
    over_tasks: Interval | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """The tasks on which a fresh seed failed."""
        return tuple(task for task, row in self.rows.items() if row.failed_finals)

    @property
    def sound(self) -> bool:
        """Whether every task has all its fresh seeds."""
        return not self.failed and not self.missing

    def ahead(self) -> list[str]:
        """The tasks on which the whole interval is better than the joint leader."""
        return [task for task, gap in (self.differences or {}).items() if gap.low > 0]

    def behind(self) -> list[str]:
        """The tasks on which the whole interval is worse than the joint leader."""
        return [task for task, gap in (self.differences or {}).items() if gap.high < 0]


@dataclass(frozen=True)
class JointTable:
    """The optimizers in order, the leader first, what failed last; `weights` are the tasks', 1 at most."""

    rows: tuple[JointRow, ...]
    weights: Mapping[str, float]


@dataclass(frozen=True)
class _Task:
    """A task's study and its scale: `margin` in the metric's unit, `weight` in the mean over the tasks."""

    table: Table
    margin: float
    weight: float

    @property
    def sign(self) -> float:
        return 1.0 if self.table.larger_is_better else -1.0


@dataclass(frozen=True)
class _Stratum:
    """The paired differences of one task in margins, and what blurs them beside the spread over seeds."""

    values: Sequence[float]
    weight: float
    resolution: float
    tuning: float


def build_joint_table(studies: Mapping[str, Table], alpha: float = 0.05) -> JointTable:
    """Judge optimizers over several studies of the same ones, a study a task.

    The leader is the best on validation, over the tasks; tests are of the test set's differences to it, corrected for
    the number of optimizers and for the leader's luck, as in a single study.
    """
    tasks = {name: _scaled(table) for name, table in studies.items()}
    names = list(dict.fromkeys(row.optimizer for table in studies.values() for row in table.rows))
    rows = [_row(name, tasks) for name in names]
    rows.sort(key=lambda row: (len(row.missing), len(row.failed), math.isnan(row.score), -row.score))
    leader, weights = rows[0], {name: task.weight for name, task in tasks.items()}
    if not leader.sound:
        return JointTable(tuple(rows), weights)
    strata = {
        row.optimizer: {name: _stratum(row, leader, rows, name, task) for name, task in tasks.items()}
        for row in rows[1:]
        if row.sound
    }
    related = max(_correlation(rows, name) for name in tasks)
    judgements = _judge(strata, related, alpha)
    return JointTable((leader, *(_judged(row, strata, judgements, alpha) for row in rows[1:])), weights)


def _scaled(table: Table) -> _Task:
    """The median optimizer's validation is at most ten weighted margins behind the best."""
    sign = 1.0 if table.larger_is_better else -1.0
    values = sorted((sign * row.validation.mean for row in table.rows if not row.failed_finals), reverse=True)
    far = median(values[0] - value for value in values[1:]) / FAR if len(values) > 1 else 0.0
    margin = table.margin or far or 1.0  # a margin of 0 says that all lies within rounding of a perfect score
    return _Task(table, margin, min(1.0, margin / far) if far else 1.0)


def _row(name: str, tasks: Mapping[str, _Task]) -> JointRow:
    rows = {task: row for task, one in tasks.items() for row in one.table.rows if row.optimizer == name}
    behind = [tasks[task].weight * _behind(row, tasks[task]) for task, row in rows.items()]
    weight = sum(tasks[task].weight for task in rows)
    return JointRow(name, rows, sum(behind) / weight, tuple(task for task in tasks if task not in rows))


def _behind(row: Row, task: _Task) -> float:
    """How many margins the validation metric lies behind the task's best, at most 0."""
    values = [task.sign * other.validation.mean for other in task.table.rows if not math.isnan(other.validation.mean)]
    return (task.sign * row.validation.mean - max(values, default=math.nan)) / task.margin


def _seeds(rows: Sequence[JointRow], task: str) -> list[int]:
    """Fresh seeds that every sound optimizer has on a task."""
    values = [tested(row.rows[task]) for row in rows if row.sound]
    return [seed for seed in values[0] if all(seed in mine for mine in values)]


def _stratum(row: JointRow, leader: JointRow, rows: Sequence[JointRow], name: str, task: _Task) -> _Stratum:
    mine, its, seeds = tested(row.rows[name]), tested(leader.rows[name]), _seeds(rows, name)
    values = [task.sign * (mine[seed] - its[seed]) / task.margin for seed in seeds]
    step = 0.0
    if not same(row.rows[name], leader.rows[name]):
        step = resolution([[tested(one.rows[name])[seed] for seed in seeds] for one in rows if one.sound])
    return _Stratum(values, task.weight, step / task.margin, task.table.tuning)


def _correlation(rows: Sequence[JointRow], task: str) -> float:
    seeds = _seeds(rows, task)
    sound = [row.rows[task] for row in rows if row.sound]
    validation = [{trial.seed: trial.metric for trial in row.finals} for row in sound]
    return correlation(
        [[values[seed] for seed in seeds] for values in validation],
        [[tested(row)[seed] for seed in seeds] for row in sound],
    )


def _judge(
    strata: Mapping[str, Mapping[str, _Stratum]], related: float, alpha: float
) -> dict[str, tuple[str, float, float]]:
    if not strata:
        return {}
    sums = {name: pooled(list(mine.values())) for name, mine in strata.items()}
    freedom = min(freedom for _, _, freedom in sums.values())
    differs = holm([two_sided(*one) for one in sums.values()], int(freedom) + 1 if freedom >= 1 else 0, related)
    equals = holm([two_one_sided(*one, 1.0) for one in sums.values()])
    return {
        name: (in_a_word(sums[name][0], p, q, alpha), p, q) for name, p, q in zip(sums, differs, equals, strict=True)
    }


def pooled(strata: Sequence[_Stratum], plain: bool = False) -> tuple[float, float, float]:
    """The weighted mean over the tasks, its standard error, its degrees of freedom (Satterthwaite 1946, Welch 1947).

    Args:
        plain: from the spread over seeds alone, as intervals are.
    """
    parts = [moments(one.values, *((0.0, 0.0) if plain else (one.resolution, one.tuning))) for one in strata]
    shares = [one.weight / sum(one.weight for one in strata) for one in strata]
    mean = sum(share * mean for share, (mean, _, _) in zip(shares, parts, strict=True))
    if any(n < 2 for _, _, n in parts):
        return mean, math.nan, 0.0
    squares = [(share * error) ** 2 for share, (_, error, _) in zip(shares, parts, strict=True)]
    if sum(squares) == 0:
        return mean, 0.0, float(sum(n - 1 for _, _, n in parts))
    freedom = sum(squares) ** 2 / sum(square**2 / (n - 1) for square, (_, _, n) in zip(squares, parts, strict=True))
    return mean, math.sqrt(sum(squares)), freedom


def _judged(
    row: JointRow,
    strata: Mapping[str, Mapping[str, _Stratum]],
    judgements: Mapping[str, tuple[str, float, float]],
    alpha: float,
) -> JointRow:
    if row.optimizer not in strata:
        return row
    mine = strata[row.optimizer]
    mean, error, freedom = pooled(list(mine.values()), plain=True)
    half = float(t_quantile(1 - alpha / 2, freedom)) * error if freedom else math.nan
    count = sum(len(one.values) for one in mine.values())
    judgement = Judgement(Interval(mean, mean - half, mean + half, count), *judgements[row.optimizer])
    differences = {task: mean_interval(one.values, 1 - alpha) for task, one in mine.items()}
    over_tasks = mean_interval([gap.mean for gap in differences.values()], 1 - alpha)
    return replace(row, judgement=judgement, differences=differences, over_tasks=over_tasks)
