"""The words an equation may use, with their meaning for torch. Each fast engine spells the same words its own way.

Every word carries NaN through: a NaN that goes in comes out, on every engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

__all__ = ["WORDS", "abs", "exp", "log", "maximum", "minimum", "sign", "sqrt", "tanh", "where"]

ROOTED = (torch.float32, torch.float64)  # dtypes of the arithmetic that NumPy has too
Value = Any  # a tensor, or a number: one type checker cannot tell them apart inside a rule


def sqrt(x: Value) -> Value:
    """Square root, correctly rounded as on every other engine.

    torch's own on a processor with AVX-512, by MKL, is a unit in the last place off for one float32 in six and one
    float64 in eighty, and which ones depends on where in the tensor they stand. What autograd records is torch's.
    """
    if type(x) is not torch.Tensor or not x.is_cpu or x.requires_grad or x.dtype not in ROOTED:
        return torch.sqrt(x)
    root = torch.empty_like(x)
    with np.errstate(invalid="ignore"):
        np.sqrt(x.numpy(), out=root.numpy())
    return root


def abs(x: Value) -> Value:
    """Absolute value."""
    return torch.abs(x)


def exp(x: Value) -> Value:
    """e to the power of x."""
    return torch.exp(x)


def log(x: Value) -> Value:
    """Natural logarithm."""
    return torch.log(x)


def tanh(x: Value) -> Value:
    """Hyperbolic tangent."""
    return torch.tanh(x)


def sign(x: Value) -> Value:
    """-1, 0 or 1; NaN for NaN, where torch.sign gives 0."""
    return torch.where(x != x, x, torch.sign(x))


def where(condition: Value, then: Value, otherwise: Value) -> Value:
    """`then` where the comparison holds, `otherwise` elsewhere. The comparison may be one of plain numbers."""
    if isinstance(condition, bool):
        return then if condition else otherwise
    if not isinstance(then, torch.Tensor) and not isinstance(otherwise, torch.Tensor):
        then = torch.tensor(then, dtype=torch.float64, device=condition.device)  # torch would round it to float32
    return torch.where(condition, then, otherwise)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two; NaN where either is NaN."""
    if isinstance(b, torch.Tensor):
        return torch.maximum(a, b) if isinstance(a, torch.Tensor) else b.clamp(min=a)
    return a.clamp(min=b)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two; NaN where either is NaN."""
    if isinstance(b, torch.Tensor):
        return torch.minimum(a, b) if isinstance(a, torch.Tensor) else b.clamp(max=a)
    return a.clamp(max=b)


WORDS: dict[str, Callable[..., Any]] = {
    word.__name__: word for word in (sqrt, abs, exp, log, tanh, sign, where, maximum, minimum)
}
