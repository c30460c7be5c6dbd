"""What a figure shows of a training: the task's metric or the loss, on validation, in the reader's unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.lab.trial import Trial
from thalweg.lab.wording import Unit


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
        """What a training ended at; NaN if it failed."""
        return self.scale * (trial.metric if self.of == "metric" else trial.loss)

    def curve(self, trial: Trial) -> list[float]:
        """The value at the end of each epoch."""
        values = trial.curve.validation_metric if self.of == "metric" else trial.curve.validation_loss
        return [self.scale * value for value in values]


def measures(unit: Unit, larger_is_better: bool) -> list[Measure]:
    """The metric, and the loss where the metric is not the loss itself."""
    metric = Measure("metric", unit, larger_is_better)
    return [metric] if unit.name == "loss" else [metric, Measure("loss", unit, False)]


def short(value: float) -> float | None:
    """Five digits: more cannot be seen in a figure, and would triple the file. None (a gap) for what is no number."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def shorts(values: Sequence[float]) -> list[float | None]:
    return [short(value) for value in values]
