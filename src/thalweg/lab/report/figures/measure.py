"""What a figure shows of a run: the task's metric or the loss, on validation, in the reader's unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.lab.judging.wording import Unit
from thalweg.lab.search.configurations import Candidate, profile, ranked
from thalweg.lab.training.trial import Trial

DECADES = 30  # a middle value this many times the best: on a linear axis all good ones would be one line


@dataclass(frozen=True)
class Measure:
    """`of` is "metric" or "loss". A loss is drawn on a logarithmic axis."""

    of: str
    unit: Unit
    larger_is_better: bool

    @property
    def scale(self) -> float:
        return 100.0 if self.of == "metric" and self.unit.percent else 1.0

    @property
    def log(self) -> bool:
        return "loss" in (self.of, self.unit.name)

    @property
    def label(self) -> str:
        return f"validation {self.name}"

    @property
    def name(self) -> str:
        if self.of == "loss":
            return "loss"
        return f"{self.unit.name} (%)" if self.unit.percent else self.unit.name

    def value(self, trial: Trial) -> float:
        """What a run ended at; NaN if it failed."""
        return self.scale * (trial.metric if self.of == "metric" else trial.loss)

    def curve(self, trial: Trial) -> list[float]:
        """The value at the end of each epoch."""
        values = trial.curve.validation_metric if self.of == "metric" else trial.curve.validation_loss
        return [self.scale * value for value in values]


def measures(unit: Unit, larger_is_better: bool) -> list[Measure]:
    """The metric, and the loss where the metric is not the loss itself."""
    metric = Measure("metric", unit, larger_is_better)
    return [metric] if unit.name == "loss" else [metric, Measure("loss", unit, False)]


def line_of(candidates: Sequence[Candidate], measure: Measure) -> list[tuple[float, list[float]]]:
    """The learning rates in order, each with what its seeds ended at; where more was tuned, the best near it."""
    known = [candidate for candidate in candidates if candidate.rate > 0]
    if not known:
        return []
    line = profile(known, ranked(known, measure.larger_is_better)[0], measure.larger_is_better)
    ends = [(p.rate, [v for t in p.trials if math.isfinite(v := measure.value(t))]) for p in line]
    return [(rate, values) for rate, values in ends if values]


def good_end(values: Sequence[float], larger_is_better: bool, log: bool) -> tuple[float, float, str]:
    """An axis that shows the good end well: what is far worse than the middle runs out of the frame.

    Logarithmic if `log` says so or the values go over decades, as distances to a minimum do.
    """
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return 0.0, 1.0, "linear"
    middle = finite[len(finite) // 2]
    if finite[0] > 0 and (log or (not larger_is_better and middle > DECADES * finite[0])):
        return finite[0] / 1.15, min(finite[-1] * 1.15, max(middle * 8, finite[0] * 20)), "log"
    best, worst = (finite[-1], finite[0]) if larger_is_better else (finite[0], finite[-1])
    usual, whole = 6 * abs(best - middle), abs(best - worst)
    reach = min(whole, usual) or whole or 0.01 * abs(best) or 1.0
    good, bad = 0.06 * reach, 1.1 * reach  # the crosses of what failed stand beyond the worst value shown
    return (best - bad, best + good, "linear") if larger_is_better else (best - good, best + bad, "linear")


def short(value: float) -> float | None:
    """Five digits: more cannot be seen in a figure, and would triple the file. None, a gap, for NaN."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def shorts(values: Sequence[float]) -> list[float | None]:
    return [short(value) for value in values]
