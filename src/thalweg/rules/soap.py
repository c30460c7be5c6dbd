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
from thalweg.rules.shampoo import (
    Every,
    Longest,
    along,
    blocks,
    eigen,
    gram,
    in_batches,
    put_back,
    side_by_side,
    stacked,
    turned_axes,
)

HELD = ("m", "v", "statistics", "bases")


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


def per_tensor(ps, gs, states, *, beta1, beta2, eps, moves, refresh, longest):
    axes, directions = preconditioned(ps[0], longest), []
    for some, own in in_batches(ps, gs, states):
        held = {name: [state[name] for state in own] for name in HELD}
        stacks = {name: stacked(each) for name, each in held.items()}
        g = stacked(some)
        made = direction(g, axes, stacks, beta1, beta2, eps) if moves > 0 else g  # in the first step alpha is 0
        learn(g, axes, stacks, beta2, moves, refresh)
        directions += made.unbind(0)
        for name, each in held.items():
            put_back(stacks[name], each)
    return {"g": directions}


def direction(g, axes, stacks, beta1, beta2, eps):
    """Adam's, in the bases."""
    bases = blocks(stacks["bases"], g[0], axes)
    turns = [basis.mT for basis in bases]
    turned = rotated(g, axes, turns)
    m = stacks["m"].lerp_(g, 1 - beta1)
    v = stacks["v"].mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    return rotated(rotated(m, axes, turns) / torch.sqrt(v).add_(eps), axes, bases)


def learn(g, axes, stacks, beta2, moves, refresh):
    """What the gradients of a stack say of its bases."""
    statistics, bases = (blocks(stacks[name], g[0], axes) for name in ("statistics", "bases"))
    for axis, total, basis in zip(axes, statistics, bases, strict=True):
        total.mul_(beta2).add_(gram(g, axis), alpha=1 - beta2)
        if moves == 0:
            basis.copy_(eigen(total)[1].flip(2))
        elif refresh:
            improve(basis, total, stacks["v"], axis)


def improve(basis, total, v, axis):
    """One power iteration, in place, after sorting the bases, and v with them, by the size of what they hold."""
    product = total @ basis
    largest_first = torch.argsort((basis * product).sum(1), descending=True)  # the diagonal of Q^T H Q
    others = [1] * (v.dim() - 1)
    others[axis] = -1
    v.copy_(torch.take_along_dim(v, largest_first.view(len(v), *others), axis + 1))
    basis.copy_(torch.linalg.qr(torch.take_along_dim(product, largest_first[:, None], 2))[0])


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
    stacks=True,
    decay="own",
    departures="As in the authors' code: the first step only founds the basis, eps stands outside the root, the decay "
    "acts after the step, a vector has Adam, an axis longer than max_precondition_dim is not turned, and at a refresh "
    "the basis is sorted, and v with it.",
)
