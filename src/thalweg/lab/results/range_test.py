"""What a range test found: an interval of learning rates, how far the seeds agree on it, and whether a sweep does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from thalweg.lab.arguments import several
from thalweg.lab.judging.notes import data_note, failures
from thalweg.lab.judging.statistics import mean_interval
from thalweg.lab.judging.wording import rate
from thalweg.lab.judging.wording.numbers import course
from thalweg.lab.results.result import Result
from thalweg.lab.search.configurations import Candidate, as_good_range, five_percent, ranked
from thalweg.lab.study.optimizers import paste
from thalweg.lab.training.climb import PHASE, Climb
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial

INSIDE = 3  # rates of the small sweep in the interval, its ends included
OUTSIDE = 10**0.75  # and one so far beyond each end
WINDOW = 0.25  # decades: the loss at a rate is the mean of those so near, on both sides: no lag, unlike a running mean
FALL = 0.02  # the loss must fall by this share of its first value, or there is nothing to see


@dataclass(frozen=True)
class Ascent:
    """One seed's climb: the loss at each rate, raw and smoothed. `steepest` is where the smoothed loss falls fastest
    by log lr, `turn` where it is lowest; both NaN where it never fell."""

    seed: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    steepest: float
    turn: float


class RangeTest(Result):
    """A finished range test of one optimizer.

    Beside what every result has: `ascents`, one a seed; `interval` (low, high), the median over seeds, None where the
    loss never fell; `rows`, the small sweep's settings (index 0 is the default), rising in lr; `best` among them;
    `as_good`, the range as good as that; `agrees`, whether the sweep bears the interval out.
    """

    verb = "range-test"

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        (self.optimizer,) = self.spec["optimizers"]
        protocol = self.spec["protocol"]
        self.climb = Climb(protocol["low"], protocol["high"], protocol["steps"])
        climbs = [trial for trial in self.trials if trial.phase == PHASE]
        self.ascents = tuple(ascent(trial, self.climb) for trial in climbs if trial.curve.steps)
        self.interval = interval_of(climbs, self.climb)
        self.rows = tuple(sorted(self.candidates[self.optimizer], key=lambda candidate: candidate.rate))
        self.best = ranked(self.rows, self.larger_is_better)[0] if self.rows else None
        self.as_good = as_good_range(self.rows, self.best, self.larger_is_better) if self.best else None
        self.agrees = self._agrees()
        failed = self.best is None or math.isnan(self.best.metric)
        self.line = "" if failed or not self.best else paste(self.spec, self.optimizer, self.best.settings)
        self.verdict = sentence(self)
        self.notes = [*_describe(self), *failures(self.trials), *self.notes]

    @classmethod
    def lacking(cls, spec: Spec, trials: Sequence[Trial], cut: bool = False) -> str:
        climbs = [trial for trial in trials if trial.phase == PHASE]
        return "" if climbs else "no climb has ended"

    def in_interval(self, candidate: Candidate) -> bool:
        """Whether a rate of the sweep lies in the interval; three digits of it count."""
        return self.interval is not None and self.interval[0] * 0.99 <= candidate.rate <= self.interval[1] * 1.01

    def _agrees(self) -> bool:
        """A rate inside the interval ends as well as any outside: within 5 % or one seed deviation of the best."""
        if self.best is None or math.isnan(self.best.complete_metric):
            return False
        within = ranked([candidate for candidate in self.rows if self.in_interval(candidate)], self.larger_is_better)
        if not within or math.isnan(within[0].complete_metric):
            return False
        slack = five_percent(self.best.metric, self.best.deviation)
        return abs(self.best.complete_metric - within[0].complete_metric) <= slack

    @property
    def table(self) -> list[dict[str, Any]]:
        """One dictionary a rate of the small sweep, rising."""
        low, high = self.interval or (math.nan, math.nan)
        return [
            {
                "optimizer": self.optimizer,
                "lr": candidate.rate,
                "inside": self.in_interval(candidate),
                "default": candidate.index == 0,
                "validation": candidate.metric,
                "failed": candidate.failed,
                "interval_low": low,
                "interval_high": high,
                "agrees": self.agrees,
                "line": paste(self.spec, self.optimizer, candidate.settings),
            }
            for candidate in self.rows
        ]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        headings = ["lr", "where", f"validation {self.unit.name}", "failed"]
        return headings, [
            [
                rate(candidate.rate),
                ("inside" if self.in_interval(candidate) else "outside")
                + (", default" if candidate.index == 0 else ""),
                self.unit.interval(mean_interval([trial.metric for trial in candidate.trials if trial.done])),
                f"{candidate.failed}/{len(candidate.trials)}",
            ]
            for candidate in self.rows
        ]


def ascent(trial: Trial, climb: Climb) -> Ascent:
    """Where one climb's loss falls fastest, and where it turns up."""
    losses = [loss for loss in trial.curve.train_loss if math.isfinite(loss)]
    rates = [climb.rate(position) for position in range(len(losses))]
    step = math.log10(climb.high / climb.low) / (climb.steps - 1)
    smooth = smoothed(losses, max(1, round(WINDOW / step)))
    steepest = turn = math.nan
    if smooth:
        lowest = min(range(len(smooth)), key=smooth.__getitem__)
        if smooth[0] - smooth[lowest] > FALL * abs(smooth[0]):
            slopes = [smooth[position + 1] - smooth[position] for position in range(lowest)]
            steepest = rates[min(range(len(slopes)), key=slopes.__getitem__)]
            turn = rates[lowest]
    return Ascent(trial.seed, tuple(rates), tuple(losses), tuple(smooth), steepest, turn)


def smoothed(losses: Sequence[float], reach: int) -> list[float]:
    """The mean of each loss and its neighbors on both sides, as many on the one as on the other."""
    found = []
    for position in range(len(losses)):
        near = min(reach, position, len(losses) - 1 - position)
        window = losses[position - near : position + near + 1]
        found.append(sum(window) / len(window))
    return found


def interval_of(climbs: Sequence[Trial], climb: Climb) -> tuple[float, float] | None:
    """The interval that the seeds agree on: the medians of both ends; None where fewer than half saw the loss fall."""
    seen = [ascent(trial, climb) for trial in climbs if trial.done and trial.curve.steps]
    fell = [ascent for ascent in seen if not math.isnan(ascent.turn)]
    if not fell or 2 * len(fell) < len(climbs):
        return None
    low, high = median(ascent.steepest for ascent in fell), median(ascent.turn for ascent in fell)
    return float(f"{low:.3g}"), float(f"{high:.3g}")


def sentence(found: RangeTest) -> str:
    """The answer: the interval, and what the sweep says to it."""
    name, task = found.optimizer, found.spec["task"]["name"]
    if found.interval is None or found.best is None:
        return f"No answer for {name} on {task}: the training loss did not fall anywhere from " \
               f"{found.climb.low:g} to {found.climb.high:g}."  # fmt: skip
    low, high = map(rate, found.interval)
    head = f"{name} on {task}: learning rates {low} to {high}"
    if math.isnan(found.best.metric):
        return f"{head} by the range test, but every run of the sweep failed."
    value = found.unit.interval(mean_interval([trial.metric for trial in found.best.trials if trial.done]))
    best = f"{rate(found.best.rate)} ends best, at {value} validation {found.unit.name}"
    if not found.agrees:
        return f"{head} by the range test, but the sweep does not agree: {best}, and lies outside."
    where = "inside" if found.in_interval(found.best) else "outside, but no better than what is inside"
    return f"{head}; the sweep agrees: {best}, {where}."


def _describe(found: RangeTest) -> list[str]:
    protocol, task = found.spec["protocol"], found.spec["task"]
    fell = [ascent for ascent in found.ascents if not math.isnan(ascent.turn)]
    notes = [
        f"Climbed from lr {protocol['low']:g} to {protocol['high']:g} in {protocol['steps']} steps, each by the same "
        f"factor, on {several(protocol['seeds'], 'seed')}; ended where the smoothed loss was 4 x its best.",
        f"The interval goes from where the loss, averaged over {2 * WINDOW:g} decades around each rate, falls fastest, "
        "to where it is lowest: the median of the seeds.",
    ]
    if len(fell) > 1:
        lower, upper = sorted(ascent.steepest for ascent in fell), sorted(ascent.turn for ascent in fell)
        notes.append(
            f"The seeds' own ends: the lower one {rate(lower[0])} to {rate(lower[-1])}, "
            f"the upper one {rate(upper[0])} to {rate(upper[-1])}."
        )
    notes += [
        f"Verified by a sweep of {course(task)}, with the task's own schedule if it has one: the "
        f"default, {INSIDE} rates inside, one {OUTSIDE:.2g} x beyond each end. It agrees if a rate inside ends within "
        "5 %, or one seed deviation, of the best.",
        "A range test is a few hundred steps: it sees what trains at all, not what ends best. Values are of "
        "validation; the test set was not read.",
        data_note(task),
    ]
    return notes
