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
BATCHED = 65536  # numbers: larger tensors keep all threads busy by themselves


def turned_axes(p, longest):
    """The axes of a tensor that have a matrix."""
    return [axis for axis, size in enumerate(p.shape) if size <= longest] if p.numel() else []


def side_by_side(p, axes, diagonal=0.0):
    """A state for the square matrices of these axes, one after the other, with this diagonal."""
    flat = p.new_zeros(sum(p.shape[axis] ** 2 for axis in axes))
    for block in blocks(flat[None], p, axes):
        block[0].diagonal().fill_(diagonal)
    return flat


def in_batches(ps, *lists):
    """Tensors of one shape and what belongs to them: small ones all at once, large ones one by one."""
    at_once = len(ps) if ps[0].numel() <= BATCHED else 1
    for first in range(0, len(ps), at_once):
        yield tuple(each[first : first + at_once] for each in lists)


def stacked(tensors):
    """As one tensor with a first axis more; of one alone, a view."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def put_back(stack, tensors):
    """Write a stack into what it was made of."""
    if len(tensors) > 1:
        torch._foreach_copy_(tensors, list(stack.unbind(0)))


def blocks(stack, p, axes):
    """The matrices of these axes, each a stack of views, of states that hold them one after the other."""
    sizes = [p.shape[axis] for axis in axes]
    parts = torch.split(stack, [size * size for size in sizes], dim=1)
    return [part.unflatten(1, (size, size)) for part, size in zip(parts, sizes, strict=True)]


def unfolded(g, axis):
    """Each tensor of a stack as a matrix, whose rows go along an axis."""
    if 0 < axis == g.dim() - 2:  # of a matrix its columns: a view
        return g.flatten(1, -2).mT
    return g.movedim(axis + 1, 1).reshape(len(g), g.shape[axis + 1], -1)


def gram(g, axis):
    """G G^T of each tensor of a stack, unfolded along an axis."""
    rows = unfolded(g, axis)
    return rows @ rows.mT


def along(matrix, g, axis):
    """Every fibre of each tensor of a stack along an axis, multiplied by its matrix."""
    if 0 < axis == g.dim() - 2:
        return (g.flatten(1, -2) @ matrix.mT).view(g.shape)
    shape = g.movedim(axis + 1, 1).shape
    return (matrix @ unfolded(g, axis)).view(shape).movedim(1, axis + 1)


def eigen(matrices):
    """Eigenvalues, smallest first, and vectors; NaN for a matrix that is not finite, where torch would raise."""
    finite = matrices.isfinite().all(-1).all(-1)[:, None, None]
    one = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    values, vectors = torch.linalg.eigh(torch.where(finite, matrices, one))
    return values.masked_fill(~finite[..., 0], torch.nan), vectors.masked_fill(~finite, torch.nan)


def inverse_root(matrices, eps, order):
    """Of each its -1/order th power. Their eigenvalues are eps and more, save for rounding."""
    values, vectors = eigen(matrices)
    return (vectors * values.clamp(min=eps)[:, None] ** (-1 / order)) @ vectors.mT


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


def per_tensor(ps, gs, states, *, eps, refresh, longest):
    axes, directions = turned_axes(ps[0], longest), []
    for some, own in in_batches(ps, gs, states):
        held = {name: [state[name] for state in own] for name in ("statistics", "roots")}
        stacks = {name: stacked(each) for name, each in held.items()}
        directions += direction(stacked(some), axes, stacks, eps, refresh).unbind(0)
        for name, each in held.items():
            put_back(stacks[name], each)
    return {"g": directions}


def direction(g, axes, stacks, eps, refresh):
    """What the gradients of a stack become, and their matrices with them."""
    made, order = g, 2 * (g.dim() - 1)
    statistics, roots = (blocks(stacks[name], g[0], axes) for name in ("statistics", "roots"))
    for axis, total, root in zip(axes, statistics, roots, strict=True):
        total.add_(gram(g, axis))
        if refresh:
            root.copy_(inverse_root(total, eps, order))
        made = along(root, made, axis)
    return made


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
    stacks=True,
    departures="An axis longer than max_precondition_dim has no matrix. Roots are taken anew every update_frequency "
    "steps, by eigenvalues, which are held at eps or above. No momentum and no grafting, as in the paper's algorithm.",
)
