"""Where the numbers live: parameters, gradients and state as flat memory, cut into chunks, with one table of addresses.

This is the only file that knows addresses. Storage stays the user's: nothing is moved or flattened, the tensors are
held while their addresses are in the table, and what could have moved is compared before every step (`Signature`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.recipe import Group, Recipe

Tensor = torch.Tensor
Integers = npt.NDArray[np.int64]

STRIDED = torch.strided
HALVES = (torch.float16, torch.bfloat16)  # stepped in float32, with float32 state
LINE = 64  # elements: cuts between threads fall on whole cache lines


class Signature:
    """All that plans take for granted. They are good as long as it is unchanged.

    Where the gradients are is not in it: that changes with every `zero_grad()` and is read anew each step. Tensors are
    compared as objects, and held, so that none of their addresses can be given to another.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        state: Mapping[Tensor, Any],
        groups: list[Any],
    ) -> None:
        self.objects = [*params, *state, *(value for own in state.values() for value in own.values())]
        self.groups = groups
        self.where = [(p.data_ptr(), p.numel(), p.is_contiguous() or p.stride()) for p in params]
        self.kinds = [
            None
            if g is None
            else (g.dtype, g.layout is STRIDED and (g.is_contiguous() or g.stride()), g.is_neg(), g.is_conj())
            for g in gradients
        ]

    def same(self, other: Signature) -> bool:
        return (
            self.where == other.where
            and self.kinds == other.kinds
            and self.groups == other.groups
            and len(self.objects) == len(other.objects)
            and all(map(is_, self.objects, other.objects))
        )


def is_flat(tensor: Tensor) -> bool:
    """True where the tensor fills one stretch of memory, in whatever order of dimensions."""
    if tensor.layout is not torch.strided:
        return False
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def lies_like(tensor: Tensor, reference: Tensor) -> bool:
    """True where element i in memory means the same for both."""
    if tensor.layout is not torch.strided or tensor.dtype != reference.dtype or tensor.is_neg() or tensor.is_conj():
        return False
    both_plain = tensor.is_contiguous() and reference.is_contiguous()
    return both_plain or (tensor.stride() == reference.stride() and is_flat(tensor))


def laid_like(tensor: Tensor, reference: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A copy of `tensor` with the layout of `reference` in memory."""
    return torch.empty_like(reference, dtype=dtype).copy_(tensor.to_dense().detach())


def real(tensor: Tensor) -> Tensor:
    """A complex tensor as its real and imaginary parts side by side: rules act on each, as in torch."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


class Ages:
    """The step count, and the carried numbers, of every parameter: rows of one buffer.

    A state holds 0-dim views of it under torch's names: one addition ages all parameters (1,000 separate ones take
    a millisecond), and a checkpoint still looks like torch's.
    """

    def __init__(self, count: int, carried: Sequence[str]) -> None:
        dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32  # as torch
        self.names = ("step", *carried)
        self.tensor = torch.zeros(len(self.names), count, dtype=dtype)
        self.values: npt.NDArray[Any] = self.tensor.numpy()


class Plan:
    """The tensors that one kernel steps together, and which row of numbers each of them takes.

    `positions` are the tensors' places among all parameters of the optimizer, and so their places in `ages`.
    """

    def __init__(
        self,
        recipe: Recipe,
        params: Sequence[Tensor],
        states: Sequence[Sequence[Tensor]],
        groups: Sequence[Group],
        positions: Sequence[int],
        ages: Ages,
    ) -> None:
        self.recipe = recipe
        self.params = [p.detach() for p in params]
        self.states = states
        self.gradients: list[Tensor] = []
        self.ages = ages
        self.dtype = real(self.params[0]).dtype
        self.numels = [real(p).numel() for p in self.params]
        self.total = sum(self.numels)
        self.positions = list(positions)
        self._group_of = dict(zip(self.positions, groups, strict=True))
        whole = list(range(self.positions[0], self.positions[-1] + 1)) == self.positions
        self._index = slice(self.positions[0], self.positions[-1] + 1) if whole else np.array(self.positions)
        self._to_copy: list[int] | None = None
        self._chunks: dict[tuple[int, int], tuple[Integers, Integers]] = {}
        self._left = b""  # the ages as the last step left them
        self._form_rows()
        addresses = [[t.data_ptr() for t in (p, p, *own)] for p, own in zip(self.params, states, strict=True)]
        self.table = np.array(addresses, dtype=np.int64)

    def refresh(self, gradients: Sequence[Tensor | None]) -> None:
        """Take this step's gradients out of those of all parameters; one that lies in memory in another way than its
        parameter is copied."""
        own: list[Any]
        if isinstance(self._index, slice):
            own = list(gradients[self._index])
        else:
            own = [gradients[place] for place in self.positions]
        if self._to_copy is None:  # the signature holds what this depends on
            self._to_copy = [i for i, p in enumerate(self.params) if not lies_like(own[i], p)]
        for index in self._to_copy:
            own[index] = laid_like(own[index], self.params[index])
        self.gradients = own
        self.table[:, 1] = [g.data_ptr() for g in own]

    def advance(self) -> list[tuple[dict[str, float], ...]]:
        """One step on: the numbers of each row, one dict for each piece of the recipe."""
        values = self.ages.values
        if values[:, self._index].tobytes() != self._left:
            self._form_rows()  # somebody wrote into a step count
        values[0, self._index] += 1
        own = {name: self.ages.names.index(name) for name in self.recipe.rule.carried}
        rows = []
        for members in self._rows:
            first = members[0]
            carried = {name: float(values[index, first]) for name, index in own.items()}
            numbers = self.recipe.numbers(float(values[0, first]), carried, self._group_of[first])
            for name, index in own.items():
                values[index, members] = numbers[-1][name]
            rows.append(numbers)
        self._left = values[:, self._index].tobytes()
        return rows

    def advance_rows(self, dtype: str) -> npt.NDArray[Any]:
        """One step on: the rows of numbers that a kernel reads, rounded to its precision here and nowhere else."""
        numbers = self.advance()
        program = self.recipe.program
        rows = np.empty((len(numbers), len(program.formulas)), dtype=dtype)
        for index, pieces in enumerate(numbers):
            rows[index] = program.row(pieces)
        return rows

    def chunks(self, parts: int, limit: int) -> tuple[Integers, Integers]:
        """The work cut into `parts` equal shares: rows of (tensor, first element, length, row), none longer than
        `limit`, and the bounds of the shares in them."""
        key = (parts, limit)
        if key not in self._chunks:
            chunks, bounds = cut(self.numels, parts, limit)
            chunks[:, 3] = self.row_of[chunks[:, 0]]
            self._chunks[key] = chunks, bounds
        return self._chunks[key]

    def _form_rows(self) -> None:
        """A row for each group and age that occur: the place of its first member in `ages`, and of all."""
        block = self.ages.values[:, self._index]
        keys: dict[tuple[float, ...], list[int]] = {}
        for place, column in zip(self.positions, block.T.tolist(), strict=True):
            keys.setdefault((id(self._group_of[place]), *column), []).append(place)
        self._rows = list(keys.values())
        self._left = block.tobytes()
        row_of = {place: row for row, members in enumerate(self._rows) for place in members}
        self.row_of = np.array([row_of[place] for place in self.positions], dtype=np.int64)
        for chunks, _ in self._chunks.values():
            chunks[:, 3] = self.row_of[chunks[:, 0]]


def cut(numels: Sequence[int], parts: int, limit: int) -> tuple[Integers, Integers]:
    """Cut tensors into chunks so that `parts` shares of them hold equally many elements."""
    share = -(-sum(numels) // (parts * LINE)) * LINE or LINE
    rows: list[tuple[int, int, int, int]] = []
    bounds, room = [0], share
    for tensor, numel in enumerate(numels):
        start = 0
        while start < numel:
            length = min(numel - start, room, limit)
            rows.append((tensor, start, length, 0))
            start, room = start + length, room - length
            if room == 0:
                bounds.append(len(rows))
                room = share
    if bounds[-1] != len(rows):
        bounds.append(len(rows))
    return np.array(rows, dtype=np.int64).reshape(-1, 4), np.array(bounds, dtype=np.int64)
