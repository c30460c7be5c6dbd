"""A photograph as a function: a network from a place to a color, trained on some pixels and judged on others.

The photograph is scikit-learn's of a temple in China, at 160 x 120 pixels. Places go in as sines and cosines of random
frequencies (Tancik et al. 2020, arXiv:2006.10739): a plain perceptron learns slow waves only, and the picture stays
blurred. Peak signal-to-noise ratio in dB; a third of the pixels to train, a third to select, a third to test.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.lab.errors import TaskError
from thalweg.lab.task.task import Task

WIDTH, HEIGHT = 160, 120
WAVES, FREQUENCY = 64, 4.0  # how many, and the deviation of their frequencies
HIDDEN = 128
SEED = 2


class Waves(nn.Module):
    """A place as sines and cosines of fixed random frequencies."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", FREQUENCY * torch.randn(2, WAVES))

    def forward(self, place: Tensor) -> Tensor:
        turns = 2 * torch.pi * place @ self.frequencies
        return torch.cat([turns.sin(), turns.cos()], -1)


def _layers(inputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3)]


def network() -> nn.Module:
    return nn.Sequential(Waves(), *_layers(2 * WAVES))


def plain_network() -> nn.Module:
    return nn.Sequential(*_layers(2))


def peak_signal_to_noise(output: Tensor, target: Tensor) -> Tensor:
    """In dB, of colours from 0 to 1."""
    return -10 * (output - target).square().mean().log10()


def pixels() -> tuple[Tensor, Tensor]:
    """Places from -1 to 1 and their colors from 0 to 1, a row a pixel."""
    from sklearn.datasets import load_sample_image

    try:
        image = torch.as_tensor(load_sample_image("china.jpg").copy())
    except ImportError as error:
        raise TaskError("photograph: reading a photograph needs Pillow: pip install pillow") from error
    image = image[:420, :560].permute(2, 0, 1).double() / 255
    small = nn.functional.adaptive_avg_pool2d(image, (HEIGHT, WIDTH))
    down, across = torch.meshgrid(torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing="ij")
    return torch.stack([across, down], -1).view(-1, 2), small.permute(1, 2, 0).reshape(-1, 3).float()


def task() -> Task:
    places, colours = pixels()
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(SEED))
    parts: dict[str, Any] = {
        name: (places[rows], colours[rows])
        for name, rows in zip(("train", "validation", "test"), order.chunk(3), strict=True)
    }
    return Task(
        name="photograph",
        model=network,
        loss=nn.MSELoss(),
        metric=peak_signal_to_noise,
        direction="max",
        epochs=20,
        batch_size=256,
        **parts,
    )


def without_waves() -> Task:
    """The same with places as they are: `thalweg.lab.task.builtin.photograph:without_waves`."""
    return replace(task(), name="photograph-without-waves", model=plain_network)
