"""A race: optimizers of the catalogue over one surface, stepped by `reference`. The page runs the same, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.catalogue import Entry
from thalweg.play.noise import deviation, normal
from thalweg.play.scenery import best
from thalweg.play.surfaces import Point, Surface, of

Numbers = npt.NDArray[np.floating[Any]]
Racers = Sequence[str | Entry | type[torch.optim.Optimizer]] | Mapping[str, Mapping[str, Any]]
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Race:
    """The paths of several optimizers over one surface, each from before the first step.

    Args:
        surface: what they raced over.
        names: of the racers.
        settings: of each racer's optimizer.
        positions: by racer, step and coordinate.
        losses: by racer and step.
        constants: the surface's, by name.
    """

    surface: Surface
    names: tuple[str, ...]
    settings: tuple[Mapping[str, Any], ...]
    positions: Numbers
    losses: Numbers
    constants: Mapping[str, float]

    @property
    def distances(self) -> Numbers:
        """How far each racer is from the nearest optimum."""
        optima = np.array(self.surface.optima)
        away = self.positions[:, :, None, :].astype(np.float64) - optima
        nearest: Numbers = np.sqrt((away**2).sum(-1)).min(-1)
        return nearest

    def _repr_png_(self) -> bytes | None:
        """The picture in a notebook, where matplotlib is."""
        from thalweg.play.animate import picture

        try:
            return picture(self)
        except ModuleNotFoundError:
            return None


def race(
    surface: str | Surface,
    optimizers: Racers,
    steps: int = 300,
    *,
    start: str | Point | None = None,
    constants: Mapping[str, float] | None = None,
    precision: str = "float32",
    seed: int = 0,
    batch: int = 0,
    schedule: Callable[[int], float] | None = None,
) -> Race:
    """Run optimizers over a surface.

    Args:
        surface: one of `thalweg.play.surfaces.SURFACES`.
        optimizers: names of the catalogue, with settings in brackets or as a mapping; whose lr is not given has its
            best on this surface and start.
        steps: how many.
        start: one of the surface's, by name, or a place.
        constants: numbers of the surface that are to differ from its own.
        precision: "float32" or "float64".
        seed: of the noise, on a surface that has some.
        batch: the noise is that of a mean of so many gradients; 0: none.
        schedule: what the learning rates are multiplied by in a step, counted from 0.

    Raises:
        ValueError: for names and values that are not known, with those that are.

    >>> race("saddle", ["sgd", "adam(lr=0.1)"], steps=5).positions.shape
    (2, 6, 2)
    """
    ground = of(surface)
    if precision not in DTYPES:
        raise ValueError(f"precision: {precision!r} is none of {', '.join(DTYPES)}")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: {steps!r}; must be a whole number, 1 or more")
    if not isinstance(batch, int) or batch < 0:
        raise ValueError(f"batch: {batch!r}; must be a whole number, 0 (all data) or more")
    place = ground.start(start)
    entries = [(Entry.of(each), dict(own)) for each, own in _racers(optimizers)]
    chosen = [_settings(ground, start, entry, own) for entry, own in entries]
    walk = _Walk(ground, place, constants or {}, DTYPES[precision], seed, deviation(ground.noise, batch), schedule)
    walked = [walk.along(entry, own, steps) for (entry, _), own in zip(entries, chosen, strict=True)]
    return Race(
        ground,
        tuple(entry.name for entry, _ in entries),
        tuple({**entry.settings, **own} for (entry, _), own in zip(entries, chosen, strict=True)),
        np.array([positions for positions, _ in walked]),
        np.array([losses for _, losses in walked]),
        {**ground.defaults, **(constants or {})},
    )


def _racers(optimizers: Racers) -> list[tuple[Any, Mapping[str, Any]]]:
    if isinstance(optimizers, str):
        raise ValueError(f"optimizers: {optimizers!r}; must be a list of names or a mapping of names to settings")
    if not optimizers:
        raise ValueError(f"optimizers: {optimizers!r}; must name one or more")
    if isinstance(optimizers, Mapping):
        return list(optimizers.items())
    return [(each, {}) for each in optimizers]


def _settings(surface: Surface, start: str | Point | None, entry: Entry, own: dict[str, Any]) -> dict[str, Any]:
    """The racer's own settings, with the fair rate where it has none."""
    if "lr" in own or "lr" in entry.settings:
        return own
    name = start if isinstance(start, str) else next(iter(surface.starts))
    known = best().get(surface.name, {}).get(name, {}).get(entry.rule.name if entry.rule else "")
    return {"lr": known["lr"], **own} if known else own


@dataclass(frozen=True)
class _Walk:
    surface: Surface
    place: Point
    constants: Mapping[str, float]
    dtype: torch.dtype
    seed: int
    deviation: float
    schedule: Callable[[int], float] | None

    def along(self, entry: Entry, settings: Mapping[str, Any], steps: int) -> tuple[list[Numbers], list[Any]]:
        """One racer's positions and losses."""
        p = torch.nn.Parameter(torch.tensor(self.place, dtype=self.dtype, device="cpu"))
        engine = {"engine": "reference"} if entry.rule is not None else {}
        optimizer = entry.build([p], **settings, **engine)
        lr = optimizer.param_groups[0]["lr"]
        positions, losses = [p.detach().numpy().copy()], [self.height(p)]
        for step in range(1, steps + 1):
            if self.schedule:
                optimizer.param_groups[0]["lr"] = lr * self.schedule(step - 1)
            p.grad = self.gradient(p, step)
            optimizer.step()
            if self.surface.held:
                p.data.clamp_(*self.surface.held)
            positions.append(p.detach().numpy().copy())
            losses.append(self.height(p))
        return positions, losses

    def height(self, p: torch.Tensor) -> Any:
        return self.surface.slope(p.detach(), 1, self.constants)[0].numpy()

    def gradient(self, p: torch.Tensor, step: int) -> torch.Tensor:
        slope: torch.Tensor = self.surface.slope(p.detach(), step, self.constants)[1]
        if self.deviation:
            chance = [self.deviation * normal(self.seed, step, place) for place in range(len(slope))]
            slope = slope + torch.tensor(chance, dtype=slope.dtype, device=slope.device)
        return slope
