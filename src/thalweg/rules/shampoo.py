r"""Shampoo: the gradient of a tensor, made even along each of its axes.

H_k,t = H_k,t-1 + G_(k) G_(k)^T,   H_k,0 = eps I               G_(k): the gradient unfolded along axis k of n
theta_t = theta_{t-1} - eta G_t x_1 H_1^{-1/2n} x_2 ... x_n H_n^{-1/2n}

A matrix has one to the left and one to the right: L^{-1/4} G R^{-1/4}.
"""

from typing import Annotated

import torch

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Epsilon, Rate, Search, Valid

Every = Annotated[float, Valid("Invalid frequency", low=1.0)]
Longest = Annotated[float, Valid("Invalid max_precondition_dim value")]


def turned_axes(p, longest):
    """The axes of a tensor that have a matrix."""
    return [axis for axis, size in enumerate(p.shape) if size <= longest] if p.numel() else []


def blocks(flat, p, axes):
    """The square matrices of these axes, which a state holds one after the other."""
    sizes = [p.shape[axis] for axis in axes]
    parts = torch.split(flat, [size * size for size in sizes])
    return [part.view(size, size) for part, size in zip(parts, sizes, strict=True)]


def side_by_side(p, axes, diagonal=0.0):
    """A state for such matrices, with this diagonal."""
    flat = p.new_zeros(sum(p.shape[axis] ** 2 for axis in axes))
    for block in blocks(flat, p, axes):
        block.diagonal().fill_(diagonal)
    return flat


def gram(g, axis):
    """G G^T of the gradient unfolded along an axis."""
    unfolded = g.movedim(axis, 0).reshape(g.shape[axis], -1)
    return unfolded @ unfolded.T


def along(matrix, g, axis):
    """Every fibre of g along an axis, multiplied by a matrix."""
    return torch.tensordot(matrix, g, dims=([1], [axis])).movedim(0, axis)


def eigen(matrix):
    """Eigenvalues, smallest first, and vectors; NaN for a matrix that is not finite, where torch would raise."""
    if not matrix.isfinite().all():
        return torch.full_like(matrix[0], torch.nan), torch.full_like(matrix, torch.nan)
    return torch.linalg.eigh(matrix)


def inverse_root(matrix, eps, order):
    """matrix^(-1/order). Its eigenvalues are eps and more, save for rounding."""
    values, vectors = eigen(matrix)
    return (vectors * values.clamp(min=eps) ** (-1 / order)) @ vectors.T


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-3, 1.0)] = 0.1,
    eps: Annotated[Epsilon, Valid("Invalid epsilon value", low=1e-30)] = 1e-4,
    update_frequency: Every = 1,
    max_precondition_dim: Longest = 10000,
):
    return {
        "eta": lr,
        "eps": eps,
        "refresh": (step - 1) % update_frequency == 0,
        "longest": max_precondition_dim,
    }


def per_tensor(p, g, state, *, eps, refresh, longest):
    axes = turned_axes(p, longest)
    direction = g
    statistics, roots = blocks(state["statistics"], p, axes), blocks(state["roots"], p, axes)
    for axis, total, root in zip(axes, statistics, roots, strict=True):
        total.add_(gram(g, axis))
        if refresh:
            root.copy_(inverse_root(total, eps, 2 * g.dim()))
        direction = along(root, direction, axis)
    return {"g": direction}


def per_element(p, g, *, eta):
    p = p - eta * g
    return p


def first_statistics(p, settings):
    return side_by_side(p, turned_axes(p, settings["max_precondition_dim"]), float(settings["eps"]))


def first_roots(p, settings):
    return side_by_side(p, turned_axes(p, settings["max_precondition_dim"]))


shampoo = Rule(
    name="shampoo",
    title="Shampoo: the gradient made even along each axis",
    source="Gupta, Koren and Singer 2018, arXiv:1802.09568, Algorithm 2",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    matrices={"statistics": first_statistics, "roots": first_roots},
    torch_names={"statistics": "preconditioners"},
    directs=True,
    departures="An axis longer than max_precondition_dim has no matrix. Roots are taken anew every update_frequency "
    "steps, by eigenvalues, which are held at eps or above. No momentum and no grafting, as in the paper's algorithm.",
)
