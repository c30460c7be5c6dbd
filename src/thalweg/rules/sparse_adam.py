r"""SparseAdam: Adam's equations, worked only on the rows that have a gradient.

m_t, v_t as in Adam
theta_t = theta_{t-1} - eta sqrt(1 - beta2^t) / (1 - beta1^t) m_t / (sqrt(v_t) + eps)

A row without a gradient keeps its m and v as they are; t counts the parameter's steps, not the row's.
"""

from dataclasses import replace
from typing import Annotated

from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search
from thalweg.rule.words import sqrt
from thalweg.rules.adam import adam


def per_step(step, *, lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3, betas: Betas = (0.9, 0.999), eps: Epsilon = 1e-8):
    beta1, beta2 = betas
    return {"beta1": beta1, "beta2": beta2, "eps": eps, "alpha": lr * (1 - beta2**step) ** 0.5 / (1 - beta1**step)}


def per_element(p, g, m, v, *, beta1, beta2, eps, alpha):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - alpha * m / (sqrt(v) + eps)
    return p, m, v


sparse_adam = replace(
    adam,
    name="sparse_adam",
    title="SparseAdam: Adam on the rows that have a gradient",
    per_step=per_step,
    per_element=per_element,
    sparse="only",
    moments={},
    departures="eps joins sqrt(v) before the bias correction, as in torch; Adam's joins after it.",
)
