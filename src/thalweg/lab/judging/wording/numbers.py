"""Numbers in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.lab.arguments import several
from thalweg.lab.judging.statistics import Interval
from thalweg.lab.training.job import fewer_steps


@dataclass(frozen=True)
class Unit:
    """How a metric is written: accuracy in percent and points, anything else to four digits."""

    name: str
    parted: bool = True  # whether it is of a validation and a test set; a loop of one's own tells of neither

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> Unit:
        """The unit of a study's task."""
        return cls(task["metric"], "loop" not in task)

    @property
    def test(self) -> str:
        """The metric as fresh seeds measure it."""
        return f"test {self.name}" if self.parted else self.name

    @property
    def validation(self) -> str:
        """The metric that the search goes by."""
        return f"validation {self.name}" if self.parted else self.name

    @property
    def percent(self) -> bool:
        return self.name == "accuracy"

    def value(self, number: float) -> str:
        if math.isnan(number):
            return "none"
        return f"{100 * number:.1f} %" if self.percent else f"{number:.4g}"

    def gap(self, number: float, half: float = math.nan) -> str:
        """A difference, signed, in points where the metric is in percent: `-0.4 ± 0.2`."""
        if math.isnan(number):
            return "none"
        text = f"{100 * number:+.1f}" if self.percent else f"{number:+.3g}"
        if math.isnan(half):
            return text
        return f"{text} ± {100 * half:.1f}" if self.percent else f"{text} ± {half:.2g}"

    @property
    def gap_name(self) -> str:
        return "difference (points)" if self.percent else "difference"

    def interval(self, interval: Interval) -> str:
        """`97.2 % ± 0.6`; without a spread to judge by, that is said."""
        text = self.value(interval.mean)
        if interval.n == 0:
            return text
        if math.isnan(interval.half):
            return f"{text} (one seed)"
        return f"{text} ± {100 * interval.half:.1f}" if self.percent else f"{text} ± {interval.half:.2g}"


def rate(number: float) -> str:
    return "none" if math.isnan(number) else f"{number:.3g}"


def span(low: float, high: float) -> str:
    """`0.0012 to 0.0035`, or one number where both are written alike."""
    return " to ".join(dict.fromkeys((rate(low), rate(high))))


def duration(seconds: float) -> str:
    """`about 40 seconds`, `about 4 minutes`: no more digits than a guess has."""
    if seconds < 90:
        return f"about {several(max(1, round(seconds)), 'second')}"
    if seconds < 90 * 60:
        return f"about {several(round(seconds / 60), 'minute')}"
    return f"about {seconds / 3600:.1f} hours"


def course(task: Mapping[str, Any], epochs: int | None = None) -> str:
    """How long a run of a study's task is, in what the task is given in: `20 epochs`, `400 steps`; or a part."""
    if "loop" in task:
        return "the run as the loop has it" if epochs is None else f"runs up to step {epochs}"
    epochs, steps = epochs or task["epochs"], task.get("training", {}).get("steps")
    if steps is None:
        return several(epochs, "epoch")
    return several(fewer_steps(steps, epochs, task["epochs"]) or steps, "step")


def beyond(task: Mapping[str, Any]) -> str:
    """What a study does not reach to."""
    return "longer runs" if "loop" in task else f"more than {course(task)}"


def behind(verdict: str, limits: Sequence[str]) -> str:
    """A verdict, and behind it what it does not reach to."""
    return f"{verdict.removesuffix('.')}; not tested: {'; '.join(limits)}." if limits else verdict


def subject(optimizer: str, task: str) -> str:
    """`adam on digits`; `train` alone, where a command's script makes an optimizer that the study does not know."""
    return task if optimizer == task else f"{optimizer} on {task}"


def of_task(optimizer: str, task: str) -> str:
    """`on digits, adam,`, to stand behind "the best"."""
    return f"of {task}" if optimizer == task else f"on {task}, {optimizer},"


def listed(names: Sequence[str], most: int = 4) -> str:
    """`a, b and c`; of many only the first, and how many more."""
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
