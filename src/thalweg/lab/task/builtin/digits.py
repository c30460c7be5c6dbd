"""1,797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak 1998) and a small network. 0.2 s a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from thalweg.lab.task.task import Task


def network() -> nn.Module:
    """64 pixels, one hidden layer, dropout, ten digits."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))


def parts() -> dict[str, tuple[Any, Any]]:
    """Pixels (0 to 16) and labels: 60 % to train, 20 % to select, 20 % to test, each with the same share of digits."""
    # Here, as a worker process needs the functions above and not the data, which come with its task.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    train, rest, train_labels, rest_labels = train_test_split(
        pixels, labels, train_size=0.6, stratify=labels, random_state=0
    )
    validation, test, validation_labels, test_labels = train_test_split(
        rest, rest_labels, train_size=0.5, stratify=rest_labels, random_state=0
    )
    return {
        "train": (train, train_labels),
        "validation": (validation, validation_labels),
        "test": (test, test_labels),
    }


def tensors(pixels: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.as_tensor(pixels, dtype=torch.float32), torch.as_tensor(labels, dtype=torch.int64)


def images() -> dict[str, Any]:
    """The same parts with all pixels from -1, no ink, to 1: as images rather than as 64 numbers."""
    return {name: tensors(pixels / 8 - 1, labels) for name, (pixels, labels) in parts().items()}


def task() -> Task:
    """Each pixel with mean 0 and deviation 1 over the training part."""
    found = parts()
    train = found["train"][0]
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation == 0] = 1.0  # corner pixels that are always blank
    scaled: dict[str, Any] = {
        name: tensors((pixels - mean) / deviation, labels) for name, (pixels, labels) in found.items()
    }
    return Task(
        name="digits",
        model=network,
        loss=nn.CrossEntropyLoss(),
        metric="accuracy",
        epochs=20,
        batch_size=64,
        **scaled,
    )
