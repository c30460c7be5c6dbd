"""A few of torch's functions for all lanes at once, to the bit what a lone run works out (on one thread)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from thalweg.lab.lanes.inside import apply, is_lanes, lane, whole

Tensor = torch.Tensor


class Linear(torch.autograd.Function):
    """x @ w.T + b: the three products of a lone run, batched. Differentiating `baddbmm` would work out the transposed
    gradient of w, whose last bits differ."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.has_bias = b is not None
        return torch.bmm(x, w.mT) if b is None else torch.baddbmm(b.unsqueeze(1), x, w.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        [g] = gradients
        x, w = ctx.saved_tensors
        needs_x, needs_w, needs_b = ctx.needs_input_grad
        return (
            torch.bmm(g, w) if needs_x else None,
            torch.bmm(g.mT, x) if needs_w else None,
            g.sum(1) if ctx.has_bias and needs_b else None,
        )


def linear(lanes: int, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if not is_lanes(weight) or weight.dim() != 2 or input.dim() < 2 or not (bias is None or is_lanes(bias)):
        return None
    x, w = whole(input, lanes), whole(weight, lanes)
    shape = x.shape
    x = x.flatten(1, -2) if x.dim() > 3 else x
    out = apply(Linear, x, w, None if bias is None else whole(bias, lanes))
    return lane(out.view(*shape[:-1], out.shape[-1]))


def cross_entropy(
    lanes: int,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor | None:
    """The mean over a lane's rows of plain class labels; anything else is left to vmap."""
    plain = weight is None and size_average is None and reduce is None and reduction == "mean" and not label_smoothing
    if not plain or input.dim() != 2 or target.dim() != 1 or target.is_floating_point() or not is_lanes(input):
        return None
    x, labels = whole(input, lanes), whole(target, lanes)
    rows = F.cross_entropy(x.flatten(0, 1), labels.flatten(), ignore_index=ignore_index, reduction="none")
    counted = (labels != ignore_index).sum(1)
    return lane(rows.view(lanes, -1).sum(1) / counted)


WHOLE: Mapping[Any, Callable[..., Tensor | None]] = {F.linear: linear, F.cross_entropy: cross_entropy}
