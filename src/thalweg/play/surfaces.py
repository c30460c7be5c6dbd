"""The surfaces: domain, starts, optima and constants of each. `heights.py` has their text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.play import heights
from thalweg.rule.equations import Equations, read

Point = tuple[float, ...]
Numbers = Mapping[str, Any]


def turned(degrees: Any) -> tuple[Any, Any]:
    """Cosine and sine of an angle of up to 90 degrees, by their series."""
    a = degrees * (math.pi / 180)
    z = a * a
    cosine: Any = 1.0
    sine: Any = 1.0
    for k in range(11, 0, -1):
        cosine = 1.0 - z / (2 * k * (2 * k - 1)) * cosine
        sine = 1.0 - z / (2 * k * (2 * k + 1)) * sine
    return cosine, a * sine


def as_given(c: Numbers) -> dict[str, Any]:
    return {}


def rotated(c: Numbers) -> dict[str, Any]:
    cosine, sine = turned(c["rotation"])
    return {"condition": c["condition"], "cosine": cosine, "sine": sine}


def waved(c: Numbers) -> dict[str, Any]:
    return {"pi": math.pi, "ten": c["height"], "large": c["large"]}


def steep(c: Numbers) -> dict[str, Any]:
    return {"steepness": c["steepness"]}


def seldom(c: Numbers) -> dict[str, Any]:
    return {"every": c["every"], "turn": 1.0 if c["step"] % c["every"] == 0 else 0.0}


def in_turns(c: Numbers) -> dict[str, Any]:
    """Reddi, Kale and Kumar 2018: `size` x in one step of three, -x in the others. The least is at -1."""
    return {"slope": c["size"] if c["step"] % 3 == 1 else -1.0, "mean": (c["size"] - 2.0) / 3.0}


@dataclass(frozen=True)
class Constant:
    """A number of a surface that one may change."""

    name: str
    default: float
    low: float
    high: float
    scale: str = "linear"


@dataclass(frozen=True)
class Surface:
    """A height over two numbers, or one: where walks start and should end, and the deviation of a single gradient.

    `numbers` makes of the constants, the step and `large` what the text takes by keyword. `held`: the interval that
    a step is brought back to.
    """

    name: str
    text: Callable[..., Any]
    domain: tuple[tuple[float, float], tuple[float, float]]
    starts: Mapping[str, Point]
    optima: tuple[Point, ...]
    numbers: Callable[[Numbers], dict[str, Any]] = as_given
    constants: tuple[Constant, ...] = ()
    noise: float = 0.0
    dimension: int = 2
    turns: bool = False
    held: tuple[float, float] | None = None
    equations: Equations = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "equations", read(self.text))

    @property
    def defaults(self) -> dict[str, float]:
        return {each.name: each.default for each in self.constants}

    def start(self, where: str | Point | None = None) -> Point:
        """A start by its name, the first where none is given, or a place of one's own."""
        if where is None:
            return next(iter(self.starts.values()))
        if isinstance(where, str):
            if where not in self.starts:
                raise ValueError(f"start: {self.name} has no {where!r}; it has {', '.join(self.starts)}")
            return self.starts[where]
        if len(where) != self.dimension:
            raise ValueError(f"start: {where!r} has {len(where)} numbers; {self.name} takes {self.dimension}")
        place = tuple(map(float, where))
        if not all(map(math.isfinite, place)):
            raise ValueError(f"start: {where!r} holds a number that is not finite; must be a place on the surface")
        return place

    def slope(self, place: Any, step: int = 1, constants: Mapping[str, float] | None = None) -> tuple[Any, Any]:
        """Height and gradient at a place, a tensor whose last axis is the surface's."""
        import torch

        for name in (constants or {}).keys() - self.defaults.keys():
            raise ValueError(f"constants: {self.name} has no {name!r}; it has {', '.join(self.defaults) or 'none'}")
        large = 1.5 * 2.0 ** (23 if place.dtype == torch.float32 else 52)
        given = self.numbers({**self.defaults, **(constants or {}), "step": float(step), "large": large})
        x = place[..., 0]
        y = place[..., 1] if self.dimension == 2 else torch.zeros_like(x)
        _, h, *slopes = self.text(x, y, h=0.0, dx=0.0, dy=0.0, **given)
        return h, torch.stack(slopes[: self.dimension], -1)


def of(name: str | Surface) -> Surface:
    """A surface by its name."""
    if isinstance(name, Surface):
        return name
    if name not in SURFACES:
        raise ValueError(f"surface: {name!r} is none of {', '.join(SURFACES)}")
    return SURFACES[name]


WIDE = ((-2.0, 2.0), (-2.0, 2.0))
SURFACES: dict[str, Surface] = {
    each.name: each
    for each in (
        Surface(
            "saddle", heights.saddle, ((-1.5, 1.5), (-1.6, 1.6)), {"beside": (1.0, 0.001), "ridge": (1.0, 0.0)},
            ((0.0, 1.0), (0.0, -1.0)),
        ),
        Surface(
            "ravine", heights.ravine, WIDE, {"slope": (1.5, 1.0), "axis": (-1.8, 0.2)}, ((0.0, 0.0),), rotated,
            (Constant("condition", 100.0, 1.0, 1000.0, "log"), Constant("rotation", 0.0, 0.0, 45.0)),
        ),
        Surface(
            "rosenbrock", heights.rosenbrock, ((-2.0, 2.0), (-1.0, 3.0)), {"classic": (-1.2, 1.0), "far": (1.8, -0.5)},
            ((1.0, 1.0),),
        ),
        Surface(
            "beale", heights.beale, ((-4.5, 4.5), (-4.5, 4.5)),
            {"classic": (1.0, 1.0), "behind": (-1.5, 2.0)}, ((3.0, 0.5),)
        ),
        Surface(
            "himmelblau", heights.himmelblau, ((-5.0, 5.0), (-5.0, 5.0)),
            {"middle": (0.0, 0.0), "corner": (-4.0, -1.0)},
            ((3.0, 2.0), (-2.805118, 3.131312), (-3.77931, -3.283186), (3.584428, -1.848126)),
        ),
        Surface(
            "rastrigin", heights.rastrigin, ((-5.12, 5.12), (-5.12, 5.12)), {"side": (2.3, 1.7), "far": (-4.2, 3.6)},
            ((0.0, 0.0),), waved, (Constant("height", 10.0, 0.0, 20.0),),
        ),
        Surface("quartic", heights.quartic, WIDE, {"corner": (1.5, -1.2), "far": (4.0, 4.0)}, ((0.0, 0.0),)),
        Surface(
            "fourth", heights.fourth, ((-4.5, 4.5), (-1.0, 1.0)), {"four": (4.0,), "one": (1.0,)}, ((0.0,),),
            dimension=1,
        ),
        Surface(
            "cliff", heights.cliff, ((-4.0, 4.0), (-3.0, 3.0)),
            {"plateau": (3.0, 2.0), "edge": (1.2, -1.0)}, ((-2.0, 0.0),),
            steep, (Constant("steepness", 8.0, 1.0, 50.0, "log"),),
        ),
        Surface(
            "noisy", heights.ravine, WIDE, {"corner": (1.5, 1.5), "near": (0.3, -0.3)}, ((0.0, 0.0),), rotated,
            (Constant("condition", 4.0, 1.0, 1000.0, "log"), Constant("rotation", 0.0, 0.0, 45.0)), noise=1.0,
        ),
        Surface(
            "sparse", heights.sparse, WIDE, {"corner": (1.5, 1.5), "axis": (0.1, 1.8)}, ((0.0, 0.0),), seldom,
            (Constant("every", 10.0, 1.0, 50.0),), turns=True,
        ),
        Surface(
            "counterexample", heights.counterexample, ((-1.0, 1.0), (-1.0, 1.0)), {"middle": (0.0,), "end": (0.9,)},
            ((-1.0,),), in_turns, (Constant("size", 4.0, 2.5, 100.0, "log"),), dimension=1, turns=True,
            held=(-1.0, 1.0),
        ),
    )
}  # fmt: skip
