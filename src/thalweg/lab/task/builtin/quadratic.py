"""A quadratic of 16 numbers whose best learning rate is known: gradient descent's is 2 / (L + mu), here 2 / 110.

The curvatures go from mu = 10 to L = 100, evenly on a logarithmic scale. A step of gradient descent multiplies the
error along each by 1 - lr x curvature; the slowest of them is fastest at 2 / (L + mu), and from 2 / L = 0.02 on one of
them grows (Polyak 1987, "Introduction to Optimization"). Nothing is noisy; the seed draws the start. 30 steps, 0.02 s.

The metric is what a step leaves of the distance to the optimum, over all 30: at best near 0.82. Of the distance
itself, which falls by powers, 5 % would be less than a hundredth of the learning rate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thalweg.lab.task.task import Task

NUMBERS, LOWEST, HIGHEST, STEPS = 16, 10.0, 100.0, 30
BEST_RATE, LARGEST_RATE = 2 / (LOWEST + HIGHEST), 2 / HIGHEST


class Numbers(nn.Module):
    """A start that the seed draws around the optimum, which is 0."""

    curvatures: Tensor
    start: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.randn(NUMBERS))
        self.register_buffer("curvatures", torch.logspace(0, 1, NUMBERS) * LOWEST)
        self.register_buffer("start", self.numbers.detach().square().sum().sqrt())

    def forward(self) -> Tensor:
        height: Tensor = (self.curvatures * self.numbers.square()).sum() / 2
        return height


def loss(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
    height: Tensor = model()
    return height + batch[0].sum()


def shrinking(model: Numbers, batch: tuple[Tensor]) -> Tensor:
    """Of a step, were all 30 alike."""
    return (model.numbers.square().sum().sqrt() / model.start) ** (1 / STEPS)


def task() -> Task:
    """One row of nothing is all the data."""
    nothing = (torch.zeros(1),)
    return Task(
        name="quadratic",
        model=Numbers,
        loss=loss,
        metric=shrinking,
        direction="min",
        train=nothing,
        validation=nothing,
        test=nothing,
        steps=STEPS,
        epochs=10,
        batch_size=1,
    )
