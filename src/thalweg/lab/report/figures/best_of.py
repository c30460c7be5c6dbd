"""Expected best of k: what a search of only k settings would have found on validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.lab.judging.rows import Row
from thalweg.lab.report.figures.axes import hover, valued
from thalweg.lab.report.figures.highlight import Columns
from thalweg.lab.report.figures.measure import Measure, shorts
from thalweg.lab.report.figures.palette import GREY


def best_of_figure(rows: Sequence[Row], measure: Measure) -> Any:
    """A line an optimizer, in the band that holds the middle 80 % of such searches."""
    columns = Columns([row.optimizer for row in rows], "xs", "ys", "band_x", "band_y")
    values: list[float] = []
    for row in (row for row in rows if row.best_of):
        drawn_of = [result.k for result in row.best_of]
        low, middle, high = (
            [measure.scale * getattr(result, end) for result in row.best_of] for end in ("low", "expected", "high")
        )
        values += [value for value in (*low, *middle, *high) if math.isfinite(value)]
        columns.add(
            row.optimizer,
            xs=drawn_of,
            ys=shorts(middle),
            band_x=drawn_of + drawn_of[::-1],
            band_y=shorts(high + low[::-1]),
        )
    figure = valued("settings tried (k)", measure, values)
    figure.xaxis.ticker.num_minor_ticks = 0
    data, view = columns.source(), columns.picked()
    figure.multi_line("xs", "ys", source=data, line_color=GREY, line_alpha=0.22)
    figure.patches("band_x", "band_y", source=data, color="color", alpha=0.16, line_width=0, **columns.picked(most=2))
    thick = {"line_color": "color", "line_dash": "dash", "line_width": 2, "hover_line_width": 4}
    lines = figure.multi_line("xs", "ys", source=data, hover_line_color="color", **thick, **view)
    reading = (("best of", "$snap_x{0}"), (f"expected {measure.name}", "$snap_y{0.[0000]}"))
    hover(figure, lines, "@name", *reading, line_policy="nearest")
    return figure
