"""An empty figure in the report's dress: quiet axes that say what they measure, and show the good end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from typing import Any

from bokeh.core.validation import silence
from bokeh.core.validation.warnings import MISSING_RENDERERS
from bokeh.models import BasicTickFormatter, FixedTicker, HoverTool, LogTicker
from bokeh.models.annotations import Span
from bokeh.plotting import figure as bokeh_figure

from thalweg.lab.report.figures.measure import Measure, good_end
from thalweg.lab.report.figures.palette import GREY

silence(MISSING_RENDERERS)  # a figure where everything failed is rightly empty

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
NAME_LENGTH = 24
ROW_HEIGHT = 26


def plot(x_label: str, y_label: str | None, *, height: int = 380, log_x: bool = False, **options: Any) -> Any:
    """An empty figure. Pan and zoom wait in a toolbar: a finger on a figure scrolls the page."""
    kinds = {"x_axis_type": "log"} if log_x else {}
    drawn = bokeh_figure(
        height=height,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,reset,save",
        active_drag=None,
        toolbar_location="above",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_right=18,
        min_border_left=8,
        **{**kinds, **options},
    )
    drawn.toolbar.logo = None
    drawn.toolbar.autohide = True
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = x_label, y_label
    for axis in (*drawn.xaxis, *drawn.yaxis):
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.axis_label_standoff = 10
        axis.axis_line_color = axis.major_tick_line_color = GREY
        axis.axis_line_alpha = axis.major_tick_line_alpha = 0.6
        axis.minor_tick_line_color = None
        axis.major_tick_in = 0
    drawn.grid.grid_line_color = GREY
    drawn.grid.grid_line_alpha = 0.18
    if log_x:
        drawn.xaxis.ticker = LogTicker(desired_num_ticks=6)
    elif not isinstance(options.get("x_range"), list):
        drawn.xaxis.formatter = BasicTickFormatter(use_scientific=False)
    return drawn


def valued(x_label: str, measure: Measure, values: Sequence[float], **options: Any) -> Any:
    """A figure whose y axis shows the good end of these values."""
    low, high, kind = good_end(values, measure.larger_is_better, measure.log)
    drawn = plot(x_label, measure.label, y_axis_type=kind, y_range=(low, high), **options)
    if kind == "log":  # Bokeh's own ticks leave most of a short logarithmic axis bare
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        steps = (1,) if len(decades) > 4 else (1, 2, 5)
        drawn.yaxis.ticker = FixedTicker(ticks=[m * 10.0**k for k in decades for m in steps])
        drawn.yaxis.formatter = BasicTickFormatter(use_scientific=len(decades) > 5)
    else:
        drawn.yaxis.formatter = BasicTickFormatter(power_limit_low=-4, power_limit_high=6)
    return drawn


def rows(x_label: str, names: Sequence[str], *, log_x: bool = False, **options: Any) -> Any:
    """A figure with a row for each name, the first on top."""
    height = 84 + ROW_HEIGHT * len(names)
    drawn = plot(x_label, None, log_x=log_x, y_range=[*briefs(names).values()][::-1], height=height, **options)
    drawn.yaxis.major_tick_line_color = drawn.yaxis.axis_line_color = None
    drawn.ygrid.grid_line_color = None
    return drawn


def briefs(names: Sequence[str]) -> dict[str, str]:
    """Names that leave room for the figure, no two alike: a row is known by its name. The tooltip has the whole of it.

    >>> list(briefs(["adam(eps=1e-08, betas=(0.9, 0.99))", "adam(eps=1e-08, betas=(0.9, 0.95))"]).values())
    ['adam(eps=1e-…0.9, 0.99))', 'adam(eps=1e-…0.9, 0.95))']
    """
    begun = Counter(name[: NAME_LENGTH - 1] for name in names)
    found: dict[str, str] = {}
    for name in names:
        ends = 0 if begun[name[: NAME_LENGTH - 1]] == 1 else NAME_LENGTH // 2 - 1
        short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1 - ends]}…{name[len(name) - ends :]}"
        taken = set(found.values())
        found[name] = next(one for one in chain([short], (f"{short} ({n})" for n in count(2))) if one not in taken)
    return found


def upright(drawn: Any, at: float, **options: Any) -> None:
    drawn.add_layout(Span(location=at, dimension="height", line_color=GREY, **options))


def level(drawn: Any, at: float, **options: Any) -> None:
    drawn.add_layout(Span(location=at, dimension="width", line_color=GREY, **options))


def hover(drawn: Any, renderer: Any, title: str, *lines: tuple[str, str], **options: Any) -> None:
    """What is shown of what is under the pointer, in the page's own colors, light or dark."""
    cells = "".join(
        f'<div style="opacity:.72">{label}</div><div style="font-variant-numeric:tabular-nums">{text}</div>'
        for label, text in lines
    )
    tip = (
        '<div style="margin:-5px;padding:9px 12px;background:var(--sheet);color:var(--ink);font-size:12.5px;'
        f'max-width:min(300px,80vw);overflow-wrap:anywhere"><b>{title}</b>'
        f'<div style="display:grid;grid-template-columns:auto auto;gap:1px 12px;margin-top:3px">{cells}</div></div>'
    )
    few: dict[str, Any] = (
        {"limit": 3} if "limit" in HoverTool.properties() else {}
    )  # an older Bokeh shows all that it hits
    drawn.add_tools(HoverTool(renderers=[renderer], visible=False, tooltips=tip, **few, **options))


def bad_edge(drawn: Any, index: int, count: int, larger_is_better: bool) -> float:
    """Where a failed run's cross stands: along the bad edge, each optimizer at its own height."""
    low, high = drawn.y_range.start, drawn.y_range.end
    part = 0.02 + 0.07 * index / max(1, count)
    part = part if larger_is_better else 1 - part
    logarithmic = type(drawn.yaxis[0]).__name__ == "LogAxis"
    return float(low * (high / low) ** part if logarithmic else low + (high - low) * part)
