"""A tuning as it went on: what each setting ended at, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.models import DataRange1d

from thalweg.lab.report.configuration import in_words
from thalweg.lab.report.figures.axes import hover, valued
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.measure import Measure, short, shorts
from thalweg.lab.report.figures.palette import COLORS, GREY
from thalweg.lab.search.configurations import Candidate


def history(
    candidates: Sequence[Candidate], best: Sequence[float], measure: Measure, seconds: Sequence[float] | None = None
) -> Any:
    """A dot a setting; a step line over `best`, the best so far after each of them.

    Args:
        seconds: when each ended, in seconds of runs, for an axis of these; without them they lie in the order of trial.
    """
    ends = [measure.scale * candidate.metric for candidate in candidates]
    label = "settings tried" if seconds is None else "seconds of runs"
    figure = valued(label, measure, ends, x_range=DataRange1d(range_padding=0.03))
    places = list(range(1, len(candidates) + 1)) if seconds is None else [short(each) for each in seconds]
    line = table({"x": places, "y": shorts([measure.scale * value for value in best])})
    figure.step("x", "y", source=line, mode="after", line_color=COLORS[0], line_width=2)
    dots = table(
        {
            "x": places,
            "y": [short(end) for end in ends],
            "setting": [in_words(candidate.settings, candidate.trials[0].batch_size) for candidate in candidates],
        }
    )
    shown = figure.scatter("x", "y", source=dots, size=6, color=GREY, alpha=0.8)
    where = "setting @x" if seconds is None else "after @x s"
    hover(figure, shown, where, ("setting", "@setting"), (measure.name, "@y"))
    return figure
