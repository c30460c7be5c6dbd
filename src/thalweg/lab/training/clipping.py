"""Clipping gradients to a largest norm, as `torch.nn.utils.clip_grad_norm_` does, sparse ones included."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def clip(parameters: Iterable[Tensor], largest: float) -> None:
    """Scale all gradients so that their common norm is at most `largest`."""
    parameters = [p for p in parameters if p.grad is not None]
    if not any(p.grad is not None and p.grad.is_sparse for p in parameters):
        torch.nn.utils.clip_grad_norm_(parameters, largest)
        return
    values = []
    for p in parameters:  # torch has no norm of a sparse gradient
        assert p.grad is not None
        if p.grad.is_sparse:
            p.grad = p.grad.coalesce()
        values.append(p.grad.values() if p.grad.is_sparse else p.grad)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(value) for value in values]))
    for value in values:
        value.mul_(torch.clamp(largest / (norm + 1e-6), max=1.0))
