"""Two tables that come with scikit-learn, and a perceptron for each: what most people's data look like.

`diabetes`: ten measurements of 442 people and how far the disease had gone a year later (Efron et al. 2004), in
deviations of the training part. `breast-cancer`: thirty measurements of 569 tumors, malignant or not (Street et al.
1993). Rows are few: a linear model is hard to beat, and many optimizers end alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.lab.task.task import Task

HIDDEN = 32


class Perceptron:
    """Makes a network of two hidden layers. A class, as a worker process must be able to receive it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs, self.outputs = inputs, outputs

    def __call__(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(self.inputs, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, self.outputs),
        )


def rmse(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean().sqrt()


def scaled(found: Any, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each column with mean 0 and deviation 1 over the training part."""
    columns = torch.as_tensor(found, dtype=torch.float64)
    train = columns[rows["train"]]
    columns = (columns - train.mean(0)) / train.std(0)
    return {name: columns[chosen].float() for name, chosen in rows.items()}


def parted(count: int) -> dict[str, Tensor]:
    """Row numbers: 60 % to train, 20 % to select, 20 % to test, by a fixed seed."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    first, second = int(0.6 * count), int(0.8 * count)
    return {"train": order[:first], "validation": order[first:second], "test": order[second:]}


def diabetes() -> Task:
    from sklearn.datasets import load_diabetes

    columns, target = load_diabetes(return_X_y=True)
    rows = parted(len(target))
    inputs, told = scaled(columns, rows), scaled(target[:, None], rows)
    data: dict[str, Any] = {name: (inputs[name], told[name]) for name in rows}
    return Task(
        name="diabetes",
        model=Perceptron(10, 1),
        loss=nn.MSELoss(),
        metric=rmse,
        direction="min",
        epochs=30,
        batch_size=32,
        **data,
    )


def breast_cancer() -> Task:
    from sklearn.datasets import load_breast_cancer

    columns, target = load_breast_cancer(return_X_y=True)
    rows = parted(len(target))
    inputs = scaled(columns, rows)
    data: dict[str, Any] = {name: (inputs[name], torch.as_tensor(target)[chosen]) for name, chosen in rows.items()}
    return Task(
        name="breast-cancer",
        model=Perceptron(30, 2),
        loss=nn.CrossEntropyLoss(),
        metric="accuracy",
        epochs=20,
        batch_size=32,
        **data,
    )
