"""The report's figures, drawn with Bokeh: the sweep, the winners' curves, the paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from bokeh.core.validation import silence
from bokeh.core.validation.warnings import MISSING_RENDERERS
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, NumeralTickFormatter
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure

from thalweg.lab.results import Comparison
from thalweg.lab.table import Row
from thalweg.lab.wording import status

silence(MISSING_RENDERERS)  # a figure where everything failed is rightly empty

COLOURS = [
    "#e4572e",
    "#2d7dd2",
    "#1f9e6e",
    "#a65bd1",
    "#d99a0b",
    "#12a4b8",
    "#d6438f",
    "#7f8f1d",
]  # seen on white and on black
DASHES = ["solid", "dashed", "dotted", "dotdash"]
MUTED = 0.13
VERDICT_COLOURS = {
    "better": "#1f9e6e",
    "practically equal": "#2d7dd2",
    "worse": "#e4572e",
    "undecided": "#8a94a0",
}


def style(place: int) -> tuple[str, str]:
    """Colour and dash of the optimizer in this place: eight colours, then the same eight dashed."""
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]


def sweep(found: Comparison, of: str) -> Any:
    """Final validation metric or loss (`of`) against the learning rate; a cross for what failed."""
    percent = found.unit.percent and of == "metric"
    scale = 100 if percent else 1
    values = [scale * getattr(t, of) for row in found.rows for p in row.tried for t in p.trials if t.done]
    larger = found.spec["task"]["larger_is_better"] and of == "metric"
    low, high, kind = _range(values, larger, log=of == "loss")
    plot = _figure("learning rate", _label(found, of), x_axis_type="log", y_axis_type=kind, y_range=(low, high))
    for place, row in enumerate(found.rows):
        colour, dash = style(place)
        name = f"optimizer:{row.optimizer}"
        tried = sorted((p for p in row.tried if p.rate > 0), key=lambda p: p.rate)
        ends = [p for p in tried if p.failed < len(p.trials)]
        plot.line(
            [p.rate for p in ends],
            [scale * getattr(p, of) for p in ends],
            color=colour,
            line_dash=dash,
            line_width=2,
            muted_alpha=MUTED,
            name=name,
        )
        _dots(plot, row, of, scale, colour, name)
        default = [p for p in ends if p.index == 0]
        plot.scatter(
            [p.rate for p in default],
            [scale * getattr(p, of) for p in default],
            marker="diamond",
            size=15,
            fill_color=None,
            line_color=colour,
            line_width=2,
            muted_alpha=MUTED,
            name=name,
        )
        crosses = [p for p in tried if p.failed]
        plot.scatter(
            [p.rate for p in crosses],
            [_floor(low, high, place, len(found.rows), larger, kind)] * len(crosses),
            marker="x",
            size=9,
            line_color=colour,
            line_width=2,
            muted_alpha=MUTED,
            name=name,
        )
    return plot


def curves(found: Comparison, of: str) -> Any:
    """The finalists' validation curves: the median of the fresh seeds, from the worst to the best."""
    scale = 100 if found.unit.percent and of == "metric" else 1
    field = f"validation_{of}"
    larger = found.spec["task"]["larger_is_better"] and of == "metric"
    values = [scale * value for row in found.rows for t in row.finals if t.done for value in getattr(t.curve, field)]
    low, high, kind = _range(values, larger, log=of == "loss")
    plot = _figure("steps", _label(found, of), y_axis_type=kind, y_range=(low, high))
    for place, row in enumerate(found.rows):
        done = [t.curve for t in row.finals if t.done]
        if not done:
            continue
        colour, dash = style(place)
        name = f"optimizer:{row.optimizer}"
        by_epoch = list(zip(*([scale * value for value in getattr(curve, field)] for curve in done), strict=True))
        steps = done[0].steps
        plot.varea(
            steps,
            [min(v) for v in by_epoch],
            [max(v) for v in by_epoch],
            fill_color=colour,
            fill_alpha=0.12,
            muted_alpha=0.0,
            name=name,
        )
        source = ColumnDataSource(
            {"x": steps, "y": [median(v) for v in by_epoch], "name": [row.optimizer] * len(steps)}
        )
        line = plot.line(
            "x", "y", source=source, color=colour, line_dash=dash, line_width=2, muted_alpha=MUTED, name=name
        )
        _hover(plot, line, ("", "@name"), ("steps", "@x"), (_label(found, of), "@y{0.0000}"))
    if of == "metric" and math.isfinite(found.judged.target):
        plot.add_layout(
            Span(
                location=scale * found.judged.target,
                dimension="width",
                line_color="#8a94a0",
                line_dash="dashed",
            )
        )
    return plot


def forest(found: Comparison) -> Any:
    """Test metric minus the leader's, seed by seed: mean and 95 % interval, every seed a dot."""
    scale = 100 if found.unit.percent else 1
    names = [row.optimizer for row in found.rows]
    sign = 1 if found.spec["task"]["larger_is_better"] else -1
    unit = "points" if found.unit.percent else found.unit.name
    title = f"against {names[0]} ({unit}; right is better)"
    plot = _figure(title, "", y_range=names[::-1], height=90 + 24 * len(names))
    margin = scale * found.judged.margin
    if math.isfinite(margin):
        plot.add_layout(BoxAnnotation(left=-margin, right=margin, fill_color="#8a94a0", fill_alpha=0.15))
    plot.add_layout(Span(location=0, dimension="height", line_color="#8a94a0"))
    leader = {t.seed: t.test_metric for t in found.rows[0].finals}
    for row in found.rows:
        judged = row.judgement
        if judged is None:
            if row.failed_finals:
                plot.text(
                    [0],
                    [row.optimizer],
                    ["failed on a fresh seed"],
                    text_baseline="middle",
                    text_font_size="11px",
                    text_color=VERDICT_COLOURS["worse"],
                    x_offset=8,
                )
            continue
        colour, gap = VERDICT_COLOURS[judged.verdict], judged.difference
        seeds = [scale * sign * ((t.test_metric or 0.0) - (leader[t.seed] or 0.0)) for t in row.finals]
        plot.scatter(seeds, [row.optimizer] * len(seeds), size=5, color=colour, alpha=0.55)
        if math.isfinite(gap.half):
            plot.segment(
                [scale * gap.low],
                [row.optimizer],
                [scale * gap.high],
                [row.optimizer],
                line_width=2.5,
                color=colour,
            )
        source = ColumnDataSource(
            {
                "x": [scale * gap.mean],
                "y": [row.optimizer],
                "low": [scale * gap.low],
                "high": [scale * gap.high],
                "verdict": [status(row, False)],
            }
        )
        dot = plot.scatter("x", "y", source=source, size=10, color=colour)
        interval = ("95 %", "@low{+0.000} to @high{+0.000}")
        _hover(plot, dot, ("", "@y"), ("mean", "@x{+0.000}"), interval, ("", "@verdict"))
    return plot


def _dots(plot: Any, row: Row, of: str, scale: float, colour: str, name: str) -> None:
    done = [t for p in row.tried if p.rate > 0 for t in p.trials if t.done]
    source = ColumnDataSource(
        {
            "x": [t.settings["lr"] for t in done],
            "y": [scale * getattr(t, of) for t in done],
            "name": [row.optimizer] * len(done),
            "seed": [t.seed for t in done],
            "note": ["default" if t.index == 0 else "" for t in done],
        }
    )
    dots = plot.scatter("x", "y", source=source, size=6, color=colour, muted_alpha=MUTED, name=name)
    _hover(plot, dots, ("", "@name @note"), ("lr", "@x{0.000000}"), ("value", "@y{0.0000}"), ("seed", "@seed"))


def _hover(plot: Any, drawn: Any, *lines: tuple[str, str]) -> None:
    """What is shown of a point under the pointer."""
    plot.add_tools(HoverTool(renderers=[drawn], visible=False, tooltips=list(lines)))


def _figure(x_label: str, y_label: str, height: int = 380, **options: Any) -> Any:
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="box_zoom,pan,reset,save",
        active_drag=None,
        toolbar_location="above",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_right=16,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_label, y_label
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_line_color = axis.major_tick_line_color = "#8a94a0"
        axis.minor_tick_line_color = None
        axis.major_label_text_font_size = "12px"
    plot.grid.grid_line_color = "#8a94a0"
    plot.grid.grid_line_alpha = 0.2
    if options.get("y_axis_type"):
        plot.yaxis.formatter = NumeralTickFormatter(format="0.[00000]")
    if options.get("y_axis_type") == "log":  # Bokeh's own ticks leave most of a short logarithmic axis bare
        low, high = options["y_range"]
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        plot.yaxis.ticker = FixedTicker(ticks=[m * 10.0**k for k in decades for m in (1, 2, 5)])
    return plot


def _range(values: Sequence[float], larger_is_better: bool, log: bool) -> tuple[float, float, str]:
    """An axis that shows the good end well: what is far worse than the middle runs out of the frame."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return 0.0, 1.0, "linear"
    if log and finite[0] > 0:
        middle = finite[len(finite) // 2]
        return finite[0] / 1.15, min(finite[-1] * 1.15, max(middle * 8, finite[0] * 20)), "log"
    best, worst = (finite[-1], finite[0]) if larger_is_better else (finite[0], finite[-1])
    reach = (
        min(abs(best - worst), 6 * abs(best - finite[len(finite) // 2])) or abs(best - worst) or 0.01 * abs(best) or 1.0
    )
    far, near = (-reach, 0.06 * reach) if larger_is_better else (reach, -0.06 * reach)
    return (
        min(best + far, best + near) - 0.1 * reach * larger_is_better,
        max(best + far, best + near),
        "linear",
    )


def _floor(low: float, high: float, place: int, count: int, larger_is_better: bool, kind: str) -> float:
    """Where a failed run's cross stands: along the bad edge, each optimizer at its own height."""
    part = 0.015 + 0.08 * place / max(1, count)
    part = part if larger_is_better else 1 - part
    return low * (high / low) ** part if kind == "log" else low + (high - low) * part


def _label(found: Comparison, of: str) -> str:
    if of == "loss":
        return "validation loss"
    return f"validation {found.unit.name}{' (%)' if found.unit.percent else ''}"
