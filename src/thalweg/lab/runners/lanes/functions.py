"""A few of torch's functions for all lanes at once, to the bit what a lone run works out (on one thread)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils import _pytree as pytree

from thalweg.lab.runners.lanes.pooling import by_two
from thalweg.lab.runners.lanes.vmapped import apply, is_lanes, lane, lanes_first

Tensor = torch.Tensor


class Linear(torch.autograd.Function):
    """x @ w.T + b: the three products of a lone run, batched. Differentiating `baddbmm` would work out the transposed
    gradient of w, whose last bits differ."""

    @staticmethod
    def forward(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        if w.shape[1] == 1 or _tiny(x, w):
            return torch.stack([F.linear(x[k], w[k], None if b is None else b[k]) for k in range(len(x))])
        return torch.bmm(x, w.mT) if b is None else torch.baddbmm(b.unsqueeze(1), x, w.mT)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, w, b = inputs
        ctx.save_for_backward(x, w)
        ctx.has_bias = b is not None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *whole: Any) -> Any:
        """From torch 2.14 on a function asks for this, also where its tensors are of all lanes already."""
        return Linear.apply(*whole), None  # type: ignore[no-untyped-call]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        [g] = gradients
        x, w = ctx.saved_tensors
        needs_x, needs_w, needs_b = ctx.needs_input_grad
        tiny = _tiny(x, w)
        return (
            _products(g, w, tiny or w.shape[2] == 1) if needs_x else None,
            _products(g.mT, x, tiny) if needs_w else None,
            g.sum(1) if ctx.has_bias and needs_b else None,
        )


def _tiny(x: Tensor, w: Tensor) -> bool:
    """Below 400 multiplications torch batches by a loop of its own, which adds up in another order than BLAS does; so
    do BLAS's products with a single column."""
    return x.shape[1] * w.shape[1] * w.shape[2] < 400


def _products(a: Tensor, b: Tensor, apart: bool) -> Tensor:
    return torch.stack([a[k] @ b[k] for k in range(len(a))]) if apart else torch.bmm(a, b)


def linear(lanes: int, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if not is_lanes(weight) or weight.dim() != 2 or input.dim() < 2 or not (bias is None or is_lanes(bias)):
        return None
    x, w = lanes_first(input, lanes), lanes_first(weight, lanes)
    shape = x.shape
    x = x.flatten(1, -2) if x.dim() > 3 else x
    out = apply(Linear, x, w, None if bias is None else lanes_first(bias, lanes))
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
    x, labels = lanes_first(input, lanes), lanes_first(target, lanes)
    rows = F.cross_entropy(x.flatten(0, 1), labels.flatten(), ignore_index=ignore_index, reduction="none")
    counted = (labels != ignore_index).sum(1)
    return lane(rows.view(lanes, -1).sum(1) / counted)


def one_by_one(function: Callable[..., Tensor]) -> Whole:
    """Lane by lane, where all lanes at once are not the same to the bit, or no quicker: convolutions (grouped, twice as
    quick where they are tiny and half as quick where they are not), norms with weights, losses."""

    def run(lanes: int, *arguments: Any, **named: Any) -> Tensor | None:
        parts, spec = pytree.tree_flatten((arguments, named))
        held = [lanes_first(part, lanes).unbind(0) if is_lanes(part) else part for part in parts]
        if not any(isinstance(part, tuple) for part in held):
            return None
        made = []
        for k in range(lanes):
            own = [part[k] if isinstance(part, tuple) else part for part in held]
            given, words = pytree.tree_unflatten(own, spec)
            made.append(function(*given, **words))
        return lane(torch.stack(made))

    return run


def unless_even(function: Callable[..., Tensor]) -> Whole:
    """Lane by lane, unless a lane's numbers fill whole vectors: what is over is worked out by another formula, and in
    all lanes at once it would be at other places."""
    apart = one_by_one(function)

    def run(lanes: int, input: Tensor, *arguments: Any, **named: Any) -> Tensor | None:
        return apart(lanes, input, *arguments, **named) if input.numel() % VECTOR else None

    return run


def product(lanes: int, input: Tensor, other: Tensor) -> Tensor | None:
    """x @ w, w a matrix of each lane."""
    if input.dim() < 2 or other.dim() != 2 or not is_lanes(other):
        return _by_vector(lanes, input, other) if other.dim() == 1 or input.dim() == 1 else None
    x = lanes_first(input, lanes)
    out = torch.bmm(x.flatten(1, -2), lanes_first(other, lanes))
    return lane(out.view(*x.shape[:-1], out.shape[-1]))


Whole = Callable[..., "Tensor | None"]  # takes the number of lanes; None leaves the call to vmap
VECTOR = 64  # elements: two vectors of the widest processors
_by_vector = one_by_one(torch.matmul)

LANE_BY_LANE = (
    *(F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
    *(F.batch_norm, F.layer_norm, F.group_norm, F.instance_norm, F.scaled_dot_product_attention),
    *(F.mse_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits),
    *(F.nll_loss, F.kl_div, F.poisson_nll_loss, F.multi_margin_loss, F.soft_margin_loss),
)
WITH_REMAINDERS = (
    *(torch.sigmoid, Tensor.sigmoid, F.sigmoid, F.silu, F.elu, F.celu, F.selu, F.mish, F.softplus, F.logsigmoid),
    *(F.tanhshrink, F.softsign, torch.erf, Tensor.erf, torch.sin, Tensor.sin, torch.cos, Tensor.cos),
    *(torch.log1p, Tensor.log1p, torch.expm1, Tensor.expm1, torch.log, Tensor.log),
)
WHOLE: Mapping[Any, Whole] = {
    F.linear: linear,
    F.cross_entropy: cross_entropy,
    F.max_pool2d: by_two,
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm), product),
    **{function: one_by_one(function) for function in LANE_BY_LANE},
    **{function: unless_even(function) for function in WITH_REMAINDERS},
}
