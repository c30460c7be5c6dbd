"""The squared gradient of a few elements at every step: what tells whether a second moment lags behind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from thalweg.lens.sample import here

TENSORS, ELEMENTS = 4, 1024


class Probe:
    """Adds up g^2 over the first elements of four tensors, spread over the model. Waits for no device.

    Args:
        params: what is trained, in the model's order.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        large = [p for p in params if p.requires_grad and p.dim() > 1 and here(p).numel() >= min(ELEMENTS, 64)]
        large = large or [p for p in params if p.requires_grad]
        self.params = list(islice(large[:: max(1, len(large) // TENSORS)], TENSORS))
        self.waiting: list[Tensor] = []
        self.energies: list[float] = []

    def see(self, scale: float) -> None:
        """Once a step, before it; 0 where there is no gradient."""
        parts = [
            here(p.grad).reshape(-1)[:ELEMENTS].float()
            for p in self.params
            if p.grad is not None and p.grad.layout == torch.strided
        ]
        if len({part.device for part in parts}) > 1:
            parts = [part.to(parts[0].device) for part in parts]
        whole = torch.cat(parts) * scale if parts else torch.zeros(1)
        self.waiting.append(whole.dot(whole))

    def read(self) -> list[float]:
        """One number a step so far."""
        if self.waiting:
            self.energies += [float(each) for each in torch.stack(self.waiting).tolist()]
            self.waiting.clear()
        return self.energies
