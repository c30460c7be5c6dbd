"""Where a forward pass gets its random numbers: a stream for each seed, keyed by the step and the call within it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from thalweg.lab.random.bits import fill_bits, fill_mask, keys_of

Tensor = torch.Tensor
Shape = Sequence[int]


class Stream:
    """The numbers of one training run. The call counter starts at 0 in every step: nothing is remembered."""

    def __init__(self, root: int) -> None:
        self.roots: list[int] = [root]
        self.step = self.call = 0

    def begin(self, step: int) -> None:
        """The next forward pass is the one of this step."""
        self.step, self.call = step, 0

    def mask(self, shape: Shape, drop: float, kept: float, like: Tensor) -> Tensor:
        """0 with the probability `drop`, else `kept`."""
        made = fill_mask(self._keys(), _count(shape), drop, kept, like.device)
        return self._given(made.to(like.dtype), shape)

    def uniform(self, shape: Shape, device: Any = None) -> Tensor:
        """Numbers in [0, 1), multiples of 2^-24."""
        return self._given((self._bits(shape, device) >> 8).float() * 2.0**-24, shape)

    def open_unit(self, shape: Shape, device: Any = None) -> Tensor:
        """Numbers in (0, 1), in double precision: for what has a pole at either end."""
        return self._given((self._bits(shape, device).double() + 0.5) * 2.0**-32, shape)

    def below(self, shape: Shape, count: int, device: Any = None) -> Tensor:
        """Whole numbers below `count`, of 63 bits: each as likely as the next for all but huge counts."""
        high, low = self._bits(shape, device), self._bits(shape, device)
        return self._given(((high & 0x7FFFFFFF) << 32 | low) % count, shape)

    def _keys(self) -> Any:
        self.call += 1
        return keys_of(self.roots, self.step, self.call)

    def _bits(self, shape: Shape, device: Any) -> Tensor:
        return fill_bits(self._keys(), _count(shape), torch.device(device or "cpu"))

    def _given(self, made: Tensor, shape: Shape) -> Tensor:
        """As the forward pass sees it."""
        return made.view(tuple(shape))


def _count(shape: Shape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
