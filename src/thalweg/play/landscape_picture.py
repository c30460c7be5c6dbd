"""A landscape as a picture, by matplotlib (the extra `play`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.play.animate import COLORS, DASHES

if TYPE_CHECKING:
    from thalweg.play.landscape import Landscape, Slice


def picture(found: Landscape, dpi: int = 80) -> bytes:
    """Each slice with its runs, as opaque as the share of their way that lies in the plane; the losses below it."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("pictures need matplotlib: pip install 'thalweg[play]'", name=error.name) from None
    count = len(found.slices)
    figure = Figure(figsize=(4 * count, 6.5), layout="constrained")
    axes = figure.subplots(2, count, squeeze=False, height_ratios=(1.6, 1))
    for place, each in enumerate(found.slices):
        _slice(axes[0][place], each)
        _losses(axes[1][place], each)
    figure.suptitle(found.title)
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=dpi)
    return made.getvalue()


def _slice(axes: Any, each: Slice) -> None:
    there = each.values[np.isfinite(each.values)]
    if there.size and there.min() < there.max():
        levels = np.unique(np.quantile(there, np.linspace(0, 1, 22) ** 1.5))
        axes.contour(each.x, each.y, each.values, levels=levels, colors="#999999", linewidths=0.6)
    for place, run in enumerate(each.runs):
        color = COLORS[place % len(COLORS)]
        for k in range(1, len(run.path)):
            axes.plot(*run.path[k - 1 : k + 1].T, color=color, alpha=max(0.08, run.share[k]), linewidth=1.8)
        axes.plot(*run.path[-1], "o", color=color, label=f"{run.name}, {run.total:.0%} in the plane")
    axes.set(xlim=each.x[[0, -1]], ylim=each.y[[0, -1]])
    axes.set_title(each.name, fontsize=9, wrap=True)
    axes.legend(fontsize=7)


def _losses(axes: Any, each: Slice) -> None:
    positive = True
    for place, run in enumerate(each.runs):
        color = COLORS[place % len(COLORS)]
        axes.plot(run.steps, run.loss, color=color, linestyle=DASHES[0])
        axes.plot(run.steps, run.slice_loss, color=color, linestyle=":")
        positive &= bool((run.loss > 0).all() and (run.slice_loss > 0).all())
    axes.set(xlabel="step", ylabel="loss: run, slice (dotted)", yscale="log" if positive else "linear")
