"""Families of small tasks from which an order of configurations is learned: eight kinds of data and model, varied.

A family's tasks differ in width, depth, activation, norm, batch size, rows and noise, by a fixed seed; all take seconds
side by side. What is minimized is what is judged: the loss on validation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.lab.task.builtin import digits, mnist1d, rare_classes, sources, tabular
from thalweg.lab.task.task import Task

STEPS = 80
SEED = 17


@dataclass(frozen=True)
class Shape:
    """What varies within a family."""

    width: int
    depth: int
    activation: type[nn.Module]
    norm: bool
    batch_size: int
    rows: int
    noise: float

    @classmethod
    def draw(cls, dice: random.Random) -> Shape:
        return cls(
            dice.choice((16, 32, 64)),
            dice.choice((1, 2, 3)),
            dice.choice((nn.ReLU, nn.Tanh, nn.GELU)),
            dice.random() < 0.3,
            dice.choice((16, 32, 64)),
            dice.choice((256, 512, 1024)),
            dice.choice((0.0, 0.1, 0.3)),
        )


def perceptron(inputs: int, outputs: int, shape: Shape) -> nn.Module:
    layers: list[nn.Module] = []
    for place in range(shape.depth):
        layers.append(nn.Linear(inputs if place == 0 else shape.width, shape.width))
        layers += [nn.LayerNorm(shape.width)] * shape.norm + [shape.activation()]
    return nn.Sequential(*layers, nn.Linear(shape.width, outputs))


def made(name: str, model: Callable[[], nn.Module], loss: nn.Module, x: Tensor, y: Tensor, shape: Shape) -> Task:
    """A fifth of the rows, at least 256 where there are as many, to judge on."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED))
    apart = max(len(x) // 5, min(256, len(x) // 2))
    rows = {"validation": order[:apart], "train": order[apart:][: shape.rows]}
    data: dict[str, Any] = {part: (x[own], y[own]) for part, own in rows.items()}
    batch = min(shape.batch_size, len(rows["train"]))
    return Task(
        name=name, model=model, loss=loss, epochs=1, steps=STEPS, batch_size=batch, test=data["validation"], **data
    )


def clusters(name: str, shape: Shape, dice: random.Random) -> Task:
    """Classes that are two clouds of points each."""
    generator = torch.Generator().manual_seed(dice.randrange(2**31))
    size, classes = dice.choice((8, 16)), dice.choice((3, 10))
    centres = torch.randn(2 * classes, size, generator=generator)
    own = torch.randint(2 * classes, (2048,), generator=generator)
    x = centres[own] + (0.4 + shape.noise) * torch.randn(2048, size, generator=generator)
    return made(name, partial(perceptron, size, classes, shape), nn.CrossEntropyLoss(), x, own % classes, shape)


def teacher(name: str, shape: Shape, dice: random.Random) -> Task:
    """Numbers that a random network gives, with noise."""
    generator = torch.Generator().manual_seed(dice.randrange(2**31))
    size = dice.choice((4, 12))
    x = torch.randn(2048, size, generator=generator)
    inner = torch.randn(size, 16, generator=generator) / size**0.5
    y = (2 * x @ inner).tanh() @ torch.randn(16, 1, generator=generator) / 4
    y = y + shape.noise * torch.randn(2048, 1, generator=generator)
    return made(name, partial(perceptron, size, 1, shape), nn.MSELoss(), x, y, shape)


def _digits() -> tuple[Tensor, Tensor]:
    parts = digits.task()
    return tuple(torch.cat([parts.train[k], parts.validation[k]]) for k in (0, 1))  # type: ignore[return-value]


def handwriting(name: str, shape: Shape, dice: random.Random) -> Task:
    x, y = _digits()
    return made(name, partial(perceptron, 64, 10, shape), nn.CrossEntropyLoss(), x, y, shape)


def squeeze(name: str, shape: Shape, dice: random.Random) -> Task:
    """An autoencoder of the digits through a few numbers."""
    x = _digits()[0]
    few = dice.choice((2, 6))

    def model() -> nn.Module:
        return nn.Sequential(perceptron(64, few, shape), perceptron(few, 64, shape))

    return made(name, model, nn.MSELoss(), x, x.clone(), shape)


def waves(name: str, shape: Shape, dice: random.Random) -> Task:
    """One-dimensional digits, by small convolutions."""
    channels = shape.width // 8 + 2

    def model() -> nn.Module:
        first, second = nn.Conv1d(1, channels, 5, 2, 1), nn.Conv1d(channels, channels, 3, 2, 1)
        score = nn.Linear(10 * channels, 10)
        act = shape.activation
        return nn.Sequential(nn.Unflatten(1, (1, 40)), first, act(), second, act(), nn.Flatten(), score)

    x, y = mnist1d.parts()["train"]
    return made(name, model, nn.CrossEntropyLoss(), x[:1500], y[:1500], shape)


def rare(name: str, shape: Shape, dice: random.Random) -> Task:
    """Heavy-tailed classes and a linear model."""
    x, y = rare_classes.parts()["train"]
    few = y < 2 ** dice.choice((4, 6)) - 1
    x, y = (
        x[few] + shape.noise * torch.randn(int(few.sum()), x.shape[1], generator=torch.Generator().manual_seed(1)),
        y[few],
    )
    return made(name, partial(nn.Linear, x.shape[1], int(y.max()) + 1), nn.CrossEntropyLoss(), x, y, shape)


def tables(name: str, shape: Shape, dice: random.Random) -> Task:
    """The small tables of scikit-learn."""
    found = dice.choice((tabular.diabetes, tabular.breast_cancer))()
    x, y = (torch.cat([found.train[k], found.validation[k]]) for k in (0, 1))
    regression = y.is_floating_point()
    loss = nn.MSELoss() if regression else nn.CrossEntropyLoss()
    return made(name, partial(perceptron, x.shape[1], 1 if regression else 2, shape), loss, x, y, shape)


def letters(name: str, shape: Shape, dice: random.Random) -> Task:
    """The next letter from the last few, by their embeddings (Bengio et al. 2003)."""
    span = dice.choice((3, 5))
    text = "".join(text for _, text in list(sources.files())[:3])[:4000]
    known = sorted(set(text))
    numbers = torch.tensor([known.index(letter) for letter in text])
    x, y = numbers.unfold(0, span, 1)[:-1].clone(), numbers[span:].clone()

    def model() -> nn.Module:
        return nn.Sequential(nn.Embedding(len(known), 8), nn.Flatten(), perceptron(8 * span, len(known), shape))

    return made(name, model, nn.CrossEntropyLoss(), x, y, shape)


FAMILIES = (clusters, teacher, handwriting, squeeze, waves, rare, tables, letters)


def generated(each: int) -> list[tuple[str, Task]]:
    """(family, task) pairs, `each` of every family; more of them begin with the same ones."""
    found = []
    for number in range(each):
        for family in FAMILIES:
            dice = random.Random(f"{SEED} {family.__name__} {number}")
            found.append((family.__name__, family(f"{family.__name__}-{number}", Shape.draw(dice), dice)))
    return found
