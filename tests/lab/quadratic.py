"""Gradient descent on a fixed spectrum: theory knows its best learning rate, and where it diverges."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from thalweg.lab.task.task import Task

SPECTRUM = (9.0, 4.0, 1.0)
BEST = 2 / (max(SPECTRUM) + min(SPECTRUM))
LARGEST = 2 / max(SPECTRUM)


class Bowl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(len(SPECTRUM)))

    def forward(self) -> torch.Tensor:
        return 0.5 * (torch.tensor(SPECTRUM) * self.place**2).sum()


def digits_of_distance(model: Bowl, batch: Any) -> float:
    return math.log10(float(model.place.norm()) + 1e-30)


def task(**changes: Any) -> Task:
    steps = torch.zeros(8, 1)  # a row a step
    settings: dict[str, Any] = {
        "model": Bowl,
        "loss": lambda model, batch: model(),
        "train": (steps,),
        "validation": (steps[:1],),
        "test": (steps[:1],),
        "metric": digits_of_distance,
        "direction": "min",
        "epochs": 4,
        "batch_size": 1,
        "name": "bowl",
    }
    return Task(**{**settings, **changes})
