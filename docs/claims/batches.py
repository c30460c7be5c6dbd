"""The handwritten digits by batches of any size: how much the loss jumps from one step to the next.

All sizes take equally many steps at one rate, and follow the same path but for their noise. The metric is the deviation
of a step's loss around its trend, over the second half of the steps: the root of half the mean square of what it
changes by from step to step (von Neumann 1941), which has no trend in it. 1,024 rows, so that all batches are full.
"""

import torch
from torch import nn

from thalweg import Task
from thalweg.lab.task.builtin.digits import task as digits

ROWS, STEPS = 1024, 1000
FAR = 5.0  # from zero: that the first row is an easy one, and the next is not, does not look like diverging


class Network(nn.Module):
    """One hidden layer without dropout: nothing but the batch makes the loss differ. It keeps the loss of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.losses: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x)
        return found


def loss(model: Network, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    x, y = batch
    found = nn.functional.cross_entropy(model(x), y)
    if model.training:
        model.losses.append(float(found.detach()))
    return found + FAR


def fluctuation(model: Network, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
    late = torch.tensor(model.losses[len(model.losses) // 2 :], dtype=torch.float64)
    if len(late) < 2:
        return 0.0
    return float(late.diff().square().mean().div(2).sqrt())


_parts = digits().sources
task = Task(
    name="batches",
    model=Network,
    loss=loss,
    metric=fluctuation,
    direction="min",
    train=tuple(part[:ROWS] for part in _parts["train"].tensors),
    validation=_parts["validation"].tensors,
    test=_parts["test"].tensors,
    steps=STEPS,
    epochs=1,
    batch_size=32,
)
