"""Sparse gradients: a plan of the rows that a gradient touches, each a tensor of its own to the engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from thalweg.plan.chunks import Integers
from thalweg.plan.plan import Plan
from thalweg.tensors.layout import real
from thalweg.tensors.rounding import Noise

Tensor = torch.Tensor


class RowsPlan(Plan):
    """One parameter with a sparse gradient: only the rows that occur in it are read or written.

    A row is what the gradient's sparse dimensions point at: of a (words, width) embedding one word's vector.
    """

    def _lay_out(self) -> None:
        [p] = self.params
        self._bases = self._addresses(0)
        self._steps = [tensor.element_size() for tensor in (p, p, *self.states[0])]
        self._touched = torch.zeros(0, dtype=torch.int64, device="cpu")
        self.table = np.zeros((1, len(self._bases)), dtype=np.int64)
        self._rows_of(self._touched, 1)

    def refresh(self, gradients: Sequence[Tensor | None]) -> None:
        """Add up the gradient's repeated rows, and find where they act."""
        gradient = gradients[self.positions[0]]
        assert gradient is not None
        whole = gradient.coalesce()
        [p] = self.params
        depth = whole.sparse_dim()
        strides = torch.from_numpy(np.cumprod([1, *p.shape[1:depth][::-1]], dtype=np.int64)[::-1][:depth].copy())
        self._at = tuple(whole.indices())
        touched = (whole.indices().cpu() * strides[:, None]).sum(0)
        values = whole.values().to(self.gradient_dtype).resolve_conj().resolve_neg().contiguous()
        self.gradients = [values]
        self._rows_of(touched, p[(0,) * depth].numel() if p.numel() else 1)

    def _rows_of(self, touched: Tensor, width: int) -> None:
        """The table of these rows."""
        [p] = self.params
        self._touched, self._width = touched, width
        rows = touched.numpy()
        parts = real(p).shape[-1] if p.is_complex() else 1  # a complex number is two
        self.numels = [width * parts] * len(rows)
        self.total = sum(self.numels)
        table = np.repeat(np.array([self._bases], dtype=np.int64), len(rows), axis=0)
        for column, size in enumerate(self._steps):
            table[:, column] += rows * (width * size)
        if self.gradients:
            size = self.gradients[0].element_size()
            table[:, 1] = self.gradients[0].data_ptr() + np.arange(len(rows)) * (width * size)
        if self.rounding_state[0] is not None:
            table[:, len(self._steps)] += rows * (width * self.rounding_state[0].element_size())
        if len(self._bases) > len(self._steps):
            table[:, -1] += rows * (width * parts)
        self.table = table
        self._chunks = {}
        self.row_of = np.zeros(len(rows), dtype=np.int64)

    def read(self, index: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """All touched rows at once: to torch they are one tensor."""
        kept = self._take(self.rounding_state[0]) if self.rounding_state[0] is not None else None
        p = self.storage.load(real(self._take(self.now(0))), kept)
        g = real(self.gradients[0].reshape(len(self._touched), self._width))
        return p, g.to(p.dtype), [real(self._take(state)) for state in self.states[0]]

    def write(self, index: int, p: Tensor, states: Sequence[Tensor]) -> None:
        """Scatter the new rows."""
        beside = self.rounding_state[0]
        old, kept = self._take(self.now(0)), self._take(beside) if beside is not None else None
        self.storage.save(real(old), kept, p, self.noise(index))
        for whole, part in [(self.now(0), old), (beside, kept)]:
            if whole is not None and part is not None:
                self._put(whole, part)
        for state, new in zip(self.states[0], states, strict=True):
            made = torch.view_as_complex(new.contiguous()) if state.is_complex() else new
            self._put(state, made)

    def noise(self, index: int) -> Noise:
        """As in the whole tensor: a row's bits do not depend on which others were touched."""
        keys = self._keys[index] if self.storage.name == "stochastic" else 0
        return Noise(keys, self.members[index].offset, self._touched, self._width)

    def numbers(self, index: int) -> tuple[dict[str, Any], ...]:
        """All rows are of one parameter."""
        return self.rows[0]

    def chunks(self, parts: int, limit: int) -> tuple[Integers, Integers]:
        """A row is a chunk (10,000 of them would take 5 ms in the general loop)."""
        if not self.numels or self.numels[0] > limit:
            return super().chunks(parts, limit)
        count = len(self.numels)
        chunks = np.zeros((count, 4), dtype=np.int64)
        chunks[:, 0], chunks[:, 2] = np.arange(count), self.numels[0]
        return chunks, np.linspace(0, count, min(parts, count) + 1).astype(np.int64)

    def _take(self, tensor: Tensor) -> Tensor:
        """The touched rows, wherever they lie: a parameter may have gaps."""
        part = tensor[self._at] if self._at else tensor.expand(len(self._touched), *tensor.shape)
        return part.reshape(len(self._touched), self._width)

    def _put(self, tensor: Tensor, rows: Tensor) -> None:
        if self._at:
            tensor[self._at] = rows.reshape(len(self._touched), *tensor.shape[len(self._at) :])
        elif rows.numel():
            tensor.copy_(rows.view(tensor.shape))
