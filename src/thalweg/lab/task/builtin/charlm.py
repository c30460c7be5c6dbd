"""A language model of characters on Python's standard library: a transformer of two blocks, 117,000 numbers.

409,600 characters to train, 65,536 to select, 65,536 to test, of different files; 400 steps, about 15 s a run.
Scores lines of 64 characters in bits a character. The rate warms up over the first tenth of the steps and falls as a
cosine.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from thalweg.lab.task.builtin import sources
from thalweg.lab.task.task import Task

LETTERS = "\n" + "".join(map(chr, range(32, 127)))  # all else is read as a question mark
LENGTH, WIDTH, HEADS, BLOCKS = 64, 64, 4, 2
SIZES = {"train": 409_600, "validation": 65_536, "test": 65_536}


class Block(nn.Module):
    """Attention to what came before, then two layers, each added to what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.look, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(-3, -2) for part in self.look(self.before(x)).chunk(3, -1)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.mix(seen.transpose(-3, -2).flatten(-2))
        thought: Tensor = self.think(self.between(x))
        return x + thought


class Transformer(nn.Module):
    """Scores for the next character at each place."""

    def __init__(self) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(len(LETTERS), WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)], nn.LayerNorm(WIDTH))
        self.score = nn.Linear(WIDTH, len(LETTERS))
        for table in (self.letter, self.place):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, text: Tensor) -> Tensor:
        scores: Tensor = self.score(self.blocks(self.letter(text) + self.place.weight[: text.shape[-1]]))
        return scores


def loss(output: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(output.flatten(0, 1), target.flatten())


def bits_a_character(output: Tensor, target: Tensor) -> Tensor:
    return loss(output, target) / math.log(2)


def warm_up_and_cosine(optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    warm = max(1, steps // 10)
    rise = LinearLR(optimizer, 1 / warm, total_iters=warm)
    return SequentialLR(optimizer, [rise, CosineAnnealingLR(optimizer, max(1, steps - warm))], [warm])


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    return CosineAnnealingLR(optimizer, steps)


def task() -> Task:
    """Whole files belong to one part; each row is 64 characters, with those one place later to be told."""
    numbers = {letter: number for number, letter in enumerate(LETTERS)}
    unknown = numbers["?"]
    letters = (numbers.get(letter, unknown) for _, text in sources.files() for letter in text.expandtabs(4))
    parts: dict[str, Any] = {}
    for name, size in SIZES.items():
        text = torch.tensor(list(islice(letters, size + 1)))
        parts[name] = (text[:-1].view(-1, LENGTH), text[1:].view(-1, LENGTH))
    return Task(
        name="charlm",
        model=Transformer,
        loss=loss,
        metric=bits_a_character,
        direction="min",
        steps=400,
        epochs=8,
        batch_size=32,
        schedule=warm_up_and_cosine,
        **parts,
    )


def without_warm_up() -> Task:
    """The same with the full rate from the first step on: `thalweg.lab.task.builtin.charlm:without_warm_up`."""
    return replace(task(), name="charlm-without-warm-up", schedule=cosine)
