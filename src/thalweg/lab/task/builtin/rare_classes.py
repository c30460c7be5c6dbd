"""Classes with heavy-tailed frequencies and a linear model (Kunstner et al. 2024, arXiv:2402.19449).

Group g of nine holds 2 ** g classes, and every group has as many rows as any other: the one class of group 0 is 256
times as frequent as each of the 256 of group 8. A row is its class's code, uniform from 0 to 1, with noise. Gradient
descent learns the frequent classes first and leaves the rarest far behind at any stable rate; Adam learns all alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.lab.task.task import Task

GROUPS = 9
CLASSES = 2**GROUPS - 1
CODE, NOISE = 64, 0.1
EACH = {"train": 512, "validation": 256, "test": 256}  # rows of a group
SEED = 7


def group_of(labels: Tensor) -> Tensor:
    """The group of a class, from 0, the most frequent: classes are counted from 0 in the order of frequency."""
    return (labels + 1).log2().floor().long()


def rows(each: int, codes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`each` rows of every group, as many of each of its classes."""
    labels = torch.cat([torch.arange(each) % 2**group + 2**group - 1 for group in range(GROUPS)])
    noise = torch.randn(len(labels), CODE, generator=generator)
    return codes[labels] + NOISE * noise, labels


def parts() -> dict[str, Any]:
    """The codes are the same for all parts."""
    generator = torch.Generator().manual_seed(SEED)
    codes = torch.rand(CLASSES, CODE, generator=generator)
    return {name: rows(each, codes, generator) for name, each in EACH.items()}


def network() -> nn.Module:
    """Scores that are linear in the row, all 0 at first: every class as likely."""
    layer = nn.Linear(CODE, CLASSES)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def loss_by_group(output: Tensor, target: Tensor) -> Tensor:
    """The loss over the rows of each group, the most frequent first."""
    losses, groups = functional.cross_entropy(output, target, reduction="none"), group_of(target)
    return torch.stack([losses[groups == group].mean() for group in range(GROUPS)])


def loss_on_rare_classes(output: Tensor, target: Tensor) -> Tensor:
    """Over the rarest of the groups alone."""
    return loss_by_group(output, target)[-1]


def task() -> Task:
    return Task(
        name="rare-classes",
        model=network,
        loss=nn.CrossEntropyLoss(),
        metric=loss_on_rare_classes,
        direction="min",
        epochs=10,
        batch_size=256,
        **parts(),
    )
