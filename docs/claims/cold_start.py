"""A transformer with its norms after the sums, which is said to need a warm-up: `task` has none, `warmed` has one.

Six blocks of width 32 on the characters of the standard library; 150 steps with a constant rate.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler

from thalweg.lab import load_task
from thalweg.lab.task.builtin.charlm import LENGTH, LETTERS

WIDTH, HEADS, BLOCKS, STEPS = 32, 2, 6, 150


class Block(nn.Module):
    """Attention, then two layers; what comes out of each sum is normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.think = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH))
        self.between, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(-3, -2) for part in self.look(x).chunk(3, -1))
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = self.between(x + self.mix(seen.transpose(-3, -2).flatten(-2)))
        out: Tensor = self.after(x + self.think(x))
        return out


class PostNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.Sequential(*[Block() for _ in range(BLOCKS)])
        self.guess = nn.Linear(WIDTH, len(LETTERS))

    def forward(self, text: Tensor) -> Tensor:
        out: Tensor = self.guess(self.blocks(self.letters(text) + self.places[: text.shape[-1]]))
        return out


def warm_up(optimizer: Optimizer, steps: int) -> LRScheduler:
    return LinearLR(optimizer, start_factor=0.01, total_iters=steps // 3)


task = replace(load_task("charlm"), name="cold_start", model=PostNorm, schedule=None, steps=STEPS, epochs=10)
warmed = replace(task, name="warm_start", schedule=warm_up)
