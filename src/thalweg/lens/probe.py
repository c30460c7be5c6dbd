"""The squared gradient of a few elements at every step: what tells whether a second moment lags behind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.lens import memory
from thalweg.lens.sample import here

TENSORS, ELEMENTS = 4, 1024
WHOLE = 8192  # elements of a tensor that is not cut: to cut it takes longer than to read it
WAITING = 64  # steps whose numbers are fetched at once
EARLY, EVERY = 64, 2  # steps


class Probe:
    """Adds up g^2 over the first rows of four tensors, spread over the model. Waits for no device at most steps.

    It reads every step at first, then every other one.

    Args:
        params: what is trained, in the model's order.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        large = [p for p in params if p.requires_grad and p.dim() > 1 and here(p).numel() >= min(ELEMENTS, 64)]
        large = large or [p for p in params if p.requires_grad]
        chosen = list(islice(large[:: max(1, len(large) // TENSORS)], TENSORS))
        self.parts = [(p, *_part(here(p))) for p in chosen]
        self.waiting: list[tuple[int, Sequence[Tensor], float]] = []
        self.energies: dict[int, float] = {}

    def see(self, step: int, optimizer: Optimizer) -> None:
        """Once a step, before it; 0 where there is no gradient."""
        if step > EARLY and step % EVERY:
            return
        scale = unscaled(optimizer)
        there = [(g, rows, n) for p, rows, n in self.parts if (g := p.grad) is not None]
        squares = [square for g, _, n in there if (square := memory.square(g, n)) is not None]
        if len(squares) == len(there):
            self.energies[step] = sum(squares) * scale**2
            return
        parts = [here(g)[:rows] if rows else here(g) for g, rows, _ in there if g.layout is torch.strided]
        self.waiting.append((step, _norms(parts), scale))
        if len(self.waiting) >= WAITING:
            self.read()

    def read(self) -> dict[int, float]:
        """One number a step that was read so far."""
        for step, norms, scale in self.waiting:
            self.energies[step] = sum(float(norm) ** 2 for norm in norms) * scale**2
        self.waiting.clear()
        return self.energies


def unscaled(optimizer: Optimizer) -> float:
    """What takes a GradScaler's factor out of the gradients, in a fused step, which is given them with it."""
    factor = getattr(optimizer, "grad_scale", None)
    return 1.0 if factor is None else 1.0 / float(factor)


def _part(own: Tensor) -> tuple[int, int]:
    """How many whole rows have about so many elements, 0 for all of a small tensor; and how many elements these are."""
    rows = max(1, ELEMENTS // own[0].numel()) if own.dim() and own.numel() > WHOLE else 0
    return rows, rows * own[0].numel() if rows else own.numel()


def _norms(parts: list[Tensor]) -> Sequence[Tensor]:
    if not parts:
        return ()
    if any(part.dtype != torch.float32 or part.device != parts[0].device for part in parts):
        return [part.float().norm() for part in parts]
    found: Sequence[Tensor] = torch._foreach_norm(parts)
    return found
