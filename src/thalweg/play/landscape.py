"""The loss around the runs that trained a model: slices through their checkpoints, and how much of a run lies in one.

A plane is spanned by the principal directions of the checkpoints' differences, or by random directions that are scaled
filter by filter (Li et al. 2018, arXiv:1712.09913). A run is drawn where it falls on the plane. Most of it may lie
elsewhere: the share that does not is told, and so is the loss on the run beside the loss of the slice below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.play.planes import Plane, filtered, principal

__all__ = ["Landscape", "landscape"]

Array = NDArray[Any]
Loss = Callable[[Array], float]

SIZE = 31  # points along each side of a slice
LINE = 41  # and along a line
TRANSFORMS = ("first", "middle", "last")
MARGIN = 0.2  # of a path's extent, on each side


@dataclass(frozen=True, eq=False)
class Run:
    """A run as it was recorded: `weights` has a row for each of `steps`, all parameters after one another."""

    name: str
    steps: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class Projected:
    """A run on a slice.

    `path` are its places there. `share` says of each piece of its way how much of it lies in the plane (the first
    number, before any piece, is 1), `total` the same of all its length. `loss` is the loss on the run, `slice_loss`
    that of the slice where the run is drawn: they part where the run is far from the plane.
    """

    name: str
    steps: Array
    path: Array
    share: Array
    total: float
    loss: Array
    slice_loss: Array


@dataclass(frozen=True, eq=False)
class Line:
    """The loss along a straight line through the weights."""

    name: str
    at: Array
    loss: Array


@dataclass(frozen=True, eq=False)
class Slice:
    """The loss on a plane: `values[row, column]` at `y[row]`, `x[column]`.

    `kind` is "pca" or "filter"; `stage` is "whole", or the part of the runs that it is through: "first", "middle",
    "last". `lines` are: from start to end of each run ("whole"), along the plane's two directions (a stage), or along
    a random direction at the start, in the middle and at the end of the first run ("filter").
    """

    kind: str
    stage: str
    x: Array
    y: Array
    values: Array
    runs: tuple[Projected, ...]
    lines: tuple[Line, ...] = ()

    @property
    def name(self) -> str:
        if self.kind == "filter":
            return "random directions, filter-normalized, at the end of the first run"
        return "all of the runs" if self.stage == "whole" else f"the {self.stage} third of the runs"


@dataclass(frozen=True, eq=False)
class Landscape:
    """Slices of a model's loss with runs on them. `batchnorm` is "recalibrated" (its statistics are taken anew at each
    point), "as trained" or None where there is none. In a notebook it is a picture (by matplotlib)."""

    title: str
    slices: tuple[Slice, ...]
    batchnorm: str | None = None
    notes: tuple[str, ...] = ()

    def block(self) -> dict[str, Any]:
        """As JSON has it, and the page: what is not finite is None."""
        return {
            "title": self.title,
            "batchnorm": self.batchnorm,
            "notes": list(self.notes),
            "slices": [_block(each) for each in self.slices],
        }

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> Landscape:
        """The same again from its block."""
        slices = tuple(_slice(each) for each in block["slices"])
        return cls(block["title"], slices, block["batchnorm"], tuple(block["notes"]))

    def picture(self, dpi: int = 80) -> bytes:
        """All slices as a PNG.

        Raises:
            ModuleNotFoundError: without matplotlib; says what to install.
        """
        from thalweg.play.landscape_picture import picture

        return picture(self, dpi)

    def _repr_png_(self) -> bytes | None:
        try:
            return self.picture()
        except ModuleNotFoundError:
            return None

    def __repr__(self) -> str:
        shares = ", ".join(f"{run.name} {run.total:.0%}" for run in self.slices[0].runs)
        return f"Landscape({self.title}: {len(self.slices)} slices; of the way lie in the first: {shares})"


def landscape(
    runs: Sequence[Run],
    loss: Loss,
    shapes: Sequence[Sequence[int]] | None = None,
    *,
    title: str = "loss",
    size: int = SIZE,
    batchnorm: str | None = None,
    seed: int = 0,
) -> Landscape:
    """Slices of a loss through runs: through all of them, through each third, and in random directions.

    Args:
        runs: the first one is the one that slices lie around.
        loss: of a vector of all weights.
        shapes: of the parameters, one after another, for the filters of the random directions; one vector if None.
        size: points along each side of a slice.
        seed: of the random directions.

    Raises:
        ValueError: for no run, runs of different models, fewer than two checkpoints, or a size below 2.
    """
    width = _checked(runs, size)
    shapes = [(width,)] if shapes is None else shapes
    losses = [np.array([loss(row.astype(np.float64)) for row in run.weights]) for run in runs]

    def made(kind: str, stage: str, plane: Plane, parts: Sequence[Run], own: Sequence[Array]) -> Slice:
        on = tuple(_projected(part, plane, loss, known) for part, known in zip(parts, own, strict=True))
        x, y = (np.linspace(-1, 1, size),) * 2 if kind == "filter" else _frame([run.path for run in on], size)
        return Slice(kind, stage, x, y, np.array([[loss(plane.at(a, b)) for a in x] for b in y]), on)

    slices = []
    for stage in ("whole", *TRANSFORMS):
        cuts = [_part(len(run.steps), stage) for run in runs]
        parts = [Run(run.name, run.steps[cut], run.weights[cut]) for run, cut in zip(runs, cuts, strict=True)]
        origin = parts[0].weights[-1].astype(np.float64)
        plane = Plane(origin, principal([part.weights for part in parts], origin, seed))
        found = made("pca", stage, plane, parts, [own[cut] for own, cut in zip(losses, cuts, strict=True)])
        if stage == "whole":
            lines = [_from_start_to_end(run, loss) for run in runs]
        else:
            lines = [_across("x", plane, loss, 0, found.x), _across("y", plane, loss, 1, found.y)]
        slices.append(replace(found, lines=tuple(lines)))
    ends = [(name, runs[0].weights[place].astype(np.float64)) for name, place in _places(runs[0])]
    planes = {name: Plane(origin, filtered(shapes, origin, seed)) for name, origin in ends}
    found = made("filter", "last", planes["end"], runs, losses)
    lines = [_across(name, plane, loss, 0, np.array([-1.0, 1.0])) for name, plane in planes.items()]
    return Landscape(title, (*slices, replace(found, lines=tuple(lines))), batchnorm)


def evaluations(runs: int, checkpoints: int, size: int) -> int:
    """How often `landscape` asks for the loss, about."""
    return 5 * size**2 + runs * (4 * checkpoints + LINE) + 9 * LINE


def _checked(runs: Sequence[Run], size: int) -> int:
    widths = {run.weights.shape[1] for run in runs}
    if len(widths) != 1:
        raise ValueError(f"runs: got models of {sorted(widths)} weights; must be runs of one model, at least one")
    if any(len(run.steps) < 2 for run in runs):
        raise ValueError("runs: got one with fewer than 2 checkpoints; must have a start and an end")
    if size < 2:
        raise ValueError(f"size: got {size!r}; must be at least 2")
    return int(widths.pop())


def _part(count: int, stage: str) -> slice:
    """The checkpoints of a third of a run; neighbors share an end, and each has two."""
    if stage == "whole":
        return slice(0, count)
    place = TRANSFORMS.index(stage)
    low, high = (round((count - 1) * end / 3) for end in (place, place + 1))
    return slice(max(0, min(low, count - 2)), max(high, low + 1) + 1)


def _places(run: Run) -> list[tuple[str, int]]:
    last = len(run.steps) - 1
    return [("start", 0), ("middle", last // 2), ("end", last)]


def _projected(run: Run, plane: Plane, loss: Loss, known: Array) -> Projected:
    path = plane.coordinates(run.weights)
    share, total = plane.share(run.weights)
    below = np.array([loss(plane.at(x, y)) for x, y in path])
    return Projected(run.name, run.steps, path, share, total, known, below)


def _frame(paths: Sequence[Array], size: int) -> tuple[Array, Array]:
    """The sides of a slice: around the paths, and no side less than a tenth of the other."""
    points = np.concatenate(paths)
    low, high = points.min(0), points.max(0)
    reach = (high - low) / 2
    reach = np.maximum(reach, max(float(reach.max()) / 10, 1e-12)) * (1 + 2 * MARGIN)
    middle = (low + high) / 2
    x, y = (np.linspace(middle[i] - reach[i], middle[i] + reach[i], size) for i in (0, 1))
    return x, y


def _line(name: str, at: Array, height: Callable[[float], float]) -> Line:
    return Line(name, at, np.array([height(float(each)) for each in at]))


def _across(name: str, plane: Plane, loss: Loss, direction: int, side: Array) -> Line:
    """Through the plane's origin."""
    along = plane.directions[direction]
    return _line(name, np.linspace(side[0], side[-1], LINE), lambda t: loss(plane.origin + t * along))


def _from_start_to_end(run: Run, loss: Loss) -> Line:
    """0 is the start and 1 the end (Goodfellow et al. 2015, arXiv:1412.6544)."""
    start, end = run.weights[0].astype(np.float64), run.weights[-1].astype(np.float64)
    return _line(run.name, np.linspace(-0.25, 1.25, LINE), lambda t: loss(start + t * (end - start)))


def _number(value: float) -> float | None:
    return float(f"{value:.8g}") if math.isfinite(value) else None


def _numbers(values: Array) -> list[Any]:
    return [_numbers(each) if np.ndim(each) else _number(float(each)) for each in values]


def _block(found: Slice) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "stage": found.stage,
        "name": found.name,
        "x": _numbers(found.x[[0, -1]]),
        "y": _numbers(found.y[[0, -1]]),
        "values": _numbers(found.values),
        "runs": [
            {
                "name": run.name,
                "steps": [int(step) for step in run.steps],
                "total": _number(run.total),
                **{key: _numbers(getattr(run, key)) for key in ("path", "share", "loss", "slice_loss")},
            }
            for run in found.runs
        ],
        "lines": [{"name": line.name, "at": _numbers(line.at), "loss": _numbers(line.loss)} for line in found.lines],
    }


def _slice(block: Mapping[str, Any]) -> Slice:
    values = np.array(block["values"], dtype=float)
    x = np.linspace(block["x"][0], block["x"][1], values.shape[1])
    y = np.linspace(block["y"][0], block["y"][1], values.shape[0])
    runs = tuple(_projected_again(run) for run in block["runs"])
    lines = tuple(
        Line(line["name"], np.array(line["at"], dtype=float), np.array(line["loss"], dtype=float))
        for line in block["lines"]
    )
    return Slice(block["kind"], block["stage"], x, y, values, runs, lines)


def _projected_again(run: Mapping[str, Any]) -> Projected:
    path, share, loss, below = (np.array(run[key], dtype=float) for key in ("path", "share", "loss", "slice_loss"))
    return Projected(run["name"], np.array(run["steps"], dtype=int), path, share, float(run["total"]), loss, below)
