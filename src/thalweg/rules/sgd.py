r"""Gradient descent: batch, mini-batch or stochastic, by the data that the gradient was taken on.

theta_t = theta_{t-1} - eta g_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Rate, Search


def per_step(step, *, lr: Annotated[Rate, Search(1e-3, 5.0)] = 1e-3):
    return {"eta": lr}


def per_element(p, g, *, eta):
    p = p - eta * g
    return p


sgd = Rule(
    name="sgd",
    title="Gradient descent",
    source="Cauchy 1847; stochastic: Robbins and Monro 1951, Annals of Mathematical Statistics 22(3)",
    per_step=per_step,
    per_element=per_element,
    counts_steps=False,
    sparse="rows",
)
