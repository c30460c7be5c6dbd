"""Gradients larger than the step's own precision holds: a float64 one of 1e200 beside a float32 parameter.

As they are read they would become infinite, after the norm, taken in double, has found them finite; and the factor that
is to bring them down would be 0 in float32. So where the norm is as large as that, which it hardly ever is, the factor
is applied in double, before they are cut to the step's precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

Tensor = torch.Tensor

LARGE = 1e20  # a norm from which on this is looked at: below, no gradient overflows, by whatever scales it was divided
WIDE = (torch.float64, torch.complex128)


def brought_in(params: Sequence[Tensor], gradients: Sequence[Tensor | None], factor: float) -> list[Tensor | None]:
    """The gradients times the factor, in the precision in which each parameter is stepped."""
    return [None if g is None else _scaled(p, g.detach(), factor) for p, g in zip(params, gradients, strict=True)]


def _scaled(p: Tensor, g: Tensor, factor: float) -> Tensor:
    single, double = (torch.complex64, torch.complex128) if g.is_complex() else (torch.float32, torch.float64)
    return (g.to(double) * factor).to(double if p.dtype in WIDE else single)
