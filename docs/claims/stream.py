"""A stream of gradients whose law never changes: how long does an optimizer's step stay?

The loss is linear, so its gradient is the batch itself: noise around a small mean, the same from the first step to the
last. Whatever happens to the step is the optimizer's doing. The metric is the mean length of a step in each round.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thalweg import Task

SIZE, ROWS, BATCH, ROUNDS = 64, 6400, 64, 50


class Stream(nn.Module):
    """64 numbers that follow a linear loss, and remember how far they went."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(SIZE))
        self.last: Tensor | None = None
        self.lengths: list[float] = []

    def forward(self, gradients: Tensor) -> Tensor:
        if self.training:
            self.remember()
        return (gradients @ self.weight).mean()

    def remember(self) -> None:
        now = self.weight.detach().clone()
        if self.last is not None:
            self.lengths.append(float((now - self.last).abs().mean()))
        self.last = now


def loss(model: Stream, batch: tuple[Tensor]) -> Tensor:
    """Linear, and far from zero, so that going on for ever downhill does not look like diverging."""
    return model(batch[0])


def step_length(model: Stream, batch: tuple[Tensor]) -> float:
    """The mean step of each number in the last round."""
    return sum(model.lengths[-ROWS // BATCH :]) / max(1, len(model.lengths[-ROWS // BATCH :]))


def gradients(rows: int, seed: int) -> tuple[Tensor]:
    return (0.3 + torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(seed)),)


task = Task(
    name="stream",
    model=Stream,
    loss=loss,
    train=gradients(ROWS, 0),
    validation=gradients(BATCH, 1),
    test=gradients(BATCH, 2),
    metric=step_length,
    direction="max",
    epochs=ROUNDS,
    batch_size=BATCH,
)
