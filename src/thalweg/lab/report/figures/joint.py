"""Differences over several tasks: each task's a dot of its own color, the joint interval through them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models.annotations import BoxAnnotation

from thalweg.lab.judging.joint import JointRow
from thalweg.lab.report.figures.axes import briefs, hover, rows, upright
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.measure import short
from thalweg.lab.report.figures.palette import GREY, VERDICTS, color


def joint_forest(judged: Sequence[JointRow], tasks: Sequence[str]) -> Any:
    """Differences to the leader in margins, right is better; rows that were not judged are left empty."""
    others = [row for row in judged[1:] if row.judgement]
    figure = rows(f"margins against {judged[0].optimizer}, right is better", [row.optimizer for row in others])
    names = briefs([row.optimizer for row in others])
    figure.add_layout(BoxAnnotation(left=-1, right=1, fill_color=GREY, fill_alpha=0.15, line_color=None))
    upright(figure, 0)
    for index, task in enumerate(tasks):
        data = table(
            {
                "x": [short((row.differences or {})[task].mean) for row in others],
                "low": [short((row.differences or {})[task].low) for row in others],
                "high": [short((row.differences or {})[task].high) for row in others],
                "y": [names[row.optimizer] for row in others],
                "name": [row.optimizer for row in others],
            }
        )
        dots = figure.scatter("x", "y", source=data, size=7, color=color(index), alpha=0.9, legend_label=task)
        hover(figure, dots, f"@name on {task}", ("mean", "@x{+0.00}"), ("95 %", "@low{+0.00} to @high{+0.00}"))
    _intervals(figure, others, names)
    figure.legend.orientation, figure.legend.background_fill_alpha = "horizontal", 0.0
    figure.legend.border_line_color = None
    figure.add_layout(figure.legend[0], "above")
    return figure


def _intervals(figure: Any, others: Sequence[JointRow], names: Mapping[str, str]) -> None:
    gaps = [(row, row.judgement.difference, row.judgement.verdict) for row in others if row.judgement]
    data = table(
        {
            "x": [short(gap.mean) for _, gap, _ in gaps],
            "low": [short(gap.low if math.isfinite(gap.low) else gap.mean) for _, gap, _ in gaps],
            "high": [short(gap.high if math.isfinite(gap.high) else gap.mean) for _, gap, _ in gaps],
            "y": [names[row.optimizer] for row, _, _ in gaps],
            "name": [row.optimizer for row, _, _ in gaps],
            "verdict": [verdict for _, _, verdict in gaps],
            "color": [VERDICTS[verdict] for _, _, verdict in gaps],
        }
    )
    figure.segment("low", "y", "high", "y", source=data, line_width=2.5, color="color")
    dots = figure.scatter("x", "y", source=data, size=13, marker="diamond", color="color")
    hover(figure, dots, "@name over all", ("mean", "@x{+0.00}"), ("verdict", "@verdict"))
