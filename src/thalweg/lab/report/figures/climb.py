"""A range test: the loss as the learning rate grows, seed by seed, the interval shaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from bokeh.models.annotations import BoxAnnotation

from thalweg.lab.report.figures.axes import hover, valued
from thalweg.lab.report.figures.curves import thin
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.measure import Measure, short, shorts
from thalweg.lab.report.figures.palette import COLORS, GREY, ramp


class Climbed(Protocol):
    """One seed's climb."""

    @property
    def seed(self) -> int: ...
    @property
    def rates(self) -> Sequence[float]: ...
    @property
    def losses(self) -> Sequence[float]: ...
    @property
    def smooth(self) -> Sequence[float]: ...
    @property
    def steepest(self) -> float: ...
    @property
    def turn(self) -> float: ...


def climb(ascents: Sequence[Climbed], interval: tuple[float, float] | None, measure: Measure) -> Any:
    """Thin the loss of each step, thick the smoothed one; marks where it falls fastest and where it turns."""
    smooth = [value for ascent in ascents for value in ascent.smooth]
    figure = valued("learning rate", measure, smooth, log_x=True, height=420)
    figure.yaxis.axis_label = "training loss"
    shade(figure, interval)
    colors = ramp(len(ascents))
    lines: dict[str, list[Any]] = {name: [] for name in ("seed", "color", "xs", "raw", "smooth")}
    marks: dict[str, list[Any]] = {name: [] for name in ("seed", "color", "x", "y", "marker", "what")}
    for tone, ascent in zip(colors, ascents, strict=True):
        indices = thin(len(ascent.rates), 400)
        row = {
            "seed": f"seed {ascent.seed}",
            "color": tone,
            "xs": shorts([ascent.rates[i] for i in indices]),
            "raw": shorts([ascent.losses[i] for i in indices]),
            "smooth": shorts([ascent.smooth[i] for i in indices]),
        }
        for name, cell in row.items():
            lines[name].append(cell)
        for x, marker, what in (
            (ascent.steepest, "triangle", "falls fastest here"),
            (ascent.turn, "square", "turns up here"),
        ):
            if math.isfinite(x):
                nearest = min(range(len(ascent.rates)), key=lambda i: abs(math.log(ascent.rates[i] / x)))
                cells = (row["seed"], tone, short(x), short(ascent.smooth[nearest]), marker, what)
                for name, value in zip(marks, cells, strict=True):
                    marks[name].append(value)
    data = table(lines)
    figure.multi_line("xs", "raw", source=data, line_color="color", line_alpha=0.22)
    thick = {"line_color": "color", "line_width": 2, "hover_line_color": "color", "hover_line_width": 4}
    shown = figure.multi_line("xs", "smooth", source=data, **thick)
    candidates = figure.scatter("x", "y", source=table(marks), marker="marker", size=11, color="color")
    reading = (("lr", "$snap_x{0.[0000000]}"), ("smoothed loss", "$snap_y{0.[0000]}"))
    hover(figure, shown, "@seed", *reading, line_policy="nearest")
    hover(figure, candidates, "@what", ("lr", "@x{0.[0000000]}"), ("", "@seed"))
    return figure


def shade(figure: Any, interval: tuple[float, float] | None) -> None:
    """The interval as a band from top to bottom."""
    if interval is not None:
        look: dict[str, Any] = {"fill_color": COLORS[2], "fill_alpha": 0.12, "line_color": GREY, "line_dash": "dotted"}
        figure.add_layout(BoxAnnotation(left=interval[0], right=interval[1], **look))
