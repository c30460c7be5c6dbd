"""Which elements of the parameters are read: all of a small model's, a fixed grid of a large one's.

A grid of 16,384 elements tells norms and shares of a whole model within a percent, those of one of 160 tensors within
seven, and costs the same for any model: reading all of them would take as long as several optimizer steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from thalweg.lens import memory

MOST = 2**14  # elements in all
LEAST = 64  # of a tensor that has as many
KEYS = 8
JOINED = 2**20  # elements of a model whose tensors are joined by one call, before the grid is taken


class _Grid(NamedTuple):
    """What is read of some parameters."""

    sizes: memory.Integers
    strides: memory.Integers
    counts: memory.Integers  # elements that are read
    least: list[int]  # the sizes, as Python's own numbers
    total: int  # elements of all of them that are read


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
        self.joined = sum(self.sizes) <= JOINED and len({p.device for p in params}) == 1 and all(map(_is_plain, params))
        self.places: dict[tuple[int, ...], Tensor | None] = {}  # of the grid in what is joined, by parameters
        self.grids: dict[tuple[int, ...], _Grid] = {}  # of some parameters

    def joined_of(self, tensors: Sequence[Tensor | None]) -> Tensor | None:
        """All numbers of the tensors, one after another; None where they are too many or not all there."""
        if not self.joined or any(tensor is None for tensor in tensors):
            return None
        whole: Tensor = _flatten_dense_tensors(tensors)  # type: ignore[no-untyped-call]
        whole = whole.clone() if len(tensors) == 1 else whole  # one tensor alone is not copied by that
        return whole if whole.dtype == torch.float32 else whole.float()

    def of(self, tensors: Sequence[Tensor | None], which: Sequence[int]) -> Tensor:
        """The elements of the tensors of these parameters, one after another, as float32; NaN for a tensor of None."""
        if (lying := self.lying(tensors, which)) is not None:
            return self.at(lying, which)
        whole = self.joined_of(tensors)
        if whole is not None:
            places = self._places(which, whole.device)
            return whole if places is None else whole.index_select(0, places)
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

    def lying(self, tensors: Sequence[Tensor | None], which: Sequence[int]) -> memory.Integers | None:
        """Where the tensors of these parameters lie in the CPU's memory; None where torch has to read them."""
        return memory.addresses(tensors, self._grid(which).least)

    def at(self, lying: memory.Integers, which: Sequence[int]) -> Tensor:
        """As `of`, of tensors that lie there."""
        grid = self._grid(which)
        return memory.gather(lying, grid.sizes, grid.strides, grid.total)

    def products(self, tensors: Sequence[Tensor | None], other: Tensor, which: Sequence[int]) -> Sequence[float] | None:
        """Of the elements with others, and of each with itself; None where torch has to read them."""
        lying, grid = self.lying(tensors, which), self._grid(which)
        return None if lying is None else memory.products(lying, grid.sizes, grid.strides, other)

    def squares(
        self, tensors: Sequence[Tensor], which: Sequence[int], lying: memory.Integers | None = None
    ) -> Tensor | None:
        """The sum of squares over all of every tensor; None where torch's norms are to tell.

        Args:
            lying: where they lie, as far as that is known.
        """
        sizes = self._grid(which).sizes
        lying = self.lying(tensors, which) if lying is None else lying
        if lying is not None and sizes.sum() <= JOINED:  # of more several threads are quicker
            return torch.from_numpy(memory.squares(lying, sizes))
        joined = self.joined_of(tensors)
        return None if joined is None else self.sums([joined * joined], which, whole=True)[0]

    def _grid(self, which: Sequence[int]) -> _Grid:
        """Of some parameters; of those that were asked for last it is known."""
        key = tuple(which)
        if key not in self.grids:
            while len(self.grids) > KEYS:
                self.grids.pop(next(iter(self.grids)))
            kinds = (self.sizes, self.strides, self.counts)
            sizes, strides, counts = (np.array([kind[i] for i in key], dtype=np.int64) for kind in kinds)
            self.grids[key] = _Grid(sizes, strides, counts, sizes.tolist(), int(counts.sum()))
        return self.grids[key]

    def step_sums(
        self, values: Sequence[Tensor], decays: Sequence[float], floors: Sequence[float], which: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """What a step adds up to, and the step, with what decoupled decay took given back.

        Args:
            values: the elements after and before it, of the gradient and of the second moment.
            decays: shares of each tensor that decay took.
            floors: second moments under which eps rules.

        Returns:
            A table of float64, a column a tensor: the sums of squares of weight and step, of gradient x step, how
            many elements had a gradient, eps ruled and rounding lost, the sum of the second moment, how many elements
            were read, and how many there are.
        """
        grid = self._grid(which)
        table = np.empty((9, len(which)))
        table[7], table[8] = grid.counts, grid.sizes
        if memory.compiles() and all(each.is_cpu for each in values):
            step = memory.step_sums(values, decays, floors, grid.counts, table)
            return torch.from_numpy(table), step
        now, old, gradient, second = values
        step = now - old
        lost, driven = step == 0, gradient != 0
        if any(decays):
            step = step + self._spread(decays, which, step) * old
        ruled = second < self._spread(floors, which, step)
        shares = [(each & driven).float() for each in (ruled, lost)]
        sums = self.sums([old * old, step * step, gradient * step, driven.float(), *shares, second], which)
        return torch.cat([sums, torch.from_numpy(table[7:]).to(sums)]), step

    def _places(self, which: Sequence[int], device: torch.device) -> Tensor | None:
        """Of the grid, in the numbers of these parameters one after another; None for all."""
        key = tuple(which)
        if key not in self.places:
            starts = np.cumsum([0, *(self.sizes[index] for index in which)])
            grids = [
                start + np.arange(0, self.sizes[i], self.strides[i])
                for start, i in zip(starts[:-1], which, strict=True)
            ]
            every = all(self.strides[index] == 1 for index in which)
            while len(self.places) > KEYS:  # which parameters have gradients changes seldom
                self.places.pop(next(iter(self.places)))
            self.places[key] = None if every else torch.from_numpy(np.concatenate(grids)).to(device)
        return self.places[key]

    def sums(self, values: Sequence[Tensor], which: Sequence[int], whole: bool = False) -> Tensor:
        """For each row of elements its sum over every tensor: a row a quantity, a column a tensor; float64.

        Args:
            whole: the rows hold all numbers of the tensors, not the grid.
        """
        counts = self._grid(which).sizes if whole else self._grid(which).counts
        if values[0].is_cpu and memory.compiles():
            return torch.from_numpy(memory.sums([v if v.dtype is torch.float32 else v.float() for v in values], counts))
        lengths = torch.from_numpy(counts).to(values[0].device)
        return torch.segment_reduce(torch.stack([v.double() for v in values], 1), "sum", lengths=lengths).T

    def _spread(self, numbers: Sequence[float], which: Sequence[int], like: Tensor) -> Tensor | float:
        """One number a tensor, repeated for each of its elements; the number itself where all are the same."""
        if len(set(numbers)) == 1:
            return numbers[0]
        counts = torch.tensor([self.counts[index] for index in which])
        return torch.tensor(numbers).repeat_interleave(counts).to(like.device)


def here(tensor: Tensor) -> Tensor:
    """The numbers that this process holds, as real ones."""
    own: Tensor = tensor.detach()
    if hasattr(own, "to_local"):
        own = own.to_local()
    return torch.view_as_real(own) if own.is_complex() else own


def _is_plain(param: Tensor) -> bool:
    """Whether its numbers are read as they are: no shard, no complex number, no subclass."""
    return type(param) in (Tensor, torch.nn.Parameter) and param.is_floating_point()


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
