"""Surfaces of two numbers, on which one can see what an optimizer does. 300 steps, 0.2 s a training.

There is no data but noise that a seed fixes, added to the gradient (none but on the ravine), and the start, which each
seed moves a little. The metric is the distance to the nearest optimum at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.lab.task import Task
from thalweg.play.surfaces import SURFACES, Surface

STEPS = 300


class Place(nn.Module):
    """Two numbers: a start that the seed moves by about a twentieth."""

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor(start) + 0.05 * torch.randn(2))

    def forward(self) -> Tensor:
        return self.place


@dataclass(frozen=True)
class Ground:
    """A surface of the page, where the walk starts, and the noise in its gradient.

    Its height and its slopes are the surface's own text, so a training here is the page's run, bit for bit.
    """

    surface: Surface
    start: tuple[float, float]
    noise: float = 0.0

    def model(self) -> nn.Module:
        return Place(self.start)

    def loss(self, model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        """The height, tilted by the batch's noise: its gradient is the surface's with noise added."""
        place: Tensor = model()
        height, slope = self.surface.slope(place.detach())
        along = (slope * place).sum(-1)
        tilted: Tensor = height + (along - along.detach()) + (batch[0] * place).sum(-1).mean()
        return tilted

    def distance(self, model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        """How far the place is from the nearest optimum."""
        away: Tensor = torch.tensor(self.surface.optima, device=batch[0].device) - model()
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


def saddle() -> Task:
    """Starts a little beside the line on which the gradient leads to the saddle itself."""
    return Ground(SURFACES["saddle"], (1.0, 0.0)).task("saddle")


def rosenbrock() -> Task:
    return Ground(SURFACES["rosenbrock"], (-1.2, 1.0)).task("rosenbrock")


def beale() -> Task:
    return Ground(SURFACES["beale"], (1.0, 1.0)).task("beale")


def quartic() -> Task:
    return Ground(SURFACES["quartic"], (1.0, -1.0)).task("quartic")


def ravine() -> Task:
    """The noise has a deviation of 0.1 in each direction."""
    return Ground(SURFACES["ravine"], (1.0, 1.0), noise=0.1).task("ravine")
