"""A generator of handwritten digits and its critic (Goodfellow et al. 2014), trained at once by one optimizer.

The 1,797 images of `digits`; 40 epochs, about 1.5 s a run. The metric is the Fréchet distance between Gaussians
fitted to real and to generated images, on the 16 directions in which the training images vary most. Validation images
are 0.2 from training images, images of independent pixels 3.2, those of an untrained generator 16. Momentum hurts here:
Adam ends at 13 to 15 with its usual beta1, and at 6 with 0.5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.lab.task.builtin import digits
from thalweg.lab.task.task import Task

NOISE, HIDDEN, DIRECTIONS, JUDGED = 16, 128, 16, 1024


class Critic(nn.Module):
    """How real an image looks. With `learn` False its own weights get no gradient: then the generator learns."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, images: Tensor, learn: bool) -> Tensor:
        x = images
        for layer in (self.first, self.second):
            weight, bias = (layer.weight, layer.bias) if learn else (layer.weight.detach(), layer.bias.detach())
            x = functional.linear(x, weight, bias)
            x = functional.leaky_relu(x, 0.2) if layer is self.first else x
        return x


class Pair(nn.Module):
    """The generator and the critic as one model. Its output is the loss of both, each with its own gradient."""

    still: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(NOISE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 64), nn.Tanh())
        self.critic = Critic()
        still = torch.randn(JUDGED, NOISE, generator=torch.Generator().manual_seed(0))
        self.register_buffer("still", still)  # so that a judgement depends on the weights alone

    def forward(self, real: Tensor) -> Tensor:
        """Its gradient teaches the critic to tell real from generated, and the generator to look real to the critic.

        Its value is that of their game, -2 log 2 where the critic must guess and 0 where it always knows: the sum of
        both losses may rise as well as fall when all is well.
        """
        noise = torch.randn(len(real), NOISE, device=real.device) if self.training else self.still[: len(real)]
        made = self.generator(noise)
        critic = functional.softplus(-self.critic(real, True)) + functional.softplus(self.critic(made.detach(), True))
        generator = functional.softplus(-self.critic(made, False))
        both = (critic + generator).mean()
        return both - both.detach() - critic.mean().detach()

    def images(self) -> Tensor:
        """Always the same pieces of noise, as images."""
        made: Tensor = self.generator(self.still)
        return made


def loss(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
    total: Tensor = model(batch[0])
    return total


class FrechetDistance:
    """Between real and generated images, in the directions in which `images` vary most (Heusel et al. 2017)."""

    __name__ = "frechet_distance"

    def __init__(self, images: Tensor) -> None:
        centred = images.double() - images.double().mean(0)
        self.directions = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -DIRECTIONS:]

    def __call__(self, model: Any, batch: tuple[Tensor]) -> Tensor:
        return self.between(batch[0], model.images())

    def between(self, real: Tensor, made: Tensor) -> Tensor:
        (mean, spread), (other_mean, other_spread) = (self._gaussian(images) for images in (real, made))
        values, vectors = torch.linalg.eigh(spread)
        root = vectors * values.clamp(min=0).sqrt() @ vectors.mT
        shared = torch.linalg.eigvalsh(root @ other_spread @ root).clamp(min=0).sqrt().sum()
        distance: Tensor = (mean - other_mean).square().sum() + (spread + other_spread).trace() - 2 * shared
        return distance

    def _gaussian(self, images: Tensor) -> tuple[Tensor, Tensor]:
        seen = images.double() @ self.directions.to(images.device)
        return seen.mean(0), torch.cov(seen.mT)


def task() -> Task:
    """The labels are not used. The whole validation part is one batch, so the metric is that of all its images."""
    parts: dict[str, Any] = {name: (images,) for name, (images, _) in digits.images().items()}
    return Task(
        name="gan",
        model=Pair,
        loss=loss,
        metric=FrechetDistance(parts["train"][0]),
        direction="min",
        epochs=40,
        batch_size=64,
        **parts,
    )
