"""Surfaces of two numbers, on which one can see what an optimizer does. 300 steps, 0.2 s a run.

There is no data but noise that a seed fixes, added to the gradient (none but on the ravine), and the start, which each
seed moves a little. The noise is the page's: a run by `reference` is a race of `thalweg.play`, bit for bit. The metric
is the distance to the nearest optimum at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from thalweg.lab.task.task import Task
from thalweg.play.noise import MASK, normal
from thalweg.play.surfaces import SURFACES, Surface

STEPS = 300


class StartPoint(nn.Module):
    """Two numbers: a start that the seed moves by about a twentieth."""

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor(start) + 0.05 * torch.randn(2))

    def forward(self) -> Tensor:
        return self.place


class StepNoise(IterableDataset[tuple[Tensor]]):
    """The noise of each step, as the page has it for a seed: the 32 low bits of the seed of the data's order."""

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        seed = torch.initial_seed() & MASK
        return ((self.row(seed, step),) for step in range(1, STEPS + 1))

    def row(self, seed: int, step: int) -> Tensor:
        return torch.tensor([[self.deviation * normal(seed, step, place) for place in range(2)]])


@dataclass(frozen=True)
class Ground:
    """A surface of the page, where the walk starts, and the noise in its gradient.

    Its height and its slopes are the surface's own text, so a training here is the page's run, bit for bit.
    """

    surface: Surface
    start: tuple[float, float]
    noise: float = 0.0

    def model(self) -> nn.Module:
        return StartPoint(self.start)

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
        still = torch.zeros(1, 2)
        noise = DataLoader(StepNoise(self.noise), batch_size=None) if self.noise else (torch.zeros(STEPS, 2),)
        return Task(
            name=name,
            model=self.model,
            loss=self.loss,
            metric=self.distance,
            direction="min",
            train=noise,
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
    """The page's noisy surface with a condition number of 100 and a batch of 100: noise of a deviation of 0.1."""
    return Ground(SURFACES["ravine"], (1.0, 1.0), noise=0.1).task("ravine")
