r"""Prodigy: Adam that finds its learning rate, from how far the parameters have come.

    m_t = beta1 m_{t-1} + (1 - beta1) d_t g_t,   v_t = beta2 v_{t-1} + (1 - beta2) d_t^2 g_t^2
    r_t = beta3 r_{t-1} + (d_t / d0) gamma_t <g_t, theta_0 - theta_{t-1}>
    s_t = beta3 s_{t-1} + (d_t / d0) gamma_t g_t,   beta3 = sqrt(beta2),   gamma_t = eta d_t
    theta_t = theta_{t-1} - gamma_t [m_t / (sqrt(v_t) + d_t eps) + lambda theta_{t-1}]
    d_{t+1} = max(d_t, d_coef r_t / |s_t|_1)                       one d for all tensors; d_1 = d0

eta is a factor to what it finds: 1, or a schedule that starts at 1.
"""

from math import inf
from typing import Annotated

import torch

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Decay, Epsilon, Rate, Search, Switch, Valid
from thalweg.rule.words import sqrt, where


def per_step(
    step,
    ratio=1.0,
    largest=1.0,
    r=0.0,
    counted=0.0,
    gained=0.0,
    length=0.0,
    *,
    lr: Annotated[Rate, Search(1e-1, 1e1)] = 1.0,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 0.0,
    d0: Annotated[float, Valid("Invalid d0 value", low=1e-30)] = 1e-6,
    d_coef: Annotated[float, Valid("Invalid d_coef value")] = 1.0,
    growth_rate: Annotated[float, Valid("Invalid growth_rate value", low=1.0)] = inf,
    use_bias_correction: Switch = False,
    safeguard_warmup: Switch = False,
):
    beta1, beta2 = betas
    beta3 = beta2**0.5
    if length != 0:  # in the step before there was a gradient: what was summed up then gives the d of this one
        counted = counted + 1
        r = r + gained
        found = d_coef * r / (length * d0)
        if ratio == 1:
            ratio = max(found, ratio)  # in this order a NaN stays
        largest = max(found, largest)
        ratio = min(largest, growth_rate * ratio)
    d, k = d0 * ratio, counted + 1
    rate = d * lr
    if use_bias_correction:
        rate = rate * (1 - beta2**k) ** 0.5 / (1 - beta1**k)
    return {
        "ratio": ratio,
        "largest": largest,
        "r": beta3 * r,
        "counted": counted,
        "beta1": beta1,
        "beta2": beta2,
        "beta3": beta3,
        "eps": eps,
        "d": d,
        "rate": rate,
        "weight_r": ratio * rate,
        "weight_s": ratio * (d if safeguard_warmup else rate),
        "decay": weight_decay,
    }


def double(number):
    """weight_r grows as d squared: under steady gradients its product with a sum is beyond float32 after 43 steps."""
    return number.double() if number.device.type != "mps" else number.cpu().double()  # MPS has no doubles


def per_tensor(p, g, state, *, beta3, weight_r, weight_s):
    s = beta3 * state["s"] + weight_s * g
    return {
        "gained": weight_r * double(torch.sum(g * (state["x0"] - p))),
        "length": double(torch.sum(torch.abs(s))),
    }


def per_element(p, g, m, v, s, x0, *, beta1, beta2, beta3, eps, d, rate, weight_s, decay, length):
    m = beta1 * m + (1 - beta1) * d * g
    v = beta2 * v + (1 - beta2) * d * d * g * g
    s = beta3 * s + weight_s * g
    u = m / (sqrt(v) + d * eps) + where(length > 0.0, decay * p, 0.0)
    p = p - rate * u
    return p, m, v, s, x0


prodigy = Rule(
    name="prodigy",
    title="Prodigy: Adam that finds its learning rate",
    source="Mishchenko and Defazio 2023, arXiv:2306.06101, Algorithm 4",
    per_step=per_step,
    per_tensor=per_tensor,
    per_element=per_element,
    measures=("gained", "length"),
    summed=True,
    initial={"x0": "p"},
    torch_names={"m": "exp_avg", "v": "exp_avg_sq", "x0": "p0"},
    moments={"m": "signed", "v": "unsigned"},
    decay="own",
    departures="eps is scaled by the d of the step, as in the paper; the authors' code takes the next one. As in "
    "that code: sums without the paper's 1 - beta3; on request a bound on the growth of d, but for its first; steps "
    "before any gradient do not count. d0, d_coef, growth_rate and betas should be the same in all groups; lr may "
    "differ. The decay is the rule's own.",
)
