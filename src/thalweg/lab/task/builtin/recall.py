"""Symbols to be said again after a pause, by a GRU: the copying problem (Hochreiter and Schmidhuber 1997).

Three symbols of eight, six blanks, then a mark, after which the three are asked for. Who remembers nothing but knows
when to be silent loses 3 log 8 / 12 a place (Arjovsky et al. 2016, arXiv:1511.06464): training first falls to that
plateau, and what tells optimizers apart is how soon they leave it. The metric is the share of wrong symbols among the
three.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.lab.task.task import Task

SYMBOLS, COPIED, PAUSE = 8, 3, 6
BLANK, MARK = SYMBOLS, SYMBOLS + 1
PLACES = 2 * COPIED + PAUSE
MEMORYLESS = COPIED * math.log(SYMBOLS) / PLACES  # the loss of the best guess without a memory
SIZES = {"train": 2048, "validation": 512, "test": 512}
SEED = 5


class Reciter(nn.Module):
    """A GRU of 32 units that reads symbols and says them."""

    def __init__(self) -> None:
        super().__init__()
        self.symbol = nn.Embedding(SYMBOLS + 2, 16)
        self.memory = nn.GRU(16, 32, batch_first=True)
        self.score = nn.Linear(32, SYMBOLS + 1)

    def forward(self, text: Tensor) -> Tensor:
        scores: Tensor = self.score(self.memory(self.symbol(text))[0])
        return scores


def loss(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output.flatten(0, 1), target.flatten())


def wrong_symbols(output: Tensor, target: Tensor) -> Tensor:
    """Among those to be said again."""
    return (output[:, -COPIED:].argmax(-1) != target[:, -COPIED:]).double().mean()


def rows(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    symbols = torch.randint(SYMBOLS, (count, COPIED), generator=generator)
    blank = torch.full((count, PLACES), BLANK)
    text, told = blank.clone(), blank.clone()
    text[:, :COPIED] = told[:, -COPIED:] = symbols
    text[:, -COPIED - 1] = MARK
    return text, told


def task() -> Task:
    generator = torch.Generator().manual_seed(SEED)
    parts: dict[str, Any] = {name: rows(size, generator) for name, size in SIZES.items()}
    return Task(
        name="recall",
        model=Reciter,
        loss=loss,
        metric=wrong_symbols,
        direction="min",
        epochs=10,
        batch_size=32,
        **parts,
    )
