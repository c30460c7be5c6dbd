"""Curves: how validation went on over a run, by steps, epochs or seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bokeh.models import DataRange1d

from thalweg.lab.report.figures.axes import hover, level, valued
from thalweg.lab.report.figures.highlight import Columns
from thalweg.lab.report.figures.measure import Measure, short, shorts
from thalweg.lab.report.figures.palette import FEW
from thalweg.lab.training.trial import Trial

MOST = 120  # points of a curve: more cannot be seen at this width


@dataclass(frozen=True)
class Course:
    """Runs of one setting, a seed each; what a step takes in milliseconds, NaN where that was not measured."""

    trials: Sequence[Trial]
    milliseconds: float = math.nan


def curves(courses: Mapping[str, Course], measure: Measure, target: float = math.nan, *, ramped: bool = False) -> Any:
    """The median of the seeds, in a band from the worst to the best; a dashed line where the target is.

    `ramped`: the courses are one optimizer's settings, low to high, and not optimizers.
    """
    done = {name: [t for t in course.trials if t.done and t.curve.steps] for name, course in courses.items()}
    columns = Columns(list(courses), "xs", "ys", "band_x", "band_y", "per_epoch", "milliseconds", ramped=ramped)
    values: list[float] = []
    for name, trials in done.items():
        if not trials:
            continue
        longest = max(trials, key=lambda t: len(t.curve.steps))
        by_epoch = list(zip(*(_extended(measure.curve(t), len(longest.curve.steps)) for t in trials), strict=True))
        indices = thin(len(by_epoch))
        steps = [longest.curve.steps[i] for i in indices]
        low, middle, high = (
            shorts([of([v for v in by_epoch[i] if math.isfinite(v)] or [math.nan]) for i in indices])
            for of in (min, median, max)
        )
        values += [value for seeds in by_epoch for value in seeds]
        several = len(trials) > 1
        columns.add(
            name,
            xs=steps,
            ys=middle,
            band_x=steps + steps[::-1] if several else [],
            band_y=high + low[::-1] if several else [],
            per_epoch=longest.curve.steps[-1] / len(longest.curve.steps),
            milliseconds=short(courses[name].milliseconds),
        )
    figure = valued("steps", measure, values, x_range=DataRange1d(range_padding=0.02))
    _draw(figure, columns, measure)
    figure.xaxis.name = "along"
    if math.isfinite(target):
        level(figure, measure.scale * target, line_dash="dashed")
    return figure


def _draw(figure: Any, columns: Columns, measure: Measure) -> None:
    data, view = columns.source(), columns.picked()
    data.name = "courses"  # the page's script changes the x axis of sources of this name
    figure.patches("band_x", "band_y", source=data, color="color", alpha=0.13, line_width=0, **columns.picked(most=FEW))
    thick = {"line_color": "color", "line_dash": "dash", "line_width": 2, "hover_line_width": 4}
    lines = figure.multi_line("xs", "ys", source=data, hover_line_color="color", **thick, **view)
    reading = (("at", "$snap_x{0.[00]}"), (measure.name, "$snap_y{0.[0000]}"))
    hover(figure, lines, "@name", *reading, line_policy="nearest")


def _extended(values: list[float], length: int) -> list[float]:
    """A run that stopped early keeps what it ended at: leaving it out would show the others' median only."""
    return values + [values[-1]] * (length - len(values))


def thin(length: int, most: int = MOST) -> list[int]:
    """The places of the points to draw: all, or evenly many, the first and the last among them."""
    if length <= most:
        return list(range(length))
    return sorted({round(i * (length - 1) / (most - 1)) for i in range(most)})
