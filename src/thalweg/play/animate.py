"""Pictures of a race, still and moving, by matplotlib (the extra `play`)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from thalweg.play.race import Race

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8b6f00")  # Okabe and Ito
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))


def animate(race: Race, path: str | Path, *, seconds: float = 8.0, every: int = 2, dpi: int = 80) -> Path:
    """Write a race as a moving picture.

    Args:
        race: what `thalweg.play.race` gave.
        path: a file that ends in .gif, or in .mp4 (which needs ffmpeg).
        seconds: how long it lasts.
        every: how many steps a picture goes on.
        dpi: its resolution; the picture is 9 by 4 inches.

    Raises:
        ValueError: for another kind of file, or a folder that is not there.
        ModuleNotFoundError: without matplotlib; says what to install.
        FileNotFoundError: for .mp4 without ffmpeg.
    """
    path = Path(path)
    writers = {".gif": _gif, ".mp4": _mp4}
    if path.suffix not in writers:
        raise ValueError(f"path: {path.name!r}; must end in .gif or .mp4")
    if not path.parent.is_dir():
        raise ValueError(f"path: no folder {path.parent}")
    if every < 1 or not seconds > 0 or not dpi > 0:
        raise ValueError(f"every={every!r}, seconds={seconds!r}, dpi={dpi!r}; must be 1 or more, and more than 0")
    _matplotlib()
    if path.suffix == ".mp4":
        _ffmpeg()
    count = race.losses.shape[1]
    stops = [*range(1, count - 1, every), count - 1]
    writers[path.suffix](_frames(race, stops, dpi), len(stops), seconds, path)
    return path


def _frames(race: Race, stops: Sequence[int], dpi: int) -> Iterator[Any]:
    """The pictures as arrays of colors. What stands still is drawn once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, lines, dots = _figure(race)
    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)
    moving = [*itertools.chain.from_iterable(lines), *dots, figure.axes[1].get_legend()]
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    for last in stops:
        for index, (track, curve) in enumerate(lines):
            place = race.positions[index, : last + 1]
            track.set_data(place[:, 0], _second(place))
            curve.set_data(np.arange(last + 1), race.losses[index, : last + 1])
            dots[index].set_data(place[-1:, 0], _second(place)[-1:])
        canvas.restore_region(still)
        for artist in moving:
            artist.axes.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3]


def _gif(frames: Iterator[Any], count: int, seconds: float, path: Path) -> None:
    """With one palette, of the last picture, so that only what changes is written."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    palette = pictures[-1].quantize(128)
    own = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    each = max(20, round(1000 * seconds / count))
    own[0].save(path, save_all=True, append_images=own[1:], duration=each, loop=0)


def _mp4(frames: Iterator[Any], count: int, seconds: float, path: Path) -> None:
    from matplotlib.animation import FFMpegWriter
    from matplotlib.figure import Figure

    writer: Any = FFMpegWriter(fps=max(1, round(count / seconds)))
    first = next(frames)
    high, wide = (side - side % 2 for side in first.shape[:2])  # the codec takes even sides
    figure = Figure(figsize=(wide / 100, high / 100), dpi=100)
    shown = figure.figimage(first[:high, :wide])
    with writer.saving(figure, str(path), 100):
        writer.grab_frame()
        for frame in frames:
            shown.set_data(frame[:high, :wide])
            writer.grab_frame()


def _ffmpeg() -> None:
    from matplotlib.animation import FFMpegWriter

    if not FFMpegWriter.isAvailable():
        raise FileNotFoundError("path: .mp4 needs the program ffmpeg, which is not on the PATH; or write a .gif")


def _matplotlib() -> Any:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("pictures need matplotlib: pip install 'thalweg[play]'", name=error.name) from None
    return Figure


def picture(race: Race, dpi: int = 80) -> bytes:
    """The whole race as a PNG."""
    figure, _, _ = _figure(race)
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=dpi)
    return made.getvalue()


def _second(place: Any) -> Any:
    return place[:, 1] if place.shape[1] > 1 else np.zeros(len(place))


def _figure(race: Race) -> tuple[Any, list[tuple[Any, Any]], list[Any]]:
    """The figure with all paths, each path's lines, and the dots at their ends."""
    surface = race.surface
    figure = _matplotlib()(figsize=(9, 4), layout="constrained")
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
