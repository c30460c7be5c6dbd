"""A plan of parameters whose classes bring operations of their own (`tensors.subclasses`): for `reference` alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from thalweg.plan.plan import Plan
from thalweg.tensors.layout import real
from thalweg.tensors.subclasses import plain, put

Tensor = torch.Tensor


class ForeignPlan(Plan):
    """Numbers are read out of the tensors, and written back by the tensors' own operations. Nothing has an address."""

    def _addresses(self, index: int) -> list[int]:
        return [0, 0, *(0 for _ in self.states[index]), 0, 0, 0]

    def refresh(self, gradients: Sequence[Tensor | None]) -> None:
        """Take this step's gradients as plain memory, however they lie."""
        own = [gradients[place] for place in self.positions]
        self.gradients = [plain(g) if g.layout is torch.strided else g.to_dense() for g in own if g is not None]

    def now(self, index: int) -> Tensor:
        """A parameter's numbers."""
        return plain(self.live[index].detach())

    def _read_states(self, index: int) -> list[Tensor]:
        return [real(plain(state)) for state in self.states[index]]

    def write(self, index: int, p: Tensor, states: Sequence[Tensor]) -> None:
        """Put back what the rule's equations gave, as the parameter's class writes it."""
        before = self.now(index)
        new = before.clone()
        self.storage.save(real(new), self.rounding_state[index], p, self.noise(index))
        put(self.live[index], new, before)
        self._write_states(index, states)
