"""Small tasks of different kinds for `evidence.py`, which names each; some are built-in tasks made shorter.

All take 60 to 120 steps of few operations and are judged once, so that a thousand runs side by side take minutes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.lab.task.builtin import (
    charlm,
    digits,
    digits_cnn,
    mnist1d,
    noisy_labels,
    photograph,
    recsys,
    surfaces,
    tabular,
)
from thalweg.lab.task.builtin import rare_classes as heavy_tails
from thalweg.lab.task.builtin import sources as library
from thalweg.lab.task.task import Task

SEED = 11
CLASSES = 63


def ravine() -> Task:
    """Two numbers in a narrow valley, a hundred times as steep across as along, with noise in the gradient."""
    return replace(surfaces.ravine(), steps=120, epochs=1)


def rosenbrock() -> Task:
    """Two numbers in Rosenbrock's curved valley, without noise."""
    return replace(surfaces.rosenbrock(), steps=120, epochs=1)


def logistic() -> Task:
    """One-dimensional digits by a linear model: convex."""
    return replace(mnist1d.mnist1d_logistic(), name="logistic", steps=80, epochs=1, batch_size=50)


def loss_on_rare_classes(output: Tensor, target: Tensor) -> Tensor:
    """Over the rarer half of the classes."""
    rare = target >= CLASSES // 2
    return functional.cross_entropy(output[rare], target[rare])


def linear() -> nn.Module:
    """Every class as likely at first."""
    layer = nn.Linear(heavy_tails.CODE, CLASSES)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def rare_classes() -> Task:
    """A linear model of 63 classes, the most frequent 32 times as frequent as the rarest."""
    parts: dict[str, Any] = {}
    for name, (x, y) in heavy_tails.parts().items():
        parts[name] = (x[y < CLASSES], y[y < CLASSES])
    whole = replace(heavy_tails.task(), name="rare-classes", model=linear, metric=loss_on_rare_classes, **parts)
    return replace(whole, steps=80, epochs=1, batch_size=128)


def layers(*widths: int) -> nn.Module:
    """A perceptron."""
    made: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        made += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*made[:-1])


def perceptron() -> Task:
    """One-dimensional digits by a network of two hidden layers of 48."""
    model = partial(layers, mnist1d.LENGTH, 48, 48, 10)
    return replace(mnist1d.mnist1d(), name="perceptron", model=model, steps=80, epochs=1, batch_size=50)


def table() -> Task:
    """442 people, ten measurements of each: regression by a network of two hidden layers."""
    return replace(tabular.diabetes(), name="table", steps=80, epochs=1)


def wrong_labels() -> Task:
    """Handwritten digits, 40 % of the training labels at random, by a hidden layer of 64."""
    return replace(noisy_labels.task(), name="wrong-labels", model=partial(layers, 64, 64, 10), steps=80, epochs=1)


def waves() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, mnist1d.LENGTH)),
        nn.Conv1d(1, 8, 5, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv1d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 10),
    )


def fewer(task: Task, rows: int) -> dict[str, Any]:
    """The parts to select and to test by, of so many rows."""
    parts = {"validation": task.validation, "test": task.test}
    return {name: tuple(tensor[:rows] for tensor in part) for name, part in parts.items()}


def convolutions() -> Task:
    """One-dimensional digits by two convolutions of eight channels."""
    whole = mnist1d.mnist1d_cnn()
    return replace(whole, name="convolutions", model=waves, steps=80, epochs=1, batch_size=32, **fewer(whole, 1000))


def sight() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 10),
    )


def images() -> Task:
    """Handwritten digits, shifted at random, by two convolutions with dropout."""
    return replace(digits_cnn.task(), name="images", model=sight, steps=80, epochs=1, batch_size=32)


def autoencoder() -> Task:
    """Handwritten digits through six numbers and out again."""
    parts = {name: (pixels, pixels) for name, (pixels, _) in digits.images().items()}
    data: dict[str, Any] = parts
    return Task(
        name="autoencoder",
        model=partial(layers, 64, 32, 6, 32, 64),
        loss=nn.MSELoss(),
        metric="loss",
        steps=80,
        epochs=1,
        batch_size=32,
        **data,
    )


SYMBOLS, PLACES, UNITS = 6, 8, 16


class Gated(nn.Module):
    """A recurrent layer with one gate (Zhou et al. 2016, arXiv:1603.09420), written out: it can be stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.symbol = nn.Embedding(SYMBOLS + 1, 8)
        self.gate, self.new = nn.Linear(8 + UNITS, UNITS), nn.Linear(8 + UNITS, UNITS)
        self.score = nn.Linear(UNITS, SYMBOLS)

    def forward(self, text: Tensor) -> Tensor:
        read = self.symbol(text)
        memory = torch.zeros(len(text), UNITS)
        for place in range(PLACES):
            both = torch.cat([read[:, place], memory], -1)
            gate = self.gate(both).sigmoid()
            memory = gate * memory + (1 - gate) * self.new(both).tanh()
        scores: Tensor = self.score(memory)
        return scores


def recurrent() -> Task:
    """Which of six symbols came after the mark, by a gated recurrent layer of 16."""
    generator = torch.Generator().manual_seed(SEED)
    parts: dict[str, Any] = {}
    for name, count in {"train": 2048, "validation": 512, "test": 512}.items():
        text = torch.randint(SYMBOLS, (count, PLACES), generator=generator)
        mark = torch.randint(PLACES - 1, (count, 1), generator=generator)
        parts[name] = (text.scatter(1, mark, SYMBOLS), text.gather(1, mark + 1)[:, 0])
    return Task(
        name="recurrent",
        model=Gated,
        loss=nn.CrossEntropyLoss(),
        metric="accuracy",
        steps=100,
        epochs=1,
        batch_size=32,
        **parts,
    )


WIDTH, LENGTH = 16, 8
LETTERS = "? abcdefghijklmnopqrstuvwxyz"  # all else is read as the first


class Attention(nn.Module):
    """One block of a transformer, with one head, and scores for the next letter at each place."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(len(LETTERS), WIDTH), nn.Embedding(LENGTH, WIDTH)
        for table in (self.letter, self.place):
            nn.init.normal_(table.weight, std=0.1)
        self.before, self.between, self.after = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.look, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.think, self.say = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.score = nn.Linear(WIDTH, len(LETTERS))
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), -1e9).triu(1), persistent=False)

    def forward(self, text: Tensor) -> Tensor:
        x = self.letter(text) + self.place.weight
        query, key, value = self.look(self.before(x)).chunk(3, -1)
        seen = (query @ key.transpose(-1, -2) / WIDTH**0.5 + self.mask).softmax(-1)
        x = x + self.mix(seen @ value)
        x = x + self.say(functional.gelu(self.think(self.between(x))))
        scores: Tensor = self.score(self.after(x))
        return scores


def attention() -> Task:
    """The next character of Python's library, by a transformer of one block; a cosine."""
    numbers = {letter: number for number, letter in enumerate(LETTERS)}
    text = (numbers.get(letter, 0) for _, each in library.files() for letter in each.lower())
    parts: dict[str, Any] = {}
    for name, rows in {"train": 4096, "validation": 512, "test": 512}.items():
        part = torch.tensor(list(islice(text, rows * LENGTH + 1)))
        parts[name] = (part[:-1].view(-1, LENGTH), part[1:].view(-1, LENGTH))
    return Task(
        name="attention",
        model=Attention,
        loss=charlm.loss,
        metric=charlm.bits_a_character,
        direction="min",
        steps=60,
        epochs=1,
        batch_size=32,
        schedule=charlm.cosine,
        **parts,
    )


def places() -> nn.Module:
    return nn.Sequential(photograph.Waves(), layers(2 * photograph.WAVES, 32, 32, 3))


def coordinates() -> Task:
    """A photograph as a function of the place, by sines, cosines and two hidden layers of 32."""
    whole = photograph.task()
    return replace(whole, name="coordinates", model=places, steps=80, epochs=1, batch_size=64, **fewer(whole, 1000))


FILES, NAMES = 60, 120


def factors() -> Task:
    """How often a name stands in a file of Python's library: matrix factorization."""
    pairs, counts = recsys.table()
    kept = [(pair, count) for pair, count in zip(pairs, counts, strict=True) if pair[0] < FILES and pair[1] < NAMES]
    files, names = torch.tensor([pair for pair, _ in kept]).unbind(1)
    ratings = torch.tensor([count for _, count in kept], dtype=torch.float32).log1p()
    order = torch.randperm(len(ratings), generator=torch.Generator().manual_seed(SEED))
    fifth = len(order) // 5
    ends = {"validation": order[:fifth], "test": order[fifth : 2 * fifth], "train": order[2 * fifth :]}
    parts: dict[str, Any] = {name: (files[rows], names[rows], ratings[rows]) for name, rows in ends.items()}
    return Task(
        name="factors",
        model=recsys.NewFactors(FILES, NAMES, parts["train"][-1].mean().item()),
        loss=nn.MSELoss(),
        metric=recsys.rmse,
        direction="min",
        steps=80,
        epochs=1,
        batch_size=64,
        l2=1e-4,
        **parts,
    )
