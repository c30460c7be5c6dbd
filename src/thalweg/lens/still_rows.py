"""Rows of weights that never had a gradient: units that are off for every input, found without hooks on the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from thalweg.lens.sample import here
from thalweg.lens.shards import whole_rows


class StillRows:
    """Follows weights that have a bias, and their biases. A row that once had a gradient is not looked at again.

    A unit's gradient reaches both, so that a weight is looked at where its bias has fewer such rows than before.

    Args:
        named: the parameters that are trained, by name.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.open: list[tuple[str, str]] = []
        self.named: dict[str, Tensor] = {}
        self.still: dict[str, Tensor] = {}  # places of rows without any gradient so far
        self.add(named)

    def add(self, named: Mapping[str, Tensor]) -> None:
        """Follow these too."""
        paired = [n for n in named if n.endswith("weight") and n.removesuffix("weight") + "bias" in named]
        pairs = [(n.removesuffix("weight") + "bias", n) for n in paired]
        pairs = [pair for pair in pairs if all(named[n].dim() > 0 and whole_rows(named[n]) for n in pair)]
        self.open += pairs
        self.named |= {n: named[n] for pair in pairs for n in pair}

    @torch.no_grad()
    def see(self) -> None:
        """Look at the gradients that are there now."""
        left = []
        for pair in self.open:
            bias, weight = pair
            if self._look(bias) or weight not in self.still:
                self._look(weight)
            if bias not in self.still or len(self.still[bias]):
                left.append(pair)
        self.open = left

    def _look(self, name: str) -> bool:
        """Whether rows had their first gradient now."""
        grad, still = self.named[name].grad, self.still.get(name)
        if grad is None or grad.layout is not torch.strided:
            return False
        own = here(grad)
        if still is None:
            still = torch.arange(len(own), device=own.device)
        rows = own if len(still) == len(own) else own[still]
        zero = (rows == 0).flatten(1).all(1) if rows.dim() > 1 else rows == 0
        left = still if zero.all() else still[zero]
        woke = len(left) < len(still)
        self.still[name] = left
        return woke

    def counts(self, names: Sequence[str]) -> Tensor:
        """Rows without a gradient, and rows: a column a parameter; zeros for those that are not followed."""
        table = torch.zeros(2, len(names), dtype=torch.float64)
        for column, name in enumerate(names):
            if name in self.still:
                table[0, column] = len(self.still[name])
                table[1, column] = here(self.named[name]).shape[0]
        return table
