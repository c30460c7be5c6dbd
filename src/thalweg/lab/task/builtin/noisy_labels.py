"""The digits of `digits` with 40 % of the training labels drawn anew at random; validation and test are as they were.

A network large enough to learn wrong labels by heart does so after the right ones (Arpit et al. 2017,
arXiv:1706.05394): accuracy on validation rises, and falls again.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from thalweg.lab.task.builtin import digits
from thalweg.lab.task.task import Task

WRONG = 0.4
SEED = 3


def network() -> nn.Module:
    """64 pixels, one wide hidden layer, ten digits."""
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))


def spoiled(labels: Tensor) -> Tensor:
    """A share of the labels replaced by any of the ten, their own included."""
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.rand(len(labels), generator=generator) < WRONG
    return torch.where(chosen, torch.randint(10, (len(labels),), generator=generator), labels)


def task() -> Task:
    plain = digits.task()
    pixels, labels = plain.train
    return replace(plain, name="noisy-labels", model=network, train=(pixels, spoiled(labels)), epochs=30)
