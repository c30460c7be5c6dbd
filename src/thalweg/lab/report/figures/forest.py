"""Paired differences to the leader: mean and interval, every seed a dot, what does not matter shaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bokeh.models.annotations import BoxAnnotation

from thalweg.lab.judging.rows import Row, Table
from thalweg.lab.judging.wording import Unit, status
from thalweg.lab.report.figures.axes import briefs, hover, rows, upright
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.measure import short
from thalweg.lab.report.figures.palette import GREY, VERDICTS

WIDEST = 4.0  # an interval of few seeds can be a hundred times the others': it runs out of the frame


def forest(judged: Table, unit: Unit, larger_is_better: bool) -> Any:
    """Test metric minus the leader's, seed by seed, positive where the optimizer is better than the leader."""
    scale = 100 if unit.percent else 1
    leader, others = judged.rows[0], judged.rows[1:]
    low, high = span(judged)
    figure = rows(
        f"{unit.name} against {leader.optimizer}{' in points' if unit.percent else ''}, right is better",
        [row.optimizer for row in others],
        x_range=(scale * low, scale * high),
    )
    if math.isfinite(judged.margin):
        margin = scale * judged.margin
        figure.add_layout(BoxAnnotation(left=-margin, right=margin, fill_color=GREY, fill_alpha=0.15, line_color=None))
    upright(figure, 0)
    briefly = briefs([row.optimizer for row in others])
    seeds: dict[str, list[Any]] = {key: [] for key in ("x", "y", "color")}
    means: dict[str, list[Any]] = {key: [] for key in ("x", "y", "color", "low", "high", "verdict", "name")}
    for row in others:
        if row.judgement is None:
            _say(figure, row, briefly[row.optimizer])
            continue
        result, color = row.judgement.difference, VERDICTS[row.judgement.verdict]
        each = [scale * value for value in differences(row, leader, larger_is_better)]
        _add(seeds, x=[short(x) for x in each], y=[briefly[row.optimizer]] * len(each), color=[color] * len(each))
        _add(
            means,
            x=[short(scale * result.mean)],
            y=[briefly[row.optimizer]],
            color=[color],
            low=[short(scale * result.low)],
            high=[short(scale * result.high)],
            verdict=[status(row, False)],
            name=[row.optimizer],
        )
    figure.scatter("x", "y", source=table(seeds), size=5, color="color", alpha=0.5)
    data = table(means)
    figure.segment("low", "y", "high", "y", source=data, line_width=2.5, color="color")
    dots = figure.scatter("x", "y", source=data, size=11, color="color")
    interval = ("95 %", "@low{+0.000} to @high{+0.000}")
    hover(figure, dots, "@name", ("mean", "@x{+0.000}"), interval, ("verdict", "@verdict"))
    return figure


def differences(row: Row, leader: Row, larger_is_better: bool) -> list[float]:
    """Seed by seed: how much better than the leader."""
    sign = 1 if larger_is_better else -1
    known = {t.seed: t.test_metric for t in leader.finals if t.test_metric is not None}
    return [sign * (t.test_metric - known[t.seed]) for t in row.finals if t.test_metric is not None and t.seed in known]


def span(judged: Table) -> tuple[float, float]:
    """Where the axis ends: all means, and intervals up to four times the middle one's reach."""
    result = [row.judgement.difference for row in judged.rows if row.judgement]
    means = [gap.mean for gap in result if math.isfinite(gap.mean)]
    margin = judged.margin if math.isfinite(judged.margin) else 0.0
    if not means:
        return (-1.5 * margin, 1.5 * margin) if margin else (-1.0, 1.0)
    halves = sorted(gap.half for gap in result if math.isfinite(gap.half)) or [0.0]
    most = WIDEST * halves[len(halves) // 2]
    ends = [gap.mean + side * min(gap.half, most) for gap in result if math.isfinite(gap.half) for side in (-1, 1)]
    low, high = min([*means, *ends, -1.5 * margin]), max([*means, *ends, 1.5 * margin])
    pad = 0.06 * (high - low) or 1.0
    return low - pad, high + pad


def _say(figure: Any, row: Row, name: str) -> None:
    figure.text(
        [0],
        [name],
        [status(row, False)],
        text_baseline="middle",
        text_font_size="12px",
        text_color=VERDICTS["worse"],
        x_offset=8,
    )


def _add(columns: dict[str, list[Any]], **cells: Sequence[Any]) -> None:
    for key, values in cells.items():
        columns[key].extend(values)
