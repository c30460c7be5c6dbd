"""Which elements of the parameters are read: all of a small model's, a fixed grid of a large one's.

A grid of 131,072 elements tells norms and shares within a few percent, and costs the same for any model: reading all of
them would take as long as several optimizer steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MOST = 2**17  # elements in all
LEAST = 64  # of a tensor that has as many


class Sample:
    """The same elements of every tensor that has a parameter's shape: its gradient, its moments.

    Args:
        params: what is trained; of shards the part that is here.
        most: elements in all, about.
    """

    def __init__(self, params: Sequence[Tensor], most: int = MOST) -> None:
        self.sizes = [here(p).numel() for p in params]
        room = _room(self.sizes, most)
        self.strides = [_stride(here(p), room) for p in params]
        self.counts = [-(-size // stride) for size, stride in zip(self.sizes, self.strides, strict=True)]

    def of(self, tensors: Sequence[Tensor | None], which: Sequence[int]) -> Tensor:
        """The elements of the tensors of these parameters, one after another, as float32; NaN for a tensor of None."""
        parts, first = [], None
        for index, tensor in zip(which, tensors, strict=True):
            if tensor is None:
                parts.append(torch.full((self.counts[index],), math.nan))
                continue
            flat, stride = here(tensor).reshape(-1), self.strides[index]
            part = flat if stride == 1 else flat[::stride]
            first = part if first is None else first
            parts.append(part)
        if first is not None and any(part.device != first.device for part in parts):
            parts = [part.to(first.device) for part in parts]
        whole = torch.cat(parts) if parts else torch.empty(0)
        return whole if whole.dtype == torch.float32 else whole.float()

    def sums(self, values: Sequence[Tensor], which: Sequence[int]) -> Tensor:
        """For each row of elements its sum over every tensor: a row a quantity, a column a tensor; float64."""
        counts = np.array([self.counts[index] for index in which])
        if not values[0].is_cpu:
            lengths = torch.from_numpy(counts).to(values[0].device)
            return torch.segment_reduce(torch.stack([v.double() for v in values], 1), "sum", lengths=lengths).T
        full = counts > 0  # an empty part has no place in what `reduceat` is given
        sums = np.zeros((len(values), len(counts)))
        if full.any():
            starts = np.cumsum([0, *counts[full][:-1]])
            sums[:, full] = [np.add.reduceat(v.numpy(), starts) for v in values]
        return torch.from_numpy(sums)

    def spread(self, numbers: Sequence[float], which: Sequence[int], like: Tensor) -> Tensor:
        """One number a tensor, repeated for each of its elements."""
        counts = torch.tensor([self.counts[index] for index in which])
        return torch.tensor(numbers).repeat_interleave(counts).to(like.device)


def here(tensor: Tensor) -> Tensor:
    """The numbers that this process holds, as real ones."""
    own: Tensor = tensor.detach()
    if hasattr(own, "to_local"):
        own = own.to_local()
    return torch.view_as_real(own) if own.is_complex() else own


def _room(sizes: Sequence[int], most: int) -> int:
    """Elements a tensor, so that all of them together are about `most`: what small tensors leave, large ones have."""
    left, tensors = most, len(sizes)
    for size in sorted(sizes):
        if size * tensors > left:
            return max(left // tensors, LEAST)
        left, tensors = left - size, tensors - 1
    return max(sizes, default=1)


def _stride(tensor: Tensor, room: int) -> int:
    """Coprime to the row's length: else a grid would read the same columns of each row."""
    stride = -(-tensor.numel() // max(room, 1)) or 1
    while stride > 1 and tensor.dim() > 1 and math.gcd(stride, tensor.shape[-1]) > 1:
        stride += 1
    return stride
