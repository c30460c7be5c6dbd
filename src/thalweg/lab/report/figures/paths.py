"""The ways of recorded runs over a slice of the loss: a piece is as opaque as the share of it that lies there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from contourpy import contour_generator

from thalweg.lab.report.figures.axes import hover, plot
from thalweg.lab.report.figures.highlight import Columns
from thalweg.lab.report.figures.measure import shorts
from thalweg.lab.report.figures.palette import GREY
from thalweg.play.landscape import Slice

LEVELS = 20
FAINTEST = 0.1


def paths_figure(result: Slice, order: Sequence[str]) -> Any:
    """Contours, the runs' ways, and a dot at each end."""
    x, y = ((float(side[0]), float(side[-1])) for side in (result.x, result.y))
    figure = plot("first direction", "second direction", height=460, x_range=x, y_range=y)
    there = result.values[np.isfinite(result.values)]
    lines: list[Any] = []
    if there.size:
        made = contour_generator(result.x, result.y, np.ma.masked_invalid(result.values))
        for level in np.unique(np.quantile(there, np.linspace(0, 1, LEVELS + 2)[1:-1] ** 1.5)):
            lines += made.lines(float(level))
    figure.multi_line(
        [shorts(line[:, 0].tolist()) for line in lines],
        [shorts(line[:, 1].tolist()) for line in lines],
        color=GREY,
        alpha=0.5,
        line_width=0.7,
    )
    pieces = Columns(order, "x0", "y0", "x1", "y1", "share", "step")
    ends = Columns(order, "x", "y", "total")
    for run in result.runs:
        for k in range(1, len(run.path)):
            (x0, y0), (x1, y1) = run.path[k - 1], run.path[k]
            share = max(FAINTEST, float(run.share[k]))
            pieces.add(run.name, **dict(zip(("x0", "y0", "x1", "y1"), shorts([x0, y0, x1, y1]), strict=True)),
                       share=round(share, 3), step=int(run.steps[k]))  # fmt: skip
        index = shorts(run.path[-1].tolist())
        ends.add(run.name, x=index[0], y=index[1], total=f"{run.total:.0%}")
    figure.segment(
        "x0", "y0", "x1", "y1", source=pieces.source(), color="color", line_dash="dash", alpha="share", line_width=2.5,
        **pieces.picked(),
    )  # fmt: skip
    dots = figure.scatter("x", "y", source=ends.source(), color="color", size=9, **ends.picked())
    hover(figure, dots, "@name", ("of its way in this plane", "@total"))
    return figure
