"""Sensitivity: how much of the learning rates tried is equivalent to the best, in decades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.lab.judging.rows import Row
from thalweg.lab.judging.wording import rate
from thalweg.lab.report.figures.axes import briefs, hover, rows
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.measure import short
from thalweg.lab.report.figures.palette import GREY, VERDICTS, color


def sensitivity(result: Sequence[Row]) -> Any:
    """Thin over what was tried, thick over what is equivalent; a dot the best, a ring the default, x what failed."""
    figure = rows("learning rate", [row.optimizer for row in result], log_x=True)
    briefly = briefs([row.optimizer for row in result])
    names = ("name", "y", "color", "tried_low", "tried_high", "low", "high", "best", "default", "decades", "said")
    bars: dict[str, list[Any]] = {name: [] for name in names}
    crosses: dict[str, list[Any]] = {name: [] for name in ("x", "y", "name")}
    for position, row in enumerate(result):
        rates = [candidate.rate for candidate in row.candidates if candidate.rate > 0]
        if not rates:
            continue
        good = row.sensitivity
        cells = {
            "name": row.optimizer,
            "y": briefly[row.optimizer],
            "color": color(position),
            "tried_low": min(rates),
            "tried_high": max(rates),
            "low": short(good.low if good else math.nan),
            "high": short(good.high if good else math.nan),
            "best": short(float(row.settings.get("lr", math.nan))),
            "default": next(
                (candidate.rate for candidate in row.candidates if candidate.index == 0 and candidate.rate > 0), None
            ),
            "decades": decades(row),
            "said": f"{rate(good.low)} to {rate(good.high)}" if good else "none",
        }
        for name, cell in cells.items():
            bars[name].append(cell)
        for candidate in (p for p in row.candidates if p.failed and p.rate > 0):
            for name, cell in (("x", short(candidate.rate)), ("y", briefly[row.optimizer]), ("name", row.optimizer)):
                crosses[name].append(cell)
    data = table(bars)
    figure.segment("tried_low", "y", "tried_high", "y", source=data, line_color=GREY, line_alpha=0.6)
    thick = figure.segment(
        "low", "y", "high", "y", source=data, line_color="color", line_width=9, line_alpha=0.45, line_cap="round"
    )
    failed = table(crosses)
    figure.scatter("x", "y", source=failed, marker="x", size=8, line_color=VERDICTS["worse"], line_width=1.8)
    ring = {"marker": "diamond", "size": 14, "fill_color": None, "line_color": "color", "line_width": 1.8}
    figure.scatter("default", "y", source=data, **ring)
    dots = figure.scatter("best", "y", source=data, size=9, color="color")
    reading = (("best lr", "@best{0.000000}"), ("equivalent", "@said"), ("decades", "@decades"))
    for renderer in (thick, dots):
        hover(figure, renderer, "@name", *reading)
    return figure


def decades(row: Row) -> str:
    """How wide the good range is; at least so wide where nothing beyond it was tried."""
    if row.sensitivity is None:
        return "none"
    is_open = row.sensitivity.open_low or row.sensitivity.open_high
    return f"{'≥ ' if is_open else ''}{row.sensitivity.decades:.1f}"
