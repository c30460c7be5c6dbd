"""Matrix factorization: how often does a name occur in a file of Python's standard library?

No data set of ratings is on every machine, so this is built from a real table with the shape of one: files for users,
names for items, and for a rating the logarithm of how often the name stands in the file. Pairs that do not occur are
not rated. Of some 129,000 pairs 80 % to train, 10 % to select, 10 % to test; about 1.5 s a run. The metric is the
root of the mean squared error.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.lab.task.builtin import sources
from thalweg.lab.task.task import Task

FILES, NAMES, WIDTH = 500, 2000, 16
NAME = re.compile(r"[A-Za-z_]\w{2,}")


class Factors(nn.Module):
    """A mean, a bias of each file and each name, and 16 numbers of each whose products say how they go together."""

    def __init__(self, files: int, names: int, mean: float) -> None:
        super().__init__()
        self.file, self.name = nn.Embedding(files, WIDTH), nn.Embedding(names, WIDTH)
        self.file_bias, self.name_bias = nn.Embedding(files, 1), nn.Embedding(names, 1)
        for table in (self.file, self.name):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.file_bias, self.name_bias):
            nn.init.zeros_(table.weight)
        self.mean = nn.Parameter(torch.tensor(mean))

    def forward(self, file: Tensor, name: Tensor) -> Tensor:
        together: Tensor = (self.file(file) * self.name(name)).sum(-1)
        biases: Tensor = self.file_bias(file) + self.name_bias(name)
        return self.mean + biases[..., 0] + together


class NewFactors:
    """Builds the model: what it needs to know of the data is part of the task's identity."""

    def __init__(self, files: int, names: int, mean: float) -> None:
        self.sizes = files, names, mean

    def __call__(self) -> nn.Module:
        return Factors(*self.sizes)


def rmse(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean().sqrt()


def table() -> tuple[list[tuple[int, int]], list[int]]:
    """(file, name) pairs and their counts, of the longest files and the names that occur in most of them."""
    longest = sorted(sources.files(), key=lambda pair: (-len(pair[1]), pair[0]))[:FILES]
    counts = [Counter(NAME.findall(text)) for _, text in longest]
    spread = Counter(name for found in counts for name in found)
    known = {name: number for number, (name, _) in enumerate(sorted(spread.items(), key=_by_spread)[:NAMES])}
    pairs = [
        (file, known[name], count)
        for file, found in enumerate(counts)
        for name, count in sorted(found.items())
        if name in known
    ]
    return [(file, name) for file, name, _ in pairs], [count for *_, count in pairs]


def _by_spread(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def task() -> Task:
    """The squares of all numbers are held down, as in any use of such a model: `l2`, the same for every optimizer."""
    pairs, counts = table()
    files, names = torch.tensor(pairs).unbind(1)
    ratings = torch.tensor(counts, dtype=torch.float32).log1p()
    order = torch.randperm(len(ratings), generator=torch.Generator().manual_seed(0))
    tenth = len(order) // 10
    ends = {"validation": order[:tenth], "test": order[tenth : 2 * tenth], "train": order[2 * tenth :]}
    parts: dict[str, Any] = {name: (files[rows], names[rows], ratings[rows]) for name, rows in ends.items()}
    mean = parts["train"][-1].mean().item()
    return Task(
        name="recsys",
        model=NewFactors(FILES, NAMES, mean),
        loss=nn.MSELoss(),
        metric=rmse,
        direction="min",
        epochs=4,
        batch_size=512,
        l2=1e-4,
        **parts,
    )
