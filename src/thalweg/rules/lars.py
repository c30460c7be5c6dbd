r"""LARS: momentum whose gradient is, in every tensor, as long as a fixed part of the tensor itself.

q_t = trust_coefficient |theta_{t-1}| / (|g_t| + lambda |theta_{t-1}| + eps)          1 where a norm is 0
b_t = mu b_{t-1} + q_t (g_t + lambda theta_{t-1}),   theta_t = theta_{t-1} - eta b_t
"""

import math
from typing import Annotated

import torch

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Decay, Epsilon, Momentum, Rate, Search, Valid

TINY = 1e-12  # below this a float32's squares may have been lost; what was lost above is less than rounding


def norm(t):
    """The Euclidean norm, also where a float32 has no squares: of 1e25 they are infinite, of 1e-25 zero."""
    if type(t) is not torch.Tensor:  # a shard, or a tensor that only writes down what is done to it
        return torch.linalg.vector_norm(t)
    return norm_here(t) if t.is_cpu else norm_there(t)


def norm_there(t):
    """In double at once: a GPU waits for memory, and nobody is to wait for the GPU."""
    return torch.linalg.vector_norm(t, dtype=torch.float64)


def norm_here(t):
    """In the tensor's own precision, a fifth of double's time on a CPU, but where that does not do."""
    found = torch.linalg.vector_norm(t)
    if TINY < found < math.inf or found.isnan():
        return found
    largest = t.detach().abs().max() if t.numel() else found
    if largest == 0 or largest.isinf():
        return largest
    return torch.linalg.vector_norm(t.double() / largest.double()) * largest.double()


def unless_zero(ratio, size, length):
    """The ratio, or 1 where one of the norms is 0. NaN stays NaN."""
    return torch.where((size == 0) | (length == 0), torch.ones_like(ratio), ratio)


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-1, 1e2)] = 1.0,
    momentum: Momentum = 0.9,
    weight_decay: Decay = 0.0,
    trust_coefficient: Annotated[float, Valid("Invalid trust_coefficient value")] = 1e-3,
    eps: Epsilon = 0.0,
):
    return {"eta": lr, "mu": momentum, "decay": weight_decay, "trust_coefficient": trust_coefficient, "eps": eps}


def per_tensor(p, g, state, *, decay, trust_coefficient, eps):
    size, length = norm(p), norm(g)
    ratio = trust_coefficient * size / (length + decay * size + eps)
    return {"trust": unless_zero(ratio, size, length)}


def per_element(p, g, b, *, eta, mu, decay, trust):
    b = mu * b + trust * (g + decay * p)
    p = p - eta * b
    return p, b


lars = Rule(
    name="lars",
    title="LARS: momentum scaled, tensor by tensor, to the size of what it moves",
    source="You, Gitman and Ginsburg 2017, arXiv:1708.03888",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    measures=("trust",),
    torch_names={"b": "momentum_buffer"},
    moments={"b": "signed"},
    decay="own",
    departures="eta stands outside the momentum, as in torch's SGD; the paper has it inside, which differs only where "
    "eta changes. eps, 0 by default, is of later code. Biases are scaled as any tensor is: step them with SGD where "
    "they are not to be. The decay is the rule's own, inside the ratio.",
)
