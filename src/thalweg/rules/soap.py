r"""SOAP: Adam in the basis in which Shampoo's matrices are diagonal.

H_k,t = beta2 H_k,t-1 + (1 - beta2) G_(k) G_(k)^T              G_(k): the gradient unfolded along axis k
m_t = beta1 m_{t-1} + (1 - beta1) G_t,   v_t = beta2 v_{t-1} + (1 - beta2) (Q^T G_t)^2
theta_t = (1 - eta lambda) [theta_{t-1} - eta Q (Q^T m_hat_t / (sqrt(v_hat_t) + eps))]

Q, along every axis, holds the eigenvectors of its H; every precondition_frequency steps one power iteration and a QR
decomposition bring it up to date. The first gradient founds it, and nothing moves.
"""

from typing import Annotated

import torch

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Decay, Epsilon, Rate, Search
from thalweg.rules.shampoo import Every, Longest, along, blocks, eigen, gram, side_by_side, turned_axes


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 3e-3,
    betas: Betas = (0.95, 0.95),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 1e-2,
    precondition_frequency: Every = 10,
    max_precondition_dim: Longest = 10000,
):
    beta1, beta2 = betas
    moves = step - 1
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "moves": moves,
        "refresh": moves % precondition_frequency == 0,
        "longest": max_precondition_dim,
        "alpha": lr * (1 - beta2**moves) ** 0.5 / (1 - beta1**moves) if moves > 0 else 0.0,
        "keep": 1 - lr * weight_decay if moves > 0 else 1.0,
    }


def preconditioned(p, longest):
    """The axes that are turned: none of a vector."""
    return turned_axes(p, longest) if p.dim() > 1 else []


def rotated(g, axes, matrices):
    for axis, matrix in zip(axes, matrices, strict=True):
        g = along(matrix, g, axis)
    return g


def per_tensor(p, g, state, *, beta1, beta2, eps, moves, refresh, longest):
    axes = preconditioned(p, longest)
    statistics, bases = blocks(state["statistics"], p, axes), blocks(state["bases"], p, axes)
    direction = g  # in the first step alpha is 0
    if moves > 0:
        m, v = state["m"], state["v"]
        turns = [basis.T for basis in bases]
        turned = rotated(g, axes, turns)
        m.mul_(beta1).add_((1 - beta1) * g)
        v.mul_(beta2).add_((1 - beta2) * turned * turned)
        direction = rotated(rotated(m, axes, turns) / (torch.sqrt(v) + eps), axes, bases)
    for axis, total, basis in zip(axes, statistics, bases, strict=True):
        total.mul_(beta2).add_((1 - beta2) * gram(g, axis))
        if moves == 0:
            basis.copy_(eigen(total)[1].flip(1))
        elif refresh:
            improve(basis, total, state["v"], axis)
    return {"g": direction}


def improve(basis, total, v, axis):
    """One power iteration, in place, after sorting the basis, and v with it, by the size of what it holds."""
    largest_first = torch.argsort(torch.diagonal(basis.T @ total @ basis), descending=True)
    v.copy_(v.index_select(axis, largest_first))
    basis.copy_(torch.linalg.qr(total @ basis[:, largest_first])[0])


def per_element(p, g, *, alpha, keep):
    p = keep * (p - alpha * g)
    return p


def first_matrices(p, settings):
    return side_by_side(p, preconditioned(p, settings["max_precondition_dim"]))


def first_moment(p, settings):
    return torch.zeros_like(p)


soap = Rule(
    name="soap",
    title="SOAP: Adam in Shampoo's eigenbasis",
    source="Vyas et al. 2024, arXiv:2409.11321, Algorithm 3",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    matrices={"m": first_moment, "v": first_moment, "statistics": first_matrices, "bases": first_matrices},
    torch_names={"m": "exp_avg", "v": "exp_avg_sq", "statistics": "GG", "bases": "Q"},
    directs=True,
    decay="own",
    departures="As in the authors' code: the first step only founds the basis, eps stands outside the root, the decay "
    "acts after the step, a vector has Adam, an axis longer than max_precondition_dim is not turned, and at a refresh "
    "the basis is sorted, and v with it.",
)
