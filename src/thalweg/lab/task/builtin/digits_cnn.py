"""The 1,797 digits of `digits` as images: two convolutions, dropout, images shifted at random. 1 s a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thalweg.lab.task.builtin import digits
from thalweg.lab.task.task import Task

BLANK = -1.0  # a pixel without ink


def network() -> nn.Module:
    """8 x 8 pixels, 16 and 32 channels, ten digits."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


def shift(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Move each image by up to one pixel in each direction; what comes in is blank."""
    pixels, labels = batch
    padded = nn.functional.pad(pixels.view(-1, 8, 8), (1, 1, 1, 1), value=BLANK)
    down, right = torch.randint(3, (2, len(pixels), 1), device=pixels.device)
    place = torch.arange(8, device=pixels.device)
    rows, columns = (down + place)[:, :, None], (right + place)[:, None, :]
    return padded[torch.arange(len(pixels))[:, None, None], rows, columns].flatten(1), labels


def task() -> Task:
    """The parts of `digits`, scaled alike in all pixels: a shifted image is an image still."""
    return Task(
        name="digits-cnn",
        model=network,
        loss=nn.CrossEntropyLoss(),
        metric="accuracy",
        augment=shift,
        epochs=30,
        batch_size=64,
        **digits.images(),
    )
