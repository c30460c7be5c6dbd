"""Rows of weights that never had a gradient: units that are off for every input, found without hooks on the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.lens import memory
from thalweg.lens.sample import here
from thalweg.lens.shards import whole_rows


class StillRows:
    """Follows weights that have a bias, and their biases. A row that once had a gradient is not looked at again.

    A unit's gradient reaches both, so that a weight is looked at where its bias has fewer such rows than before.

    Args:
        named: the parameters that are trained, by name.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.params: dict[str, Tensor] = {}  # a bias, its weight, the next bias
        self.places: dict[str, int] = {}
        self.sizes: list[int] = []
        self.shapes = np.empty((0, 3), np.int64)  # first row in `still`, rows, elements of each
        self.still = np.empty(0, np.bool_)  # rows of all of them that had no gradient so far
        self.seen = np.empty(0, np.bool_)  # parameters that had a gradient at all
        self.add(named)

    def add(self, named: Mapping[str, Tensor]) -> None:
        """Follow these too."""
        paired = [n for n in named if n.endswith("weight") and n.removesuffix("weight") + "bias" in named]
        pairs = [(n.removesuffix("weight") + "bias", n) for n in paired]
        pairs = [pair for pair in pairs if all(named[n].dim() > 0 and whole_rows(named[n]) for n in pair)]
        self.params |= {n: named[n] for pair in pairs for n in pair}
        self.places = {n: place for place, n in enumerate(self.params)}
        shapes = [here(p).shape for p in self.params.values()]
        self.sizes = [math.prod(shape) for shape in shapes]
        rows = [shape[0] for shape in shapes]
        first = np.cumsum([0, *rows])
        self.shapes = np.array([*zip(first, rows, (math.prod(s[1:]) for s in shapes), strict=False)], np.int64)
        self.shapes = self.shapes.reshape(-1, 3)
        self.still = np.append(self.still, np.ones(first[-1] - len(self.still), np.bool_))
        self.seen = np.append(self.seen, np.zeros(len(rows) - len(self.seen), np.bool_))

    @torch.no_grad()
    def see(self) -> None:
        """Look at the gradients that are there now."""
        grads = [p.grad for p in self.params.values()]
        if (lying := memory.addresses(grads, self.sizes)) is not None:
            memory.wake(lying, self.shapes, self.seen, self.still)
            return
        for bias in range(0, len(grads), 2):
            if self.seen[bias] and not self._rows(bias).any():
                continue
            if self._look(bias, grads[bias]) or not self.seen[bias + 1]:
                self._look(bias + 1, grads[bias + 1])

    def _rows(self, place: int) -> memory.Flags:
        """Which of a parameter's rows had no gradient so far."""
        first, rows, _ = self.shapes[place]
        return self.still[first : first + rows]

    def _look(self, place: int, grad: Tensor | None) -> bool:
        """Whether rows had their first gradient now."""
        if grad is None or grad.layout is not torch.strided:
            return False
        own, still = here(grad), self._rows(place)
        left = np.flatnonzero(still)
        rows = own if len(left) == len(own) else own[torch.from_numpy(left).to(own.device)]
        woke = (rows != 0).reshape(len(rows), int(self.shapes[place, 2])).any(1).cpu().numpy()
        self.seen[place] = True
        still[left[woke]] = False
        return bool(woke.any())

    def counts(self, names: Sequence[str]) -> Tensor:
        """Rows without a gradient, and rows: a column a parameter; zeros for those that are not followed."""
        table = torch.zeros(2, len(names), dtype=torch.float64)
        for column, name in enumerate(names):
            place = self.places.get(name)
            if place is not None and self.seen[place]:
                rows = self._rows(place)
                table[0, column], table[1, column] = int(rows.sum()), len(rows)
        return table

    def names(self) -> list[str]:
        """Of those that had a gradient."""
        return [name for name, place in self.places.items() if self.seen[place]]
