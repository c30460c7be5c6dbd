"""Are two results the same? Bit for bit, or to the rounding of so many steps; and in words, where they part."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from thalweg.conformance.errors import BrokenError

Tensors = Sequence[torch.Tensor]
# Roundings in one element's step that can add up; Adam's has about a dozen.
ROUNDINGS = 32


def same(found: Tensors, wanted: Tensors, what: str = "the parameters") -> None:
    """BrokenError unless all bits are the same (a NaN equals a NaN)."""
    for a, b in zip(found, wanted, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise BrokenError(
                f"{what}: {tuple(a.shape)} of {a.dtype}", f"the same bits as a {tuple(b.shape)} of {b.dtype}"
            )
        apart = different(a, b)
        if apart.any():
            raise BrokenError(_where(what, a, b, apart), "the same bits")


def near(found: Tensors, wanted: Tensors, steps: int, what: str, growth: float, floor: float) -> None:
    """BrokenError unless the results differ by no more than the rounding of so many steps, times its growth.

    Rounding is that of numbers as large as the largest result, or `floor`.
    """
    for a, b in zip(found, wanted, strict=True):
        if not a.numel():
            continue
        coarse = max(torch.finfo(a.dtype).eps, torch.finfo(b.dtype).eps)
        wide = torch.complex128 if a.is_complex() else torch.float64
        x, y = a.detach().to(wide), b.detach().to(wide)
        bound = growth * ROUNDINGS * steps * coarse * max(floor, float(y.abs().nan_to_num(0, 0, 0).max()))
        apart = different(x, y) & ~((x - y).abs() <= bound)
        if apart.any():
            raise BrokenError(_where(what, x, y, apart), f"within {bound:.1e}, the rounding of {steps} steps")


def different(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Where two tensors differ; NaN does not differ from NaN."""
    x, y = (torch.view_as_real(t.detach()) if t.is_complex() else t.detach() for t in (a, b))
    apart = (x != y) & ~(x.isnan() & y.isnan())
    return apart.any(-1) if a.is_complex() else apart


def copies(tensors: Tensors) -> list[torch.Tensor]:
    """The values now, out of reach of later steps."""
    return [t.detach().clone() for t in tensors]


def number(value: torch.Tensor) -> str:
    """One element in words."""
    return f"{value.item():.6g}"


def _where(what: str, a: torch.Tensor, b: torch.Tensor, apart: torch.Tensor) -> str:
    worst = torch.where(apart, (a - b).abs().nan_to_num(torch.inf), 0.0).flatten().argmax()
    x, y = a.flatten()[worst], b.flatten()[worst]
    return f"{what} differ in {int(apart.sum())} of {a.numel()} elements: {number(x)} instead of {number(y)}"
