"""Pictures of a race, still and moving, by matplotlib (the extra `play`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thalweg.play.race import Race

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8b6f00")  # Okabe and Ito
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))


def animate(race: Race, path: str | Path, *, seconds: float = 8.0, every: int = 2, dpi: int = 80) -> Path:
    """Write a race as a moving picture.

    Args:
        race: what `thalweg.play.race` gave.
        path: a file that ends in .gif or .mp4 (which needs ffmpeg).
        seconds: how long it lasts.
        every: how many steps a picture goes on.
        dpi: its resolution; the picture is 9 by 4 inches.

    Raises:
        ValueError: for another kind of file.
        ModuleNotFoundError: without matplotlib; says what to install.
    """
    path = Path(path)
    writers = {".gif": "pillow", ".mp4": "ffmpeg"}
    if path.suffix not in writers:
        raise ValueError(f"path: {path.name!r}; must end in .gif or .mp4")
    if every < 1 or seconds <= 0:
        raise ValueError(f"every={every!r}, seconds={seconds!r}; must be 1 or more, and more than 0")
    figure, lines, dots = _drawn(race)
    from matplotlib.animation import FuncAnimation

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # once, not for every picture

    count = race.losses.shape[1]
    frames = [*range(1, count, every), count - 1]

    def show(last: int) -> list[Any]:
        for index, (track, curve) in enumerate(lines):
            place = race.positions[index, : last + 1]
            track.set_data(place[:, 0], _second(place))
            curve.set_data(np.arange(last + 1), race.losses[index, : last + 1])
            dots[index].set_data(place[-1:, 0], _second(place)[-1:])
        return []

    moving = FuncAnimation(figure, show, frames=frames)
    moving.save(str(path), writer=writers[path.suffix], fps=max(1, round(len(frames) / seconds)), dpi=dpi)
    return path


def picture(race: Race, dpi: int = 80) -> bytes:
    """The whole race as a PNG."""
    figure, _, _ = _drawn(race)
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=dpi)
    return made.getvalue()


def _second(place: Any) -> Any:
    return place[:, 1] if place.shape[1] > 1 else np.zeros(len(place))


def _drawn(race: Race) -> tuple[Any, list[tuple[Any, Any]], list[Any]]:
    """The figure with all paths, each path's lines, and the dots at their ends."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("pictures need matplotlib: pip install 'thalweg[play]'", name=error.name) from None
    surface = race.surface
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    (x0, x1), (y0, y1) = surface.domain
    x, y = np.meshgrid(np.linspace(x0, x1, 160), np.linspace(y0, y1, 160))
    grid = torch.from_numpy(np.stack([x, y], -1)[..., : surface.dimension])
    height = surface.slope(grid, 1, race.constants)[0].numpy()
    levels = np.quantile(height, np.linspace(0, 1, 25) ** 1.5)
    left.contour(x, y, height, levels=np.unique(levels), colors="#999999", linewidths=0.6)
    left.plot(*np.array([(*each, 0.0)[:2] for each in surface.optima]).T, "*", color="#333333", markersize=9)
    left.set(xlim=(x0, x1), ylim=(y0, y1), title=surface.name)
    right.set(
        xlabel="step",
        ylabel="loss",
        xlim=(0, race.losses.shape[1] - 1),
        yscale="symlog" if race.losses.min() < 0 else "log",
    )
    lines, dots = [], []
    for index, name in enumerate(race.names):
        style: dict[str, Any] = {"color": COLORS[index % len(COLORS)], "linestyle": DASHES[index % len(DASHES)]}
        place = race.positions[index]
        track = left.plot(place[:, 0], _second(place), linewidth=1.6, **style)[0]
        dots.append(left.plot(place[-1:, 0], _second(place)[-1:], "o", color=style["color"])[0])
        lr = race.settings[index].get("lr")
        label = name if lr is None or "(" in name else f"{name}, lr {lr:.3g}"
        lines.append((track, right.plot(race.losses[index], label=label, **style)[0]))
    right.legend(fontsize=8)
    return figure, lines, dots
