"""Rows of weights that never had a gradient: units that are off for every input, found without hooks on the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from thalweg.lens.sample import here
from thalweg.lens.shards import whole_rows


class StillRows:
    """Follows weights that have a bias, and their biases. A row that once had a gradient is not looked at again.

    Args:
        named: the parameters that are trained, by name.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        paired = [n for n in named if n.endswith("weight") and n.removesuffix("weight") + "bias" in named]
        names = [each for n in paired for each in (n, n.removesuffix("weight") + "bias")]
        self.named = {n: named[n] for n in names if named[n].dim() > 0 and whole_rows(named[n])}
        self.still: dict[str, Tensor] = {}  # places of rows without any gradient so far

    def see(self) -> None:
        """Look at the gradients that are there now."""
        for name, param in self.named.items():
            grad = param.grad
            still = self.still.get(name)
            if grad is None or grad.layout != torch.strided or (still is not None and not len(still)):
                continue
            own = here(grad)
            if still is None:
                still = torch.arange(own.shape[0], device=own.device)
            rows = own if len(still) == len(own) else own[still]
            zero = (rows == 0).flatten(1).all(1) if rows.dim() > 1 else rows == 0
            self.still[name] = still[zero]

    def counts(self, names: Sequence[str]) -> Tensor:
        """Rows without a gradient, and rows: a column a parameter; zeros for those that are not followed."""
        table = torch.zeros(2, len(names), dtype=torch.float64)
        for column, name in enumerate(names):
            if name in self.still:
                table[0, column] = len(self.still[name])
                table[1, column] = here(self.named[name]).shape[0]
        return table
