"""Chance that can be thrown again: the same for every side, and for an operation whatever was played before it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

Tensor = torch.Tensor
SHAPES = ((5,), (4, 3), (), (2, 3, 4, 5), (0, 3), (7, 1), (17, 19), (300,), (1, 3, 1), (33,))
SPARSE_SHAPES = ((6, 3), (9,), (5, 2, 3), (40, 8))
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bfloat16, torch.float16)
}


class Dice:
    """What an operation draws from."""

    def __init__(self, *seed: object) -> None:
        self.random = random.Random(repr(seed))
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(48))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, values: Sequence[Any]) -> Any:
        return values[self.random.randrange(len(values))]

    def normal(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Random numbers, which in any dtype are the rounding of the same ones."""
        drawn = torch.complex128 if dtype.is_complex else torch.float64
        return torch.randn(tuple(shape), generator=self.generator, dtype=drawn).to(dtype)

    def gradient(self, p: Tensor) -> Tensor:
        """A random gradient of random size."""
        return self.normal(p.shape, p.dtype) * 10 ** self.random.uniform(-1, 1)
