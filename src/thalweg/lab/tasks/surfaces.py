"""Surfaces of two numbers, on which one can see what an optimizer does. 300 steps, 0.2 s a training.

There is no data but noise that a seed fixes, added to the gradient (none but on the ravine), and the start, which each
seed moves a little. The metric is the distance to the nearest optimum at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.lab.task import Task

STEPS = 300


class Place(nn.Module):
    """Two numbers: a start that the seed moves by about a twentieth."""

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor(start) + 0.05 * torch.randn(2))

    def forward(self) -> Tensor:
        return self.place


@dataclass(frozen=True)
class Surface:
    """A height over two numbers, where the walk starts, where it should end, and the noise in its gradient."""

    height: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, float]
    optima: tuple[tuple[float, float], ...]
    noise: float = 0.0

    def model(self) -> nn.Module:
        return Place(self.start)

    def loss(self, model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        """The height, tilted by the batch's noise: its gradient is the height's with noise added."""
        place: Tensor = model()
        return self.height(*place.unbind(-1)) + (batch[0] * place).sum(-1).mean()

    def distance(self, model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        """How far the place is from the nearest optimum."""
        away: Tensor = torch.tensor(self.optima, device=batch[0].device) - model()
        return away.square().sum(-1).sqrt().min()

    def task(self, name: str) -> Task:
        noise = self.noise * torch.randn(STEPS, 2, generator=torch.Generator().manual_seed(0))
        still = torch.zeros(1, 2)
        return Task(
            name=name,
            model=self.model,
            loss=self.loss,
            metric=self.distance,
            direction="min",
            train=(noise,),
            validation=(still,),
            test=(still,),
            steps=STEPS,
            epochs=30,
            batch_size=1,
        )


def _saddle(x: Tensor, y: Tensor) -> Tensor:
    """A saddle at (0, 0) between minima at (0, 1) and (0, -1)."""
    return x**2 / 2 + (y**2 - 1) ** 2 / 4


def _rosenbrock(x: Tensor, y: Tensor) -> Tensor:
    """A curved valley (Rosenbrock 1960)."""
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(x: Tensor, y: Tensor) -> Tensor:
    """A plateau with sharp walls (Beale 1958)."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _quartic(x: Tensor, y: Tensor) -> Tensor:
    """Flat around its minimum: the gradient vanishes before the distance does."""
    return x**4 + y**4


def _ravine(x: Tensor, y: Tensor) -> Tensor:
    """Curvatures of 1 and 100."""
    return x**2 / 2 + 100 * y**2 / 2


def saddle() -> Task:
    """Starts a little beside the line on which the gradient leads to the saddle itself."""
    return Surface(_saddle, (1.0, 0.0), ((0.0, 1.0), (0.0, -1.0))).task("saddle")


def rosenbrock() -> Task:
    return Surface(_rosenbrock, (-1.2, 1.0), ((1.0, 1.0),)).task("rosenbrock")


def beale() -> Task:
    return Surface(_beale, (1.0, 1.0), ((3.0, 0.5),)).task("beale")


def quartic() -> Task:
    return Surface(_quartic, (1.0, -1.0), ((0.0, 0.0),)).task("quartic")


def ravine() -> Task:
    """The noise has a deviation of 0.1 in each direction."""
    return Surface(_ravine, (1.0, 1.0), ((0.0, 0.0),), noise=0.1).task("ravine")
