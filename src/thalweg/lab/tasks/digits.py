"""1,797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak 1998) and a small network."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from thalweg.lab.task import Task


def network() -> nn.Module:
    """64 pixels, one hidden layer, dropout, ten digits."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))


def task() -> Task:
    """60 % to train, 20 % to select, 20 % to test, each with the same share of every digit."""
    pixels, labels = load_digits(return_X_y=True)
    train, rest, train_labels, rest_labels = train_test_split(
        pixels, labels, train_size=0.6, stratify=labels, random_state=0
    )
    validation, test, validation_labels, test_labels = train_test_split(
        rest, rest_labels, train_size=0.5, stratify=rest_labels, random_state=0
    )
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation == 0] = 1.0  # corner pixels that are always blank

    def tensors(images: object, digits: object) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (images - mean) / deviation
        return torch.as_tensor(scaled, dtype=torch.float32), torch.as_tensor(digits, dtype=torch.int64)

    return Task(
        name="digits",
        model=network,
        loss=nn.CrossEntropyLoss(),
        train=tensors(train, train_labels),
        validation=tensors(validation, validation_labels),
        test=tensors(test, test_labels),
        metric="accuracy",
        epochs=20,
        batch_size=64,
    )
