"""Time to target: when each fresh seed first reached what the median default ends at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.lab.judging.rows import Row
from thalweg.lab.report.figures.axes import briefs, hover, rows
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.palette import GREY, VERDICTS, color


def reach(result: Sequence[Row], target: float, larger_is_better: bool) -> Any:
    """Every seed a dot at its steps to the target, the median a bar; x at the right edge for a seed that missed it."""
    steps = {row.optimizer: [t.steps_to(target, larger_is_better) for t in row.finals] for row in result}
    longest = max((t.steps for row in result for t in row.finals), default=1) or 1
    figure = rows("steps to target", list(steps), x_range=(0, 1.07 * longest))
    briefly = briefs(list(steps))
    figure.xgrid.visible = True
    columns: dict[str, dict[str, list[Any]]] = {
        part: {name: [] for name in ("x", "y", "name", "color", "seed")} for part in ("hit", "miss", "median")
    }
    for index, row in enumerate(result):
        marks = [
            ("hit" if math.isfinite(s) else "miss", min(s, 1.035 * longest), t.seed)
            for s, t in zip(steps[row.optimizer], row.finals, strict=True)
        ]
        if math.isfinite(row.steps_to_target):
            marks.append(("median", row.steps_to_target, -1))
        for part, x, seed in marks:
            cells = {"x": x, "y": briefly[row.optimizer], "name": row.optimizer, "color": color(index), "seed": seed}
            for name, cell in cells.items():
                columns[part][name].append(cell)
    hits, misses, medians = (table(columns[part]) for part in ("hit", "miss", "median"))
    figure.segment(0, "y", "x", "y", source=medians, line_color=GREY, line_alpha=0.5)
    figure.scatter(
        "x", "y", source=medians, marker="dash", angle=math.pi / 2, size=16, line_color="color", line_width=3
    )
    dots = figure.scatter("x", "y", source=hits, size=7, color="color", alpha=0.75)
    crosses = figure.scatter("x", "y", source=misses, marker="x", size=8, line_color=VERDICTS["worse"], line_width=1.8)
    hover(figure, dots, "@name", ("steps", "@x{0}"), ("seed", "@seed"))
    hover(figure, crosses, "@name", ("target", "never reached"), ("seed", "@seed"))
    return figure
