"""A task that trains in a few milliseconds, and the same one as a user's file."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from thalweg.lab.task.task import Task


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))


def rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    candidates = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return candidates, (candidates.sum(1) > 0).long()


def task(**changes: Any) -> Task:
    settings: dict[str, Any] = {
        "model": network,
        "loss": nn.CrossEntropyLoss(),
        "train": rows(128, 0),
        "validation": rows(64, 1),
        "test": rows(64, 2),
        "metric": "accuracy",
        "epochs": 3,
        "batch_size": 32,
        "name": "little",
    }
    return Task(**{**settings, **changes})


FILE = """
import torch
from torch import nn
from thalweg.lab.task.task import Task

def rows(count, seed):
    points = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return points, (points.sum(1) > 0).long()

def network():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))

task = Task(model=network, loss=nn.CrossEntropyLoss(), train=rows(128, 0), validation=rows(64, 1),
            test=rows(64, 2), metric="accuracy", epochs=3, batch_size=32)
"""
